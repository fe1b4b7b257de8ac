// Mask R-CNN and Faster R-CNN from photo to instances: stage by stage against torchvision's own values in
// ../shared/data/networks, and by definition on small networks.
#include "runtime/instances/detector.h"
#include "layers/networks/segmentation.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "tests/support/instance_conformance.h"
#include "tests/support/logging_device.h"
#include "tests/support/runtime_testing.h"

namespace atrous::detector_test {

using namespace atrous::runtime_testing;
using namespace atrous::conformance_testing;

namespace {

// The sentence of an Error of that code.
template <class Action>
std::string error_of(ErrorCode code, Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    CHECK(error.code() == code);
    return error.what();
  }
  return "no error";
}

}  // namespace

// As tests/runtime/segment/conformance_test.cc calls its cases: .ci/run leaves them out under sanitizers.
#define CONFORMS(NETWORK, CASE)                                                      \
  TEST_CASE("conformance: " NETWORK " " CASE ", instances at each stage") {          \
    if (data_is_there()) check_instances(NETWORK, networks_folder / NETWORK / CASE); \
  }
CONFORMS("maskrcnn_resnet50_fpn", "small_256_384")
CONFORMS("maskrcnn_resnet50_fpn_v2", "small_256_384")
CONFORMS("maskrcnn_resnet50_fpn", "default_800_1333")
CONFORMS("maskrcnn_resnet50_fpn_v2", "default_800_1333")
#undef CONFORMS

TEST_CASE("a picture's size in the network is torchvision's, of both arithmetics") {
  // The facts beside the data: sizes that torchvision 0.14 gave; later ones take the quotient in double.
  struct Row {
    Extent picture, found;
  };
  for (const Row& row : {Row{{375, 500}, {799, 1066}}, Row{{333, 500}, {799, 1201}},
                         Row{{427, 640}, {799, 1199}}, Row{{480, 640}, {800, 1066}}}) {
    const Extent size = bounded_extent({}, row.picture);
    CHECK(size.h == row.found.h);
    CHECK(size.w == row.found.w);
  }
  const Extent later = bounded_extent({.in_double = true}, {375, 500});
  CHECK(later.h == 800);
  CHECK(later.w == 1066);
  const Extent narrow = bounded_extent({}, {10, 20000});
  CHECK(narrow.h == 1);  // the longer side decides, and a pixel stays
  CHECK(narrow.w <= 1333);
  CHECK_THROWS_AS(bounded_extent({}, {0, 5}), Error);
  CHECK_THROWS_AS(bounded_extent({.shorter = 0}, {5, 5}), Error);
}

TEST_CASE("photos are normalised before they are resized, as bilinear interpolation has it") {
  const Image photo = atrous::runtime_testing::photo(13, 7);
  const Extent size{11, 29};
  const Tensor found = prepare_bounded(photo, {}, size, 1);
  Tensor normalised({1, 7, 13, 3}), expected({1, size.h, size.w, 3});
  for (std::int64_t y = 0; y < 7; ++y)
    for (std::int64_t x = 0; x < 13; ++x)
      for (std::int64_t c = 0; c < 3; ++c) {
        const auto k = static_cast<std::size_t>(c);
        normalised.view().at(0, y, x, c) =
            (static_cast<float>(photo.row(static_cast<int>(y))[3 * x + c]) / 255.0F - Preparation{}.mean[k]) /
            Preparation{}.std[k];
      }
  resize_reference(Resize{}, normalised.view(), expected.view());
  CHECK(largest_difference(found.values(), expected.values()) <= 1e-6);
  const Tensor again = prepare_bounded(photo, {}, size, 3);
  CHECK(std::ranges::equal(again.values(), found.values()));
}

namespace {

Model small_model(const std::string& kind, int classes = 5) {
  return make_model(seeded_state(kind + "_resnet(1,1,1,1)_fpn", {.classes = classes, .width = 8}),
                    std::nullopt, {.hyper = Hyper("min_size=64,max_size=96"), .threads = 1});
}

// The tensor with zeros behind its own numbers along axis 0 or 1, up to `count`.
StateTensor widened(const StateTensor& tensor, std::size_t axis, std::int64_t count) {
  const std::int64_t rows = axis == 0 ? 1 : tensor.shape[0], own = tensor.elements() / rows,
                     wide = own / tensor.shape[axis] * count;
  const auto from = to_float(tensor);
  const auto to = std::make_shared<std::vector<float>>(static_cast<std::size_t>(rows * wide));
  for (std::int64_t r = 0; r < rows; ++r) std::copy_n(from.get() + r * own, own, to->data() + r * wide);
  StateTensor out{DType::f32, tensor.shape, {to, reinterpret_cast<const std::byte*>(to->data())}};
  out.shape[axis] = count;
  return out;
}

}  // namespace

