#include "weights_tools/caffe/caffemodel.h"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "layers/base/checked.h"
#include "layers/base/error.h"
#include "layers/base/tensor.h"
#include "weights_tools/caffe/wire_format.h"
#include "weights_tools/io/clean_text.h"

namespace atrous {

namespace {

constexpr std::size_t rank_limit = 8, blob_limit = 16;
constexpr std::uint64_t text_limit = 1024;

// Field numbers of NetParameter, and of a layer by its generation.
constexpr std::uint32_t net_name = 1, net_layers = 2, net_layer = 100;
struct LayerFields {
  std::uint32_t name, type, blobs, first_format, bn;  // 0: no such field
};
constexpr LayerFields v1{.name = 4, .type = 5, .blobs = 6, .first_format = 1, .bn = 45},
    v2{.name = 1, .type = 2, .blobs = 7, .first_format = 0, .bn = 0};

enum class Kind { other, convolution, inner_product, batch_norm, scale, normalize, bn };

// V1LayerParameter.LayerType; 43 is BN in HyeonwooNoh/caffe.
Kind kind_of(std::uint64_t type) {
  switch (type) {
    case 4:
    case 39:
      return Kind::convolution;
    case 14:
      return Kind::inner_product;
    case 43:
      return Kind::bn;
    default:
      return Kind::other;
  }
}

Kind kind_of(std::string_view type) {
  constexpr std::pair<std::string_view, Kind> known[] = {{"Convolution", Kind::convolution},
                                                         {"Deconvolution", Kind::convolution},
                                                         {"InnerProduct", Kind::inner_product},
                                                         {"BatchNorm", Kind::batch_norm},
                                                         {"Scale", Kind::scale},
                                                         {"Normalize", Kind::normalize},
                                                         {"BN", Kind::bn}};
  for (const auto& [name, kind] : known)
    if (name == type) return kind;
  return Kind::other;
}

struct Blob {
  std::vector<std::int64_t> shape;
  bool counted_from_right = false;  // num, channels, height and width
  DType dtype = DType::f32;
  std::uint64_t elements = 0;
};

struct CaffeLayer {
  std::string name;
  Kind kind = Kind::other;
  std::vector<WireRange> blobs;
  bool learns = false;  // bn_mode LEARN
};

// BlobProto
constexpr std::uint32_t blob_data = 5, blob_shape = 7, blob_double_data = 8;

std::uint64_t size_of_element(std::uint32_t field) { return field == blob_data ? 4 : 8; }

// Calls for each run of elements, in order.
template <class Run>
void each_run(WireFile& file, WireRange range, std::string_view name, Run&& run) {
  WireMessage message(file, range, name);
  for (WireField field; message.next(field);) {
    if (field.number != blob_data && field.number != blob_double_data) continue;
    const std::uint64_t element = size_of_element(field.number);
    if (field.type != (element == 4 ? WireType::fixed32 : WireType::fixed64)) {  // not a single element
      check_type(field, WireType::bytes, name);
      if (field.range.size() % element != 0)
        fail(ErrorCode::malformed, name, ": ", field.range.size(), " bytes of data, no multiple of ",
             element);
    }
    run(field);
  }
}

void add_size(std::vector<std::int64_t>& shape, std::uint64_t size, std::string_view name) {
  if (static_cast<std::int64_t>(size) < 1)
    fail(ErrorCode::malformed, name, ": a blob's size of ", static_cast<std::int64_t>(size),
         ", expected at least 1");
  if (shape.size() == rank_limit)
    fail(ErrorCode::limit, name, ": a blob of more than ", rank_limit, " dimensions");
  shape.push_back(static_cast<std::int64_t>(size));
}

// BlobShape: its only field, dim, packed or not.
void read_shape(WireFile& file, const WireField& field, std::string_view name,
                std::vector<std::int64_t>& shape) {
  check_type(field, WireType::bytes, name);
  WireMessage message(file, field.range, name);
  for (WireField dim; message.next(dim);) {
    if (dim.number != 1) continue;
    if (dim.type == WireType::varint) {
      add_size(shape, dim.value, name);
      continue;
    }
    check_type(dim, WireType::bytes, name);
    for (std::uint64_t at = dim.range.begin; at < dim.range.end;)
      add_size(shape, file.varint(at, dim.range.end, name), name);
  }
}

Blob read_blob(WireFile& file, WireRange range, std::string_view name) {
  constexpr std::uint32_t num = 1, width = 4;
  std::array<std::optional<std::uint64_t>, 4> legacy;
  Blob blob;
  bool has_shape = false;
  WireMessage message(file, range, name);
  for (WireField field; message.next(field);) {
    if (field.number >= num && field.number <= width) {
      check_type(field, WireType::varint, name);
      legacy[field.number - num] = field.value;
    } else if (field.number == blob_shape) {
      has_shape = true;
      read_shape(file, field, name, blob.shape);
    }
  }
  std::uint64_t floats = 0, doubles = 0;
  each_run(file, range, name, [&](const WireField& field) {
    const std::uint64_t element = size_of_element(field.number);
    (field.number == blob_data ? floats : doubles) += field.range.size() / element;
  });
  if (floats > 0 && doubles > 0)
    fail(ErrorCode::malformed, name, ": a blob with ", floats, " floats and ", doubles, " doubles");
  blob.elements = floats + doubles;
  blob.dtype = doubles > 0 ? DType::f64 : DType::f32;
  if (!has_shape) {
    blob.counted_from_right = true;
    if (std::ranges::none_of(legacy, [](const auto& size) { return size.has_value(); }))
      fail(ErrorCode::malformed, name, ": a blob of ", blob.elements, " elements without a shape");
    for (const auto& size : legacy) add_size(blob.shape, size.value_or(0), name);
  }
  const auto expected = static_cast<std::uint64_t>(checked_product(blob.shape, name));
  if (expected != blob.elements)
    fail(ErrorCode::malformed, name, ": a blob of shape ", shape_text(blob.shape), " with ", blob.elements,
         " elements, expected ", expected);
  return blob;
}

std::shared_ptr<const std::byte> read_data(WireFile& file, WireRange range, const Blob& blob,
                                           std::string_view name) {
  const std::uint64_t size = checked_multiply<std::uint64_t>(blob.elements, size_of(blob.dtype), name);
  auto buffer = std::make_shared<Buffer>(checked_cast<std::size_t>(size, name));
  std::size_t at = 0;
  each_run(file, range, name, [&](const WireField& field) {
    const auto bytes = static_cast<std::size_t>(field.range.size());
    file.read(field.range, std::span(buffer->data(), buffer->size()).subspan(at, bytes));
    at += bytes;
  });
  const std::byte* const data = buffer->data();
  return {std::move(buffer), data};
}

// BNParameter of HyeonwooNoh/caffe: fillers, and bn_mode, an enum of LEARN, 0, and INFERENCE, 1. Other forks
// have other messages under the number.
bool says_learn(WireFile& file, WireRange range) {
  constexpr std::uint32_t bn_mode = 3;
  WireMessage message(file, range, "bn_param");
  bool learns = false;
  for (WireField field; message.next(field);)
    if (field.number == bn_mode && field.type == WireType::varint) learns = field.value == 0;
  return learns;
}

CaffeLayer read_layer(WireFile& file, WireRange range, const LayerFields& fields) {
  CaffeLayer layer;
  WireMessage message(file, range, "a layer");
  for (WireField field; message.next(field);) {
    if (field.number == fields.name)
      layer.name = read_text(file, field, text_limit, "a layer's name");
    else if (field.number == fields.type && fields.first_format != 0) {
      check_type(field, WireType::varint, "a layer's type");
      layer.kind = kind_of(field.value);
    } else if (field.number == fields.type)
      layer.kind = kind_of(read_text(file, field, text_limit, "a layer's type"));
    else if (field.number == fields.blobs) {
      check_type(field, WireType::bytes, "a layer's blob");
      if (layer.blobs.size() == blob_limit)
        fail(ErrorCode::limit, printable(layer.name), ": more than ", blob_limit, " blobs");
      layer.blobs.push_back(field.range);
    } else if (field.number == fields.bn && layer.kind == Kind::bn && field.type == WireType::bytes) {
      layer.learns = says_learn(file, field.range);
    } else if (field.number == fields.first_format)
      fail(ErrorCode::unsupported,
           "holds layers of Caffe's first format (V0): Caffe's upgrade_net_proto_binary brings them up to "
           "date");
  }
  return layer;
}

// Values as floats, to be changed.
std::shared_ptr<std::vector<float>> floats_of(const StateTensor& tensor) {
  const auto values = to_float(tensor);
  return std::make_shared<std::vector<float>>(values.get(), values.get() + tensor.elements());
}

StateTensor tensor_of(std::shared_ptr<std::vector<float>> values) {
  const auto* data = reinterpret_cast<const std::byte*>(values->data());
  const auto size = static_cast<std::int64_t>(values->size());
  return {DType::f32, {size}, std::shared_ptr<const std::byte>(std::move(values), data)};
}

StateTensor filled(std::int64_t size, float value) {
  return tensor_of(std::make_shared<std::vector<float>>(static_cast<std::size_t>(size), value));
}

StateTensor divided(const StateTensor& tensor, double by) {
  auto values = floats_of(tensor);
  for (float& value : *values) value = by == 0 ? 0.f : static_cast<float>(static_cast<double>(value) / by);
  return tensor_of(std::move(values));
}

class Reader {
 public:
  explicit Reader(const InputFile& file) : file_(file) {}

