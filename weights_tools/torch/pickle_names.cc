#include "weights_tools/torch/pickle_names.h"

#include <unordered_set>
#include <utility>

#include "layers/base/error.h"

namespace atrous {

namespace {

using Kind = PickleKind;

// A module's dictionaries, in the order of torch.nn.Module.state_dict().
struct ModuleState {
  PickleRef parameters = no_pickle_ref, buffers = no_pickle_ref, modules = no_pickle_ref,
            not_persistent = no_pickle_ref;
};

class Walk {
 public:
  explicit Walk(const Pickle& pickle) : pickle_(pickle), seen_(pickle.nodes.size()) {}
  PickleNames run();

 private:
  enum class Emit { all, tensors };

  void contents(PickleRef, Emit);
  void entry(std::string_view key, PickleRef value, Emit);
  void dictionary(const std::vector<PickleRef>& pairs, Emit);
  void list(const std::vector<PickleRef>& items);
  void object(PickleRef, Emit);
  void module(const ModuleState&);
  void members(PickleRef dict, const std::unordered_set<std::string_view>& but, Emit);

  bool first_time(PickleRef ref) {
    const bool seen = seen_[ref];
    seen_[ref] = true;
    return !seen;
  }
  const PickleNode* state_of(const PickleNode& object) const;  // null where that is no dict
  bool is_module(const PickleNode& state, ModuleState& out);
  void count();
  void add(PickleRef value);