TEST_CASE("channels of zeros change nothing, of regions whose cells the plan keeps a line apart too") {
  // v2's last convolution before the regions are flattened, 1024 channels wide in place of 32.
  const StateDict narrow = seeded_state("fasterrcnn_resnet(1,1,1,1)_fpn_v2", {.classes = 5, .width = 8});
  const std::string head = "roi_heads.box_head.";
  REQUIRE(narrow.find(head + "3.0.weight")->shape[0] == 32);
  StateDict wide;
  for (const auto& [name, tensor] : narrow.entries()) {
    if (name.starts_with(head + "3.") && !tensor.shape.empty())
      wide.add(name, widened(tensor, 0, 1024));
    else if (name == head + "5.weight")
      wide.add(name, widened(tensor, 1, 1024 * tensor.shape[1] / 32));
    else
      wide.add(name, tensor);
  }
  const auto detect = [](const StateDict& state) {
    const Model model = make_model(state, std::nullopt, {.threads = 1});
    const InstanceOptions options{.score = 0.0F, .sides = BoundedSides{64, 96, false}};
    return Detector(model, {.threads = 1}).detect(atrous::runtime_testing::photo(40, 30), options);
  };
  const Instances expected = detect(narrow), found = detect(wide);
  REQUIRE(!expected.found.empty());
  REQUIRE(found.found.size() == expected.found.size());
  for (std::size_t i = 0; i < found.found.size(); ++i) {
    CHECK(found.found[i].label == expected.found[i].label);
    CHECK(found.found[i].score == doctest::Approx(expected.found[i].score).epsilon(1e-4));
  }
}

TEST_CASE("a detector takes its own task's models and sensible options only") {
  const Model masks = small_model("maskrcnn"), boxes = small_model("fasterrcnn"),
              semantic = tiny_model("fcn");
  CHECK(masks.has_masks());
  CHECK(!boxes.has_masks());
  CHECK(semantic.task() == Task::semantic);
  CHECK_THROWS_AS(Detector{semantic}, Error);
  Session session(masks.program, {.threads = 1});
  const Image picture = atrous::runtime_testing::photo(40, 30);
  CHECK(error_of(ErrorCode::unsupported, [&] { segment(session, masks, picture); }).find("finds instances") !=
        std::string::npos);
  Detector detector(boxes, {.threads = 1});
  CHECK_THROWS_AS(detector.detect(picture, {.score = 1.0F}), Error);
  CHECK_THROWS_AS(detector.detect(picture, {.threshold = 1.5F}), Error);
  CHECK_THROWS_AS(detector.detect(picture, {.detections = 0}), Error);
  const Instances found = detector.detect(picture, {.score = 0.0F, .detections = 3});
  REQUIRE(found.found.size() == 3);
  CHECK(found.found.front().score >= found.found.back().score);
  CHECK_THROWS_AS(pasted_mask(found, 0), Error);
  CHECK_THROWS_AS(pasted_mask(found, 7), Error);
}

TEST_CASE("one detector finds in a picture what it finds first, whatever it saw between") {
  const Model model = small_model("maskrcnn");
  const Image first = atrous::runtime_testing::photo(40, 30), second = atrous::runtime_testing::photo(64, 96);
  Detector fresh(model, {.threads = 1}), used(model, {.threads = 2});
  used.detect(second, {.score = 0.0F});
  const Instances expected = fresh.detect(first, {.score = 0.0F}),
                  found = used.detect(first, {.score = 0.0F});
  REQUIRE(found.found.size() == expected.found.size());
  REQUIRE(!found.found.empty());
  for (std::size_t i = 0; i < found.found.size(); ++i) {
    CHECK(found.found[i].box == expected.found[i].box);
    CHECK(found.found[i].mask == expected.found[i].mask);
  }
  // A limit that leaves just enough changes nothing, one below it is refused.
  const std::size_t taken = fresh.memory_bytes();
  Detector bounded(model, {.threads = 1, .memory_limit = 4 * taken});
  CHECK(bounded.detect(first, {.score = 0.0F}).found.size() == expected.found.size());
  Detector small(model, {.threads = 1, .memory_limit = taken / 2});
  CHECK_THROWS_AS(small.detect(first), Error);
}

