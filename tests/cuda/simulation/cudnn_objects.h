// The objects behind the simulated cuDNN's descriptors, and a graph of them that runs.
#pragma once

#include <cudnn.h>

#include <array>
#include <atomic>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/cuda/simulation/libraries.h"
#include "tests/cuda/simulation/number.h"

namespace simulated::cudnn {

using Name = cudnnBackendAttributeName_t;
using Type = cudnnBackendAttributeType_t;

struct Object;
using Reference = std::shared_ptr<const Object>;

struct Value {
  std::vector<unsigned char> bytes;
  std::vector<Reference> references;
};

struct Object {
  cudnnBackendDescriptorType_t type{};
  bool finalized = false;
  std::map<Name, Value> values;
  std::int64_t engine = -1;  // of engines, configurations and plans
  std::shared_ptr<std::atomic<bool>> executing = std::make_shared<std::atomic<bool>>(false);

  bool has(Name name) const { return values.contains(name); }
  template <class T>
  std::vector<T> all(Name name) const {
    const auto it = values.find(name);
    if (it == values.end()) return {};
    std::vector<T> list(it->second.bytes.size() / sizeof(T));
    if (!list.empty()) std::memcpy(list.data(), it->second.bytes.data(), list.size() * sizeof(T));
    return list;
  }
  template <class T>
  T one(Name name, T otherwise = {}) const {
    const auto list = all<T>(name);
    return list.empty() ? otherwise : list.front();
  }
  const std::vector<Reference>& objects(Name name) const { return values.at(name).references; }
  const Object& object(Name name) const { return *objects(name).front(); }
};

using Sizes = std::array<std::int64_t, 4>;  // n, c, h, w

inline Sizes sizes_of(const Object& tensor) {
  const auto list = tensor.all<std::int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS);
  Sizes sizes;
  std::copy_n(list.begin(), 4, sizes.begin());
  return sizes;
}
inline std::int64_t uid_of(const Object& tensor) {
  return tensor.one<std::int64_t>(CUDNN_ATTR_TENSOR_UNIQUE_ID);
}
inline bool is_virtual(const Object& tensor) {
  return tensor.one<unsigned char>(CUDNN_ATTR_TENSOR_IS_VIRTUAL) != 0;
}
inline cudnnDataType_t type_of(const Object& tensor) {
  return tensor.one<cudnnDataType_t>(CUDNN_ATTR_TENSOR_DATA_TYPE);
}

inline bool is_convolution(const Object& operation) {
  return operation.type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR;
}
inline Name output_of(const Object& operation) {
  return is_convolution(operation) ? CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y
                                   : CUDNN_ATTR_OPERATION_POINTWISE_YDESC;
}
inline std::vector<const Object*> inputs_of(const Object& operation) {
  std::vector<const Object*> inputs;
  for (const Name name :
       {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
        CUDNN_ATTR_OPERATION_POINTWISE_XDESC, CUDNN_ATTR_OPERATION_POINTWISE_BDESC})
    if (operation.has(name)) inputs.push_back(&operation.object(name));
  return inputs;
}

struct Address {
  void* data;
  bool half;
  double get(std::int64_t i) const { return simulated::get_number(data, half, i); }
};

// A tensor's numbers, wherever they are: looked up once, read many times.
struct Elements {
  Address memory{};
  std::vector<double>* between = nullptr;  // of a virtual one
  bool rounds = false;                     // factors, to 10 bits of mantissa

  double get(std::int64_t i) const {
    return between ? (*between)[static_cast<std::size_t>(i)] : memory.get(i);
  }
  double factor(std::int64_t i) const { return rounds ? simulated::to_10_bits(get(i)) : get(i); }
  void set(std::int64_t i, double value) const {
    if (between)
      (*between)[static_cast<std::size_t>(i)] = static_cast<float>(value);
    else
      simulated::set_number(memory.data, memory.half, i, value);
  }
};

struct Run {
  Reference graph;
  std::map<std::int64_t, Address> addresses;
  simulated::Engine engine;
  bool rounds;  // factors, to 10 bits of mantissa
  std::map<std::int64_t, std::vector<double>> between;

  Elements elements(const Object& tensor) {
    const std::int64_t uid = uid_of(tensor);
    if (is_virtual(tensor)) return {{}, &between.at(uid), rounds};
    return {addresses.at(uid), nullptr, rounds};
  }
  void convolve(const Object&);
  void point(const Object&);
  void operator()();
};

// The addresses that a variant pack gives the graph's tensors: all that are in memory, on the device,
// aligned. Otherwise what is wrong.
std::string gather(const Object& graph, const Object& pack, std::map<std::int64_t, Address>& addresses);

}  // namespace simulated::cudnn
