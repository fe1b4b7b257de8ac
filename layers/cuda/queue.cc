#include "layers/cuda/queue.h"

#include <algorithm>
#include <cstring>

#include "layers/base/checked.h"
#include "layers/cuda/cuda_kernels.h"

namespace atrous::cuda {

namespace {

void copy_pixels(const float* from, std::int64_t from_pitch, float* to, std::int64_t to_pitch,
                 const Shape& shape) {
  if (from_pitch == shape.c && to_pitch == shape.c) {
    std::copy_n(from, shape.pixels() * shape.c, to);
    return;
  }
  for (std::int64_t p = 0; p < shape.pixels(); ++p)
    std::copy_n(from + p * from_pitch, shape.c, to + p * to_pitch);
}

}  // namespace

PinnedMemory::~PinnedMemory() { cudaFreeHost(data_); }

std::byte* PinnedMemory::reserve(std::size_t bytes) {
  if (bytes <= bytes_) return data_;
  cudaFreeHost(std::exchange(data_, nullptr));
  bytes_ = 0;
  void* data = nullptr;
  check(cudaMallocHost(&data, bytes), str_cat("cudaMallocHost of ", bytes, " bytes"));
  data_ = static_cast<std::byte*>(data);
  bytes_ = bytes;
  return data_;
}

Event make_event(unsigned flags) {
  cudaEvent_t event = nullptr;
  check(cudaEventCreateWithFlags(&event, flags), "cudaEventCreate");
  return Event(event);
}

Queue::Queue(std::shared_ptr<Context> context) : context_(std::move(context)) {
  context_->make_current();
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate");
  stream_.reset(stream);
  cudnnHandle_t cudnn = nullptr;
  check(cudnnCreate(&cudnn), "cudnnCreate");
  cudnn_.reset(cudnn);
  check(cudnnSetStream(cudnn, stream), "cudnnSetStream");
  uploaded_ = make_event(cudaEventDisableTiming);
  start_ = make_event();
  end_ = make_event();
}

Queue::~Queue() {
  cudaSetDevice(context_->device);
  cudaStreamSynchronize(stream());  // nothing is freed that is still in use
}

std::byte* Queue::reserve(std::size_t bytes) {
  context_->make_current();
  if (bytes > arena_.size()) {
    wait();
    recordings_.clear();
    arena_ = Memory();  // the old one first, so that both never exist together
    arena_ = Memory(bytes);
  }
  return static_cast<std::byte*>(arena_.data());
}

void Queue::run(std::uint64_t key, const std::function<void()>& enqueue) {
  context_->make_current();
  const auto [place, first] = recordings_.try_emplace(key);
  Recording& recording = place->second;
  // What another thread does to the device can break a recording, so one refusal is none for good.
  if (!first && !recording.graph && recording.refusals < 3) {
    recording.graph = record(stream(), enqueue);
    recording.refusals += !recording.graph;
  }
  if (recording.graph)
    check(cudaGraphLaunch(recording.graph.get(), stream()), "cudaGraphLaunch");
  else
    enqueue();
}

GraphExec record(cudaStream_t stream, const std::function<void()>& enqueue) {
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  bool whole = true;
  try {
    enqueue();
  } catch (...) {
    whole = false;  // run plainly it works, or says why not
  }
  cudaGraph_t captured = nullptr;
  whole = cudaStreamEndCapture(stream, &captured) == cudaSuccess && whole;
  const Graph graph(captured);
  cudaGraphExec_t ready = nullptr;
  if (!whole || cudaGraphInstantiate(&ready, graph.get(), 0) != cudaSuccess) {
    cudaGetLastError();  // what a recording failed of is no failure of the work
    return nullptr;
  }
  return GraphExec(ready);
}

void Queue::forget(std::uint64_t key) {
  wait();
  recordings_.erase(key);
}

double milliseconds_between(const Event& start, const Event& end) {
  check(cudaEventSynchronize(end.get()), "cudaEventSynchronize");
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, start.get(), end.get()), "cudaEventElapsedTime");
  return static_cast<double>(milliseconds);
}

double Queue::time(const std::function<void()>& enqueue) {
  context_->make_current();
  check(cudaEventRecord(start_.get(), stream()), "cudaEventRecord");
  enqueue();
  check(cudaEventRecord(end_.get(), stream()), "cudaEventRecord");
  return milliseconds_between(start_, end_) / 1e3;
}

void* Queue::staging(std::size_t bytes) {
  if (bytes > staging_.size()) {
    wait();
    staging_ = Memory();
    staging_ = Memory(bytes);
  }
  return staging_.data();
}

template <class Fill>
void* Queue::stage(std::size_t bytes, Fill&& fill) {
  void* staged = staging(bytes);
  check(cudaEventSynchronize(uploaded_.get()), "cudaEventSynchronize");
  std::byte* pinned = in_.reserve(bytes);
  fill(pinned);
  check(cudaMemcpyAsync(staged, pinned, bytes, cudaMemcpyHostToDevice, stream()), "cudaMemcpyAsync");
  check(cudaEventRecord(uploaded_.get(), stream()), "cudaEventRecord");
  return staged;
}