TEST_CASE("from a device come the proposals' maps and the heads' answers, and no map that a head looks at") {
  struct Case {
    const char* name;
    bool maps, masks;  // whether the boxes' head begins with convolutions; whether there are masks
  };
  for (const Case& c : {Case{"maskrcnn_resnet(1,1,1,1)_fpn", false, true},
                        Case{"maskrcnn_resnet(1,1,1,1)_fpn_v2", true, true},
                        Case{"fasterrcnn_resnet(1,1,1,1)_fpn", false, false}}) {
    CAPTURE(std::string(c.name));
    const auto log = std::make_shared<Log>();
    const Model model = make_model(
        seeded_state(c.name, {.classes = 5, .width = 8}), std::nullopt,
        {.hyper = Hyper("min_size=64,max_size=96"), .device = std::make_shared<LoggingDevice>(log)});
    Detector detector(model);
    const Instances found = detector.detect(atrous::runtime_testing::photo(96, 64), {.detections = 18});
    REQUIRE(found.found.size() == 18);  // where all is zero each class is as likely as the others, 0.2
    CHECK(found.found.front().mask == std::vector<float>(c.masks ? 784 : 0, 0.5F));
    CHECK(log->uploaded == std::vector{Shape{1, 64, 96, 3}});

    std::vector<Shape> downloaded;
    for (const auto& [h, w] : {std::pair{16, 24}, {8, 12}, {4, 6}, {2, 3}, {1, 2}})
      for (const std::int64_t channels : {3, 12}) downloaded.push_back({1, h, w, channels});
    const std::size_t maps = downloaded.size();
    std::vector<Shape> pooled, flattened;
    REQUIRE(log->downloaded.size() > maps);
    for (std::size_t i = maps; i < log->downloaded.size() && log->downloaded[i].n == 1; i += 2) {
      const std::int64_t rows = log->downloaded[i].h;
      CHECK(rows % 64 == 0);
      for (const std::int64_t channels : {5, 20}) downloaded.push_back({1, rows, 1, channels});
      const Shape flat{1, rows, 1, std::int64_t{49} * 32};
      pooled.push_back(c.maps ? Shape{rows, 7, 7, 32} : flat);
      if (c.maps) flattened.push_back(flat);
    }
    for (const std::int64_t rows : {16, 4}) {  // of 18, in shares of 16 and rounded up to 4
      if (!c.masks) break;
      downloaded.push_back({rows, 28, 28, 5});
      pooled.push_back({rows, 14, 14, 32});
    }
    CHECK(log->downloaded == downloaded);
    CHECK(log->pooled == pooled);
    CHECK(log->flattened == flattened);
  }
}

TEST_CASE("labels are painted from the lowest score to the highest") {
  Instances instances{.width = 9, .height = 9, .mask_side = 2};
  // Masks that are sure all over their boxes: the first covers the left, the second everything.
  instances.found = {{.box = {0, 0, 3, 9}, .score = 0.9F, .label = 3, .mask = {1, 1, 1, 1}},
                     {.box = {0, 0, 9, 9}, .score = 0.5F, .label = 7, .mask = {1, 1, 1, 1}}};
  const LabelMap map = painted_labels(instances);
  CHECK(map.row(4)[1] == 3);
  CHECK(map.row(4)[6] == 7);
  std::ranges::reverse(instances.found);
  CHECK(painted_labels(instances).row(4)[1] == 7);
}

TEST_CASE("run lengths say where a mask is, down the columns, outside first") {
  Instances instances{.width = 9, .height = 9, .mask_side = 2};
  instances.found = {{.box = {2, 3, 7, 8}, .score = 0.9F, .label = 1, .mask = {1, 0, 1, 1}},
                     {.box = {-3, -3, 1, 1}, .score = 0.5F, .label = 1, .mask = {1, 1, 1, 1}}};
  for (std::size_t i = 0; i < instances.found.size(); ++i) {
    const std::vector<std::uint8_t> mask = pasted_mask(instances, i);
    std::vector<std::uint32_t> expected{0};
    for (std::size_t x = 0; x < 9; ++x)
      for (std::size_t y = 0; y < 9; ++y) {
        if ((mask[9 * y + x] != 0) != (expected.size() % 2 == 0)) expected.push_back(0);
        ++expected.back();
      }
    CHECK(expected.size() > 2);
    CHECK(pasted_runs(instances, i) == expected);
  }
  LabelMap other{8, 9, std::vector<std::uint8_t>(72)};
  CHECK_THROWS_AS(paint_instance(instances, 0, 1, other), Error);
}

