#include "weights_tools/torch/pickle.h"
#include "tests/support/weights_helpers.h"

namespace atrous::pickle_test {

using namespace atrous::weights_testing;

namespace {

Pickle read(const Bytes& bytes) {
  const auto view = as_bytes(bytes);
  return read_pickle(std::vector<std::byte>(view.begin(), view.end()));
}

// The values as Python would print them, roughly; only for trees small enough.
std::string show(const Pickle& p, PickleRef ref) {
  const PickleNode& node = p.at(ref);
  std::string items;
  for (const PickleRef item : node.items) items += (items.empty() ? "" : ",") + show(p, item);
  switch (node.kind) {
    case PickleKind::none:
      return "None";
    case PickleKind::boolean:
      return node.integer ? "True" : "False";
    case PickleKind::integer:
      return std::to_string(node.integer);
    case PickleKind::real:
      return "float";
    case PickleKind::string:
      return "'" + std::string(p.text(node)) + "'";
    case PickleKind::bytes:
      return "b'" + std::string(p.text(node)) + "'";
    case PickleKind::tuple:
      return "(" + items + ")";
    case PickleKind::list:
      return "[" + items + "]";
    case PickleKind::dict:
      return "{" + items + "}";
    case PickleKind::ordered_dict:
      return "OrderedDict{" + items + "}";
    case PickleKind::global:
      return "global";
    case PickleKind::call:
      return "call" + items;
    case PickleKind::persistent_id:
      return "id" + items;
    case PickleKind::set:
      return "set{" + items + "}";
    case PickleKind::long_integer:
      return "long";
    case PickleKind::opaque:
      return std::string(p.module_name(node)) + "." + std::string(p.text(node)) + "{" + items + "}" +
             (node.state == no_pickle_ref ? "" : show(p, node.state));
  }
  return "?";
}

std::string show(const Bytes& value) {
  const Pickle p = read(pickled(value));
  return show(p, p.root);
}

}  // namespace

TEST_CASE("plain values come out of a pickle as they went in") {
  CHECK(show("N") == "None");
  CHECK(show("\x88") == "True");
  CHECK(show("\x89") == "False");
  CHECK(show("K\xff") == "255");
  CHECK(show("M\xff\xff") == "65535");
  CHECK(show("J\xff\xff\xff\xff") == "-1");
  CHECK(show(Bytes("\x8a\x00", 2)) == "0");
  CHECK(show("\x8a\x01\x80") == "-128");
  CHECK(show("\x8a\x02\xff\x7f") == "32767");
  CHECK(show(num(INT64_MIN)) == "-9223372036854775808");
  CHECK(show("\x8b" + le32(3) + "\xff\xff\xff") == "-1");
  CHECK(show("G@V\xf1\xeb\x8c\xcc\xcc\xcd") == "float");
  CHECK(show(str("key")) == "'key'");
  CHECK(show("U\3abc") == "'abc'");
  CHECK(show("T" + le32(3) + "abc") == "'abc'");
  CHECK(show("\x8c\3abc") == "'abc'");
  CHECK(show("\x8d" + le64(3) + "abc") == "'abc'");
  CHECK(show("C\3abc") == "b'abc'");
}

TEST_CASE("containers nest") {
  CHECK(show(")") == "()");
  CHECK(show("NK\1\x86") == "(None,1)");
  CHECK(show("(NNNNt") == "(None,None,None,None)");
  CHECK(show("](K\1K\2eK\3a") == "[1,2,3]");
  CHECK(show("}(K\1K\2uK\3K\4s") == "{1,2,3,4}");
  CHECK(show("(K\1K\2l") == "[1,2]");
  CHECK(show("(K\1K\2d") == "{1,2}");
  CHECK(show(dict({{"a", "N"}})) == "OrderedDict{'a',None}");
  CHECK(show("NNN0"
             "0") == "None");
  CHECK(show("(NN1N") == "None");
  CHECK(show("]N2\x86"
             "a") == "[(None,None)]");
}

TEST_CASE("Python 2's OrderedDict, made of a list of pairs, is the same dict") {
  CHECK(show(global("collections", "OrderedDict") + "]](" + str("a") + "K\1ea\x85R") == "OrderedDict{'a',1}");
}

TEST_CASE("protocols 2 to 5 are read, frames and all") {
  CHECK(show(read("\x80\x03N."), 0) == "None");
  const Bytes body = str("a") + "\x94";
  const Pickle p = read("\x80\x04\x95" + le64(body.size() + 1) + body + ".");
  CHECK(show(p, p.root) == "'a'");
  const Bytes stack_global =
      "\x8c\x0b"
      "collections\x94\x8c\x0bOrderedDict\x94\x93)R";
  CHECK(show(stack_global) == "OrderedDict{}");
}

TEST_CASE("memo entries are shared, never copied") {
  const Pickle p = read(pickled("]q" + byte(1) + "K\5a(h" + byte(1) + "h" + byte(1) + "t\x86"));
  const PickleNode& pair = p.at(p.at(p.root).items[1]);
  CHECK(pair.items[0] == pair.items[1]);
  // Thirty lists, each holding the one before twice: 2^30 paths, but 31 values.
  Bytes bomb = "]q" + byte(0);
  for (int i = 0; i < 30; ++i) bomb += "](h" + byte(i) + "h" + byte(i) + "eq" + byte(i + 1);
  const Pickle shared = read(pickled("(" + bomb + "t"));
  CHECK(shared.nodes.size() == 32);
}

TEST_CASE("what a pickle makes of a name it may not call is an opaque value, with its name and state") {
  const Bytes evil = "(" + str("rm") + "t";
  const Bytes thing = global("a.b", "Thing");
  CHECK(show(global("os", "system") + evil + "R") == "os.system{}'rm'");
  CHECK(show(str("os") + str("system") + "\x93" + evil + "R") == "os.system{}'rm'");
  CHECK(show("(" + str("rm") + "ios\nsystem\n") == "os.system{}'rm'");
  CHECK(show("(" + global("os", "system") + str("rm") + "o") == "os.system{}'rm'");
  CHECK(show(global("builtins", "eval") + ")R") == "builtins.eval{}");
  CHECK(show(global("argparse", "Namespace") + ")\x81}(" + str("lr") + "K\1ub") ==
        "argparse.Namespace{}{'lr',1}");
  CHECK(show(thing + ")}\x92") == "a.b.Thing{}");
  CHECK(show(thing + ")R(K\1K\2u") == "a.b.Thing{1,2}");
  CHECK(show(thing + ")RK\1a(K\2e(K\3\x90") == "a.b.Thing{}");  // what is appended is dropped
  CHECK(show(thing + ")R)R") == "a.b.Thing{}");                 // what an opaque value returns
  CHECK(show(thing + ")RNbK\1b") == "a.b.Thing{}1");            // the last state
  CHECK(show(thing + ")Rq\1h\1\x86") == "(a.b.Thing{},a.b.Thing{})");
  CHECK(show(global("collections", "OrderedDict") + ")\x81") == "collections.OrderedDict{}");
  CHECK(show(global("torch", "FloatStorage") + ")R") == "torch.FloatStorage{}");
  // A class of a whole model as torch 1 names it.
  CHECK(show("(" + str("module") + thing + str("a.py") + str("source") + "tQ)\x81}b") == "a.b.Thing{}{}");
  CHECK(show("\x8f(K\1K\2\x90") == "set{1,2}");
  CHECK(show("(K\1K\2\x91") == "set{1,2}");
  CHECK(show("\x96" + le64(3) + "abc") == "b'abc'");
  CHECK(show("\x8a\x09" + Bytes("\0\0\0\0\0\0\0\x80\0", 9)) == "long");
  CHECK(show("\x8b" + le32(17) + Bytes(17, '\1')) == "long");
}

TEST_CASE("values are described by their kind or name, without control characters") {
  const auto describe = [](const Bytes& value) {
    const Pickle p = read(pickled(value));
    return p.describe(p.at(p.root));
  };
  CHECK(describe("]") == "a list");
  CHECK(describe(global("torch", "load")) == "the type or function torch.load");
  CHECK(describe(global("torch\x1b[2J", "x") + ")R") == "a value of torch\\x1b[2J.x");
}

TEST_CASE("the state of an OrderedDict is dropped") {
  CHECK(show(ordered_dict + "}(" + str("_metadata") + "}ub") == "OrderedDict{}");
}

TEST_CASE("a pickle may be followed by others in a file") {
  const TempFolder folder;
  const InputFile file(folder.save("a", "xx" + pickled(str(Bytes(100'000, 'a'))) + pickled("K\7")));
  const Pickle first = read_pickle(file, 2);
  CHECK(first.size == 100'008);
  const Pickle second = read_pickle(file, 2 + first.size);
  CHECK(show(second, second.root) == "7");
  check_refused([&] { read_pickle(file, file.size()); }, ErrorCode::malformed, "the pickle is empty");
}

TEST_CASE("what no checkpoint holds is refused by name") {
  struct Row {
    Bytes value;
    const char* part;
  };
  const Row rows[] = {
      {"\x82\x05", "extension 5"},
      {"\x83\x05\x01", "extension 261"},
      {"\x84" + le32(70000), "extension 70000"},
      {"(" + str("x") + "o", "OBJ makes something of a string"},
      {"(o", "OBJ makes an object of nothing"},
      {str("x") + ")\x81", "NEWOBJ makes something of a string"},
      {str("x") + ")}\x92", "NEWOBJ_EX makes something of a string"},
      {global("a", "b") + "]\x81", "NEWOBJ has a list for arguments"},
      {"](K\1\x90", "ADDITEMS adds to a list"},
      {"V1\n", "the opcode UNICODE"},
      {"I1\n", "the opcode INT"},
      {"F1.5\n", "the opcode FLOAT"},
      {"L1L\n", "the opcode LONG"},
      {"S'a'\n", "the opcode STRING"},
      {"P1\n", "the opcode PERSID"},
      {"g1\n", "the opcode GET"},
      {"Np1\n", "the opcode PUT"},
      {"\x97", "the opcode NEXT_BUFFER"},
      {"\x98", "the opcode READONLY_BUFFER"},
  };
  for (const auto& row : rows) {
    CAPTURE(std::string(row.part));
    CHECK(refusal_of([&] { read(pickled(row.value)); }).sentence.find(row.part) != std::string::npos);
  }
}

TEST_CASE("a malformed pickle is refused with a sentence") {
  using Code = ErrorCode;
  const BadFile rows[] = {
      {"empty", "", Code::malformed, "is empty"},
      {"no PROTO", "N.", Code::malformed, "does not begin with PROTO"},
      {"protocol 1", "\x80\x01N.", Code::unsupported, "protocol 1"},
      {"protocol 6", "\x80\x06N.", Code::unsupported, "protocol 6"},
      {"PROTO twice", pickled("\x80\x02N"), Code::malformed, "unknown opcode 128 at byte 2"},
      {"unknown opcode", pickled("\xff"), Code::malformed, "unknown opcode 255 at byte 2"},
      {"missing STOP", proto + "N", Code::malformed, "without STOP"},
      {"nothing on the stack", pickled(""), Code::malformed, "0 values on its stack"},
      {"two values on the stack", pickled("NN"), Code::malformed, "2 values on its stack"},
      {"open MARK", pickled("N("), Code::malformed, "1 MARKs left open"},
      {"POP of nothing", pickled("0"), Code::malformed, "holds 0 values where POP needs 1"},
      {"DUP of nothing", pickled("2"), Code::malformed, "DUP needs 1"},
      {"TUPLE2 of one", pickled("N\x86"), Code::malformed, "holds 1 values where TUPLE2 needs 2"},
      {"TUPLE1 through a MARK", pickled("N(\x85"), Code::malformed, "TUPLE1 needs 1"},
      {"missing MARK", pickled("Nt"), Code::malformed, "no MARK where TUPLE needs one"},
      {"SETITEMS without MARK", pickled("}u"), Code::malformed, "no MARK where SETITEMS"},
      {"APPEND to a dict", pickled("}Na"), Code::malformed, "APPEND adds to a dict"},
      {"APPENDS to a tuple", pickled(")(Ne"), Code::malformed, "APPENDS adds to a tuple"},
      {"SETITEM on a list", pickled("]NNs"), Code::malformed, "SETITEM adds to a list"},
      {"SETITEMS on None", pickled("N(NNu"), Code::malformed, "SETITEMS adds to None"},
      {"SETITEMS on nothing", pickled("(NNu"), Code::malformed, "SETITEMS needs 1"},
      {"odd SETITEMS", pickled("}(NNNu"), Code::malformed, "3 values, an odd number"},
      {"odd DICT", pickled("(Nd"), Code::malformed, "1 values, an odd number"},
      {"a list as a key", pickled("}]Ns"), Code::malformed, "uses a list as a key"},
      {"REDUCE of a string", pickled(str("x") + ")R"), Code::malformed, "REDUCE makes something of a string"},
      {"REDUCE without a tuple", pickled(global("collections", "OrderedDict") + "]R"), Code::malformed,
       "has a list for arguments"},
      {"OrderedDict of a number", pickled(global("collections", "OrderedDict") + "K\1\x85R"), Code::malformed,
       "not one list"},
      {"OrderedDict of no pairs", pickled(global("collections", "OrderedDict") + "]Na\x85R"), Code::malformed,
       "not a pair"},
      {"BUILD on a dict", pickled("}}b"), Code::malformed, "BUILD gives a state to a dict"},
      {"BUILD on a tensor", pickled(tensor(storage("0", 1), 0, {1}, {1}) + "}b"), Code::malformed,
       "BUILD gives a state to a tensor"},
      {"STACK_GLOBAL of numbers", pickled("K\1K\2\x93"), Code::malformed, "by an integer"},
      {"memo read before write", pickled("h\1"), Code::malformed,
       "reads memo entry 1, which was never written"},
      {"memo gap", pickled("Nq\5h\3"), Code::malformed, "reads memo entry 3"},
      {"memo index over the cap", pickled("Nr" + le32(1'000'000)), Code::limit, "memo index 1000000"},
      {"memo index of 32 bits", pickled("Nr" + le32(0xffffffff)), Code::limit, "memo index 4294967295"},
      {"memo index beyond what was read", pickled("Nr" + le32(100)), Code::limit,
       "memo index is 100 after 8 bytes"},
      {"long memo read before write", pickled("j" + le32(0xffffffff)), Code::malformed,
       "reads memo entry 4294967295"},
      {"PUT of nothing", pickled(Bytes("q\0", 2)), Code::malformed, "the memo needs 1"},
      {"MEMOIZE of nothing", pickled("\x94"), Code::malformed, "the memo needs 1"},
      {"PUT of a MARK", pickled(Bytes("N(q\0", 4)), Code::malformed, "the memo needs 1"},
      {"string beyond the end", proto + "X" + le32(100) + "abc.", Code::malformed, "100 bytes wanted"},
      {"64-bit length", proto + "\x8d" + le64(~0ull) + "abc.", Code::malformed,
       "18446744073709551615 bytes wanted"},
      {"string of 4 GB", proto + "X" + le32(0xffffffff) + "abc.", Code::malformed, "4294967295 bytes wanted"},
      {"bytes of 64 bits", proto + "\x8e" + le64(~0ull) + "abc.", Code::malformed,
       "18446744073709551615 bytes wanted"},
      {"integer beyond the end", proto + "\x8b" + le32(0xffffffff) + "abc.", Code::malformed,
       "ends within an integer: 4294967295 bytes wanted"},
      {"short string beyond the end", proto + "\x8c\x09" + "abc.", Code::malformed, "9 bytes wanted"},
      {"float cut short", proto + "G1234567", Code::malformed, "ends within BINFLOAT"},
      {"PROTO cut short", "\x80", Code::malformed, "ends within PROTO"},
      {"frame beyond the end", proto + "\x95" + le64(100) + "N.", Code::malformed, "FRAME has 100 bytes"},
      {"number cut short", proto + "J\1\2", Code::malformed, "ends within BININT"},
      {"GLOBAL without newline", proto + "cos", Code::malformed, "ends within a module name"},
      {"GLOBAL too long", pickled(global(Bytes(300, 'a'), "b")), Code::limit, "more than 256 bytes"},
      {"STACK_GLOBAL too long", pickled(str("torch") + str(Bytes(300, 'a') + "Storage") + "\x93"),
       Code::limit, "a name of 307 bytes, more than 256"},
      {"a list in itself", pickled(Bytes("]q\0h\0a", 6)), Code::malformed, "a list that contains itself"},
      {"a dict in itself", pickled(Bytes("}q\0Nh\0s", 7)), Code::malformed, "a dict that contains itself"},
      {"a list in a tuple in itself",
       pickled(Bytes("]q\0h\0\x85"
                     "a",
                     7)),
       Code::malformed, "contains itself"},
      {"an OrderedDict in itself", pickled(ordered_dict + Bytes("q\0Nh\0s", 6)), Code::malformed,
       "an OrderedDict that contains itself"},
      {"a tensor among its own arguments",
       pickled(global("torch._utils", "_rebuild_tensor_v2") + Bytes("]q\0\x85R", 5) +
               Bytes("q\1h\0h\1a0", 8)),
       Code::malformed, "contains itself"},
      {"a storage whose id contains it", pickled(Bytes("]q\0Qq\1h\0h\1a0", 12)), Code::malformed,
       "contains itself"},
      {"a list in itself, in an object", pickled(global("a", "b") + ")R" + Bytes("]q\0h\0ab", 7)),
       Code::malformed, "a list that contains itself"},
      {"1001 deep in an object",
       pickled(global("a", "b") + ")R" + repeat("]", 1001) + repeat("a", 1000) + "b"), Code::limit,
       "more than 1000 values deep"},
      {"a pair of itself", pickled(Bytes("]q\0(h\0h\0e", 9)), Code::malformed, "a list that contains itself"},
      {"1001 deep in dicts", pickled(repeat("}N", 1000) + "N" + repeat("s", 1000)), Code::limit,
       "more than 1000 values deep"},
      {"1001 deep in tensors",
       pickled(repeat(global("torch._utils", "_rebuild_tensor_v2"), 501) + "N" + repeat("\x85R", 501)),
       Code::limit, "more than 1000 values deep"},
      {"1001 deep in ids", pickled("N" + repeat("Q", 1000)), Code::limit, "more than 1000 values deep"},
      {"1001 deep", pickled(repeat("]", 1001) + repeat("a", 1000)), Code::limit,
       "more than 1000 values deep"},
      {"a million opcodes", pickled(repeat("N0", 500'001) + "N"), Code::limit, "more than 1000000 opcodes"},
      {"one list of pairs copied over and over",
       pickled("](" + repeat("NN\x86", 2000) + "eq\2(" +
               repeat(global("collections", "OrderedDict") + "h\2\x85R", 2000) + "t\x86"),
       Code::limit, "more than 1000000 opcodes"},
      {"over 16 MiB", pickled(str(Bytes(std::size_t{16} << 20, 'x'))), Code::limit, "the limit is 16777216"},
  };
  for (const auto& row : rows) {
    CAPTURE(std::string(row.defect));
    check_refused([&] { read(row.bytes); }, row.code, row.part);
  }
}

TEST_CASE("a pickle exactly as deep as allowed is read") {
  CHECK(read(pickled(repeat("]", 1000) + repeat("a", 999))).nodes.size() == 1000);
}

TEST_CASE("as many opcodes, bytes and memo entries as allowed are read") {
  CHECK(read(pickled(repeat("N0", 499'999) + "N\x85")).nodes.size() == 2);  // a million and STOP
  check_refused([] { read(pickled(repeat("N0", 500'000) + "N")); }, ErrorCode::limit,
                "more than 1000000 opcodes");
  const std::size_t room = pickle_byte_limit - pickled(str("")).size();
  CHECK(read(pickled(str(Bytes(room, 'x')))).size == pickle_byte_limit);
  check_refused([&] { read(pickled(str(Bytes(room + 1, 'x')))); }, ErrorCode::limit,
                "has 16777217 bytes or more, the limit is 16777216");
  Bytes counted = "](";
  for (std::uint64_t i = 0; i < 100'000; ++i) counted += "Nr" + le32(i) + "j" + le32(i);
  CHECK(read(pickled(counted + "e")).nodes.size() == 2);
}

TEST_CASE("every byte is an opcode that is read, one that is refused by name, or unknown") {
  std::size_t unknown = 0, refused = 0;
  for (int code = 0; code < 256; ++code) {
    CAPTURE(code);
    if (code == '.' || code == 0x95) continue;  // STOP, and FRAME, which needs a length
    // Values enough for any opcode, and digits for its argument.
    const Bytes bytes = proto + ")(N)" + byte(code) + Bytes(20, '\0') + ".";
    std::string said;
    try {
      read(bytes);
    } catch (const Error& error) {
      said = error.what();
    }
    unknown += said.find("unknown opcode " + std::to_string(code) + " at byte 6") != said.npos;
    refused += said.find("which torch does not write") != said.npos;
    CHECK_FALSE(said.empty());  // NUL, which follows every opcode, is none
  }
  CHECK(refused == 10);
  CHECK(unknown == 256 - 10 - 57);  // what is left is read: 55, STOP and FRAME
}

TEST_CASE("an opcode that takes values from an empty stack is refused") {
  for (const Bytes& opcode : {Bytes("0"),    Bytes("1"),    Bytes("2"),    Bytes("a"),    Bytes("b"),
                              Bytes("d"),    Bytes("e"),    Bytes("l"),    Bytes("o"),    Bytes("s"),
                              Bytes("t"),    Bytes("u"),    Bytes("R"),    Bytes("Q"),    Bytes("q\1"),
                              "r" + le32(1), Bytes("\x81"), Bytes("\x85"), Bytes("\x86"), Bytes("\x87"),
                              Bytes("\x90"), Bytes("\x91"), Bytes("\x92"), Bytes("\x93"), Bytes("\x94")}) {
    CAPTURE(opcode);
    CHECK(refusal_of([&] { read(pickled(opcode)); }).code == ErrorCode::malformed);
    // Values below a MARK are out of reach.
    const bool takes_mark =
        Bytes("1deltu\x90\x91").find(opcode) != Bytes::npos || opcode == "0" || opcode == "o";
    if (!takes_mark) CHECK(refusal_of([&] { read(pickled("NNNN(" + opcode)); }).code == ErrorCode::malformed);
  }
}

TEST_CASE("an object may hold itself") {
  const Pickle p = read(pickled(global("a", "b") + ")\x81q\2}(" + str("me") + "h\2ub"));
  const PickleNode& object = p.at(p.root);
  REQUIRE(object.kind == PickleKind::opaque);
  CHECK(p.at(object.state).items[1] == p.root);
}

TEST_CASE("a million marks or lists are no burden") {
  check_refused([] { read(pickled(repeat("(", 999'999))); }, ErrorCode::malformed, "MARKs left open");
  check_refused([] { read(pickled(repeat("]", 999'999))); }, ErrorCode::malformed,
                "999999 values on its stack");
  check_refused([] { read(pickled(repeat("\x85", 5).insert(0, "N") + repeat("\x85", 900'000))); },
                ErrorCode::limit, "values deep");
}

}  // namespace atrous::pickle_test