void Queue::upload(ConstView from, AnyView to) {
  context_->make_current();
  const std::size_t bytes = static_cast<std::size_t>(from.shape.pixels() * from.shape.c) * sizeof(float);
  const void* staged = stage(bytes, [&](std::byte* pinned) {
    copy_pixels(from.data, from.pitch, reinterpret_cast<float*>(pinned), from.shape.c, from.shape);
  });
  pack(stream(), static_cast<const float*>(staged), static_cast<int>(from.shape.c), map_of(to));
}

void Queue::upload_picture(std::span<const std::uint8_t> rgb, const NormaliseTable& table, std::int64_t n,
                           AnyView to) {
  context_->make_current();
  constexpr std::size_t table_bytes = sizeof(NormaliseTable);
  if (table_.size() == 0 || table != table_values_) {
    wait();
    table_ = to_device(&table, table_bytes);
    table_values_ = table;
  }
  const void* staged =
      stage(rgb.size(), [&](std::byte* pinned) { std::memcpy(pinned, rgb.data(), rgb.size()); });
  normalise(stream(), static_cast<const std::uint8_t*>(staged), static_cast<const float*>(table_.data()),
            image_of(map_of(to), n));
}

const std::byte* Queue::fetch(const void* staged, std::size_t bytes) {
  std::byte* pinned = out_.reserve(bytes);
  check(cudaMemcpyAsync(pinned, staged, bytes, cudaMemcpyDeviceToHost, stream()), "cudaMemcpyAsync");
  wait();
  return pinned;
}

void Queue::download(ConstAnyView from, View to) {
  context_->make_current();
  const std::size_t bytes = static_cast<std::size_t>(from.shape.pixels() * from.shape.c) * sizeof(float);
  auto* staged = static_cast<float*>(staging(bytes));
  unpack(stream(), map_of(from), staged);
  const auto* pinned = reinterpret_cast<const float*>(fetch(staged, bytes));
  copy_pixels(pinned, from.shape.c, to.data, to.pitch, from.shape);
}

bool Queue::label(ConstAnyView logits, std::int64_t n, const Growth& growth, std::int64_t height,
                  std::int64_t width, std::span<std::uint8_t> labels, std::span<float> confidence,
                  float threshold) {
  context_->make_current();
  if (logits.shape.c > 256) fail(ErrorCode::limit, "labels: ", logits.shape.c, " classes, at most 256");
  // First what wants an alignment: the confidences, then whether a logit is not finite.
  const std::size_t flag_at = confidence.size_bytes(), labels_at = flag_at + sizeof(std::uint32_t),
                    bytes = labels_at + labels.size();
  auto* staged = static_cast<std::byte*>(staging(bytes));
  auto* staged_labels = reinterpret_cast<std::uint8_t*>(staged + labels_at);
  check(cudaMemsetAsync(staged + flag_at, 0, sizeof(std::uint32_t), stream()), "cudaMemsetAsync");
  find_not_finite(stream(), image_of(map_of(logits), n), reinterpret_cast<std::uint32_t*>(staged + flag_at));
  upsample_argmax(stream(), image_of(map_of(logits), n), growth,
                  checked_cast<int>(height, "label map: height"),
                  checked_cast<int>(width, "label map: width"), threshold, staged_labels,
                  confidence.empty() ? nullptr : reinterpret_cast<float*>(staged));
  const std::byte* pinned = fetch(staged, bytes);
  std::uint32_t not_finite = 0;
  std::memcpy(&not_finite, pinned + flag_at, sizeof(not_finite));
  std::memcpy(labels.data(), pinned + labels_at, labels.size());
  if (!confidence.empty()) std::memcpy(confidence.data(), pinned, confidence.size_bytes());
  return not_finite == 0;
}

void Queue::roi_align(std::span<const RoiMap<ConstAnyView>> maps, std::span<const MapRegion> regions,
                      AnyView out) {
  context_->make_current();
  const std::int64_t count = std::ssize(regions), size = maps.empty() ? 0 : maps.front().layer.size,
                     channels = maps.empty() ? 0 : maps.front().map.shape.c;
  std::vector<RoiMap<Shape>> shapes;
  std::vector<RoiMap<Map>> there;
  for (const auto& [layer, map] : maps) {
    shapes.push_back({layer, map.shape});
    there.push_back({layer, map_of(map)});
  }
  check_roi_align(shapes, regions, {count, size, size, channels});
  const Shape &s = out.shape, cells{s.n, size, size, channels}, flat{1, s.h, 1, size * size * channels};
  if (!(s == cells && s.n >= count) && !(s == flat && s.h >= count))
    fail(ErrorCode::invalid_argument, "roi_align: ", count, " regions of ", Shape{1, size, size, channels},
         ", but the output is ", s);
  const void* staged = regions.empty() ? nullptr : stage(regions.size_bytes(), [&](std::byte* pinned) {
    std::memcpy(pinned, regions.data(), regions.size_bytes());
  });
  cuda::roi_align(stream(), there, static_cast<const MapRegion*>(staged),
                  checked_cast<int>(count, "roi_align: regions"), map_of(out));
}

void Queue::flatten(ConstAnyView from, AnyView to) {
  context_->make_current();
  const Shape& s = from.shape;
  if (to.shape != Shape{1, s.n, 1, s.h * s.w * s.c})
    fail(ErrorCode::invalid_argument, "flatten: ", s, " is not ", to.shape);
  cuda::flatten(stream(), map_of(from), map_of(to));
}

void Queue::wait() {
  context_->make_current();
  check(cudaStreamSynchronize(stream()), "the device's work");
}

}  // namespace atrous::cuda
