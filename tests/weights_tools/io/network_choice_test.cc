#include <array>
#include <limits>

#include "tests/support/weights_helpers.h"
#include "weights_tools/checkpoint.h"
#include "weights_tools/safetensors/safetensors.h"
#include "weights_tools/torch/pth.h"

namespace atrous::network_choice_test {

using namespace atrous::weights_testing;

namespace {

using Names = std::vector<std::string>;

const Bytes four = floats({1, 2, 3, 4});

// A tensor of one element, which is number `i` of a storage 0 of four.
Bytes one(int i = 0) { return tensor(storage("0", 4), i, {1}, {1}); }

// The telling keys of a network under a prefix, with tensor `i`.
Items network(const std::string& prefix = "", int i = 0) {
  return {{prefix + "backbone.conv1.weight", one(i)}, {prefix + "classifier.0.weight", one(i)}};
}

Items with(Items items, const Items& more) {
  items.insert(items.end(), more.begin(), more.end());
  return items;
}

Checkpoint load(const Bytes& value, const std::string& weights = "") {
  return load_checkpoint(as_bytes(pth_zip(pickled(value), {{"0", four}})), "a.pth", {.weights = weights});
}

Names names_in(const Checkpoint& checkpoint) {
  Names names;
  for (const auto& [name, tensor] : checkpoint.state.entries()) names.push_back(name);
  return names;
}

float first_value(const Checkpoint& checkpoint) {
  return *reinterpret_cast<const float*>(checkpoint.state.entries().front().second.data.get());
}

const Names telling{"backbone.conv1.weight", "classifier.0.weight"};

Bytes object(const Bytes& name, const Items& state) {
  return global(name.substr(0, name.find(' ')), name.substr(name.find(' ') + 1)) + ")\x81" + dict(state) +
         "b";
}

// A torch.nn.Module as it pickles itself.
Bytes module(const Items& parameters, const Items& buffers, const Items& modules,
             const Bytes& not_persistent = "") {
  Items state{{"training", "\x89"}, {"_parameters", dict(parameters)}, {"_buffers", dict(buffers)}};
  if (!not_persistent.empty()) state.emplace_back("_non_persistent_buffers_set", not_persistent);
  state.emplace_back("_modules", dict(modules));
  return object("net Module", state);
}

}  // namespace

TEST_CASE("a network is found under any prefix and in any dictionary, and what is left out is named") {
  struct Row {
    const char* what;
    Bytes value;
    Names notes;
  };
  const Bytes list_of_one = "](" + dict(network()) + "e";
  const Row rows[] = {
      {"bare", dict(network()), {}},
      {"a wrapper", dict({{"net", dict(network())}}), {"took the weights under net"}},
      {"a wrapper and what stands beside",
       dict({{"epoch", "K\3"}, {"net", dict(network())}, {"best", global("numpy", "float64") + ")R"}}),
       {"took the weights under net", "left out epoch, best"}},
      {"a prefix, and a loss's weights",
       dict({{"state_dict", dict(with(network("net."), {{"criterion.weight", one()}}))}}),
       {"took the weights under state_dict.net", "left out state_dict.criterion"}},
      {"two dictionaries deep, an average",
       dict({{"ema", dict({{"averaged", dict(with(network("module."), {{"n_averaged", one()}}))}})}}),
       {"took the weights under ema.averaged.module", "left out ema.averaged.n_averaged"}},
      {"in a list", dict({{"models", list_of_one}}), {"took the weights under models.0"}},
      {"in a defaultdict",
       dict({{"net", global("collections", "defaultdict") + ")R(" + str("backbone.conv1.weight") + one() +
                         str("classifier.0.weight") + one() + "u"}}),
       {"took the weights under net"}},
      {"numbers among the keys",
       dict(with(network(), {{"epoch", "K\3"}, {"args", "}"}})),
       {"left out epoch, args"}},
      {"an optimizer among the keys",
       dict(with(network(), {{"optimizer", dict({{"state", "}K\1" + dict({{"momentum", one()}}) + "s"}})}})),
       {"left out optimizer"}},
      {"a dictionary for each part",
       dict({{"backbone", dict({{"conv1.weight", one()}})}, {"classifier", dict({{"0.weight", one()}})}}),
       {}},
      {"one dictionary under two names",
       dict({{"model", dict(network()) + "q\5"}, {"state_dict", "h\5"}}),
       {"took the weights under model", "left out state_dict"}},
  };
  for (const Row& row : rows) {
    CAPTURE(std::string(row.what));
    const Checkpoint checkpoint = load(row.value);
    CHECK(names_in(checkpoint) == telling);
    CHECK(checkpoint.notes == row.notes);
    CHECK(checkpoint.choice.empty());
  }
}

TEST_CASE("of what is left out 20 are named, and how many more there are") {
  Items items{{"net", dict(network())}};
  for (int i = 0; i < 25; ++i) items.emplace_back("x" + std::to_string(i), "N");
  const Checkpoint checkpoint = load(dict(items));
  REQUIRE(checkpoint.notes.size() == 2);
  CHECK(checkpoint.notes[1].starts_with("left out x0, x1, "));
  CHECK(checkpoint.notes[1].ends_with(", x19 and 5 more"));
}

TEST_CASE("harmless values of any kind may stand beside the weights, and nothing of them is run") {
  const auto call = [](const char* where, const char* what, const Bytes& arguments) {
    return global(where, what) + arguments + "R";
  };
  const Bytes dtype = call("numpy", "dtype", str("f8") + "\x89\x88\x87") + "(K\3" + str("<") + "NNNtb";
  const std::pair<const char*, Bytes> values[] = {
      {"a numpy scalar", call("numpy.core.multiarray", "scalar",
                              dtype + call("_codecs", "encode", str("x") + "\x85") + "\x86")},
      {"a numpy array", call("numpy.core.multiarray", "_reconstruct",
                             global("numpy", "ndarray") + "K\1\x85" + str("b") + "\x87") +
                            "(K\1K\2\x85" + dtype + "\x89" + str("data") + "tb"},
      {"a size", call("torch", "Size", "K\1\x85\x85")},
      {"a dtype", global("torch", "float32")},
      {"a device", call("torch", "device", str("cpu") + "\x85")},
      {"a set", call("__builtin__", "set", "]K\1a\x85")},
      {"a set of protocol 4", "\x8f(K\1\x90"},
      {"a frozenset", "(K\1\x91"},
      {"a complex number", call("__builtin__", "complex", "G12345678G12345678\x86")},
      {"a Counter", call("collections", "Counter", "}K\1K\2s\x85")},
      {"a defaultdict", call("collections", "defaultdict", global("__builtin__", "list") + "\x85") + "K\1]s"},
      {"a path", call("pathlib", "PosixPath", str("a") + "\x85")},
      {"a date", call("datetime", "datetime", "C\1x\x85")},
      {"an integer of 128 bits", "\x8a\x10" + Bytes(16, '\1')},
      {"an object of an unknown class", global("my.code", "Config") + ")\x81}" + str("a") + "K\1sb"},
      {"an object that holds itself", global("my.code", "Node") + ")\x81q\6}" + str("me") + "h\6sb"},
      {"a call of os.system", call("os", "system", str("rm") + "\x85")},
  };
  for (const auto& row : values) {
    CAPTURE(std::string(row.first));
    CHECK(names_in(load(dict({{"model", dict(network())}, {"best", row.second}}))) == telling);
    CHECK(names_in(load(dict(with(network(), {{"best", row.second}})))) == telling);
  }
  // A complex tensor's storage is there, of its own size, and is not read.
  const Bytes file =
      pth_zip(pickled(dict({{"model", dict(network())},
                            {"best", tensor(storage("1", 1, "ComplexFloatStorage"), 0, {1}, {1})}})),
              {{"0", four}, {"1", le64(0)}});
  CHECK(names_in(load_checkpoint(as_bytes(file), "a")) == telling);
}

TEST_CASE("a value that is no tensor is refused by name in a weight's place") {
  const Bytes evil = global("os", "system") + str("rm") + "\x85R";
  const std::pair<Bytes, const char*> rows[] = {
      {evil,
       "the state dict's entry backbone.conv1.weight is a value of os.system, not a tensor; nothing was run"},
      {"K\1", "the state dict's entry backbone.conv1.weight is an integer, not a tensor"},
      {"N", "the state dict's entry backbone.conv1.weight is None, not a tensor"},
      {global("torch._utils", "_rebuild_qtensor") + ")R", "is a value of torch._utils._rebuild_qtensor"},
      {"\x8f", "is a set, not a tensor"},
  };
  for (const auto& row : rows) {
    CAPTURE(std::string(row.second));
    const Items items{
        {"backbone.conv1.weight", row.first}, {"backbone.bn1.weight", one()}, {"classifier.0.weight", one()}};
    check_refused([&] { load(dict(items)); }, ErrorCode::malformed, row.second);
    check_refused(
        [&] {
          load(dict({{"net", dict(items)}, {"epoch", "K\3"}}));
        },
        ErrorCode::malformed, row.second);
  }
}

TEST_CASE("of a network and its average the network is taken, and said; any can be asked for") {
  const Bytes file = dict({{"model_ema", dict(with(network("module.", 2), {{"n_averaged", one()}}))},
                           {"model", dict(network("", 1))}});
  const Checkpoint plain = load(file);
  CHECK(first_value(plain) == 2);  // tensor 1
  CHECK(plain.choice ==
        "holds 2 networks: model was taken, not model_ema.module (--weights PREFIX takes another)");
  CHECK(plain.notes == Names{plain.choice, "left out model_ema"});
  for (const char* asked : {"model_ema", "model_ema.", "model_ema.module"}) {
    const Checkpoint average = load(file, asked);
    CHECK(first_value(average) == 3);
    CHECK(average.choice.empty());
    CHECK(average.notes.front() == "took the weights under model_ema.module");
  }
  CHECK(first_value(load(
            dict({{"state_dict", dict(network("", 1))}, {"state_dict_ema", dict(network("", 2))}}))) == 2);
  CHECK(first_value(
            load(dict({{"state_dict", dict(with(network("model_ema.", 1), network("model.", 2)))}}))) == 3);
}

TEST_CASE("further networks in a file are refused with their list, unless one is asked for") {
  const Bytes file = dict({{"model", dict(network("", 1))}, {"state_dict", dict(network("", 2))}});
  check_refused([&] { load(file); }, ErrorCode::unsupported,
                "holds 2 networks, under model, state_dict: choose one by its prefix");
  CHECK(first_value(load(file, "state_dict")) == 3);
  check_refused([&] { load(file, "model_ema"); }, ErrorCode::invalid_argument,
                "holds nothing under model_ema, but networks under model, state_dict");
  const Bytes bare = dict(with(network("", 1), network("ema.", 2)));
  check_refused([&] { load(bare); }, ErrorCode::unsupported, "under ., ema:");
  CHECK(first_value(load(bare, ".")) == 2);
  CHECK(first_value(load(bare, "ema")) == 3);
  check_refused(
      [&] {
        load(dict({{"w", one()}}), "x");
      },
      ErrorCode::invalid_argument, "holds nothing under x, and no network that atrous knows");
  CHECK(names_in(load(dict({{"a", dict({{"w", one()}})}, {"b", dict({{"v", one()}})}}), "b")) == Names{"v"});
  Items many;
  for (int i = 0; i < 30; ++i) many.emplace_back("net" + std::to_string(i), dict(network()));
  check_refused([&] { load(dict(many)); }, ErrorCode::unsupported, "net19 and 10 more:");
}

TEST_CASE("a safetensors file's network is found and chosen alike") {
  const TempFolder folder;
  StateDict state = load(dict(network("", 1))).state, all;
  const StateDict average = load(dict(network("", 2))).state;
  for (const auto& [name, tensor] : state.entries()) all.add("model." + name, tensor);
  for (const auto& [name, tensor] : average.entries()) all.add("model_ema." + name, tensor);
  all.add("criterion.weight", state.entries()[0].second);
  write_safetensors(folder.path("a"), all, {});
  const Checkpoint plain = load_checkpoint(folder.path("a"));
  CHECK(names_in(plain) == telling);
  CHECK(first_value(plain) == 2);
  CHECK(plain.choice.starts_with("holds 2 networks: model was taken"));
  CHECK(first_value(load_checkpoint(folder.path("a"), {.weights = "model_ema"})) == 3);
}

TEST_CASE("a pickled model is read as its state dict would be") {
  const Bytes set = global("__builtin__", "set") + "]" + str("anchors") + "a\x85R";
  const Bytes conv = module({{"weight", one()}, {"bias", "N"}}, {}, {});
  const Bytes norm = module({{"weight", one()}}, {{"running_mean", one()}, {"anchors", one()}}, {}, set);
  const Bytes relu = module({}, {}, {});
  const Bytes backbone = module({}, {}, {{"conv1", conv}, {"bn1", norm}, {"relu", relu}});
  const Bytes net = module(
      {}, {},
      {{"backbone", backbone}, {"classifier", module({}, {}, {{"0", conv}})}, {"aux_classifier", "N"}});
  const Names expected{"backbone.conv1.weight", "backbone.bn1.weight", "backbone.bn1.running_mean",
                       "classifier.0.weight"};
  CHECK(names_in(load(net)) == expected);
  CHECK(load(net).notes == Names{"the weights of a pickled model, a value of net.Module; nothing was run"});
  const Checkpoint inside =
      load(dict({{"epoch", "K\1"}, {"ema", object("yolo ModelEMA", {{"ema", net}, {"updates", "K\2"}})}}));
  CHECK(names_in(inside) == expected);
  CHECK(inside.notes == Names{"took the weights under ema.ema", "left out epoch"});
  CHECK(names_in(load(module({}, {}, {{"module", net}}))) == expected);  // DataParallel
  // A module that two others share has a name in each, as in torch.
  const Bytes shared = module({}, {},
                              {{"backbone", module({}, {}, {{"conv1", conv + "q\5"}})},
                               {"classifier", module({}, {}, {{"0", "h\5"}, {"4", "h\5"}})}});
  CHECK(names_in(load(shared)) ==
        Names{"backbone.conv1.weight", "classifier.0.weight", "classifier.4.weight"});
  // The class's own id in the pickles of torch 1.
  const Bytes legacy_class =
      "(" + str("module") + global("net", "Module") + str("net.py") + str("class") + "tQ)\x81" +
      dict({{"_parameters", dict(network())}, {"_buffers", "}"}, {"_modules", "}"}}) + "b";
  CHECK(names_in(load(legacy_class)) == telling);
}

TEST_CASE("modules within modules cannot fill time or memory") {
  Bytes bomb = module({}, {}, {}) + "q\1";
  for (int i = 1; i < 40; ++i)
    bomb += "0" + module({}, {}, {{"a", "h" + byte(i)}, {"b", "h" + byte(i)}}) + "q" + byte(i + 1);
  check_refused([&] { load(bomb); }, ErrorCode::limit, "entries");
  const Bytes loop = global("net", "Module") + ")\x81q\1" +
                     dict({{"_parameters", "}"}, {"_buffers", "}"}, {"_modules", dict({{"a", "h\1"}})}}) +
                     "b";
  check_refused([&] { load(loop); }, ErrorCode::limit, "1000 values deep");
}

TEST_CASE("a TorchScript archive's weights are read, and nothing of its program") {
  const Bytes conv = object("__torch__.torch.nn Conv2d", {{"training", "\x89"}, {"weight", one()}});
  const Bytes net =
      object("__torch__.net Net",
             {{"training", "\x89"},
              {"backbone", object("__torch__.net Backbone", {{"conv1", conv}, {"size", "K\1"}})},
              {"classifier", object("__torch__.net Head", {{"0", conv}})}});
  const std::vector<ZipPart> parts{
      {"a/data.pkl", pickled(net)},
      {"a/data/0", four},
      {.name = "a/code/__torch__/net.py", .data = "not deflated at all", .method = 8, .size = 1000},
      {"a/constants.pkl", pickled(")")}};
  const Checkpoint checkpoint = load_checkpoint(as_bytes(zip(parts)), "a.pt");
  CHECK(names_in(checkpoint) == telling);
  CHECK(checkpoint.notes ==
        Names{"the weights of a pickled model, a value of __torch__.net.Net; nothing was run"});
}

TEST_CASE("mean and std beside the network in a Lightning module are what it normalises photos by") {
  const auto buffer = [](int first, const std::vector<std::int64_t>& shape,
                         const std::vector<std::int64_t>& strides) {
    return tensor(storage("0", 4), first, shape, strides);
  };
  const auto file = [&](const Bytes& mean, const Bytes& std, const Bytes& values) {
    const Items state = with({{"mean", mean}, {"std", std}}, network("model."));
    return load_checkpoint(
        as_bytes(pth_zip(pickled(dict({{"state_dict", dict(state)}, {"epoch", num(3)}})), {{"0", values}})),
        "a.ckpt", {});
  };
  const Bytes three = buffer(0, {1, 3, 1, 1}, {3, 1, 1, 1}), next = buffer(1, {1, 3, 1, 1}, {3, 1, 1, 1});
  const Checkpoint small = file(three, next, floats({0.5f, 0.25f, 0.125f, 1}));
  CHECK(names_in(small) == telling);
  REQUIRE(small.normalisation);
  CHECK(small.normalisation->mean == std::array{0.5f, 0.25f, 0.125f});
  CHECK(small.normalisation->std == std::array{0.25f, 0.125f, 1.f});
  CHECK(small.normalisation->range == 1);
  CHECK(small.notes.back() == "took mean and std beside the network");
  CHECK(file(three, next, floats({120, 110, 100, 60})).normalisation->range == 255);

  check_refused([&] { file(buffer(0, {4}, {1}), next, four); }, ErrorCode::unsupported,
                "a.ckpt: the buffer mean beside the network, by which photos are normalised: expected "
                "[1, 3, 1, 1], found [4]");
  check_refused(
      [&] {
        file(three, next, floats({1, 0, 1, 1}));
      },
      ErrorCode::malformed, "a.ckpt: the buffer std beside the network: 0 is not positive");
  check_refused(
      [&] {
        file(three, next, floats({1, 1, std::numeric_limits<float>::infinity(), 1}));
      },
      ErrorCode::malformed, "a.ckpt: the buffer mean beside the network is not finite");
  // One of them alone says nothing, and that is said.
  for (const char* alone : {"mean", "std"}) {
    const Checkpoint read = load(dict({{"state_dict", dict(with({{alone, three}}, network("model.")))}}));
    CHECK(!read.normalisation);
    CHECK(read.choice == str_cat("left out ", alone, " beside the network, one of mean and std alone"));
    CHECK(read.notes.back() == read.choice);
  }
}

}  // namespace atrous::network_choice_test
