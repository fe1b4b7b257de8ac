// A device beside the processor that networks run on: all that the rest of the library knows of it.
//
// Back ends implement this (layers/cuda/) in modules that are loaded when a device is asked for
// (runtime/engine/open_device.h), so that a program that asks for none needs none of their libraries.
//
// On a device a tensor lies as everywhere, channels last, but in the device's memory, in the precision's
// type, and every pixel begins at a multiple of 16 bytes: its pitch is the channels rounded up to 4 floats or
// 8 halves. What lies between the last channel and the next pixel is a number, neither infinite nor a NaN,
// and every kernel leaves it so: convolutions read it with weights of zero. The pointers of such views are
// addresses for the device's kernels alone.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "layers/graph/device_options.h"
#include "layers/graph/graph.h"
#include "layers/graph/kernel.h"
#include "layers/graph/precision.h"
#include "layers/ops/roi_align.h"

namespace atrous {

class Device : public std::enable_shared_from_this<Device> {
 public:
  virtual ~Device() = default;
  virtual DeviceInfo info() const = 0;
  virtual Precision precision() const = 0;

  // As make_cpu_kernels (cpu/cpu_backend.h): at least one, in order of preference, the weights packed on the
  // device. Knows the layers that optimise_for_device() leaves (passes.h).
  virtual std::vector<std::unique_ptr<Kernel>> make_kernels(const Node&) = 0;

  virtual std::unique_ptr<DeviceQueue> make_queue() = 0;
};

std::int64_t device_pitch(std::int64_t channels, Precision);  // as said above
std::size_t device_bytes(const Shape&, Precision);            // Error(limit) on overflow

// One caller's work on a device, done in the order in which it was put. Not for two threads at once. A
// call that waits reports failures of the work put before.
class DeviceQueue {
 public:
  virtual ~DeviceQueue() = default;

  // Memory on the device, aligned to 256 bytes, valid until the next call. Growth moves that memory:
  // its contents and what was recorded are lost. Error(limit) when the device has not enough.
  virtual std::byte* reserve(std::size_t bytes) = 0;

  // Puts the work that `enqueue` describes. The same key means the same work on the same addresses:
  // from the second time on the work may be recorded, and replayed as a whole.
  virtual void run(std::uint64_t key, const std::function<void()>& enqueue) = 0;
  virtual void forget(std::uint64_t key) = 0;

  // Seconds from the work's begin on the device to its end. Work that is not recorded may wait for the calls
  // that put work there, microseconds each: a kernel quicker than its call seems as slow. Waits.
  virtual double time(const std::function<void()>& enqueue) = 0;

  // fp32 in this process's memory -> the precision's type on the device.
  virtual void upload(ConstView from, AnyView to) = 0;

  // 8-bit RGB, height * width * 3 -> image n of `to`, table[c][value] for every sample: normalised on the
  // device, so that a picture crosses the bus as bytes.
  using NormaliseTable = std::array<std::array<float, 256>, 3>;
  virtual void upload_picture(std::span<const std::uint8_t> rgb, const NormaliseTable& table, std::int64_t n,
                              AnyView to) = 0;

  // The way back. Waits.
  virtual void download(ConstAnyView from, View to) = 0;

  // As upsample_argmax (cpu/maps/upsample_argmax.h), of image n of logits on the device. Returns whether
  // these are finite, all of them; if not, the labels mean nothing. Waits.
  virtual bool label(ConstAnyView logits, std::int64_t n, const Growth&, std::int64_t height,
                     std::int64_t width, std::span<std::uint8_t> labels, std::span<float> confidence,
                     float threshold) = 0;

  // As roi_align_channelwise (cpu/maps/roi_align_channelwise.h), of maps on this device, whichever queue made
  // them: their work is done. `out` has room for as many regions or more, which become zeros: [n, size, size,
  // channels], or a region a pixel, its cells row by row, [1, n, 1, size * size * channels].
  virtual void roi_align(std::span<const RoiMap<ConstAnyView>> maps, std::span<const MapRegion> regions,
                         AnyView out) = 0;

  // An image a pixel, [n, h, w, c] -> [1, n, 1, h * w * c], of a map on this device, whichever queue made it:
  // its work is done.
  virtual void flatten(ConstAnyView from, AnyView to) = 0;

  virtual void wait() = 0;
};

// What a module exports, as `extern "C" const DeviceModule* atrous_cuda_module()`.
struct DeviceModule {
  // ATROUS_MODULE_VERSION, which CMake makes of all headers behind this one: a module of another is refused.
  // The first member, of this size, in every version.
  std::uint64_t version = 0;

  // Name and version of what the module runs on: {"driver", "13.0"}, {"cuDNN", "9.19.0 (built with 9.19.0)"}.
  std::vector<std::pair<std::string, std::string>> (*libraries)();
  // Error(unsupported) saying why where no device can be had at all.
  std::vector<DeviceInfo> (*list)();
  // Error(invalid_argument) for an index that there is not.
  std::shared_ptr<Device> (*open)(const DeviceOptions&);
};

}  // namespace atrous
