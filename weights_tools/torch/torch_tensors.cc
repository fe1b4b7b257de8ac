#include "weights_tools/torch/torch_tensors.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "layers/base/checked.h"
#include "layers/base/error.h"
#include "weights_tools/io/clean_text.h"
#include "weights_tools/torch/pickle_names.h"

namespace atrous {

namespace {

using Kind = PickleKind;

constexpr std::size_t rank_limit = 8;

// What a tensor needs of a persistent id: a part of a root storage, in elements.
struct StorageId {
  std::string key, type;
  std::uint64_t root_elements = 0, offset = 0, elements = 0;
};

struct Layout {
  std::int64_t offset = 0;
  std::vector<std::int64_t> shape, stride;
};

DType storage_dtype(std::string_view type) {
  constexpr std::array<std::pair<std::string_view, DType>, 11> known{{{"FloatStorage", DType::f32},
                                                                      {"HalfStorage", DType::f16},
                                                                      {"BFloat16Storage", DType::bf16},
                                                                      {"DoubleStorage", DType::f64},
                                                                      {"LongStorage", DType::i64},
                                                                      {"IntStorage", DType::i32},
                                                                      {"ShortStorage", DType::i16},
                                                                      {"CharStorage", DType::i8},
                                                                      {"ByteStorage", DType::u8},
                                                                      {"UntypedStorage", DType::u8},
                                                                      {"BoolStorage", DType::boolean}}};
  for (const auto& [name, dtype] : known)
    if (name == type) return dtype;
  fail(ErrorCode::unsupported, "tensors of torch.", printable(type), " are not supported");
}

// Of storages that no weight may have, but that may stand beside the weights.
std::size_t element_size(std::string_view type) {
  constexpr std::array<std::pair<std::string_view, std::size_t>, 7> other{{{"ComplexFloatStorage", 8},
                                                                           {"ComplexDoubleStorage", 16},
                                                                           {"QInt8Storage", 1},
                                                                           {"QUInt8Storage", 1},
                                                                           {"QInt32Storage", 4},
                                                                           {"QUInt4x2Storage", 1},
                                                                           {"QUInt2x4Storage", 1}}};
  for (const auto& [name, size] : other)
    if (name == type) return size;
  return size_of(storage_dtype(type));
}

// A non-negative integer of a storage id or of a tensor's layout.
std::int64_t natural(const Pickle& pickle, PickleRef ref, std::string_view what) {
  const PickleNode& node = pickle.at(ref);
  if (node.kind != Kind::integer)
    fail(ErrorCode::malformed, what, " is ", name_of(node.kind), ", not an integer");
  if (node.integer < 0) fail(ErrorCode::malformed, what, " is negative: ", node.integer);
  return node.integer;
}

std::uint64_t element_count(const Pickle& pickle, PickleRef ref, std::string_view what) {
  return static_cast<std::uint64_t>(natural(pickle, ref, what));
}

// ("view key", offset, elements): a storage within another one; torch has not written any since 1.0.
void apply_view(const Pickle& pickle, const PickleNode& view, StorageId& id) {
  if (view.kind != Kind::tuple || view.items.size() != 3)
    fail(ErrorCode::malformed, "the storage ", printable(id.key), ": its view is ", name_of(view.kind),
         ", not (key, offset, size)");
  id.offset = element_count(pickle, view.items[1], "a storage view's offset");
  id.elements = element_count(pickle, view.items[2], "a storage view's size");
  if (id.offset > id.root_elements || id.elements > id.root_elements - id.offset)
    fail(ErrorCode::malformed, "the storage ", printable(id.key), " has ", id.root_elements,
         " elements, but a view of it ends at ", id.offset, " + ", id.elements);
}

// ("module", class, source file, source): torch 1 writes it for the classes of a whole model.
bool is_class_id(const Pickle& pickle, const PickleNode& node) {
  const PickleNode& id = pickle.at(node.items[0]);
  if (id.kind != Kind::tuple || id.items.empty()) return false;
  const PickleNode& tag = pickle.at(id.items[0]);
  return tag.kind == Kind::string && pickle.text(tag) == "module";
}

StorageId storage_id(const Pickle& pickle, const PickleNode& node) {
  const PickleNode& id = pickle.at(node.items[0]);
  if (id.kind != Kind::tuple || id.items.size() < 5 || id.items.size() > 6)
    fail(ErrorCode::malformed, "a persistent id is ", name_of(id.kind), " that does not describe a storage");
  const PickleNode& tag = pickle.at(id.items[0]);
  if (tag.kind != Kind::string || pickle.text(tag) != "storage")
    fail(ErrorCode::unsupported, "a persistent id describes ",
         tag.kind == Kind::string ? printable(pickle.text(tag)) : name_of(tag.kind), ", not a storage");
  const PickleNode& type = pickle.at(id.items[1]);
  const PickleNode& key = pickle.at(id.items[2]);
  if (type.kind != Kind::global || type.callable != PickleCallable::storage)
    fail(ErrorCode::malformed, "a storage's type is ", name_of(type.kind),
         ", not one of torch's storage types");
  if (key.kind != Kind::string)
    fail(ErrorCode::malformed, "a storage's key is ", name_of(key.kind), ", not a string");
  // torch counts them; a long one, shared by many ids, would be copied for each.
  constexpr std::uint32_t longest_key = 256;
  if (key.text.length > longest_key)
    fail(ErrorCode::limit, "a storage's key has ", key.text.length, " bytes, more than ", longest_key);
  StorageId out{.key = std::string(pickle.text(key)), .type = std::string(pickle.text(type))};
  out.root_elements = out.elements = element_count(pickle, id.items[4], "a storage's size");
  if (id.items.size() == 6 && pickle.at(id.items[5]).kind != Kind::none)
    apply_view(pickle, pickle.at(id.items[5]), out);
  return out;
}

std::vector<std::int64_t> dimensions(const Pickle& pickle, PickleRef ref, std::string_view what) {
  const PickleNode& node = pickle.at(ref);
  if (node.kind != Kind::tuple && node.kind != Kind::list)
    fail(ErrorCode::malformed, what, " is ", name_of(node.kind), ", not a tuple");
  if (node.items.size() > rank_limit)
    fail(ErrorCode::limit, what, " has ", node.items.size(), " dimensions, more than ", rank_limit);
  std::vector<std::int64_t> dims;
  for (const PickleRef item : node.items) dims.push_back(natural(pickle, item, what));
  return dims;
}

// Refuses a layout that reaches outside `elements`; returns the number of the tensor's own elements.
std::int64_t check_layout(const Layout& l, std::int64_t elements) {
  if (l.shape.size() != l.stride.size())
    fail(ErrorCode::malformed, "the size has ", l.shape.size(), " dimensions, the stride ", l.stride.size());
  const std::int64_t count = checked_product(l.shape, "tensor elements");
  std::int64_t last = l.offset;
  for (std::size_t i = 0; count > 0 && i < l.shape.size(); ++i)
    last = checked_add(last, checked_multiply(l.shape[i] - 1, l.stride[i], "tensor stride"), "tensor stride");
  if (count > 0 ? last >= elements : last > elements)
    fail(ErrorCode::malformed, "size ", shape_text(l.shape), ", stride ", shape_text(l.stride),
         " and offset ", l.offset, " reach element ", last, " of a storage with ", elements);
  return count;
}

bool is_contiguous(const Layout& l) {
  std::int64_t expected = 1;
  for (std::size_t i = l.shape.size(); i-- > 0;) {
    if (l.shape[i] == 1) continue;
    if (l.stride[i] != expected) return false;
    expected *= l.shape[i];  // cannot overflow: check_layout() multiplied them already
  }
  return true;
}

// One loop of a copy: how often, and how many elements further in and out each time.
struct Loop {
  std::int64_t count, in, out;
};

// The loops that copy a layout into row-major order, out[i, j, ...] = in[i * stride[0] + j * stride[1] +
// ...]. The one with the smallest input stride comes last, innermost: a channels-last weight is read as it
// lies in memory.
std::vector<Loop> copy_loops(const Layout& l) {
  std::vector<Loop> loops;
  std::int64_t row_major = 1;
  for (std::size_t i = l.shape.size(); i-- > 0; row_major *= l.shape[i])
    if (l.shape[i] != 1) loops.push_back({l.shape[i], l.stride[i], row_major});
  std::ranges::stable_sort(loops, std::greater<>{}, &Loop::in);
  return loops;
}

template <class Element>
void copy(std::span<const Loop> loops, const std::byte* in, std::byte* out) {
  constexpr auto size = static_cast<std::int64_t>(sizeof(Element));
  const Loop& loop = loops.front();
  for (std::int64_t i = 0; i < loop.count; ++i) {
    const std::byte* const from = in + i * loop.in * size;
    std::byte* const to = out + i * loop.out * size;
    if (loops.size() == 1) {
      std::memcpy(to, from, sizeof(Element));
    } else {
      copy<Element>(loops.subspan(1), from, to);
    }
  }
}

void copy(std::size_t element_size, std::span<const Loop> loops, const std::byte* in, std::byte* out) {
  switch (element_size) {
    case 1:
      return copy<std::uint8_t>(loops, in, out);
    case 2:
      return copy<std::uint16_t>(loops, in, out);
    case 4:
      return copy<std::uint32_t>(loops, in, out);
    default:
      return copy<std::uint64_t>(loops, in, out);
  }
}

std::shared_ptr<const std::byte> share(const std::shared_ptr<const Buffer>& buffer, std::uint64_t offset) {
  return {buffer, buffer->data() + offset};
}

class TensorReader {
 public:
  TensorReader(const Pickle& pickle, const ReadStorage& read, std::uint64_t file_size)
      : pickle_(pickle), read_(read), file_size_(file_size) {}

