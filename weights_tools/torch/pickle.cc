#include "weights_tools/torch/pickle.h"

#include <algorithm>
#include <bit>
#include <optional>
#include <span>

#include "layers/base/error.h"
#include "weights_tools/io/clean_text.h"
#include "weights_tools/torch/pickle_input.h"
#include "weights_tools/torch/pickle_opcodes.h"

namespace atrous {

namespace {

using Kind = PickleKind;

// What a name means here.
PickleCallable find_callable(std::string_view module, std::string_view name) {
  if (module == "collections" && name == "OrderedDict") return PickleCallable::ordered_dict;
  if (module == "torch._utils" && name == "_rebuild_tensor") return PickleCallable::rebuild_tensor;
  if (module == "torch._utils" && name == "_rebuild_tensor_v2") return PickleCallable::rebuild_tensor_v2;
  if (module == "torch._utils" && name == "_rebuild_parameter") return PickleCallable::rebuild_parameter;
  const bool identifier = std::ranges::all_of(name, [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
  });
  const bool of_torch = module == "torch" || (module == "torch.storage" && name == "UntypedStorage");
  if (of_torch && identifier && name.ends_with("Storage")) return PickleCallable::storage;
  return PickleCallable::other;
}

class Machine {
 public:
  explicit Machine(PickleInput input) : input_(std::move(input)) {}
  Pickle run();

 private:
  bool step();  // false at STOP
  bool step_value(Opcode);
  bool step_container(Opcode);
  bool step_memo(Opcode);
  bool step_call(Opcode);

  PickleRef push(PickleNode node);
  PickleRef push_constant(std::optional<PickleRef>& cached, PickleNode node);
  void push_integer(std::int64_t value);
  void push_text(Kind kind, std::uint64_t length);
  void push_long(std::uint64_t length);
  PickleNode take_global();
  void push_stack_global();

  std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  void need(std::size_t count, std::string_view what) const;
  PickleRef pop(std::string_view what);
  std::vector<PickleRef> pop_to_mark(std::string_view what);
  PickleNode& top(std::string_view what);

  void make(Kind kind, std::vector<PickleRef> items);
  void make_dict(std::vector<PickleRef> items);
  void make_opaque(PickleRef type, std::span<const PickleRef> arguments, std::string_view what);
  void add_items(std::vector<PickleRef> items, std::string_view what);
  void add_members(std::vector<PickleRef> items);
  void add_pairs(std::vector<PickleRef> items, std::string_view what);
  void check_pairs(const std::vector<PickleRef>& items, std::string_view what) const;
  std::vector<PickleRef> flatten_pairs(const PickleNode& list);
  void reduce();
  void new_object(std::string_view what);
  void build();

  void count_work(std::uint64_t amount);
  void put(std::uint64_t index);
  void get(std::uint64_t index);

