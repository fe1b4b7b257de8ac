#include <cmath>
#include <limits>

#include "tests/support/sanitizers.h"
#include "tests/support/weights_helpers.h"
#include "weights_tools/io/clean_text.h"
#include "weights_tools/metadata.h"

namespace atrous::metadata_test {

using namespace atrous::weights_testing;

namespace {

using Strings = std::map<std::string, std::string>;

Metadata example() {
  Metadata m;
  m.architecture = "deeplabv3_resnet101";
  m.hyper = "os=16,rates=6,12,18";
  m.classes = {"void", "Straße", "a \"quoted\" \\ name"};
  m.palette = {{0, 0, 0}, {128, 64, 128}, {255, 254, 1}};
  m.preparation.mean = {0.1f, 1.f / 3.f, 1e-30f};
  m.preparation.std = {0.229f, std::numeric_limits<float>::min(), 3.4e38f};
  m.preparation.resize = {.kind = ResizeRule::Kind::exact, .width = 480, .height = 360, .center_crop = 224};
  m.decision = Decision::softmax;
  m.background = 2;
  m.crf = CrfParameters{.iterations = 7, .gaussian = {0.1f, 2}, .bilateral = {5, 61.5f, 0.3f}};
  m.source = "model.pth";
  m.source_sha256 = Bytes(64, 'a');
  m.self_test = SelfTest{.height = 65,
                         .width = 97,
                         .logits = {{0, -1.25f}, {5, 0.1f}, {1'000'000, 7e-20f}},
                         .largest = 12.7f,
                         .tolerance = 1e-4f};
  return m;
}

// The example's strings with one of them replaced.
Strings with(const std::string& key, const std::string& value) {
  Strings strings = to_strings(example());
  strings[key] = value;
  return strings;
}

}  // namespace

TEST_CASE("metadata comes back to the bit") {
  const Metadata m = example();
  const auto back = metadata_from_strings(to_strings(m));
  REQUIRE(back.has_value());
  CHECK(back->architecture == m.architecture);
  CHECK(back->hyper == m.hyper);
  CHECK(back->classes == m.classes);
  CHECK(back->palette == m.palette);
  CHECK(back->preparation == m.preparation);
  CHECK(back->decision == m.decision);
  CHECK(back->background == m.background);
  CHECK(back->crf == m.crf);
  CHECK(back->source == m.source);
  CHECK(back->source_sha256 == m.source_sha256);
  CHECK(back->self_test == m.self_test);
}

TEST_CASE("empty metadata comes back empty") {
  const auto back = metadata_from_strings(to_strings({}));
  REQUIRE(back.has_value());
  CHECK(back->architecture.empty());
  CHECK(back->classes.empty());
  CHECK(back->preparation == Preparation{});
  CHECK_FALSE(back->decision.has_value());
  CHECK_FALSE(back->background.has_value());
  CHECK_FALSE(back->self_test.has_value());
}

TEST_CASE("every float survives its nine digits") {
  SKIP_UNDER_ADDRESS_SANITIZER();
  std::uint32_t bits = 1;
  for (int i = 0; i < 20000; ++i) {
    bits = bits * 1664525 + 1013904223;
    const float f = std::bit_cast<float>(bits);
    if (!std::isfinite(f)) continue;
    Metadata m;
    m.preparation.mean = {f, -f, f};
    CHECK(metadata_from_strings(to_strings(m))->preparation.mean == m.preparation.mean);
  }
}

TEST_CASE("a negative zero stays negative") {
  Metadata m;
  m.preparation.mean = {-0.f, 0.f, 1.f};
  const auto back = metadata_from_strings(to_strings(m))->preparation.mean;
  CHECK(std::signbit(back[0]));
  CHECK_FALSE(std::signbit(back[1]));
}

TEST_CASE("every resize rule comes back") {
  for (const ResizeRule rule :
       {ResizeRule{.kind = ResizeRule::Kind::none}, ResizeRule{.width = 256, .center_crop = 224},
        ResizeRule{.kind = ResizeRule::Kind::longer_side, .width = 513},
        ResizeRule{.kind = ResizeRule::Kind::exact, .width = 16384, .height = 1}}) {
    Metadata m;
    m.preparation.resize = rule;
    CHECK(metadata_from_strings(to_strings(m))->preparation.resize == rule);
  }
}

TEST_CASE("range and order come back, in a version of their own; without them the first one stays") {
  Metadata m;
  CHECK(to_strings(m).at("atrous.format") == "1");
  CHECK_FALSE(to_strings(m).contains("range"));
  CHECK_FALSE(to_strings(m).contains("order"));
  m.preparation.range = 255;
  CHECK(to_strings(m).at("atrous.format") == "2");
  CHECK(to_strings(m).at("range") == "255");
  CHECK(metadata_from_strings(to_strings(m))->preparation == m.preparation);
  m.preparation = {.order = ChannelOrder::bgr};
  CHECK(to_strings(m).at("atrous.format") == "2");
  CHECK(to_strings(m).at("order") == "bgr");
  CHECK(metadata_from_strings(to_strings(m))->preparation == m.preparation);
}

TEST_CASE("ranges of activations come back to the bit, in a third version") {
  Metadata m;
  m.preparation.range = 255;
  m.activations = {{"backbone.bn1.relu", {0, 1.f / 3}}, {"Straße", {-1e-30f, 3.4e38f}}, {"zero", {}}};
  CHECK(to_strings(m).at("atrous.format") == "3");
  CHECK(metadata_from_strings(to_strings(m))->activations == m.activations);
  m.activations.begin()->second = {1, 0};
  check_refused([&] { to_strings(m); }, ErrorCode::malformed, "goes from 1 to 0");
}

TEST_CASE("both answers come back, and a background or that there is none") {
  for (const Decision answer : {Decision::softmax, Decision::sigmoid})
    for (const int background : {no_background, 0, 255}) {
      Metadata m;
      m.decision = answer;
      m.background = background;
      const auto back = metadata_from_strings(to_strings(m));
      CHECK(back->decision == answer);
      CHECK(back->background == background);
    }
}

TEST_CASE("foreign metadata is not ours") {
  CHECK_FALSE(metadata_from_strings({}).has_value());
  CHECK_FALSE(metadata_from_strings({{"format", "pt"}, {"classes", "nonsense"}}).has_value());
  CHECK(metadata_from_strings(with("format", "pt")).has_value());
}

TEST_CASE("bad metadata is refused by its key") {
  struct Row {
    const char *key, *part;
    std::string value;
  };
  const Row rows[] = {
      {"atrous.format", "is 4, this atrous knows 1 to 3", "4"},
      {"range", "neither 1 nor 255: 256", "256"},
      {"range", "neither 1 nor 255", ""},
      {"order", "neither rgb nor bgr: RGB", "RGB"},
      {"order", "neither rgb nor bgr", "grb"},
      {"atrous.format", "is not a version", "one"},
      {"atrous.format", "is not a version", ""},
      {"architecture", "has 257 bytes, more than 256", Bytes(257, 'a')},
      {"architecture", "control characters", "a\x1b[31m"},
      {"architecture", "control characters",
       "a\xc2\x9b"
       "31m"},
      {"architecture", "not UTF-8", "\xc0\xaf"},
      {"classes", "is not JSON", "[\"a\""},
      {"classes", "is not a list", "{}"},
      {"classes", "not a string", "[1]"},
      {"classes", "class 0 has control characters", R"(["\u0007"])"},
      {"classes", "class 0 has 300 bytes", "[\"" + Bytes(300, 'a') + "\"]"},
      {"classes", "has 257 entries, more than 256", "[" + repeat("\"a\",", 256) + "\"a\"]"},
      {"classes", "nests too deep", repeat("[", 100'000)},
      {"classes", "bytes, more than 1048576", Bytes(1'100'000, ' ')},
      {"palette", "has 1 colours for 3 classes", "[[0,0,0]]"},
      {"palette", "not three numbers", "[[0,0]]"},
      {"palette", "is 256, outside 0 to 255", "[[0,0,256]]"},
      {"palette", "is -1, outside", "[[0,0,-1]]"},
      {"palette", "is not an integer", "[[0,0,1.5]]"},
      {"mean", "not three numbers", "[1,2]"},
      {"mean", "is not a number", "[1,2,\"3\"]"},
      {"mean", "is not a finite number", "[1,2,1e39]"},
      {"mean", "is not JSON", "[1,2,1e999]"},
      {"mean", "is not JSON", "[1,2,NaN]"},
      {"std", "is not positive", "[1,1,0]"},
      {"std", "is not positive", "[1,1,-0.0]"},
      {"std", "not three numbers", "[1,1]"},
      {"std", "not three numbers", "[1,1,1,1]"},
      {"std", "not three numbers", "0.5"},
      {"std", "is not a number", "[1,1,null]"},
      {"mean", "has 1100000 bytes, more than 1048576", Bytes(1'100'000, ' ')},
      {"palette", "has 4 colours for 3 classes", "[[0,0,0],[0,0,0],[0,0,0],[0,0,0]]"},
      {"palette", "has 257 entries, more than 256", "[" + repeat("[0,0,0],", 256) + "[0,0,0]]"},
      {"palette", "nests too deep", "[[[[0]]]]"},
      {"palette", "is not a list", "{\"0\":[0,0,0]}"},
      {"std", "is not positive", "[1,1,-1]"},
      {"std", "is not positive", "[1,1,1e-60]"},
      {"resize", "has no kind", "{}"},
      {"resize", "has no kind", "[]"},
      {"resize", "unknown kind", R"({"kind":"middle_side","width":1})"},
      {"resize", "has the key kind twice", R"({"kind":"none","kind":"exact"})"},
      {"self_test", "has an object of more than 1000 keys",
       [] {
         Bytes keys = "{";
         for (int i = 0; i < 2000; ++i) keys += str_cat('"', i, "\":0,");
         return keys + "\"\":0}";
       }()},
      {"classes", "is not JSON", Bytes("[\"a\"]\0[]", 8)},
      {"resize", "has no width", R"({"kind":"shorter_side"})"},
      {"resize", "has no height", R"({"kind":"exact","width":1})"},
      {"resize", "resize width is 0, outside 1 to 16384", R"({"kind":"shorter_side","width":0})"},
      {"resize", "resize width is 16385", R"({"kind":"shorter_side","width":16385})"},
      {"resize", "resize width is not an integer", R"({"kind":"shorter_side","width":18446744073709551615})"},
      {"resize", "resize center_crop is -1", R"({"kind":"none","center_crop":-1})"},
      {"answer", "is neither softmax nor sigmoid: relu", "relu"},
      {"answer", "is neither softmax nor sigmoid", ""},
      {"answer", "is neither softmax nor sigmoid", "Sigmoid"},
      {"crf", "is not JSON", "10}"},
      {"crf", "iterations", R"({"gaussian": [3, 1], "bilateral": [4, 67, 3]})"},
      {"crf", "outside 0 to 1000", R"({"iterations": 1001, "gaussian": [3, 1], "bilateral": [4, 67, 3]})"},
      {"crf", "gaussian has 1 numbers, expected 2",
       R"({"iterations": 10, "gaussian": [3], "bilateral": [4, 67, 3]})"},
      {"crf", "bilateral has 4 entries, more than 3",
       R"({"iterations": 10, "gaussian": [3, 1], "bilateral": [4, 67, 3, 3]})"},
      {"crf", "bilateral is not a number",
       R"({"iterations": 10, "gaussian": [3, 1], "bilateral": [4, 67, "3"]})"},
      {"crf", "standard deviation of 0: expected 0.01",
       R"({"iterations": 10, "gaussian": [3, 0], "bilateral": [4, 67, 3]})"},
      {"background", "is class 3 of 3", "3"},
      {"background", "is -1, outside 0 to 255", "-1"},
      {"background", "is 256, outside", "256"},
      {"background", "is not an integer", "\"void\""},
      {"background", "is not JSON", "nothing"},
      {"source", "has folders", "../../etc/passwd"},
      {"source", "has folders", "C:\\model.pth"},
      {"source", "control characters", "a\nb"},
      {"source", "control characters", Bytes("a\0b", 3)},
      {"source", "has 257 bytes, more than 256", Bytes(257, 'a')},
      {"architecture", "control characters", "a\rb"},
      {"architecture", "control characters", "a\x7f"},
      {"classes", "class 1 has control characters", R"(["a","\u009b31m"])"},
      {"source_sha256", "is not 64 hex digits", "abc"},
      {"source_sha256", "is not 64 hex digits", Bytes(64, 'g')},
      {"self_test", "has no height", "{}"},
      {"activations", "activations is not JSON", R"({"a": [0, 1])"},
      {"activations", "activations is no object", R"([["a", 0, 1]])"},
      {"activations", "activations a is not a list", R"({"a": 1})"},
      {"activations", "activations a has 1 numbers, expected 2", R"({"a": [1]})"},
      {"activations", "activations a has 3 entries, more than 2", R"({"a": [0, 1, 2]})"},
      {"activations", "activations a is not a number", R"({"a": [0, "1"]})"},
      {"activations", "activations a is not a finite number", R"({"a": [0, 1e39]})"},
      {"activations", "activations a goes from 1 to 0.5", R"({"a": [1, 0.5]})"},
      {"activations", "has the key a twice", R"({"a": [0, 1], "a": [0, 1]})"},
      {"activations", "activations has control characters", R"({"\u001b": [0, 1]})"},
      {"activations", "activations has 257 bytes, more than 256", "{\"" + Bytes(257, 'a') + "\": [0, 1]}"},
      {"activations", "nests too deep", R"({"a": [[[0]]]})"},
      {"hyper", "hyper expected KEY=VALUE", "os"},
      {"hyper", "found os twice", "os=16,os=8"},
      {"self_test", "2 indices, but 1 values",
       R"({"height":1,"width":1,"indices":[0,1],"values":[1],"largest":1,"tolerance":1})"},
      {"self_test", "self_test index is -1",
       R"({"height":1,"width":1,"indices":[-1],"values":[1],"largest":1,"tolerance":1})"},
      {"self_test", "self_test height is 0",
       R"({"height":0,"width":1,"indices":[],"values":[],"largest":1,"tolerance":1})"},
      {"self_test", "tolerance is not positive",
       R"({"height":1,"width":1,"indices":[],"values":[],"largest":1,"tolerance":0})"},
      {"self_test", "largest is negative",
       R"({"height":1,"width":1,"indices":[],"values":[],"largest":-1,"tolerance":1})"},
  };
  for (const Row& row : rows) {
    CAPTURE(std::string(row.key));
    CAPTURE(std::string(row.part));
    check_refused([&] { metadata_from_strings(with(row.key, row.value)); }, ErrorCode::malformed, row.part);
  }
}

TEST_CASE("metadata that could not be read back is not written") {
  Metadata m = example();
  m.classes[0] = "\xff";
  check_refused([&] { to_strings(m); }, ErrorCode::malformed, "not UTF-8");
  m = example();
  m.preparation.mean[0] = std::numeric_limits<float>::quiet_NaN();
  check_refused([&] { to_strings(m); }, ErrorCode::invalid_argument, "not finite");
  m = example();
  m.palette.pop_back();
  check_refused([&] { to_strings(m); }, ErrorCode::malformed, "2 colours for 3 classes");
}

TEST_CASE("clean text is UTF-8 that cannot steer a terminal") {
  for (const char* clean : {"", "a b", "Straße", "道路", "\xf0\x9f\x9a\x97"}) CHECK(is_clean_text(clean));
  for (const char* unclean :
       {"\n", "\x1b", "\x7f", "\xc2\x80", "\x80", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80",
        "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe2\x82", "\xc3("})
    CHECK_FALSE(is_clean_text(unclean));
  CHECK(printable("a\x1b\xff"
                  "é") == "a\\x1b\\xffé");
  CHECK(printable(Bytes(200, 'a')) == Bytes(120, 'a') + "...");
}

}  // namespace atrous::metadata_test
