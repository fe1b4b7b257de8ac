#include "runtime/image/npy.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <optional>
#include <string>

#include "layers/base/ascii.h"
#include "layers/base/checked.h"
#include "layers/base/error.h"
#include "weights_tools/io/bytes.h"
#include "weights_tools/io/clean_text.h"
#include "weights_tools/io/file.h"

namespace atrous {

static_assert(std::endian::native == std::endian::little, "'<f4' is copied as it lies in memory");

namespace {

constexpr std::string_view magic = "\x93NUMPY";
constexpr std::int64_t max_label_side = 65535;

struct NpyHeader {
  std::string dtype;
  bool fortran_order = false;
  std::vector<std::int64_t> shape;
};

// The header is a Python dict literal of three keys: strings, True or False, a tuple of integers.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, std::string_view name) : text_(text), name_(name) {}

  NpyHeader parse() {
    std::optional<std::string> dtype;
    std::optional<bool> fortran_order;
    std::optional<std::vector<std::int64_t>> shape;
    expect('{');
    while (!accept('}')) {
      const std::string key = string();
      expect(':');
      if (key == "descr" && !dtype)
        dtype = string();
      else if (key == "fortran_order" && !fortran_order)
        fortran_order = boolean();
      else if (key == "shape" && !shape)
        shape = tuple();
      else
        refuse("an unknown or repeated key");
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_space();
    if (at_ != text_.size()) refuse("text after the dictionary");
    if (!dtype || !fortran_order || !shape) refuse("a missing key");
    return {*dtype, *fortran_order, *shape};
  }

 private:
  [[noreturn]] void refuse(std::string_view what) const {
    fail(ErrorCode::malformed, name_, ": the .npy header has ", what, " near offset ", at_);
  }
  void skip_space() {
    while (at_ < text_.size() && is_space(text_[at_])) ++at_;
  }
  bool accept(char c) {
    skip_space();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) refuse(std::string("no '") + c + "'");
  }
  std::string string() {
    const char quote = accept('\'') ? '\'' : accept('"') ? '"' : '\0';
    const std::size_t end = quote ? text_.find(quote, at_) : std::string_view::npos;
    if (end == std::string_view::npos) refuse("no string, as plain dtypes have,");
    const std::string value(text_.substr(at_, end - at_));
    at_ = end + 1;
    return value;
  }
  bool boolean() {
    skip_space();
    for (const std::string_view word : {"True", "False"}) {
      if (text_.substr(at_, word.size()) != word) continue;
      at_ += word.size();
      return word == "True";
    }
    refuse("neither True nor False");
  }
  std::int64_t integer() {
    skip_space();
    const std::size_t begin = at_;
    std::int64_t value = 0;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_)
      value = checked_add<std::int64_t>(checked_multiply<std::int64_t>(value, 10, name_), text_[at_] - '0',
                                        name_);
    if (at_ == begin) refuse("no integer");
    if (text_[begin] == '0' && at_ > begin + 1) refuse("a number that begins with 0");
    return value;
  }
  std::vector<std::int64_t> tuple() {
    std::vector<std::int64_t> values;
    expect('(');
    while (!accept(')')) {
      values.push_back(integer());
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return values;
  }

  std::string_view text_, name_;
  std::size_t at_ = 0;
};

std::string printed(const std::vector<std::int64_t>& shape) {
  std::string out = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) out += (i ? ", " : "") + std::to_string(shape[i]);
  return out + ")";
}

// The header's text; `at` becomes the offset of the data.
std::string_view header_text(std::string_view file, std::string_view name, std::size_t& at) {
  if (!file.starts_with(magic)) fail(ErrorCode::malformed, name, ": not a .npy file");
  const auto byte = [&](std::size_t i) {
    if (i >= file.size())
      fail(ErrorCode::malformed, name, ": truncated: the .npy has ", file.size(), " bytes");
    return std::size_t{static_cast<unsigned char>(file[i])};
  };
  const std::size_t version = byte(6);
  if (version < 1 || version > 3 || byte(7) != 0)
    fail(ErrorCode::unsupported, name, ": .npy format ", version, ".", byte(7),
         "; 1.0, 2.0 and 3.0 are supported");
  std::size_t length = byte(8) | byte(9) << 8;
  if (version > 1) length |= byte(10) << 16 | byte(11) << 24;
  at = version > 1 ? 12 : 10;
  if (length > file.size() - at)
    fail(ErrorCode::malformed, name, ": truncated: a .npy header of ", length, " bytes in ", file.size());
  at += length;
  return file.substr(at - length, length);
}