  const Pickle& pickle_;
  std::vector<bool> seen_;
  PickleNames out_;
  std::string name_;  // of the value that is looked at; of its entries, once it ends in a dot
  std::size_t container_ = 0;
  bool in_model_ = false;  // so that a model's names are all of one container
  std::uint32_t depth_ = 0;
  std::uint64_t entries_ = 0;
};

void Walk::count() {
  if (++entries_ > pickle_opcode_limit)
    fail(ErrorCode::limit, "the pickle's modules, each as often as it is named, have more than ",
         pickle_opcode_limit, " entries");
}

void Walk::add(PickleRef value) {
  constexpr std::uint64_t most_for_a_byte = 16;
  if (out_.text.size() + name_.size() > most_for_a_byte * pickle_.bytes.size())
    fail(ErrorCode::limit, "the names in the pickle have more than ", most_for_a_byte, " times its ",
         pickle_.bytes.size(), " bytes");
  out_.all.push_back(
      {.text = {static_cast<std::uint32_t>(out_.text.size()), static_cast<std::uint32_t>(name_.size())},
       .container = static_cast<std::uint32_t>(container_),
       .value = value});
  out_.text += name_;
}

const PickleNode* Walk::state_of(const PickleNode& object) const {
  if (object.kind != Kind::opaque || object.state == no_pickle_ref) return nullptr;
  const PickleNode& state = pickle_.at(object.state);
  return is_dict(state) && !state.items.empty() ? &state : nullptr;
}

bool Walk::is_module(const PickleNode& state, ModuleState& out) {
  for (std::size_t i = 0; i < state.items.size(); i += 2) {
    const PickleNode& key = pickle_.at(state.items[i]);
    if (key.kind != Kind::string) continue;
    count();
    const std::string_view name = pickle_.text(key);
    const PickleRef value = state.items[i + 1];
    if (name == "_parameters") out.parameters = value;
    if (name == "_buffers") out.buffers = value;
    if (name == "_modules") out.modules = value;
    if (name == "_non_persistent_buffers_set") out.not_persistent = value;
  }
  const auto dict = [this](PickleRef ref) { return ref != no_pickle_ref && is_dict(pickle_.at(ref)); };
  return dict(out.parameters) && dict(out.buffers) && dict(out.modules);
}

void Walk::members(PickleRef dict, const std::unordered_set<std::string_view>& but, Emit emit) {
  const auto& pairs = pickle_.at(dict).items;
  for (std::size_t i = 0; i < pairs.size(); i += 2) {
    const PickleNode& key = pickle_.at(pairs[i]);
    if (key.kind != Kind::string || pickle_.at(pairs[i + 1]).kind == Kind::none) continue;
    if (!but.contains(pickle_.text(key))) entry(pickle_.text(key), pairs[i + 1], emit);
  }
}

void Walk::module(const ModuleState& m) {
  std::unordered_set<std::string_view> not_persistent;
  if (m.not_persistent != no_pickle_ref) {
    const PickleNode* set = &pickle_.at(m.not_persistent);  // before protocol 4 a call of set with a list
    if (set->kind == Kind::opaque && set->state != no_pickle_ref) set = &pickle_.at(set->state);
    for (const PickleRef item : set->items) {
      count();
      if (pickle_.at(item).kind == Kind::string) not_persistent.insert(pickle_.text(pickle_.at(item)));
    }
  }
  members(m.parameters, {}, Emit::all);
  members(m.buffers, not_persistent, Emit::all);
  members(m.modules, {}, Emit::tensors);  // most have none: activations, poolings
}

void Walk::object(PickleRef ref, Emit emit) {
  const PickleNode& node = pickle_.at(ref);
  const PickleNode* state = state_of(node);
  ModuleState parts;
  const bool module_state = state && is_module(*state, parts);
  const bool model = module_state || pickle_.module_name(node).starts_with("__torch__");
  if (!model && !first_time(ref)) return;
  const auto container = container_;
  const bool in_model = std::exchange(in_model_, model);
  if (!in_model || !model) container_ = name_.size();
  if (module_state) {
    module(parts);
  } else {
    dictionary(node.items, emit);
    if (state) dictionary(state->items, Emit::tensors);
  }
  container_ = container;
  in_model_ = in_model;
}

void Walk::dictionary(const std::vector<PickleRef>& pairs, Emit emit) {
  for (std::size_t i = 0; i < pairs.size(); i += 2) {
    const PickleNode& key = pickle_.at(pairs[i]);
    if (key.kind == Kind::string)
      entry(pickle_.text(key), pairs[i + 1], emit);
    else if (key.kind == Kind::integer)
      entry(std::to_string(key.integer), pairs[i + 1], Emit::tensors);
  }
}

void Walk::list(const std::vector<PickleRef>& items) {
  for (std::size_t i = 0; i < items.size(); ++i) entry(std::to_string(i), items[i], Emit::tensors);
}

// `name_` ends in a dot, or is the root's, which is empty.
void Walk::contents(PickleRef ref, Emit emit) {
  const PickleNode& node = pickle_.at(ref);
  if (node.kind == Kind::opaque) return object(ref, emit);
  if (!first_time(ref)) return;
  const auto container = std::exchange(container_, name_.size());
  const bool in_model = std::exchange(in_model_, false);
  if (is_dict(node)) dictionary(node.items, emit);
  if (node.kind == Kind::list || node.kind == Kind::tuple) list(node.items);
  container_ = container;
  in_model_ = in_model;
}

void Walk::entry(std::string_view key, PickleRef value, Emit emit) {
  constexpr std::size_t longest_key = 1024;
  count();
  const std::size_t length = name_.size(), names = out_.all.size();
  name_ += key.substr(0, longest_key + 1);
  const std::size_t named = name_.size();
  const PickleNode& node = pickle_.at(value);
  if (is_dict(node) || node.kind == Kind::list || node.kind == Kind::tuple || node.kind == Kind::opaque) {
    if (++depth_ > pickle_depth_limit)
      fail(ErrorCode::limit, "the pickle's objects nest more than ", pickle_depth_limit, " values deep");
    name_ += '.';
    contents(value, emit);
    name_.resize(named);
    --depth_;
  }
  if (node.kind == Kind::call || (emit == Emit::all && out_.all.size() == names)) add(value);
  name_.resize(length);
}

PickleNames Walk::run() {
  contents(pickle_.root, Emit::all);
  return std::move(out_);
}

}  // namespace

PickleNames names_in(const Pickle& pickle) { return Walk(pickle).run(); }

}  // namespace atrous
