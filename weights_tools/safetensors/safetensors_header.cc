#include "weights_tools/safetensors/safetensors_header.h"

#include <array>
#include <optional>
#include <string_view>
#include <unordered_set>

#include "layers/base/checked.h"
#include "layers/base/error.h"
#include "weights_tools/io/bytes.h"
#include "weights_tools/io/clean_text.h"
#include "weights_tools/io/json.h"

namespace atrous {

namespace {

constexpr std::string_view metadata_key = "__metadata__";
constexpr std::size_t rank_limit = 8;

DType dtype_named(std::string_view name) {
  for (const DType type : {DType::boolean, DType::u8, DType::i8, DType::i16, DType::i32, DType::i64,
                           DType::f16, DType::bf16, DType::f32, DType::f64})
    if (name_of(type) == name) return type;
  fail(ErrorCode::unsupported, "the dtype ", printable(name), " is not supported");
}

// Where in {"name": {"dtype": ..., "shape": [...], "data_offsets": [...]}, "__metadata__": {...}} the parser
// stands.
enum class Place { outside, top, entry, metadata, shape, offsets };

class HeaderReader final : public JsonEvents {
 public:
  SafetensorsHeader take() { return std::move(header_); }

  void null() override { fail_value("null"); }
  void boolean(bool) override { fail_value("a boolean"); }
  void negative_integer(std::int64_t value) override { fail_value(str_cat("the number ", value)); }
  void floating_point(double, std::string_view digits) override {
    fail_value("the number " + printable(digits));
  }
  void natural_number(std::uint64_t value) override;
  void string(std::string& value) override;
  void start_object() override;
  void key(std::string& name) override;
  void end_object() override;
  void start_list() override;
  void end_list() override;
  void malformed(std::size_t position) override {
    fail(ErrorCode::malformed, "the header is not UTF-8 JSON, from its byte ", position, " on");
  }

 private:
  [[noreturn]] void fail_value(std::string_view what) const {
    fail(ErrorCode::malformed, "the header has ", what, " at ", place_name(), ", where it does not belong");
  }
  std::string place_name() const;
  void finish_entry();

  SafetensorsHeader header_;
  Place place_ = Place::outside;
  std::string key_;                        // the last one at its place
  std::unordered_set<std::string> names_;  // of tensors, and __metadata__
  SafetensorsEntry entry_;
  bool has_dtype_ = false, has_shape_ = false;
  std::optional<std::vector<std::uint64_t>> offsets_;
};

std::string HeaderReader::place_name() const {
  switch (place_) {
    case Place::outside:
      return "its beginning";
    case Place::top:
      return key_.empty() ? "its beginning" : printable(key_);
    case Place::metadata:
      return "__metadata__." + printable(key_);
    default:
      return printable(entry_.name) + "." + printable(key_);
  }
}

void HeaderReader::natural_number(std::uint64_t value) {
  if (place_ == Place::shape) {
    if (entry_.shape.size() == rank_limit)
      fail(ErrorCode::limit, printable(entry_.name), ": the shape has more than ", rank_limit, " dimensions");
    entry_.shape.push_back(checked_cast<std::int64_t>(value, printable(entry_.name) + ": dimension"));
  } else if (place_ == Place::offsets) {
    if (offsets_->size() == 2)
      fail(ErrorCode::malformed, printable(entry_.name), ": more than two data offsets");
    offsets_->push_back(value);
  } else {
    fail_value(str_cat("the number ", value));
  }
}

void HeaderReader::string(std::string& value) {
  if (place_ == Place::metadata) {
    if (!header_.metadata.emplace(key_, value).second)
      fail(ErrorCode::malformed, "the metadata has the key ", printable(key_), " twice");
  } else if (place_ == Place::entry && key_ == "dtype") {
    entry_.dtype = dtype_named(value);
    has_dtype_ = true;
  } else {
    fail_value("a string");
  }
}

void HeaderReader::start_object() {
  if (place_ == Place::outside) {
    place_ = Place::top;
  } else if (place_ == Place::top && key_ == metadata_key) {
    place_ = Place::metadata;
  } else if (place_ == Place::top) {
    entry_ = {};
    entry_.name = key_;
    has_dtype_ = has_shape_ = false;
    offsets_.reset();
    place_ = Place::entry;
  } else {
    fail_value("an object");
  }
}

void HeaderReader::key(std::string& name) {
  key_ = name;
  if (place_ == Place::top) {
    if (name != metadata_key) check_key(name);
    if (!names_.insert(name).second)
      fail(ErrorCode::malformed, "the header has the key ", printable(name), " twice");
  } else if (place_ == Place::entry) {
    const bool known = name == "dtype" || name == "shape" || name == "data_offsets";
    const bool again = (name == "dtype" && has_dtype_) || (name == "shape" && has_shape_) ||
                       (name == "data_offsets" && offsets_);
    if (!known)
      fail(ErrorCode::malformed, printable(entry_.name), ": unknown key ", printable(name),
           " in its description");
    if (again) fail(ErrorCode::malformed, printable(entry_.name), ": ", name, " is given twice");
  }
}

void HeaderReader::finish_entry() {
  if (!has_dtype_ || !has_shape_ || !offsets_)
    fail(ErrorCode::malformed, printable(entry_.name), ": ",
         !has_dtype_   ? "dtype"
         : !has_shape_ ? "shape"
                       : "data_offsets",
         " is missing");
  if (offsets_->size() != 2)
    fail(ErrorCode::malformed, printable(entry_.name), ": ", offsets_->size(), " data offsets, not two");
  entry_.begin = (*offsets_)[0];
  entry_.end = (*offsets_)[1];
  header_.entries.push_back(std::move(entry_));
}

void HeaderReader::end_object() {
  if (place_ == Place::entry) finish_entry();
  place_ = place_ == Place::top ? Place::outside : Place::top;
}

void HeaderReader::start_list() {
  if (place_ == Place::entry && key_ == "shape") {
    place_ = Place::shape;
    has_shape_ = true;
  } else if (place_ == Place::entry && key_ == "data_offsets") {
    place_ = Place::offsets;
    offsets_.emplace();
  } else {
    fail_value("an array");
  }
}

void HeaderReader::end_list() { place_ = Place::entry; }

}  // namespace

SafetensorsHeader parse_safetensors_header(std::span<const std::byte> json) {
  const std::string_view text = as_text(json);
  // The format asks for an object from the first byte on; only spaces may follow it.
  if (!text.starts_with('{')) fail(ErrorCode::malformed, "the header does not begin with {");
  // The JSON library takes a NUL for the end; other readers would see what follows.
  if (text.find('\0') != text.npos)
    fail(ErrorCode::malformed, "the header has a NUL byte at ", text.find('\0'));
  HeaderReader reader;
  parse_json(text, reader);
  return reader.take();
}

std::string format_safetensors_header(const SafetensorsHeader& header) {
  JsonText out = json_object();
  if (!header.metadata.empty()) {
    JsonText metadata = json_object();
    for (const auto& [key, value] : header.metadata)
      add_member(metadata, key, json_string(value, Utf8::required), Utf8::required);
    add_member(out, metadata_key, metadata);
  }
  for (const SafetensorsEntry& e : header.entries)
    add_member(out, e.name,
               json_object({{"dtype", name_of(e.dtype)},
                            {"shape", json_list(e.shape)},
                            {"data_offsets", json_list({e.begin, e.end})}}),
               Utf8::required);
  return std::move(out.text);
}

}  // namespace atrous