  StateTensor read(PickleRef ref);

 private:
  StateTensor rebuild(const PickleNode& arguments);
  StateTensor copy_strided(StateTensor tensor, const Layout& layout, std::uint64_t bytes);
  std::shared_ptr<const Buffer> storage(const StorageId& id);

  const Pickle& pickle_;
  const ReadStorage& read_;
  std::uint64_t file_size_, copied_ = 0;
  std::unordered_map<std::string, std::shared_ptr<const Buffer>> storages_;
  std::unordered_map<PickleRef, StateTensor> tensors_;  // one for each call, however many names it has
};

std::shared_ptr<const Buffer> TensorReader::storage(const StorageId& id) {
  const auto bytes =
      checked_multiply<std::uint64_t>(id.root_elements, element_size(id.type), "storage bytes");
  auto& buffer = storages_[id.key];
  if (!buffer) buffer = std::make_shared<const Buffer>(read_(id.key, bytes));
  if (buffer->size() != bytes)
    fail(ErrorCode::malformed, "the storage ", printable(id.key), " has ", buffer->size(), " bytes, not ",
         bytes);
  return buffer;
}

StateTensor TensorReader::copy_strided(StateTensor tensor, const Layout& layout, std::uint64_t bytes) {
  constexpr std::uint64_t all_tensors = 4;
  if (bytes > file_size_)
    fail(ErrorCode::limit, "size ", shape_text(layout.shape), " and stride ", shape_text(layout.stride),
         " make ", bytes, " bytes of a file that has ", file_size_);
  copied_ += bytes;
  if (copied_ / all_tensors > file_size_)
    fail(ErrorCode::limit, "tensors that are not contiguous make ", copied_, " bytes of a file that has ",
         file_size_);
  auto buffer = std::make_shared<Buffer>(static_cast<std::size_t>(bytes));
  copy(size_of(tensor.dtype), copy_loops(layout), tensor.data.get(), buffer->data());
  tensor.data = share(buffer, 0);
  return tensor;
}

StateTensor TensorReader::rebuild(const PickleNode& arguments) {
  const PickleNode& id_node = pickle_.at(arguments.items[0]);
  if (id_node.kind != Kind::persistent_id)
    fail(ErrorCode::malformed, "the tensor is made of ", name_of(id_node.kind), ", not of a storage");
  const StorageId id = storage_id(pickle_, id_node);
  const DType dtype = storage_dtype(id.type);
  const Layout layout{.offset = natural(pickle_, arguments.items[1], "the storage offset"),
                      .shape = dimensions(pickle_, arguments.items[2], "the size"),
                      .stride = dimensions(pickle_, arguments.items[3], "the stride")};
  const std::int64_t count =
      check_layout(layout, checked_cast<std::int64_t>(id.elements, "storage elements"));
  const std::uint64_t element = size_of(dtype);
  const auto bytes = checked_multiply(static_cast<std::uint64_t>(count), element, "tensor bytes");
  const auto first = checked_add(id.offset, static_cast<std::uint64_t>(layout.offset), "tensor offset");
  StateTensor tensor{dtype, layout.shape, share(storage(id), first * element)};
  if (count == 0 || is_contiguous(layout)) return tensor;
  return copy_strided(std::move(tensor), layout, bytes);
}

void check_metadata(const Pickle& pickle, const PickleNode& metadata) {
  if (metadata.kind == Kind::none || (is_dict(metadata) && metadata.items.empty())) return;
  if (!is_dict(metadata))
    fail(ErrorCode::malformed, "a tensor's metadata is ", name_of(metadata.kind), ", not a dict");
  const PickleNode& key = pickle.at(metadata.items[0]);
  fail(ErrorCode::unsupported, "a tensor's metadata says ",
       key.kind == Kind::string ? printable(pickle.text(key)) : std::string(name_of(key.kind)),
       ", which may change its values");
}

StateTensor TensorReader::read(PickleRef ref) {
  const PickleNode* call = &pickle_.at(ref);
  const PickleNode* arguments = &pickle_.at(call->items[0]);
  // A Parameter wraps its tensor; the pickle's depth limit bounds how often.
  while (call->callable == PickleCallable::rebuild_parameter) {
    if (arguments->items.size() != 3)
      fail(ErrorCode::malformed, "_rebuild_parameter has ", arguments->items.size(), " arguments, not 3");
    ref = arguments->items[0];
    call = &pickle_.at(ref);
    if (call->kind != Kind::call)
      fail(ErrorCode::malformed, "the parameter wraps ", name_of(call->kind), ", not a tensor");
    arguments = &pickle_.at(call->items[0]);
  }
  if (const auto known = tensors_.find(ref); known != tensors_.end()) return known->second;
  const std::size_t given = arguments->items.size();
  const bool old = call->callable == PickleCallable::rebuild_tensor;
  if (old ? given != 4 : given < 6 || given > 7)
    fail(ErrorCode::malformed, old ? "_rebuild_tensor" : "_rebuild_tensor_v2", " has ", given,
         " arguments, not ", old ? "4" : "6 or 7");
  // torch 2 says there that the values are meant negated or conjugated.
  if (given == 7) check_metadata(pickle_, pickle_.at(arguments->items[6]));
  return tensors_.emplace(ref, rebuild(*arguments)).first->second;
}

// The dict under `key`, if there is one.
std::optional<PickleRef> dict_under(const Pickle& pickle, const PickleNode& dict, std::string_view key) {
  for (std::size_t i = 0; i < dict.items.size(); i += 2) {
    const PickleNode& k = pickle.at(dict.items[i]);
    if (k.kind == Kind::string && pickle.text(k) == key && is_dict(pickle.at(dict.items[i + 1])))
      return dict.items[i + 1];
  }
  return std::nullopt;
}

std::optional<std::pair<PickleRef, std::string_view>> find_wrapped(const Pickle& pickle,
                                                                   const PickleNode& dict) {
  for (const std::string_view key : {"model", "state_dict", "model_state_dict"})
    if (const auto inner = dict_under(pickle, dict, key)) return std::pair{*inner, key};
  return std::nullopt;
}

std::string_view nothing_run(const PickleNode& node) {
  return node.kind == Kind::opaque || node.kind == Kind::global ? "; nothing was run" : "";
}

PickleRef unwrap(const Pickle& pickle, std::vector<std::string>& notes) {
  constexpr int deepest = 4;
  PickleRef ref = pickle.root;
  if (!is_dict(pickle.at(ref)))
    fail(ErrorCode::malformed, "the checkpoint holds ", pickle.describe(pickle.at(ref)), ", not a state dict",
         nothing_run(pickle.at(ref)));
  for (int level = 0; level < deepest; ++level) {
    const auto inner = find_wrapped(pickle, pickle.at(ref));
    if (!inner) break;
    ref = inner->first;
    notes.push_back(str_cat("unwrapped ", inner->second));
  }
  return ref;
}

StateTensor read_entry(TensorReader& reader, std::string_view key, PickleRef value) {
  try {
    return reader.read(value);
  } catch (const Error& e) {
    fail(e.code(), key, ": ", e.what());
  }
}

[[noreturn]] void fail_entry(const Pickle& pickle, std::string_view key, const PickleNode& value) {
  fail(ErrorCode::malformed, "the state dict's entry ", printable(key), " is ", pickle.describe(value),
       ", not a tensor", nothing_run(value));
}

std::string_view first_part(std::string_view name) { return name.substr(0, name.find('.')); }

// What a prefix takes of the names in a pickle.
struct Taken {
  std::vector<const PickleName*> tensors, others;  // under the prefix
  std::vector<const PickleName*> beside;           // name_beside() (network_choice.h)
  std::vector<std::string_view> left_out;
};

// Where tensors under the prefix are entries of the dict or model that has it, those of further dicts in that
// one are not the network's.
Taken take(const Pickle& pickle, const PickleNames& names, std::string_view prefix) {
  const auto under = [&](const PickleName& name) {
    return names.of(name).size() > prefix.size() && names.of(name).starts_with(prefix);
  };
  const auto is_tensor = [&](const PickleName& name) { return pickle.at(name.value).kind == Kind::call; };
  const bool flat = std::ranges::any_of(names.all, [&](const PickleName& name) {
    return name.container <= prefix.size() && under(name) && is_tensor(name);
  });
  Taken out;
  for (const PickleName& name : names.all) {
    const std::string_view text = names.of(name);
    const bool leads_there = prefix.starts_with(text) && prefix.substr(text.size()).starts_with('.');
    if (under(name) && (!flat || name.container <= prefix.size()))
      (is_tensor(name) ? out.tensors : out.others).push_back(&name);
    else if (is_tensor(name) && !name_beside(text, prefix).empty())
      out.beside.push_back(&name);
    else if (!leads_there)
      out.left_out.push_back(text);
  }
  return out;
}

// An entry that is no tensor is harmless where it stands for itself, as in {"backbone.conv1.weight": ...,
// "epoch": 3}; among a module's weights it is none.
void leave_out_others(const Pickle& pickle, const PickleNames& names, std::size_t prefix, Taken& taken) {
  std::unordered_set<std::string_view> modules;
  for (const PickleName* name : taken.tensors) modules.insert(first_part(names.of(*name).substr(prefix)));
  for (const PickleName* name : taken.others) {
    const std::string_view key = names.of(*name).substr(prefix);
    if (key == "_metadata") continue;
    if (modules.contains(first_part(key))) fail_entry(pickle, key, pickle.at(name->value));
    taken.left_out.push_back(names.of(*name));
  }
}

void read_under(const NetworkChoice& choice, const Pickle& pickle, const PickleNames& names,
                TensorReader& reader, NetworkWeights& out) {
  Taken taken = take(pickle, names, choice.prefix);
  leave_out_others(pickle, names, choice.prefix.size(), taken);
  for (const PickleName* name : taken.tensors) {
    const std::string_view key = names.of(*name).substr(choice.prefix.size());
    check_key(key);
    out.state.add(std::string(key), read_entry(reader, key, name->value));
  }
  for (const PickleName* name : taken.beside) {
    const std::string_view key = name_beside(names.of(*name), choice.prefix);
    out.beside.add(std::string(key), read_entry(reader, key, name->value));
  }
  add_notes(choice, taken.left_out, out);
}

// The dict's entries, each of which must be a tensor.
void read_dict(const Pickle& pickle, const PickleNode& dict, TensorReader& reader, StateDict& state) {
  for (std::size_t i = 0; i < dict.items.size(); i += 2) {
    const PickleNode& key_node = pickle.at(dict.items[i]);
    if (key_node.kind != Kind::string)
      fail(ErrorCode::malformed, "the state dict has ", name_of(key_node.kind), " for a key, not a string");
    std::string key(pickle.text(key_node));
    check_key(key);
    const PickleNode& value = pickle.at(dict.items[i + 1]);
    if (value.kind != Kind::call) {
      if (key == "_metadata") continue;
      fail_entry(pickle, key, value);
    }
    state.add(key, read_entry(reader, key, dict.items[i + 1]));
  }
}

bool has_tensors(const Pickle& pickle, const PickleNode& dict) {
  for (std::size_t i = 1; i < dict.items.size(); i += 2)
    if (pickle.at(dict.items[i]).kind == Kind::call) return true;
  return false;
}

}  // namespace

std::uint64_t StorageDeclaration::bytes() const {
  return checked_multiply<std::uint64_t>(elements, element_size(type), "storage bytes");
}

std::unordered_map<std::string, StorageDeclaration> storage_declarations(const Pickle& pickle) {
  std::unordered_map<std::string, StorageDeclaration> out;
  for (const PickleNode& node : pickle.nodes) {
    if (node.kind != Kind::persistent_id || is_class_id(pickle, node)) continue;
    StorageId id = storage_id(pickle, node);
    const StorageDeclaration declaration{std::move(id.type), id.root_elements};
    const auto& known = out.emplace(id.key, declaration).first->second;
    if (known.bytes() != declaration.bytes())
      fail(ErrorCode::malformed, "the storage ", printable(id.key), " is declared with ", known.bytes(),
           " and with ", declaration.bytes(), " bytes");
  }
  return out;
}

NetworkWeights network_from_pickle(const Pickle& pickle, const ReadStorage& read, std::uint64_t file_size,
                                   std::string_view asked) {
  const PickleNames names = names_in(pickle);
  std::vector<std::string_view> texts;
  texts.reserve(names.all.size());
  for (const PickleName& name : names.all) texts.push_back(names.of(name));
  NetworkWeights out;
  const PickleNode& root = pickle.at(pickle.root);
  const bool holds_tensors = std::ranges::any_of(
      names.all, [&](const PickleName& name) { return pickle.at(name.value).kind == Kind::call; });
  if (root.kind == Kind::opaque && holds_tensors)
    out.notes.push_back(
        str_cat("the weights of a pickled model, ", pickle.describe(root), "; nothing was run"));
  for (const PickleName& name : names.all)
    if (const PickleNode& value = pickle.at(name.value);
        names.of(name) == "arch" && value.kind == Kind::string)
      out.arch = printable(pickle.text(value));
  TensorReader reader(pickle, read, file_size);
  if (const auto choice = choose_network(texts, asked)) {
    read_under(*choice, pickle, names, reader, out);
  } else if (!holds_tensors || is_dict(root)) {
    const PickleNode& dict = pickle.at(unwrap(pickle, out.notes));
    if (!holds_tensors || has_tensors(pickle, dict))
      read_dict(pickle, dict, reader, out.state);
    else
      read_under({}, pickle, names, reader, out);
  } else {
    read_under({}, pickle, names, reader, out);
  }
  return out;
}

}  // namespace atrous