  StateDict read() {
    WireMessage net(file_, {0, file_.size()}, "the network");
    std::uint32_t generation = 0;
    std::uint64_t layers = 0;
    for (WireField field; net.next(field);) {
      if (field.number != net_layers && field.number != net_layer) continue;
      check_type(field, WireType::bytes, "the network");
      if (generation != 0 && generation != field.number)
        fail(ErrorCode::malformed, "holds layers of two formats, V1 and V2");
      generation = field.number;
      if (++layers > caffe_layer_limit)
        fail(ErrorCode::limit, "holds more than ", caffe_layer_limit, " layers");
      add(read_layer(file_, field.range, generation == net_layers ? v1 : v2));
    }
    finish_batch_norm(nullptr);
    return std::move(state_);
  }

 private:
  void add(const CaffeLayer& layer) {
    const std::vector<StateTensor> blobs = blobs_of(layer);
    if (layer.kind == Kind::scale && scale_batch_norm(layer, blobs)) return;
    finish_batch_norm(nullptr);
    if (blobs.empty()) return;
    switch (layer.kind) {
      case Kind::batch_norm: {
        expect(layer, blobs, blobs.size() == 3 && blobs[2].elements() == 1, "mean, variance and one factor");
        const double factor = static_cast<double>(to_float(blobs[2]).get()[0]);
        state_.add(layer.name + ".running_mean", divided(blobs[0], factor));
        state_.add(layer.name + ".running_var", divided(blobs[1], factor));
        open_batch_norm_ = {layer.name, blobs[0].elements()};
        break;
      }
      case Kind::bn:
        expect(layer, blobs, blobs.size() == 2 || blobs.size() == 4, "two or four blobs");
        if (layer.learns && blobs.size() == 2)
          fail(ErrorCode::unsupported, printable(layer.name),
               ": a batch norm of training (bn_mode LEARN), without statistics: DeconvNet's script "
               "003_make_bn_layer_testable adds them");
        for (std::size_t i = 0; i < blobs.size(); ++i)
          state_.add(str_cat(layer.name, '.', bn_names[i]), blobs[i]);
        break;
      default:
        for (std::size_t i = 0; i < blobs.size(); ++i)
          state_.add(layer.name + (i == 0 ? ".weight" : i == 1 ? ".bias" : str_cat(".blob", i)), blobs[i]);
    }
  }

