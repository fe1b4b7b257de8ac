#include <algorithm>
#include <cmath>

#include "tests/cuda/simulation/cudnn_objects.h"
#include "tests/cuda/simulation/simulation.h"

namespace simulated::cudnn {

void Run::convolve(const Object& o) {
  const Object& how = o.object(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC);
  const Object& x = o.object(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X);
  const Object& f = o.object(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W);
  const Object& y = o.object(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y);
  const auto [in_n, in_c, in_h, in_w] = sizes_of(x);
  const auto [filters, group_in, kh, kw] = sizes_of(f);
  const auto [n, c, h, w] = sizes_of(y);
  const auto stride = how.all<std::int64_t>(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES)[0];
  const auto padding = how.all<std::int64_t>(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS)[0];
  const auto dilation = how.all<std::int64_t>(CUDNN_ATTR_CONVOLUTION_DILATIONS)[0];
  const std::int64_t group_out = filters / (in_c / group_in);
  const Elements input = elements(x), weights = elements(f), output = elements(y);
  for (std::int64_t p = 0; p < n * h * w; ++p)
    for (std::int64_t k = 0; k < c; ++k) {
      const std::int64_t image = p / (h * w), row = p / w % h, column = p % w;
      double sum = 0;
      for (std::int64_t ky = 0; ky < kh; ++ky)
        for (std::int64_t kx = 0; kx < kw; ++kx) {
          const std::int64_t iy = row * stride - padding + ky * dilation;
          const std::int64_t ix = column * stride - padding + kx * dilation;
          if (iy < 0 || iy >= in_h || ix < 0 || ix >= in_w) continue;
          const std::int64_t pixel = ((image * in_h + iy) * in_w + ix) * in_c + k / group_out * group_in;
          const std::int64_t weight = ((k * kh + ky) * kw + kx) * group_in;
          for (std::int64_t i = 0; i < group_in; ++i)
            sum += input.factor(pixel + i) * weights.factor(weight + i);
        }
      output.set(p * c + k, sum);
    }
}

void Run::point(const Object& o) {
  const Object& how = o.object(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
  const Object& x = o.object(CUDNN_ATTR_OPERATION_POINTWISE_XDESC);
  const auto mode = how.one<cudnnPointwiseMode_t>(CUDNN_ATTR_POINTWISE_MODE);
  const double most = how.one<double>(CUDNN_ATTR_POINTWISE_RELU_UPPER_CLIP, INFINITY);
  const auto [n, c, h, w] = sizes_of(x);
  const bool adds = mode == CUDNN_POINTWISE_ADD;
  const Object& b = adds ? o.object(CUDNN_ATTR_OPERATION_POINTWISE_BDESC) : x;
  const bool of_channels = sizes_of(b) != sizes_of(x);
  const Elements input = elements(x), addend = elements(b);
  const Elements output = elements(o.object(CUDNN_ATTR_OPERATION_POINTWISE_YDESC));
  for (std::int64_t i = 0; i < n * c * h * w; ++i) {
    double value = input.get(i);
    if (adds)
      value += addend.get(of_channels ? i % c : i);
    else if (mode == CUDNN_POINTWISE_RELU_FWD)
      value = std::min(std::max(value, 0.0), most);
    else
      value = 1 / (1 + std::exp(-value));
    output.set(i, value);
  }
}

void Run::operator()() {
  simulated::pass(engine.milliseconds);
  for (const Reference& o : graph->objects(CUDNN_ATTR_OPERATIONGRAPH_OPS)) {
    const Object& out = o->object(output_of(*o));
    const auto [n, c, h, w] = sizes_of(out);
    if (is_virtual(out)) between[uid_of(out)].resize(static_cast<std::size_t>(n * c * h * w));
    is_convolution(*o) ? convolve(*o) : point(*o);
  }
}

std::string gather(const Object& graph, const Object& pack, std::map<std::int64_t, Address>& addresses) {
  const auto uids = pack.all<std::int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
  const auto data = pack.all<void*>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
  std::vector<const Object*> tensors;
  for (const Reference& o : graph.objects(CUDNN_ATTR_OPERATIONGRAPH_OPS)) {
    for (const Object* in : inputs_of(*o)) tensors.push_back(in);
    tensors.push_back(&o->object(output_of(*o)));
  }
  for (const Object* tensor : tensors) {
    if (is_virtual(*tensor)) continue;
    const auto at = std::ranges::find(uids, uid_of(*tensor));
    if (at == uids.end()) return "execute: uid " + std::to_string(uid_of(*tensor)) + " is missing";
    void* address = data[static_cast<std::size_t>(at - uids.begin())];
    const auto [n, c, h, w] = sizes_of(*tensor);
    const bool half = type_of(*tensor) == CUDNN_DATA_HALF;
    if (reinterpret_cast<std::uintptr_t>(address) % 16 != 0 ||
        !simulated::on_device(address, static_cast<std::size_t>(n * c * h * w * (half ? 2 : 4))))
      return "execute: an address that is not the device's";
    addresses[*at] = {address, half};
  }
  if (addresses.size() != uids.size()) return "execute: a uid that the graph does not have";
  return {};
}

}  // namespace simulated::cudnn
