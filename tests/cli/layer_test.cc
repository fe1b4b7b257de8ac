// segment --layer: what a layer computes, as a picture, a table and JSON. That parts of networks compute what
// the whole does is tested in tests/runtime/explain/layer_maps_test.cc.
#include <cmath>

#include "layers/networks/segmentation.h"
#include "runtime/drawing/heat_maps.h"
#include "runtime/engine/program.h"
#include "runtime/explain/layer_maps.h"
#include "runtime/image/image_read.h"
#include "runtime/image/palette.h"
#include "tests/support/cli_testing.h"

namespace atrous::cli_layer_test {

using namespace atrous::cli_testing;

namespace {

bool is_at(const Image& sheet, int x, int y, const Image& picture) {
  for (int row = 0; row < picture.height; ++row)
    if (!std::equal(picture.row(row), picture.row(row) + picture.row_bytes(),
                    sheet.row(y + row) + std::ptrdiff_t{x} * 3))
      return false;
  return true;
}

bool holds(const Image& sheet, const Image& picture) {
  for (int y = 0; y + picture.height <= sheet.height; ++y)
    for (int x = 0; x + picture.width <= sheet.width; ++x)
      if (is_at(sheet, x, y, picture)) return true;
  return false;
}

struct LayerBench : Bench {
  const std::string layer = "backbone.layer2.0.bn1.relu", sheet = folder / "dog.layer.png";
  const Graph whole = build_network(tiny_state("deeplabv3")).graph;
  const Tensor input = prepare(dog_photo, {.resize = {ResizeRule::Kind::none}}, 1).input;