// The file's beginning up to the end of its header, or all of a file that ends before.
std::vector<std::byte> read_head(const InputFile& file) {
  const auto read = [&](std::size_t bytes) {
    std::vector<std::byte> head(static_cast<std::size_t>(std::min<std::uint64_t>(bytes, file.size())));
    file.read(0, head);
    return head;
  };
  std::vector<std::byte> head = read(12);  // version and length
  if (head.size() < 12 || !is_npy(head)) return head;
  const auto byte = [&](std::size_t i) { return std::to_integer<std::size_t>(head[i]); };
  const std::size_t low = byte(8) | byte(9) << 8;
  return read(byte(6) > 1 ? 12 + (low | byte(10) << 16 | byte(11) << 24) : 10 + low);
}

// One integer of `bytes` bytes, the lowest first.
std::int64_t integer_at(const std::byte* from, std::size_t bytes, bool is_signed) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes; ++i)
    value |= std::uint64_t{std::to_integer<std::uint8_t>(from[i])} << 8 * i;
  const std::size_t unused = 64 - 8 * bytes;
  return is_signed ? static_cast<std::int64_t>(value << unused) >> unused : static_cast<std::int64_t>(value);
}

struct IntegerType {
  std::size_t bytes = 0;
  bool is_signed = false;
};

IntegerType integer_type(const std::string& dtype, std::string_view name) {
  constexpr std::string_view known[]{"|b1", "|u1", "|i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8"};
  if (std::ranges::count(known, dtype) == 0)
    fail(ErrorCode::unsupported, name,
         ": expected labels of whole numbers, '|b1', '|u1', '<u2' and so on, found '", printable(dtype), "'");
  return {static_cast<std::size_t>(dtype[2] - '0'), dtype[1] == 'i'};
}

// Height and width. An array of one label map more is no mistake: networks answer in batches.
std::array<std::int64_t, 2> label_sides(const NpyHeader& h, std::string_view name, std::int64_t max_pixels) {
  const std::size_t rank = h.shape.size();
  if (rank != 2 && !(rank == 3 && h.shape[0] == 1))
    fail(ErrorCode::mismatch, name, ": expected labels of shape (H, W), found ", printed(h.shape));
  const std::int64_t height = h.shape[rank - 2], width = h.shape[rank - 1];
  if (height == 0 || width == 0)
    fail(ErrorCode::malformed, name, ": an array of shape ", printed(h.shape), " has no values");
  if (height > max_label_side || width > max_label_side || height * width > max_pixels)
    fail(ErrorCode::limit, name, ": ", printed(h.shape), " is over the limit of ", max_label_side,
         " a side or ", max_pixels, " pixels");
  return {height, width};
}

}  // namespace

bool is_npy(std::span<const std::byte> file) { return as_text(file).starts_with(magic); }

bool is_npy(const InputFile& file) try {
  std::array<std::byte, magic.size()> head;
  if (file.size() < head.size()) return false;
  file.read(0, head);
  return is_npy(head);
} catch (...) {
  rethrow_as_error();
}

LabelMap read_npy_labels(std::span<const std::byte> file, std::string_view name,
                         std::int64_t max_pixels) try {
  std::size_t at = 0;
  const NpyHeader h = HeaderParser(header_text(as_text(file), name, at), name).parse();
  const IntegerType type = integer_type(h.dtype, name);
  const auto [height, width] = label_sides(h, name, max_pixels);
  const auto pixels = static_cast<std::size_t>(height * width);
  if (file.size() - at != pixels * type.bytes)
    fail(ErrorCode::malformed, name, ": ", printed(h.shape), " needs ", pixels * type.bytes,
         " bytes of data, found ", file.size() - at);

  LabelMap map{static_cast<int>(width), static_cast<int>(height), std::vector<std::uint8_t>(pixels)};
  const std::int64_t across = h.fortran_order ? height : 1, down = h.fortran_order ? 1 : width;
  for (int y = 0; y < map.height; ++y)
    for (int x = 0; x < map.width; ++x) {
      const auto i = static_cast<std::size_t>(y * down + x * across);
      const std::int64_t value = integer_at(file.data() + at + i * type.bytes, type.bytes, type.is_signed);
      const bool is_void = value == 65535 || (value == -1 && type.is_signed);
      if (!is_void && (value < 0 || value > 255))
        fail(ErrorCode::malformed, name, ": the label ", value, " at pixel (", x, ", ", y,
             ") is outside 0..255; -1 and 65535 are void");
      map.row(y)[x] = static_cast<std::uint8_t>(is_void ? 255 : value);
    }
  return map;
} catch (...) {
  rethrow_as_error();
}

