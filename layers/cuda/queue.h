// A caller's stream, with its memory, its recordings and the staging buffers through which pictures and label
// maps cross the bus.
//
// Recordings. A network is some hundred kernels of a few microseconds each; launched one by one, the launches
// take longer than the work. From its second run on, what a key stands for is captured into a CUDA graph, and
// then replayed by a single launch. The first run stays a plain one: libraries load their code then, which a
// capture would not allow. What cannot be captured is run plainly every time.
#pragma once

#include <type_traits>
#include <unordered_map>

#include "layers/cuda/cuda.h"

namespace atrous::cuda {

// Memory of this process that the device reaches directly, so that copies run beside kernels. Page-locked.
class PinnedMemory {
 public:
  PinnedMemory() = default;
  ~PinnedMemory();
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;
  std::byte* reserve(std::size_t bytes);  // contents are lost when it grows

 private:
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
};

// Owners of what the runtime hands out as pointers.
template <auto destroy>
struct Destroy {
  template <class T>
  void operator()(T* handle) const {
    destroy(handle);
  }
};
template <class Handle, auto destroy>
using Owned = std::unique_ptr<std::remove_pointer_t<Handle>, Destroy<destroy>>;
using Stream = Owned<cudaStream_t, cudaStreamDestroy>;
using Event = Owned<cudaEvent_t, cudaEventDestroy>;
using Graph = Owned<cudaGraph_t, cudaGraphDestroy>;
using GraphExec = Owned<cudaGraphExec_t, cudaGraphExecDestroy>;
using CudnnHandle = Owned<cudnnHandle_t, cudnnDestroy>;
Event make_event(unsigned flags = cudaEventDefault);

// The work recorded for the stream, or null where it cannot be. The stream is as it was.
GraphExec record(cudaStream_t, const std::function<void()>& enqueue);
// What lies between two events, once it is done.
double milliseconds_between(const Event& start, const Event& end);

class Queue final : public DeviceQueue {
 public:
  explicit Queue(std::shared_ptr<Context>);
  ~Queue() override;

  std::byte* reserve(std::size_t bytes) override;
  void run(std::uint64_t key, const std::function<void()>& enqueue) override;
  void forget(std::uint64_t key) override;
  double time(const std::function<void()>& enqueue) override;
  void upload(ConstView from, AnyView to) override;
  void upload_picture(std::span<const std::uint8_t> rgb, const NormaliseTable&, std::int64_t n,
                      AnyView to) override;
  void download(ConstAnyView from, View to) override;
  bool label(ConstAnyView logits, std::int64_t n, const Growth&, std::int64_t height, std::int64_t width,
             std::span<std::uint8_t> labels, std::span<float> confidence, float threshold) override;
  void roi_align(std::span<const RoiMap<ConstAnyView>> maps, std::span<const MapRegion> regions,
                 AnyView out) override;
  void flatten(ConstAnyView from, AnyView to) override;
  void wait() override;

  cudaStream_t stream() const { return stream_.get(); }
  cudnnHandle_t cudnn() const { return cudnn_.get(); }

 private:
  // Memory on the device for what is on its way in or out, at least so large. Waits where it must grow.
  void* staging(std::size_t bytes);
  // Bytes on their way to staging memory: `fill` writes them to where the copy takes them from.
  template <class Fill>
  void* stage(std::size_t bytes, Fill&& fill);
  const std::byte* fetch(const void* staged, std::size_t bytes);  // once all work is done

  std::shared_ptr<Context> context_;
  Memory arena_, staging_, table_;
  NormaliseTable table_values_{};  // what table_ holds
  PinnedMemory in_, out_;
  Stream stream_;
  CudnnHandle cudnn_;
  Event uploaded_;  // what in_ held has reached the device
  Event start_, end_;
  struct Recording {
    GraphExec graph;  // from the second run on
    int refusals = 0;
  };
  std::unordered_map<std::uint64_t, Recording> recordings_;
};

}  // namespace atrous::cuda
