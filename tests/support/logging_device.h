// A device for tests that say what is asked of one, and in which order.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "layers/graph/device.h"

namespace atrous::runtime_testing {

// What a device was asked to do, and where its memory is, of one queue.
struct Log {
  std::vector<std::byte> memory;
  std::vector<Shape> written;               // by kernels
  std::vector<Shape> uploaded, downloaded;  // the maps that crossed the bus
  std::vector<Shape> pooled, flattened;     // what regions became, and maps
  int waits = 0;
  std::vector<std::uint64_t> keys;  // of the recordings that were run
  bool outside = false;             // whether anything was written that is not in the memory
};

struct LoggingKernel final : Kernel {
  explicit LoggingKernel(std::shared_ptr<Log> kept) : log(std::move(kept)) {}
  std::string_view name() const override { return "logging"; }
  void run(const KernelCall& call) const override {
    const auto offset = static_cast<std::size_t>(call.output.data - log->memory.data());
    if (offset > log->memory.size() ||
        device_bytes(call.output.shape, Precision::fp32) > log->memory.size() - offset)
      log->outside = true;
    log->written.push_back(call.output.shape);
  }
  std::shared_ptr<Log> log;
};

struct LoggingQueue final : DeviceQueue {
  explicit LoggingQueue(std::shared_ptr<Log> kept) : log(std::move(kept)) {}
  std::byte* reserve(std::size_t bytes) override {
    log->memory.resize(std::max(bytes, log->memory.size()));
    return log->memory.data();
  }
  void run(std::uint64_t key, const std::function<void()>& enqueue) override {
    log->keys.push_back(key);
    enqueue();
  }
  void forget(std::uint64_t key) override { CHECK(key != log->keys.back()); }
  double time(const std::function<void()>& enqueue) override { return enqueue(), 0; }
  void upload(ConstView from, AnyView) override { log->uploaded.push_back(from.shape); }
  void upload_picture(std::span<const std::uint8_t>, const NormaliseTable&, std::int64_t, AnyView) override {}
  void download(ConstAnyView from, View to) override {
    log->downloaded.push_back(from.shape);
    for (std::int64_t p = 0; p < to.shape.pixels(); ++p) std::fill_n(to.data + p * to.pitch, to.shape.c, 0.f);
  }
  bool label(ConstAnyView, std::int64_t, const Growth&, std::int64_t, std::int64_t, std::span<std::uint8_t>,
             std::span<float>, float) override {
    return true;
  }
  void roi_align(std::span<const RoiMap<ConstAnyView>>, std::span<const MapRegion>, AnyView out) override {
    log->pooled.push_back(out.shape);
  }
  void flatten(ConstAnyView, AnyView to) override { log->flattened.push_back(to.shape); }
  void wait() override { ++log->waits; }
  std::shared_ptr<Log> log;
};

// A device that computes nothing; all that it is asked for is zero.
struct LoggingDevice final : Device {
  explicit LoggingDevice(std::shared_ptr<Log> kept) : log(std::move(kept)) {}
  DeviceInfo info() const override { return {"logging", "none", 0, 0}; }
  Precision precision() const override { return Precision::fp32; }
  std::vector<std::unique_ptr<Kernel>> make_kernels(const Node&) override {
    std::vector<std::unique_ptr<Kernel>> kernels;
    kernels.push_back(std::make_unique<LoggingKernel>(log));
    return kernels;
  }
  std::unique_ptr<DeviceQueue> make_queue() override { return std::make_unique<LoggingQueue>(log); }
  std::shared_ptr<Log> log;
};

}  // namespace atrous::runtime_testing