  PickleInput input_;
  Pickle out_;
  std::vector<PickleRef> stack_;
  std::vector<std::size_t> marks_;  // heights of the stack
  std::vector<std::optional<PickleRef>> memo_;
  std::uint64_t memoized_ = 0, opcodes_ = 0;
  // One node each, so that a megabyte of NONE opcodes does not become a million nodes.
  std::optional<PickleRef> none_, true_, false_, empty_tuple_;
};

PickleRef Machine::push(PickleNode node) {
  out_.nodes.push_back(std::move(node));
  stack_.push_back(static_cast<PickleRef>(out_.nodes.size() - 1));
  return stack_.back();
}

PickleRef Machine::push_constant(std::optional<PickleRef>& cached, PickleNode node) {
  if (!cached) return *(cached = push(std::move(node)));
  stack_.push_back(*cached);
  return *cached;
}

void Machine::push_integer(std::int64_t value) { push({.kind = Kind::integer, .integer = value}); }

void Machine::push_text(Kind kind, std::uint64_t length) {
  const std::uint32_t offset = input_.take(length, "a string");
  push({.kind = kind, .text = {offset, static_cast<std::uint32_t>(length)}});
}

// LONG1 and LONG4: two's complement, little-endian, of any length.
void Machine::push_long(std::uint64_t length) {
  const auto digits = input_.text(input_.take(length, "an integer"), length);
  if (length > 8) {
    push({.kind = Kind::long_integer});
    return;
  }
  std::uint64_t value = !digits.empty() && (digits.back() & 0x80) ? ~std::uint64_t{0} : 0;
  for (std::size_t i = digits.size(); i-- > 0;) value = value << 8 | static_cast<std::uint8_t>(digits[i]);
  push_integer(std::bit_cast<std::int64_t>(value));
}

// A module's name and a name in it, a line each: GLOBAL and INST.
PickleNode Machine::take_global() {
  const auto take_name = [this](std::string_view what) {
    const std::uint32_t offset = input_.position();
    const auto length = input_.take_line(what).size();
    return PickleText{offset, static_cast<std::uint32_t>(length)};
  };
  const PickleText module = take_name("a module name");
  PickleNode node{.kind = Kind::global, .integer = std::bit_cast<std::int64_t>(module)};
  node.text = take_name("a name");
  node.callable = find_callable(input_.text(module.offset, module.length),
                                input_.text(node.text.offset, node.text.length));
  return node;
}

void Machine::push_stack_global() {
  need(2, "STACK_GLOBAL");
  const PickleNode& name = out_.at(pop("STACK_GLOBAL"));
  const PickleNode& module = out_.at(pop("STACK_GLOBAL"));
  if (name.kind != Kind::string || module.kind != Kind::string)
    fail(ErrorCode::malformed, "the pickle's STACK_GLOBAL names something by ", name_of(name.kind),
         ", not by strings");
  // One long string in the memo could otherwise be looked at again and again; GLOBAL's names end at 256 too.
  constexpr std::uint32_t longest = 256;
  if (const std::uint32_t length = std::max(name.text.length, module.text.length); length > longest)
    fail(ErrorCode::limit, "the pickle's STACK_GLOBAL has a name of ", length, " bytes, more than ", longest);
  PickleNode node{
      .kind = Kind::global, .integer = std::bit_cast<std::int64_t>(module.text), .text = name.text};
  node.callable = find_callable(input_.text(module.text.offset, module.text.length),
                                input_.text(name.text.offset, name.text.length));
  push(std::move(node));
}

// Opcodes reach down to the last MARK, not through it.
void Machine::need(std::size_t count, std::string_view what) const {
  if (stack_.size() - floor() < count)
    fail(ErrorCode::malformed, "the pickle's stack holds ", stack_.size() - floor(), " values where ", what,
         " needs ", count);
}

PickleRef Machine::pop(std::string_view what) {
  need(1, what);
  const PickleRef ref = stack_.back();
  stack_.pop_back();
  return ref;
}

std::vector<PickleRef> Machine::pop_to_mark(std::string_view what) {
  if (marks_.empty()) fail(ErrorCode::malformed, "the pickle has no MARK where ", what, " needs one");
  const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  std::vector<PickleRef> items(begin, stack_.end());
  stack_.erase(begin, stack_.end());
  marks_.pop_back();
  return items;
}

PickleNode& Machine::top(std::string_view what) {
  need(1, what);
  return out_.nodes[stack_.back()];
}

void Machine::make(Kind kind, std::vector<PickleRef> items) {
  push({.kind = kind, .items = std::move(items)});
}

void Machine::make_dict(std::vector<PickleRef> items) {
  check_pairs(items, "DICT");
  make(Kind::dict, std::move(items));
}

// An object of a class that `type` stands for, or what a function returned.
void Machine::make_opaque(PickleRef type_ref, std::span<const PickleRef> arguments, std::string_view what) {
  const PickleNode* type = &out_.at(type_ref);
  if (type->kind == Kind::persistent_id) {
    // torch 1 pickles a module's class as the id ("module", class, source file, source).
    const PickleNode& id = out_.at(type->items[0]);
    if (id.kind == Kind::tuple && id.items.size() > 1) type = &out_.at(id.items[1]);
  }
  if (type->kind != Kind::global && type->kind != Kind::opaque)
    fail(ErrorCode::malformed, "the pickle's ", what, " makes something of ", name_of(type->kind),
         ", which is neither a class nor a function");
  push({.kind = Kind::opaque,
        .state = arguments.empty() ? no_pickle_ref : arguments.front(),
        .integer = type->integer,
        .text = type->text});
}

void Machine::add_items(std::vector<PickleRef> items, std::string_view what) {
  PickleNode& list = top(what);
  if (list.kind == Kind::opaque) return;
  if (list.kind != Kind::list)
    fail(ErrorCode::malformed, "the pickle's ", what, " adds to ", name_of(list.kind), ", not to a list");
  list.items.insert(list.items.end(), items.begin(), items.end());
}

// ADDITEMS.
void Machine::add_members(std::vector<PickleRef> items) {
  PickleNode& set = top("ADDITEMS");
  if (set.kind == Kind::opaque) return;
  if (set.kind != Kind::set)
    fail(ErrorCode::malformed, "the pickle's ADDITEMS adds to ", name_of(set.kind), ", not to a set");
  set.items.insert(set.items.end(), items.begin(), items.end());
}

void Machine::check_pairs(const std::vector<PickleRef>& items, std::string_view what) const {
  if (items.size() % 2 != 0)
    fail(ErrorCode::malformed, "the pickle's ", what, " has ", items.size(),
         " values, an odd number of keys and values");
  for (std::size_t i = 0; i < items.size(); i += 2) {
    const PickleNode& key = out_.at(items[i]);
    if (key.kind == Kind::list || is_dict(key))
      fail(ErrorCode::malformed, "the pickle's ", what, " uses ", name_of(key.kind), " as a key");
  }
}

void Machine::add_pairs(std::vector<PickleRef> items, std::string_view what) {
  PickleNode& dict = top(what);
  if (!is_dict(dict) && dict.kind != Kind::opaque)
    fail(ErrorCode::malformed, "the pickle's ", what, " adds to ", name_of(dict.kind), ", not to a dict");
  check_pairs(items, what);
  dict.items.insert(dict.items.end(), items.begin(), items.end());
}

// Python 2 gives an OrderedDict its items as a list of [key, value].
std::vector<PickleRef> Machine::flatten_pairs(const PickleNode& list) {
  count_work(list.items.size());  // one list in the memo could be copied again and again
  std::vector<PickleRef> items;
  for (const PickleRef ref : list.items) {
    const PickleNode& pair = out_.at(ref);
    if ((pair.kind != Kind::list && pair.kind != Kind::tuple) || pair.items.size() != 2)
      fail(ErrorCode::malformed, "the pickle makes an OrderedDict of something that is not a pair");
    items.insert(items.end(), pair.items.begin(), pair.items.end());
  }
  check_pairs(items, "OrderedDict");
  return items;
}

void Machine::reduce() {
  need(2, "REDUCE");
  const PickleRef arguments_ref = pop("REDUCE");
  const PickleRef function_ref = pop("REDUCE");
  const PickleNode& function = out_.at(function_ref);
  const PickleNode& arguments = out_.at(arguments_ref);
  if (arguments.kind != Kind::tuple)
    fail(ErrorCode::malformed, "the pickle's REDUCE has ", name_of(arguments.kind),
         " for arguments, not a tuple");
  const auto callable = function.kind == Kind::global ? function.callable : PickleCallable::other;
  switch (callable) {
    case PickleCallable::ordered_dict: {
      std::vector<PickleRef> items;
      if (arguments.items.size() > 1 ||
          (arguments.items.size() == 1 && out_.at(arguments.items[0]).kind != Kind::list))
        fail(ErrorCode::malformed, "the pickle makes an OrderedDict of ", arguments.items.size(),
             " arguments that are not one list");
      if (arguments.items.size() == 1) items = flatten_pairs(out_.at(arguments.items[0]));
      return make(Kind::ordered_dict, std::move(items));
    }
    case PickleCallable::rebuild_tensor:
    case PickleCallable::rebuild_tensor_v2:
    case PickleCallable::rebuild_parameter:
      push({.kind = Kind::call, .callable = callable, .items = {arguments_ref}});
      return;
    case PickleCallable::storage:
    case PickleCallable::other:
      return make_opaque(function_ref, arguments.items, "REDUCE");
  }
}

// NEWOBJ makes an object without calling __init__: how Python pickles plain objects. NEWOBJ_EX has a dict of
// further arguments.
void Machine::new_object(std::string_view what) {
  const bool named_arguments = what == "NEWOBJ_EX";
  need(named_arguments ? 3 : 2, what);
  if (named_arguments) pop(what);
  const PickleNode& arguments = out_.at(pop(what));
  const PickleRef type = pop(what);
  if (arguments.kind != Kind::tuple)
    fail(ErrorCode::malformed, "the pickle's ", what, " has ", name_of(arguments.kind),
         " for arguments, not a tuple");
  make_opaque(type, arguments.items, what);
}

// State given to an OrderedDict (torch's _metadata) is dropped.
void Machine::build() {
  need(2, "BUILD");
  const PickleRef state = pop("BUILD");
  PickleNode& target = top("BUILD");
  if (target.kind == Kind::opaque)
    target.state = state;
  else if (target.kind != Kind::ordered_dict)
    fail(ErrorCode::malformed, "the pickle's BUILD gives a state to ", name_of(target.kind));
}

void Machine::count_work(std::uint64_t amount) {
  opcodes_ += amount;
  if (opcodes_ > pickle_opcode_limit)
    fail(ErrorCode::limit, "the pickle has more than ", pickle_opcode_limit, " opcodes");
}

void Machine::put(std::uint64_t index) {
  if (index >= pickle_opcode_limit)
    fail(ErrorCode::limit, "the pickle's memo index ", index, " is beyond the limit of ",
         pickle_opcode_limit);
  // Python counts its entries up, so that an index is smaller than what was read: the memo is, too.
  if (index > input_.position())
    fail(ErrorCode::limit, "the pickle's memo index is ", index, " after ", input_.position(), " bytes");
  need(1, "the memo");
  if (index >= memo_.size()) memo_.resize(static_cast<std::size_t>(index) + 1);
  auto& slot = memo_[static_cast<std::size_t>(index)];
  memoized_ += !slot;
  slot = stack_.back();
}

void Machine::get(std::uint64_t index) {
  if (index >= memo_.size() || !memo_[static_cast<std::size_t>(index)])
    fail(ErrorCode::malformed, "the pickle reads memo entry ", index, ", which was never written");
  stack_.push_back(*memo_[static_cast<std::size_t>(index)]);
}

bool Machine::step_value(Opcode code) {
  switch (code) {
    case Opcode::none:
      return push_constant(none_, {.kind = Kind::none}), true;
    case Opcode::newtrue:
      return push_constant(true_, {.kind = Kind::boolean, .integer = 1}), true;
    case Opcode::newfalse:
      return push_constant(false_, {.kind = Kind::boolean}), true;
    case Opcode::binint:
      return push_integer(input_.number<std::int32_t>("BININT")), true;
    case Opcode::binint1:
      return push_integer(input_.number<std::uint8_t>("BININT1")), true;
    case Opcode::binint2:
      return push_integer(input_.number<std::uint16_t>("BININT2")), true;
    case Opcode::long1:
      return push_long(input_.number<std::uint8_t>("LONG1")), true;
    case Opcode::long4:
      return push_long(input_.number<std::uint32_t>("LONG4")), true;
    case Opcode::binfloat:
      return input_.take(8, "BINFLOAT"), push({.kind = Kind::real}), true;
    case Opcode::binunicode:
    case Opcode::binstring:
      return push_text(Kind::string, input_.number<std::uint32_t>("a string")), true;
    case Opcode::short_binunicode:
    case Opcode::short_binstring:
      return push_text(Kind::string, input_.number<std::uint8_t>("a string")), true;
    case Opcode::binunicode8:
      return push_text(Kind::string, input_.number<std::uint64_t>("a string")), true;
    case Opcode::binbytes:
      return push_text(Kind::bytes, input_.number<std::uint32_t>("bytes")), true;
    case Opcode::short_binbytes:
      return push_text(Kind::bytes, input_.number<std::uint8_t>("bytes")), true;
    case Opcode::binbytes8:
    case Opcode::bytearray8:
      return push_text(Kind::bytes, input_.number<std::uint64_t>("bytes")), true;
    default:
      return false;
  }
}

bool Machine::step_container(Opcode code) {
  const auto pop_many = [this](std::size_t count, std::string_view what) {
    need(count, what);
    std::vector<PickleRef> items(stack_.end() - static_cast<std::ptrdiff_t>(count), stack_.end());
    stack_.resize(stack_.size() - count);
    return items;
  };
  switch (code) {
    case Opcode::empty_list:
      return make(Kind::list, {}), true;
    case Opcode::empty_dict:
      return make(Kind::dict, {}), true;
    case Opcode::empty_tuple:
      return push_constant(empty_tuple_, {.kind = Kind::tuple}), true;
    case Opcode::tuple1:
      return make(Kind::tuple, pop_many(1, "TUPLE1")), true;
    case Opcode::tuple2:
      return make(Kind::tuple, pop_many(2, "TUPLE2")), true;
    case Opcode::tuple3:
      return make(Kind::tuple, pop_many(3, "TUPLE3")), true;
    case Opcode::tuple:
      return make(Kind::tuple, pop_to_mark("TUPLE")), true;
    case Opcode::list:
      return make(Kind::list, pop_to_mark("LIST")), true;
    case Opcode::dict:
      return make_dict(pop_to_mark("DICT")), true;
    case Opcode::empty_set:
      return make(Kind::set, {}), true;
    case Opcode::frozenset:
      return make(Kind::set, pop_to_mark("FROZENSET")), true;
    case Opcode::additems:
      return add_members(pop_to_mark("ADDITEMS")), true;
    case Opcode::append:
      return add_items(pop_many(1, "APPEND"), "APPEND"), true;
    case Opcode::appends:
      return add_items(pop_to_mark("APPENDS"), "APPENDS"), true;
    case Opcode::setitem:
      return add_pairs(pop_many(2, "SETITEM"), "SETITEM"), true;
    case Opcode::setitems:
      return add_pairs(pop_to_mark("SETITEMS"), "SETITEMS"), true;
    default:
      return false;
  }
}

bool Machine::step_memo(Opcode code) {
  switch (code) {
    case Opcode::mark:
      return marks_.push_back(stack_.size()), true;
    case Opcode::pop_mark:
      return pop_to_mark("POP_MARK"), true;
    case Opcode::pop:  // of a MARK, too, as Python does
      if (!marks_.empty() && marks_.back() == stack_.size()) return marks_.pop_back(), true;
      return pop("POP"), true;
    case Opcode::dup:
      return need(1, "DUP"), stack_.push_back(stack_.back()), true;
    case Opcode::binput:
      return put(input_.number<std::uint8_t>("BINPUT")), true;
    case Opcode::long_binput:
      return put(input_.number<std::uint32_t>("LONG_BINPUT")), true;
    case Opcode::memoize:
      return put(memoized_), true;
    case Opcode::binget:
      return get(input_.number<std::uint8_t>("BINGET")), true;
    case Opcode::long_binget:
      return get(input_.number<std::uint32_t>("LONG_BINGET")), true;
    case Opcode::frame: {  // a hint for buffering; only its length can be wrong
      const auto length = input_.number<std::uint64_t>("FRAME");
      if (length > input_.left())
        fail(ErrorCode::malformed, "the pickle's FRAME has ", length, " bytes, but ", input_.left(),
             " are left");
      return true;
    }
    default:
      return false;
  }
}

bool Machine::step_call(Opcode code) {
  switch (code) {
    case Opcode::global:
      return push(take_global()), true;
    case Opcode::inst: {  // a class by its name, on the stack its arguments
      const PickleNode type = take_global();
      const auto arguments = pop_to_mark("INST");
      push(type);
      const PickleRef type_ref = pop("INST");
      return make_opaque(type_ref, arguments, "INST"), true;
    }
    case Opcode::stack_global:
      return push_stack_global(), true;
    case Opcode::obj: {  // on the stack a class and its arguments
      const auto items = pop_to_mark("OBJ");
      if (items.empty()) fail(ErrorCode::malformed, "the pickle's OBJ makes an object of nothing");
      return make_opaque(items[0], std::span(items).subspan(1), "OBJ"), true;
    }
    case Opcode::ext1:
      fail(ErrorCode::unsupported, "the pickle asks for extension ",
           int{input_.number<std::uint8_t>("EXT1")});
    case Opcode::ext2:
      fail(ErrorCode::unsupported, "the pickle asks for extension ", input_.number<std::uint16_t>("EXT2"));
    case Opcode::ext4:
      fail(ErrorCode::unsupported, "the pickle asks for extension ", input_.number<std::uint32_t>("EXT4"));
    case Opcode::reduce:
      return reduce(), true;
    case Opcode::newobj:
      return new_object("NEWOBJ"), true;
    case Opcode::newobj_ex:
      return new_object("NEWOBJ_EX"), true;
    case Opcode::build:
      return build(), true;
    case Opcode::binpersid:
      return make(Kind::persistent_id, {pop("BINPERSID")}), true;
    default:
      return false;
  }
}

bool Machine::step() {
  const std::uint32_t offset = input_.position();
  if (input_.left() == 0) fail(ErrorCode::malformed, "the pickle ends at byte ", offset, " without STOP");
  const auto byte = input_.number<std::uint8_t>("an opcode");
  const auto code = static_cast<Opcode>(byte);
  if (code == Opcode::stop) return false;
  if (step_value(code) || step_container(code) || step_memo(code) || step_call(code)) return true;
  if (const auto name = refused_opcode(byte); !name.empty())
    fail(ErrorCode::unsupported, "the pickle uses the opcode ", name, ", which torch does not write");
  fail(ErrorCode::malformed, "the pickle has an unknown opcode ", int{byte}, " at byte ", offset);
}

Pickle Machine::run() {
  if (input_.left() == 0) fail(ErrorCode::malformed, "the pickle is empty");
  if (static_cast<Opcode>(input_.number<std::uint8_t>("its first byte")) != Opcode::proto)
    fail(ErrorCode::malformed, "the pickle does not begin with PROTO");
  const int protocol = input_.number<std::uint8_t>("PROTO");
  if (protocol < 2 || protocol > 5)
    fail(ErrorCode::unsupported, "the pickle has protocol ", protocol, ", 2 to 5 are known");
  while (step()) count_work(1);
  if (!marks_.empty())
    fail(ErrorCode::malformed, "the pickle stops with ", marks_.size(), " MARKs left open");
  if (stack_.size() != 1)
    fail(ErrorCode::malformed, "the pickle stops with ", stack_.size(), " values on its stack, not with one");
  out_.root = stack_.back();
  out_.size = input_.position();
  out_.bytes = input_.release();
  return std::move(out_);
}

// Walks all values below one once, children before parents, without recursion and not into opaque values.
class ShapeCheck {
 public:
  explicit ShapeCheck(const Pickle& pickle) : pickle_(pickle), depth_(pickle.nodes.size(), unseen) {}
  void below(PickleRef top);