NpyInput::NpyInput(const InputFile& file, std::int64_t channels) try : file_(file) {
  const std::string_view name = file.path();
  const std::vector<std::byte> head = read_head(file);
  std::size_t at = 0;
  NpyHeader h = HeaderParser(header_text(as_text(head), name, at), name).parse();
  if (h.dtype != "<f4")
    fail(ErrorCode::unsupported, name, ": expected dtype '<f4', found '", printable(h.dtype), "'");
  if (h.fortran_order) fail(ErrorCode::unsupported, name, ": expected C order, found Fortran order");
  if (h.shape.size() == 3 && channels == 0) h.shape.insert(h.shape.begin(), 1);
  if (h.shape.size() != 4)
    fail(ErrorCode::mismatch, name, ": expected 4 dimensions (N, C, H, W), found ", h.shape.size(), ": ",
         printed(h.shape));
  if (channels != 0 && h.shape[1] != channels)
    fail(ErrorCode::mismatch, name, ": expected ", channels, " channels, found ", h.shape[1], " in ",
         printed(h.shape));
  shape_ = {h.shape[0], h.shape[2], h.shape[3], h.shape[1]};
  if (std::ranges::any_of(h.shape, [](std::int64_t d) { return d == 0; }))
    fail(ErrorCode::malformed, name, ": an array of shape ", printed(h.shape), " has no values");
  const auto values = checked_multiply(
      checked_multiply(checked_multiply(shape_.n, shape_.h, name), shape_.w, name), shape_.c, name);
  const auto expected = checked_multiply(static_cast<std::size_t>(values), sizeof(float), name);
  if (file.size() - at != expected)
    fail(ErrorCode::malformed, name, ": ", printed(h.shape), " needs ", expected, " bytes of data, found ",
         file.size() - at);

  begin_ = at;
} catch (...) {
  rethrow_as_error();
}

void NpyInput::read(View out) const try {
  if (out.shape != shape_)
    fail(ErrorCode::invalid_argument, file_.path(), ": ", shape_, ", there is a place for ", out.shape);
  constexpr std::int64_t block_floats = 49152;  // in the cache from being read to being laid side by side
  const std::int64_t channels = shape_.c, pixels = shape_.h * shape_.w,
                     block = std::min(pixels, std::max<std::int64_t>(block_floats / channels, 256));
  std::vector<float> planes(static_cast<std::size_t>(checked_multiply(block, channels, file_.path())));
  for (std::int64_t n = 0; n < shape_.n; ++n)
    for (std::int64_t first = 0; first < pixels; first += block) {
      const std::int64_t count = std::min(block, pixels - first);
      for (std::int64_t c = 0; c < channels; ++c) {
        const std::span<float> plane(planes.data() + c * block, static_cast<std::size_t>(count));
        file_.read(begin_ + static_cast<std::uint64_t>((n * channels + c) * pixels + first) * sizeof(float),
                   std::as_writable_bytes(plane));
      }
      float* const to = out.data + (n * pixels + first) * out.pitch;
      if (channels == 3 && out.pitch == 3) {
        const float *a = planes.data(), *b = a + block, *c = b + block;
        for (std::int64_t i = 0; i < count; ++i) {
          to[3 * i] = a[i];
          to[3 * i + 1] = b[i];
          to[3 * i + 2] = c[i];
        }
        continue;
      }
      for (std::int64_t c = 0; c < channels; ++c)
        for (std::int64_t i = 0; i < count; ++i) to[i * out.pitch + c] = planes.data()[c * block + i];
    }
} catch (...) {
  rethrow_as_error();
}

Tensor read_npy(std::span<const std::byte> file, std::string_view name, std::int64_t channels) try {
  const InputFile in_memory(file, std::string(name));
  const NpyInput input(in_memory, channels);
  Tensor tensor(input.shape());
  input.read(tensor.view());
  return tensor;
} catch (...) {
  rethrow_as_error();
}

std::vector<std::byte> encode_npy(ConstView v, NpyRank rank) try {
  check(v, ".npy");
  const auto [n, h, w, c] = v.shape;
  if (rank == NpyRank::image && n != 1) fail(ErrorCode::invalid_argument, ".npy: ", n, " images, expected 1");
  const std::size_t data_bytes = static_cast<std::size_t>(checked_elements(v.shape)) * sizeof(float);
  std::string head =
      str_cat("{'descr': '<f4', 'fortran_order': False, 'shape': (",
              rank == NpyRank::image ? std::string() : str_cat(n, ", "), c, ", ", h, ", ", w, "), }");
  // Data begins at a multiple of 64, the padding ends in a newline.
  const std::size_t before = magic.size() + 4;
  head.append(63 - (before + head.size()) % 64, ' ') += '\n';
  std::string front(magic);
  front += {'\1', '\0', static_cast<char>(head.size() & 255), static_cast<char>(head.size() >> 8)};
  front += head;

  std::vector<std::byte> out(checked_add(front.size(), data_bytes, ".npy"));
  std::memcpy(out.data(), front.data(), front.size());
  std::byte* to = out.data() + front.size();
  for (std::int64_t image = 0; image < n; ++image)
    for (std::int64_t channel = 0; channel < c; ++channel) {
      const float* from = v.pixel(image, 0, 0) + channel;
      for (std::int64_t i = 0; i < h * w; ++i, to += sizeof(float))
        std::memcpy(to, from + i * v.pitch, sizeof(float));
    }
  return out;
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