TEST_CASE("v1's older names of keys give the same network as the newer ones") {
  const StateDict newer = seeded_state("maskrcnn_resnet(1,1,1,1)_fpn", {.classes = 5, .width = 8});
  StateDict older;
  for (const auto& [key, tensor] : newer.entries()) {
    std::string name = key;
    const auto replace = [&](const std::string& from, const std::string& to) {
      if (const auto at = name.find(from); at != std::string::npos) name.replace(at, from.size(), to);
    };
    for (int i = 0; i < 4; ++i) {
      replace(str_cat("inner_blocks.", i, ".0."), str_cat("inner_blocks.", i, "."));
      replace(str_cat("layer_blocks.", i, ".0."), str_cat("layer_blocks.", i, "."));
      replace(str_cat("mask_head.", i, ".0."), str_cat("mask_head.mask_fcn", i + 1, "."));
    }
    replace("rpn.head.conv.0.0.", "rpn.head.conv.");
    older.add(name, tensor);
  }
  REQUIRE(older.find("roi_heads.mask_head.mask_fcn4.bias"));
  const Model a = make_model(newer, std::nullopt, {.threads = 1}),
              b = make_model(older, std::nullopt, {.threads = 1});
  CHECK(a.architecture == b.architecture);
  const InstanceOptions options{.score = 0.0F, .sides = BoundedSides{64, 96, false}};
  const Image picture = atrous::runtime_testing::photo(40, 30);
  const Instances first = Detector(a, {.threads = 1}).detect(picture, options),
                  second = Detector(b, {.threads = 1}).detect(picture, options);
  REQUIRE(first.found.size() == second.found.size());
  for (std::size_t i = 0; i < first.found.size(); ++i) CHECK(first.found[i].mask == second.found[i].mask);
}

TEST_CASE("a file that does not fit says which anchors, regressions and classes were expected") {
  const StateDict whole = seeded_state("maskrcnn_resnet(1,1,1,1)_fpn", {.classes = 5, .width = 8});
  const auto with = [&](const std::string& key, const std::vector<std::int64_t>& shape) {
    StateDict state;
    for (const auto& [name, tensor] : whole.entries())
      state.add(name, name == key ? seeded_tensor(name, DType::f32, shape) : tensor);
    return error_of(ErrorCode::mismatch, [&] { build_network(state); });
  };
  CHECK(with("roi_heads.box_predictor.bbox_pred.weight", {12, 128})
            .find("4 regressions for each of 5 classes") != std::string::npos);
  CHECK(with("rpn.head.cls_logits.weight", {15, 32, 1, 1}).find("expected 3 anchors a place") !=
        std::string::npos);
  CHECK(with("roi_heads.box_predictor.cls_score.weight", {1, 128}).find("at least one class more, found 1") !=
        std::string::npos);
  CHECK(with("roi_heads.mask_predictor.mask_fcn_logits.weight", {9, 32, 1, 1})
            .find("the 5 classes of the boxes") != std::string::npos);
}

TEST_CASE("torchvision's published networks have as many keys and parameters as it says") {
  // ../shared/docs: 307 entries with frozen norms, 295 without masks; 432 of v2. Parameters: batch norms that
  // are frozen have none.
  struct Row {
    const char* name;
    std::size_t keys;
    std::int64_t parameters;
  };
  for (const Row& row :
       {Row{"maskrcnn_resnet50_fpn", 307, 44401393}, Row{"fasterrcnn_resnet50_fpn", 295, 41755286},
        Row{"maskrcnn_resnet50_fpn_v2", 432, 46359409}}) {
    CAPTURE(std::string(row.name));
    const PublishedNetwork published = published_network(row.name);
    CHECK(published.keys.size() == row.keys);
    const bool frozen = !std::string(row.name).ends_with("_v2");
    std::int64_t parameters = 0;
    for (const auto& [key, tensor] : published.keys.entries()) {
      const bool statistic =
          key.find(".running_") != std::string::npos || key.ends_with("num_batches_tracked");
      const bool norm =
          key.find(".bn") != std::string::npos || key.find(".downsample.1") != std::string::npos;
      if (!statistic && !(frozen && norm)) parameters += tensor.elements();
    }
    CHECK(parameters == row.parameters);
  }
}

}  // namespace atrous::detector_test
