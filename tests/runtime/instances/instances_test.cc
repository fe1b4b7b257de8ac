// The steps between Mask R-CNN's networks against torchvision's values: small ones in goldens/instances.txt,
// which python/make_instance_goldens.py writes, and whole pictures in ../shared/data/networks.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "layers/base/error.h"
#include "layers/cpu/maps/roi_align_channelwise.h"
#include "layers/ops/roi_align.h"
#include "runtime/instances/boxes.h"
#include "runtime/instances/detections.h"
#include "runtime/instances/proposals.h"
#include "tests/support/instance_testing.h"

namespace atrous::instances_test {

namespace {

namespace fs = std::filesystem;

std::vector<Golden> goldens(const std::string& kind) {
  std::vector<Golden> all = read_goldens("instances");
  std::erase_if(all, [&](const Golden& golden) { return golden.name != kind; });
  REQUIRE(!all.empty());
  return all;
}

float distance(const Box& a, const Box& b) {
  return std::max(
      {std::abs(a.x1 - b.x1), std::abs(a.y1 - b.y1), std::abs(a.x2 - b.x2), std::abs(a.y2 - b.y2)});
}

float largest_difference(std::span<const float> a, std::span<const float> b) {
  REQUIRE(a.size() == b.size());
  float largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

Extent extent_of(const Golden& golden) { return {golden.integer("h"), golden.integer("w")}; }

// The cases of both published networks, from the data beside the repository.
std::vector<fs::path> conformance_cases() {
  const fs::path root = fs::path(ATROUS_SOURCE_DIR) / "../shared/data/networks";
  std::vector<fs::path> cases;
  for (const char* name : {"maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2"})
    for (const char* size : {"default_800_1333", "small_256_384"})
      if (fs::exists(root / name / size)) cases.push_back(root / name / size);
  if (cases.empty()) std::puts("skipped: ../shared/data/networks is absent");
  return cases;
}

// The number at a place of the array that a key of a JSON file names.
std::int64_t number_in(const fs::path& json, const std::string& key, int place) {
  std::ifstream file(json);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  std::size_t at = text.find('"' + key + '"');
  REQUIRE(at != text.npos);
  at = text.find('[', at) + 1;
  for (int i = 0; i < place; ++i) at = text.find(',', at) + 1;
  return std::stoll(text.substr(at));
}

}  // namespace

TEST_CASE("suppression keeps the boxes that torchvision keeps, in its order") {
  for (const Golden& golden : goldens("nms")) {
    const std::vector<Box> boxes = boxes_of(golden["boxes"]);
    const std::vector<int> groups = integers_of(golden["groups"].values);
    std::vector<ScoredBox> scored;
    for (std::size_t i = 0; i < boxes.size(); ++i)
      scored.push_back({boxes[i], golden["scores"].values.at(i), groups.at(i)});
    const auto kept = suppress_overlapping(scored, static_cast<float>(golden.number("threshold")));
    CHECK(std::vector<int>(kept.begin(), kept.end()) == integers_of(golden["kept"].values));
  }
}

TEST_CASE("suppression keeps equal scores by place, boxes of no area, and an overlap of just the threshold") {
  std::vector<ScoredBox> boxes{{{0, 0, 2, 2}, 0.5F},
                               {{0, 0, 2, 2}, 0.5F},
                               {{5, 5, 5, 5}, 0.5F},
                               {{5, 5, 5, 5}, 0.5F},
                               {{0, 0, 2, 1}, 0.25F}};
  CHECK(suppress_overlapping(boxes, 0.5F) == std::vector<std::size_t>{0, 2, 3, 4});
  for (int i = 0; ScoredBox & box : boxes) box.group = i++;
  CHECK(suppress_overlapping(boxes, 0.5F) == std::vector<std::size_t>{0, 1, 2, 3, 4});
  boxes[3].score = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH_AS(suppress_overlapping(boxes, 0.5F),
                       "suppression of overlapping boxes: a score is not a number", Error);
}

TEST_CASE("boxes are decoded as torchvision's BoxCoder decodes them") {
  for (const Golden& golden : goldens("decode")) {
    const auto x = static_cast<float>(golden.number("x")), w = static_cast<float>(golden.number("w"));
    const auto references = boxes_of(golden["references"]), expected = boxes_of(golden["boxes"]);
    for (std::size_t i = 0; i < references.size(); ++i) {
      const Box box = decode_box(references[i], golden["deltas"].values.data() + 4 * i, {x, x, w, w});
      const float size = std::max({1.0F, std::abs(expected[i].x2), std::abs(expected[i].y2)});
      CHECK(distance(box, expected[i]) <= 1e-6F * size);
    }
  }
}

TEST_CASE("base anchors have the sides that the ratios say, rounded to whole pixels") {
  const std::vector<float> ratios{0.5F, 1, 2};
  CHECK(base_anchors(32, ratios) ==
        std::vector<Box>{{-23, -11, 23, 11}, {-16, -16, 16, 16}, {-11, -23, 11, 23}});
  CHECK(base_anchors(512, ratios) ==
        std::vector<Box>{{-362, -181, 362, 181}, {-256, -256, 256, 256}, {-181, -362, 181, 362}});
  CHECK_THROWS_AS(base_anchors(0, ratios), Error);
}

TEST_CASE("proposals are torchvision's, of maps whose stride is no power of two too") {
  for (const Golden& golden : goldens("proposals")) {
    ProposalOptions options;
    options.sizes = {16, 32, 64};
    options.candidates = golden.integer("candidates");
    options.proposals = golden.integer("proposals");
    std::vector<Tensor> tensors;
    for (const char* map : {"0", "1", "2"}) {
      tensors.push_back(golden["objectness" + std::string(map)].map());
      tensors.push_back(golden["deltas" + std::string(map)].map());
    }
    std::vector<ProposalMap> maps;
    for (std::size_t i = 0; i < 6; i += 2) maps.push_back({tensors[i].view(), tensors[i + 1].view()});
    const Extent padded{golden.integer("padded_h"), golden.integer("padded_w")};
    const auto proposals =
        select_proposals(proposal_candidates(maps, padded, extent_of(golden), options), options);
    const auto expected = boxes_of(golden["boxes"]);
    REQUIRE(proposals.size() == expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      CHECK(distance(proposals[i].box, expected[i]) <= 1e-4F);
      CHECK(std::abs(proposals[i].score - golden["scores"].values[i]) <= 1e-6F);
    }
    CHECK_THROWS_WITH_AS(proposal_candidates({maps.data(), 2}, padded, padded, options),
                         "proposals: 2 maps, but 3 sizes of anchors", Error);
    tensors[2].data()[4] = std::numeric_limits<float>::quiet_NaN();
    CHECK_THROWS_WITH_AS(proposal_candidates(maps, padded, padded, options),
                         "proposals: objectness of map 1 is not a number", Error);
  }
}

TEST_CASE("detections are torchvision's") {
  for (const Golden& golden : goldens("detections")) {
    std::vector<Proposal> proposals;
    for (const Box& box : boxes_of(golden["proposals"])) proposals.push_back({box, 1});
    DetectionOptions options;
    options.detections = golden.integer("detections");
    Tensor logits = golden["logits"].map();
    const Tensor deltas = golden["deltas"].map();
    const auto detections =
        select_detections(logits.view(), deltas.view(), proposals, extent_of(golden), options);
    const auto expected = boxes_of(golden["boxes"]);
    REQUIRE(detections.size() == expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      CHECK(distance(detections[i].box, expected[i]) <= 1e-4F);
      CHECK(std::abs(detections[i].score - golden["scores"].values[i]) <= 1e-6F);
      CHECK(static_cast<float>(detections[i].label) == golden["labels"].values[i]);
    }
    CHECK(select_detections({}, {}, {}, extent_of(golden), options).empty());
    proposals.pop_back();
    CHECK_THROWS_AS(select_detections(logits.view(), deltas.view(), proposals, extent_of(golden), options),
                    Error);
    proposals.emplace_back();
    logits.data()[3] = std::numeric_limits<float>::infinity();
    CHECK_THROWS_WITH_AS(
        select_detections(logits.view(), deltas.view(), proposals, extent_of(golden), options),
        "detections: a class logit of proposal 0 is not finite", Error);
  }
}

TEST_CASE("a box is pooled from the map that torchvision's LevelMapper says") {
  for (const Golden& golden : goldens("levels")) {
    std::vector<int> levels;
    for (const Box& box : boxes_of(golden["boxes"])) levels.push_back(pyramid_map_of(box));
    CHECK(levels == integers_of(golden["levels"].values));
  }
}

TEST_CASE("masks are pasted where and as torchvision pastes them") {
  for (const Golden& golden : goldens("paste")) {
    const Extent picture = extent_of(golden);
    const auto boxes = boxes_of(golden["boxes"]);
    const auto area = static_cast<std::size_t>(picture.h * picture.w);
    const std::int64_t side = golden["masks"].shape.at(1);
    const auto each = static_cast<std::size_t>(side * side);
    std::vector<float> out(area);
    for (std::size_t i = 0; i < boxes.size(); ++i) {
      const PastedCorners corners = pasted_corners(boxes[i], side);
      const Box expected = boxes_of(golden["corners"])[i];
      CHECK(Box{static_cast<float>(corners.x1), static_cast<float>(corners.y1),
                static_cast<float>(corners.x2), static_cast<float>(corners.y2)} == expected);
      const std::span<const float> masks(golden["masks"].values), pictures(golden["pictures"].values);
      paste_mask(masks.subspan(i * each, each), side, corners, picture, out);
      CHECK(largest_difference(out, pictures.subspan(i * area, area)) <= 1e-6F);
    }
    CHECK_THROWS_AS(paste_mask(std::span(out).first(10), side, {}, picture, out), Error);
    CHECK_THROWS_AS(pasted_corners({0, 0, std::numeric_limits<float>::quiet_NaN(), 1}, 28), Error);
  }
}

TEST_CASE("RoIAlign is torchvision's, and the fast one its definition's for any number of threads") {
  for (const Golden& golden : goldens("roi_align")) {
    const RoiAlign layer{golden.integer("size"), golden.integer("samples"),
                         static_cast<float>(golden.number("scale"))};
    const Tensor map = golden["map"].map();
    const auto boxes = boxes_of(golden["regions"]);
    std::vector<MapRegion> regions;
    for (const Box& box : boxes) regions.push_back({{box.x1, box.y1, box.x2, box.y2}, 0});
    const std::span<const float> expected(golden["out"].values);
    const std::size_t each = expected.size() / regions.size();
    const Shape one{1, layer.size, layer.size, map.shape().c};

    Tensor fast({std::ssize(regions), one.h, one.w, one.c}), reference(one);
    const RoiMap<ConstView> from{layer, map.view()};
    for (const int threads : {1, 3}) {
      std::fill_n(fast.data(), expected.size(), -1.0F);
      roi_align_channelwise({&from, 1}, regions, fast.view(), threads);
      for (std::size_t i = 0; i < regions.size(); ++i) {
        roi_align_reference(layer, from.map, regions[i].region, reference.view());
        const std::span<const float> torchs = expected.subspan(i * each, each),
                                     values(reference.data(), each);
        CHECK(largest_difference(values, torchs) <= 1e-5F);
        CHECK(std::ranges::equal(values, std::span<const float>(fast.data() + i * each, each)));
      }
    }
    regions[0].map = 1;
    CHECK_THROWS_WITH_AS(roi_align_channelwise({&from, 1}, regions, fast.view(), 1),
                         "roi_align: a region of map 1, but there are 1", Error);
    CHECK_THROWS_AS(roi_align_reference({0, 2, 1}, from.map, {}, reference.view()), Error);
  }
}

TEST_CASE("from the candidates of whole pictures come torchvision's proposals") {
  for (const fs::path& folder : conformance_cases()) {
    CAPTURE(folder.string());
    const auto rows = npy_values(folder / "rpn_pre_nms.npy");
    std::vector<Candidate> candidates;
    for (std::size_t i = 0; i + 6 < rows.size(); i += 7)
      candidates.push_back({static_cast<int>(rows[i]),
                            static_cast<std::int64_t>(rows[i + 1]),
                            rows[i + 2],
                            {rows[i + 3], rows[i + 4], rows[i + 5], rows[i + 6]}});
    const auto proposals = select_proposals(candidates);
    const auto expected = boxes_of(npy_values(folder / "proposals.npy"));
    const auto scores = npy_values(folder / "proposal_scores.npy");
    const auto levels = integers_of(npy_values(folder / "proposal_levels.npy"));
    REQUIRE(proposals.size() == expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      CHECK(proposals[i].box == expected[i]);
      CHECK(std::abs(proposals[i].score - scores[i]) <= 1e-6F);
      CHECK(pyramid_map_of(proposals[i].box) == levels[i]);
    }
  }
}

TEST_CASE("boxes and masks of whole pictures are laid into them as torchvision lays them") {
  for (const fs::path& folder : conformance_cases()) {
    CAPTURE(folder.string());
    const Extent picture{number_in(folder / "meta.json", "png_size_wh", 1),
                         number_in(folder / "meta.json", "png_size_wh", 0)};
    const Extent resized{number_in(folder / "meta.json", "resized_hw", 0),
                         number_in(folder / "meta.json", "resized_hw", 1)};
    const auto found = boxes_of(npy_values(folder / "det_boxes_resized.npy"));
    const auto boxes = boxes_of(npy_values(folder / "boxes.npy"));
    const auto corners = boxes_of(npy_values(folder / "paste_boxes_int.npy"));
    const auto masks = npy_values(folder / "mask_prob.npy"),
               first = npy_values(folder / "pasted_prob_first.npy");
    const auto bits = npy_values(folder / "pasted_bits.npy"),
               uncertain = npy_values(folder / "pasted_uncertain_bits.npy");
    REQUIRE(masks.size() == boxes.size() * 784);
    const auto area = static_cast<std::size_t>(picture.h * picture.w), bytes = (area + 7) / 8;
    REQUIRE(bits.size() == boxes.size() * bytes);
    std::vector<float> out(area);
    for (std::size_t i = 0; i < boxes.size(); ++i) {
      CHECK(distance(rescale_box(found[i], resized, picture), boxes[i]) <= 1e-4F);
      const PastedCorners at = pasted_corners(boxes[i], 28);
      CHECK(Box{static_cast<float>(at.x1), static_cast<float>(at.y1), static_cast<float>(at.x2),
                static_cast<float>(at.y2)} == corners[i]);
      paste_mask(std::span(masks).subspan(i * 784, 784), 28, at, picture, out);
      if (i == 0) CHECK(largest_difference(out, first) <= 1e-5F);
      std::size_t wrong = 0;
      for (std::size_t p = 0; p < area; ++p) {
        const int mask = 128 >> (p % 8);
        const bool is_uncertain = (static_cast<int>(uncertain[i * bytes + p / 8]) & mask) != 0;
        const bool is_set = (static_cast<int>(bits[i * bytes + p / 8]) & mask) != 0;
        wrong += !is_uncertain && (out[p] >= 0.5F) != is_set;
      }
      CHECK(wrong == 0);
    }
  }
}

}  // namespace atrous::instances_test
