// What the module exports: the devices there are, and one of them made ready.
#include <algorithm>

#include "layers/cuda/cuda_backend.h"
#include "layers/cuda/queue.h"

namespace atrous::cuda {

namespace {

class CudaDevice final : public Device {
 public:
  explicit CudaDevice(const DeviceOptions& options) : context_(std::make_shared<Context>(options)) {}
  DeviceInfo info() const override;
  Precision precision() const override { return context_->precision(); }
  std::vector<std::unique_ptr<Kernel>> make_kernels(const Node& node) override {
    context_->make_current();
    return cuda::make_kernels(node, context_);
  }
  std::unique_ptr<DeviceQueue> make_queue() override { return std::make_unique<Queue>(context_); }

 private:
  std::shared_ptr<Context> context_;
};

DeviceInfo describe(int index) {
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, index), str_cat("device ", index));
  check(cudaSetDevice(index), str_cat("device ", index));
  std::size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  return {properties.name, str_cat("compute capability ", properties.major, '.', properties.minor), total,
          free};
}

DeviceInfo CudaDevice::info() const { return describe(context_->device); }

std::string cuda_version(int version) { return str_cat(version / 1000, '.', version % 1000 / 10); }
std::string cudnn_version(std::size_t version) {
  return str_cat(version / 10000, '.', version % 10000 / 100, '.', version % 100);
}

std::vector<std::pair<std::string, std::string>> libraries() {
  int driver = 0, runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  return {{"CUDA driver", driver == 0 ? "none" : str_cat("for CUDA ", cuda_version(driver))},
          {"CUDA runtime",
           str_cat(cuda_version(runtime), ", needs a driver for CUDA ", runtime / 1000, ".0 or later")},
          {"cuDNN", str_cat(cudnn_version(cudnnGetVersion()), ", built with ", cudnn_version(CUDNN_VERSION))},
          {"cuBLASLt", str_cat(cublasLtGetVersion())}};
}

int count() {
  int devices = 0;
  const cudaError_t status = cudaGetDeviceCount(&devices);
  if (status == cudaErrorInsufficientDriver || status == cudaErrorNoDevice) {
    cudaGetLastError();
    int driver = 0;
    cudaDriverGetVersion(&driver);
    fail(ErrorCode::unsupported, "cuda: no CUDA device: ",
         driver == 0
             ? "no driver is installed"
             : str_cat(cudaGetErrorString(status), " (the driver is for CUDA ", cuda_version(driver), ")"));
  }
  check(status, "cudaGetDeviceCount");
  return devices;
}

std::vector<DeviceInfo> list() {
  std::vector<DeviceInfo> devices;
  for (int i = 0, all = count(); i < all; ++i) devices.push_back(describe(i));
  return devices;
}

std::shared_ptr<Device> open(const DeviceOptions& options) {
  const int devices = count();
  if (options.index < 0 || options.index >= devices)
    fail(ErrorCode::invalid_argument, "cuda:", options.index, ": there ",
         devices == 1 ? "is 1 device" : "are ", devices == 1 ? "" : str_cat(devices, " devices"),
         ", counted from 0");
  const auto names = device_implementations();
  // Former names of what the only implementations of some layers are called today.
  const bool former = options.force == "own" || options.force == "gather";
  if (!options.force.empty() && !former && std::ranges::find(names, options.force) == names.end())
    fail(ErrorCode::invalid_argument, "cuda: no implementation is called ", options.force);
  return std::make_shared<CudaDevice>(options);
}

constexpr DeviceModule module{ATROUS_MODULE_VERSION, libraries, list, open};

}  // namespace

}  // namespace atrous::cuda

extern "C" __attribute__((visibility("default"))) const atrous::DeviceModule* atrous_cuda_module() {
  return &atrous::cuda::module;
}