 private:
  static constexpr std::uint32_t unseen = 0, open = ~std::uint32_t{0};
  struct Visit {
    PickleRef ref;
    std::size_t next = 0;
    std::uint32_t deepest = 0;
  };

  std::size_t children(const PickleNode& node) const {
    return node.kind == Kind::opaque ? 0 : node.items.size();
  }

  const Pickle& pickle_;
  std::vector<std::uint32_t> depth_;
};

void ShapeCheck::below(PickleRef top) {
  if (depth_[top] != unseen) return;
  std::vector<Visit> path{{top}};
  depth_[top] = open;
  while (!path.empty()) {
    Visit& visit = path.back();
    const PickleNode& node = pickle_.at(visit.ref);
    if (visit.next == children(node)) {
      const std::uint32_t here = depth_[visit.ref] = visit.deepest + 1;
      if (here > pickle_depth_limit)
        fail(ErrorCode::limit, "the pickle nests more than ", pickle_depth_limit, " values deep");
      path.pop_back();
      if (!path.empty()) path.back().deepest = std::max(path.back().deepest, here);
      continue;
    }
    const PickleRef child = node.items[visit.next++];
    if (depth_[child] == open)
      fail(ErrorCode::malformed, "the pickle has ", name_of(pickle_.at(child).kind), " that contains itself");
    if (depth_[child] != unseen) {
      visit.deepest = std::max(visit.deepest, depth_[child]);
    } else {
      depth_[child] = open;
      path.push_back({child});
    }
  }
}

void check_shape(const Pickle& pickle) {
  ShapeCheck check(pickle);
  check.below(pickle.root);
  for (const PickleNode& node : pickle.nodes) {
    if (node.kind != Kind::opaque) continue;
    if (node.state != no_pickle_ref) check.below(node.state);
    for (const PickleRef item : node.items) check.below(item);
  }
}

Pickle run(PickleInput input) {
  Pickle pickle = Machine(std::move(input)).run();
  check_shape(pickle);
  return pickle;
}

}  // namespace

bool is_dict(const PickleNode& node) { return node.kind == Kind::dict || node.kind == Kind::ordered_dict; }

std::string_view name_of(PickleKind kind) {
  switch (kind) {
    case Kind::none:
      return "None";
    case Kind::boolean:
      return "a boolean";
    case Kind::integer:
      return "an integer";
    case Kind::real:
      return "a float";
    case Kind::string:
      return "a string";
    case Kind::bytes:
      return "bytes";
    case Kind::tuple:
      return "a tuple";
    case Kind::list:
      return "a list";
    case Kind::dict:
      return "a dict";
    case Kind::ordered_dict:
      return "an OrderedDict";
    case Kind::global:
      return "a type or function";
    case Kind::call:
      return "a tensor";
    case Kind::persistent_id:
      return "a storage";
    case Kind::set:
      return "a set";
    case Kind::long_integer:
      return "an integer beyond 64 bits";
    case Kind::opaque:
      return "an object";
  }
  return "?";
}

std::string_view Pickle::text(const PickleNode& node) const {
  return as_text(std::span(bytes).subspan(node.text.offset, node.text.length));
}

std::string_view Pickle::module_name(const PickleNode& node) const {
  return as_text(std::span(bytes).subspan(node.module().offset, node.module().length));
}

std::string Pickle::describe(const PickleNode& node) const {
  if (node.kind != Kind::global && node.kind != Kind::opaque) return std::string(name_of(node.kind));
  return str_cat(node.kind == Kind::global ? "the type or function " : "a value of ",
                 printable(module_name(node)), ".", printable(text(node)));
}

Pickle read_pickle(std::vector<std::byte> bytes) { return run(PickleInput(std::move(bytes))); }

Pickle read_pickle(const InputFile& file, std::uint64_t offset) { return run(PickleInput(file, offset)); }

}  // namespace atrous