  ValueId value_of(std::string_view name) const {
    const auto found = std::ranges::find(whole.nodes, name, &Node::name);
    REQUIRE(found != whole.nodes.end());
    return found->output;
  }
  Session looking_at(std::vector<ValueId> values) const {
    Session part(std::make_shared<const Program>(compile(part_of(whole, values), {})), {.threads = 1});
    part.run(input.view());
    return part;
  }
  Json sight(const Arguments& arguments) const {
    const Json all = Json::parse(succeed(segment(Arguments{dog, "--json", "-"} + arguments)));
    REQUIRE(all.size() == 1);
    CHECK(all[0]["file"] == dog);
    CHECK(all[0]["picture"] == sheet);
    return all[0]["sight"];
  }
};

// Facts of channel `c` by their definitions.
void check_facts(const Json& json, ConstView map, std::int64_t c) {
  double least = 1e30, largest = -1e30, sum = 0, squares = 0;
  const auto count = static_cast<double>(map.shape.pixels());
  for (std::int64_t i = 0; i < map.shape.pixels(); ++i) {
    const double v = static_cast<double>(map.data[i * map.pitch + c]);
    least = std::min(least, v);
    largest = std::max(largest, v);
    sum += v;
    squares += v * v;
  }
  CHECK(json["least"].get<double>() == doctest::Approx(least));
  CHECK(json["largest"].get<double>() == doctest::Approx(largest));
  CHECK(json["mean"].get<double>() == doctest::Approx(sum / count));
  CHECK(json["deviation"].get<double>() ==
        doctest::Approx(std::sqrt(squares / count - sum * sum / count / count)).epsilon(1e-4));
}

}  // namespace

TEST_CASE_FIXTURE(
    LayerBench, "segment --layer draws the layer's maps, those of largest variance first, and nothing else") {
  const std::string said = succeed(segment({dog, "--layer", layer, "--channels", "5"}));
  CHECK(mentions(said, dog + ": " + layer + " (activation), 12x8, 16 channels, the 5 of largest variance\n"));
  CHECK(mentions(said, "\nwrote " + sheet + '\n'));
  CHECK(names() == Names{"dog.layer.png", "dog.png", "net.safetensors"});
  const Json json = sight({"--layer", layer, "--channels", "5"});
  CHECK(json["layer"] == layer);
  CHECK(json["kind"] == "activation");
  CHECK(json["map"].dump() == R"({"width":12,"height":8})");
  CHECK(json["channels"] == 16);
  REQUIRE(json["maps"].size() == 5);
  Session part = looking_at({value_of(layer)});
  const ConstView map = part.output(part_output(0));
  const Image drawn = read_image_file(sheet);
  double before = 1e30;
  for (const Json& one : json["maps"]) {
    const auto c = one["channel"].get<std::int64_t>();
    check_facts(one, map, c);
    CHECK(one["deviation"].get<double>() <= before);
    before = one["deviation"].get<double>();
    const double magnitude = std::max(one["largest"].get<double>(), -one["least"].get<double>());
    CHECK(holds(drawn, heat_map(map, c, magnitude, 216)));
  }
}

TEST_CASE_FIXTURE(LayerBench, "a layer that a pass folds away is drawn as the network was written down") {
  // Before its batch normalisation and ReLU, of which the program that runs has made one layer.
  for (const char* name :
       {"backbone.layer2.0.conv1", "backbone.layer2.0.bn1", "classifier.0.convs.4.resize"}) {
    CAPTURE(name);
    const Json json = sight({"--layer", name, "--channels", "2"});
    Session part = looking_at({value_of(name)});
    for (const Json& one : json["maps"])
      check_facts(one, part.output(part_output(0)), one["channel"].get<std::int64_t>());
  }
}

TEST_CASE_FIXTURE(LayerBench, "--layer aspp has the branches side by side, the same channels of each") {
  const Json json = sight({"--layer", "aspp", "--channels", "2"});
  REQUIRE(json["branches"].size() == 5);
  std::vector<std::string> words;
  for (const Json& branch : json["branches"]) words.push_back(branch["branch"]);
  CHECK(Names(words) == Names{"1x1", "rate 12", "rate 24", "rate 36", "mean"});
  CHECK(json["branches"][3]["layer"] == "classifier.0.convs.3.1.relu");
  CHECK(json["branches"][4]["sees"] == "all");
  REQUIRE(json["channels"].size() == 2);
  std::vector<ValueId> values;
  for (const Json& branch : json["branches"]) values.push_back(value_of(branch["layer"].get<std::string>()));
  Session part = looking_at(values);
  const Image drawn = read_image_file(sheet);
  for (const Json& channel : json["channels"])
    for (std::size_t b = 0; b < values.size(); ++b) {
      const ConstView map = part.output(part_output(b));
      const auto c = channel.get<std::int64_t>();
      const ChannelFacts facts = channel_facts(map, "map")[static_cast<std::size_t>(c)];
      CHECK(holds(drawn, heat_map(map, c, facts.magnitude(), 216)));
    }
}

TEST_CASE_FIXTURE(LayerBench, "--layer classes has each class's probabilities, the most probable first") {
  const Json json = sight({"--layer", "classes"});
  const Segmentation s =
      expected({.resize = ResizeRule{ResizeRule::Kind::none, 0, 0, 0}, .probabilities = true});
  REQUIRE(json["maps"].size() == 5);
  const Image drawn = read_image_file(sheet);
  double sum = 0, before = 2;
  for (const Json& one : json["maps"]) {
    const auto c = one["index"].get<std::int64_t>();
    CHECK(one["class"] == model.classes[static_cast<std::size_t>(c)]);
    check_facts(one, s.probabilities.view(), c);
    CHECK(holds(drawn, heat_map(s.probabilities.view(), c, 1, 216)));
    const double mean = one["mean"];
    CHECK(mean <= before);
    before = mean;
    sum += mean;
  }
  CHECK(sum == doctest::Approx(1));
  CHECK(sight({"--layer", "classes", "--channels", "2"})["maps"].size() == 2);
}

TEST_CASE_FIXTURE(LayerBench,
                  "--pixel says what the value under it sees, and what covering each part changes") {
  const std::string shallow = "backbone.layer1.0.conv1";
  // A map of 12x8: a stride of 4, and 11 pixels seen (7, then 2 * 2 more). Pixel 29,17 lies in value 7 (its
  // middle at 28.5) and 4 (at 16.5), which see 23 to 33 and 11 to 21.
  const Json json = sight({"--layer", shallow, "--pixel", "29,17", "--cells", "12"});
  CHECK(json["map"].dump() == R"({"width":12,"height":8})");
  CHECK(json["value"].dump() == "[7,4]");
  CHECK(json["sees"].dump() == "[23,11,34,22]");
  CHECK(json["cell"] == 4);
  CHECK(json["cells"].dump() == R"({"width":12,"height":8})");
  REQUIRE(json["change"].size() == 96);
  double largest = 0;
  for (std::size_t i = 0; i < 96; ++i) {
    const std::size_t column = i % 12, row = i / 12;
    const bool meets = column >= 5 && column <= 8 && row >= 2 && row <= 5;
    const double change = json["change"][i];
    if (!meets) CHECK(change == 0);
    largest = std::max(largest, change);
  }
  CHECK(largest > 0.01);
  // By hand, of one cell: the layer with and without it.
  Image covered = dog_photo;
  for (int y = 16; y < 20; ++y)
    for (int x = 28; x < 32; ++x) std::fill_n(covered.row(y) + x * 3, 3, std::uint8_t{128});
  Session part = looking_at({value_of(shallow)});
  const auto vector_of = [&](const Image& photo) {
    part.run(prepare(photo, {.resize = {ResizeRule::Kind::none}}, 1).input.view());
    const ConstView map = part.output(part_output(0));
    return std::vector<float>(map.pixel(0, 4, 7), map.pixel(0, 4, 7) + map.shape.c);
  };
  const std::vector<float> whole_vector = vector_of(dog_photo), other = vector_of(covered);
  double length = 0, distance = 0;
  for (std::size_t i = 0; i < other.size(); ++i) {
    const double v = static_cast<double>(whole_vector[i]), w = static_cast<double>(other[i]);
    length += v * v;
    distance += (v - w) * (v - w);
  }
  CHECK(json["change"][4 * 12 + 7].get<double>() == doctest::Approx(std::sqrt(distance / length)));
  const std::string said = succeed(segment({dog, "--layer", shallow, "--pixel", "29,17"}));
  CHECK(mentions(said,
                 "value 7,4 of 12x8, under pixel 29,17 of the photo\nsees 11x11 of the input, of the "
                 "picture 23,11 to 34,22\n16x11 cells of 3 pixels: the largest change is "));
}

TEST_CASE_FIXTURE(LayerBench, "a value behind a mean over the map sees all") {
  const Json json = sight({"--layer", "classifier.0.convs.4.resize", "--pixel", "0,31", "--cells", "2"});
  CHECK(json["sees"].dump() == "[0,0,48,32]");
  CHECK(json["change"].size() == 4);
}

TEST_CASE_FIXTURE(LayerBench, "several photos have a picture each, standard output takes one") {
  const TemporaryFolder out;
  write_photo("cat.png", photo(40, 32, 3));
  const std::string said = succeed(segment({folder.path(), "--layer", layer, "-o", out.path()}));
  CHECK(names_in(out.path()) == Names{"cat.layer.png", "dog.layer.png"});
  CHECK(mentions(said, "cat.png: "));
  const std::string picture = succeed(segment({dog, "--layer", layer, "-o", "-"}));
  CHECK(picture == read_text(out / "dog.layer.png"));
  refuse(2, segment({dog, folder / "cat.png", "--layer", layer, "-o", "-"}),
         {"-o -: one picture of one photo"});
  // What a run wrote is no photo of the next.
  succeed(segment({folder.path(), "-q", "--layer", layer}));
  CHECK(Names(names()) == Names{"cat.layer.png", "cat.png", "dog.layer.png", "dog.png", "net.safetensors"});
  CHECK(Json::parse(succeed(segment({folder.path(), "--layer", layer, "--json", "-"}))).size() == 2);
}

TEST_CASE_FIXTURE(LayerBench, "threads change no bit of it") {
  const auto by = [&](const char* threads, const Arguments& what) {
    succeed(Arguments{"segment", dog, "-q", "-m", checkpoint, "--no-resize", "--threads", threads} + what);
    return read_text(sheet);
  };
  for (const Arguments& what : {Arguments{"--layer", "aspp"}, Arguments{"--layer", layer, "--pixel", "9,9"}})
    CHECK(by("1", what) == by("3", what));
}

TEST_CASE_FIXTURE(
    LayerBench, "layers that are none, and options that --layer has no use for, are refused in a sentence") {
  refuse(1, segment({dog, "--layer", "backbone.layer2.0.cov1"}),
         {"--layer backbone.layer2.0.cov1: the deeplabv3_resnet(1,1,1,1) has no such layer "
          "(did you mean backbone.layer2.0.conv1?)"});
  refuse(1, segment({dog, "--layer", "clases"}), {"(did you mean classes?)"});
  refuse(1, segment({dog, "--layer", "backbone.layer2.0"}),
         {"a module of the deeplabv3_resnet(1,1,1,1), whose last layer is backbone.layer2.0.bn3.add.relu"});
  for (const Arguments& others :
       {Arguments{"--tile", "64"}, Arguments{"--stream"}, Arguments{"--protocol", "semseg"},
        Arguments{"--crf"}, Arguments{"--sheet"}, Arguments{"-r"}, Arguments{"--device", "cuda"},
        Arguments{"--mask"}, Arguments{"--scales", "0.5,1"}, Arguments{"--instances", "x"},
        Arguments{"--center-crop", "8"}})
    refuse(2, segment(Arguments{dog, "--layer", layer} + others), {"does not go with --layer"});
  refuse(2, segment({dog, "--layer", ""}), {"--layer: expected a value"});
  refuse(2, segment({dog, "--layer", layer, "--pixel", ""}), {"--pixel: expected a value"});
  refuse(2, segment({dog, "--channels", "3"}), {"--channels: there is no --layer"});
  refuse(2, segment({dog, "--pixel", "3,3"}), {"--pixel: there is no --layer"});
  refuse(2, segment({dog, "--layer", layer, "--cells", "3"}), {"--cells: there is no --pixel"});
  refuse(2, segment({dog, "--layer", "aspp", "--pixel", "3,3"}),
         {"--pixel looks at a value of one layer, not at aspp"});
  refuse(2, segment({dog, "--layer", layer, "--pixel", "3,3", "--channels", "3"}), {"--channels: "});
  for (const char* pixel : {"3", "3,", "-1,3", "a,b", "3,3,3", "3 3"})
    refuse(2, segment({dog, "--layer", layer, "--pixel", pixel}), {"expected X,Y"});
  refuse(1, segment({dog, "--layer", layer, "--pixel", "48,3"}),
         {"--pixel 48,3: the photo has 48x32 pixels"});
  refuse(1, segment({dog, "--layer", layer, "--precision", "bf16"}),
         {"maps in fp32, not with --precision bf16"});
  refuse(2, segment({dog, "--layer", layer, "--channels", "65"}), {"--channels"});
  write_file(folder / "input.npy", encode_npy(input.view()));
  refuse(1, segment({folder / "input.npy", "--layer", layer}), {"a tensor has no pixels for --layer"});
  CHECK(names() == Names{"dog.png", "input.npy", "net.safetensors"});
}

TEST_CASE_FIXTURE(LayerBench, "networks without an ASPP, and those that find instances, are refused") {
  write_safetensors(folder / "fcn.safetensors", tiny_state("fcn"), {});
  refuse(1, {"segment", dog, "-m", folder / "fcn.safetensors", "--layer", "aspp"},
         {"--layer aspp: the fcn_resnet(1,1,1,1) has none"});
  refuse(1, {"segment", dog, "-m", "seeded:maskrcnn_resnet50_fpn", "--layer", "backbone.body.conv1"},
         {"finds instances"});
}

}  // namespace atrous::cli_layer_test