  std::vector<StateTensor> blobs_of(const CaffeLayer& layer) {
    std::vector<StateTensor> blobs;
    if (layer.blobs.empty()) return blobs;
    if (layer.name.empty())
      fail(ErrorCode::malformed, "a layer of ", layer.blobs.size(), " blobs has no name");
    const std::string name = printable(layer.name);
    check_key(layer.name + ".running_mean");
    for (std::size_t i = 0; i < layer.blobs.size(); ++i) {
      const Blob blob = read_blob(file_, layer.blobs[i], name);
      blobs.push_back(
          {blob.dtype, shape_in_torch(layer, i, blob), read_data(file_, layer.blobs[i], blob, name)});
    }
    return blobs;
  }

  static std::vector<std::int64_t> shape_in_torch(const CaffeLayer& layer, std::size_t index,
                                                  const Blob& blob) {
    const bool vector =
        layer.kind == Kind::batch_norm || layer.kind == Kind::bn || layer.kind == Kind::scale ||
        layer.kind == Kind::normalize ||
        (index == 1 && (layer.kind == Kind::convolution || layer.kind == Kind::inner_product));
    if (vector) return {static_cast<std::int64_t>(blob.elements)};
    if (!blob.counted_from_right || layer.kind == Kind::convolution) return blob.shape;
    if (layer.kind == Kind::inner_product && blob.shape[0] == 1 && blob.shape[1] == 1)
      return {blob.shape[2], blob.shape[3]};
    const auto first = std::ranges::find_if(blob.shape, [](std::int64_t size) { return size != 1; });
    return first == blob.shape.end() ? std::vector<std::int64_t>{1}
                                     : std::vector<std::int64_t>(first, blob.shape.end());
  }

  static void expect(const CaffeLayer& layer, const std::vector<StateTensor>& blobs, bool fits,
                     std::string_view expected) {
    fits = fits && std::ranges::all_of(
                       blobs.begin(), blobs.begin() + std::min<std::ptrdiff_t>(2, std::ssize(blobs)),
                       [&](const StateTensor& blob) { return blob.elements() == blobs[0].elements(); });
    if (fits) return;
    std::string sizes;
    for (const StateTensor& blob : blobs) sizes += str_cat(sizes.empty() ? "" : ", ", blob.elements());
    fail(ErrorCode::malformed, printable(layer.name), ": expected ", expected,
         " of as many channels, found blobs of ", sizes, " elements");
  }

  // Whether the layer is the Scale of the batch norm right before.
  bool scale_batch_norm(const CaffeLayer& layer, const std::vector<StateTensor>& blobs) {
    if (open_batch_norm_.name.empty() || blobs.empty()) return false;
    expect(layer, blobs, blobs.size() <= 2 && blobs[0].elements() == open_batch_norm_.channels,
           str_cat("factors and shifts for ", open_batch_norm_.channels, " channels"));
    finish_batch_norm(&blobs);
    return true;
  }

  void finish_batch_norm(const std::vector<StateTensor>* scale) {
    if (open_batch_norm_.name.empty()) return;
    const auto [name, channels] = std::exchange(open_batch_norm_, {});
    state_.add(name + ".weight", scale ? (*scale)[0] : filled(channels, 1));
    state_.add(name + ".bias", scale && scale->size() > 1 ? (*scale)[1] : filled(channels, 0));
  }

  static constexpr std::array<std::string_view, 4> bn_names{"weight", "bias", "running_mean", "running_var"};

  // A BatchNorm whose Scale may follow.
  struct OpenBatchNorm {
    std::string name;
    std::int64_t channels = 0;
  };

  WireFile file_;
  StateDict state_;
  OpenBatchNorm open_batch_norm_;
};

}  // namespace

bool looks_like_caffemodel(const InputFile& input) try {
  constexpr int most_fields = 64;  // before the first layer: the network's name, inputs and their sizes
  constexpr std::uint64_t key_bits = 3;
  WireFile file(input);
  std::uint64_t at = 0;
  for (int i = 0; i < most_fields && at < file.size(); ++i) {
    const std::uint64_t key = file.varint(at, file.size(), "");
    const std::uint64_t number = key >> key_bits, type = key & 7;
    const bool is_layer = number == net_layers || number == net_layer;
    if (!is_layer && (number < net_name || number > 8)) return false;
    if (type == 0) {
      file.varint(at, file.size(), "");
      continue;
    }
    if (type != 2) return false;
    const std::uint64_t size = file.varint(at, file.size(), "");
    if (is_layer) {  // perhaps cut off: its front tells
      if (size == 0) return false;
      const std::uint64_t inner = file.varint(at, file.size(), ""), inner_type = inner & 7;
      constexpr std::uint64_t most_of_layer = 8;
      return inner >> key_bits >= 1 && inner >> key_bits <= most_of_layer &&
             (inner_type == 2 || inner_type == 0);
    }
    if (size > file.size() - at) return false;
    at += size;
  }
  return false;
} catch (const Error& e) {
  if (e.code() != ErrorCode::malformed) throw;
  return false;
}

StateDict read_caffemodel(const InputFile& file) try { return Reader(file).read(); } catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
