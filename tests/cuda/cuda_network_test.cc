// Whole networks on a CUDA device, real or simulated, against the processor.
#include <doctest/doctest.h>

#include <cstdlib>
#include <thread>

#include "runtime/engine/compare.h"
#include "runtime/engine/plan.h"
#include "runtime/image/preprocess.h"
#include "runtime/instances/detector.h"
#include "runtime/instances/detector_trace.h"
#include "runtime/quantisation/calibrate.h"
#include "runtime/segment/second_stage.h"
#include "tests/cuda/device_testing.h"
#include "tests/support/instance_conformance.h"
#include "tests/support/runtime_testing.h"

namespace atrous::cuda_network_test {

using namespace atrous::runtime_testing;

extern "C" const DeviceModule* atrous_cuda_module();

namespace {

std::shared_ptr<Device> device(Precision precision = Precision::fp32, std::string force = {}) {
  return atrous_cuda_module()->open({.precision = precision, .force = std::move(force)});
}

// Of the largest logit.
double tolerance(Precision precision) {
  return precision == Precision::fp32 ? 1e-5 : precision == Precision::tf32 ? 1e-2 : 2e-2;
}

constexpr Precision precisions[] = {Precision::fp32, Precision::tf32, Precision::fp16};

}  // namespace

TEST_CASE("a network on the device gives the processor's logits") {
  SKIP_WITHOUT_DEVICE();
  const Shape sizes[] = {{1, 17, 33, 3}, {1, 1, 1, 3}, {2, 9, 7, 3}};
  for (const Sample& sample : samples()) {
    const auto& [name, state, aux] = sample;
    CAPTURE(sample.name);
    Session here(make_model(state, std::nullopt, {.aux = aux, .threads = 1}).program, {.threads = 1});
    for (const Precision precision : precisions) {
      CAPTURE(std::string(name_of(precision)));
      Session there(make_model(state, std::nullopt, {.aux = aux, .device = device(precision)}).program);
      // The first run of a size is plain, the second is recorded, the third replayed.
      for (int repetition = 0; repetition < 3; ++repetition)
        for (const Shape& size : sizes) {
          CAPTURE(str_cat(size));
          const Tensor input = noise(size, static_cast<std::uint32_t>(7 + repetition));
          const auto expected = run(here, input.view());
          CHECK(deviation(run(there, input.view()), expected) < tolerance(precision));
          if (aux)
            CHECK(deviation(values(there.output("aux")), values(here.output("aux"))) < tolerance(precision));
        }
    }
  }
}

TEST_CASE("a network of two stages on the device finds the processor's instances") {
  SKIP_WITHOUT_DEVICE();
  const Image picture = photo(60, 44);
  for (const char* name : {"maskrcnn_resnet(1,1,1,1)_fpn", "maskrcnn_resnet(1,1,1,1)_fpn_v2"}) {
    CAPTURE(std::string(name));
    const StateDict state = seeded_state(name, {.classes = 4, .width = 8});
    const Hyper sides("min_size=64,max_size=96");
    const Model here = make_model(state, std::nullopt, {.hyper = sides, .threads = 1}),
                there = make_model(state, std::nullopt, {.hyper = sides, .device = device()});
    const InstanceOptions options{.score = 0.0F, .detections = 20};
    const Instances expected = Detector(here, {.threads = 1}).detect(picture, options),
                    found = Detector(there).detect(picture, options);
    REQUIRE(expected.found.size() == 20);
    std::size_t missed = 0;
    for (const Instance& one : expected.found)
      missed += std::ranges::none_of(found.found, [&](const Instance& other) {
        const auto near = [](float a, float b, float most) { return std::abs(a - b) <= most; };
        return one.label == other.label && near(one.score, other.score, 1e-4F) &&
               near(one.box.x1, other.box.x1, 0.02F) && near(one.box.y1, other.box.y1, 0.02F) &&
               near(one.box.x2, other.box.x2, 0.02F) && near(one.box.y2, other.box.y2, 0.02F) &&
               std::ranges::equal(one.mask, other.mask, [&](float a, float b) { return near(a, b, 1e-3F); });
      });
    CHECK(missed <= 1);  // where suppression decides within rounding
  }
}

namespace {

// The definition: each region of its map of the pyramid.
Tensor regions_of(const DetectorTrace& trace, std::span<const Box> boxes, std::int64_t cells) {
  const std::int64_t channels = trace.maps[0].shape().c;
  Tensor out({std::ssize(boxes), cells, cells, channels});
  for (std::int64_t n = 0; n < std::ssize(boxes); ++n) {
    const Box& box = boxes[static_cast<std::size_t>(n)];
    const int map = pyramid_map_of(box);
    roi_align_reference({cells, 2, 1 / static_cast<float>(4 << map)},
                        trace.maps[static_cast<std::size_t>(map)].view(), {box.x1, box.y1, box.x2, box.y2},
                        {out.view().pixel(n, 0, 0), {1, cells, cells, channels}, channels});
  }
  return out;
}

// What a graph makes of an input on the processor.
std::vector<float> here(const std::shared_ptr<const Program>& program, ConstView input, const char* output) {
  Session session(program, {.threads = 1});
  session.run(input);
  return values(session.output(output));
}

template <class Found>
std::vector<Box> boxes_in(const std::vector<Found>& found) {
  std::vector<Box> boxes;
  for (const Found& one : found) boxes.push_back(one.box);
  return boxes;
}

}  // namespace

TEST_CASE(
    "between the graphs of two stages nothing is lost: regions are their definition's, answers the heads'") {
  SKIP_WITHOUT_DEVICE();
  for (const char* name :
       {"maskrcnn_resnet(1,1,1,1)_fpn", "maskrcnn_resnet(1,1,1,1)_fpn_v2", "fasterrcnn_resnet(1,1,1,1)_fpn"})
    for (const Precision precision : precisions) {
      INFO(std::string(name), ", ", std::string(name_of(precision)));
      const StateDict state = seeded_state(name, {.classes = 4, .width = 4});
      const Hyper sides("min_size=32,max_size=64");
      const Model processor = make_model(state, std::nullopt, {.hyper = sides, .threads = 1}),
                  model = make_model(state, std::nullopt, {.hyper = sides, .device = device(precision)});
      Detector detector(model);
      for (const Image& picture : {photo(32, 40), photo(60, 33)}) {
        DetectorTrace trace;
        const Instances found = detector.detect(picture, {.score = 0.0F, .detections = 6}, &trace);
        const std::vector<Box> proposals = boxes_in(trace.proposals), boxes = boxes_in(trace.detections);
        REQUIRE(proposals.size() > 10);
        REQUIRE(found.found.size() == boxes.size());
        const bool half = precision == Precision::fp16;
        const Tensor regions = cuda::rounded(regions_of(trace, proposals, 7), half);
        CHECK(atrous::difference(trace.pooled.view(), regions.view(), half ? 1.0 / 1024 : 1e-5) == "");

        const auto& [how, box_maps, box_head, mask_head] = *processor.second_stage;
        Tensor flat({1, std::ssize(proposals), 1, 49 * how.map_channels});
        std::ranges::copy(
            box_maps ? here(box_maps, trace.pooled.view(), "maps") : values(trace.pooled.view()),
            flat.data());
        CHECK(deviation(values(trace.classes.view()), here(box_head, flat.view(), "classes")) <
              tolerance(precision));
        CHECK(deviation(values(trace.deltas.view()), here(box_head, flat.view(), "deltas")) <
              tolerance(precision));
        if (!mask_head || boxes.empty()) continue;
        const Tensor looked_at = cuda::rounded(regions_of(trace, boxes, 14), half);
        const std::vector<float> logits = here(mask_head, looked_at.view(), "masks");
        const double largest = std::abs(
            static_cast<double>(*std::ranges::max_element(logits, {}, [](float x) { return std::abs(x); })));
        for (std::size_t i = 0; i < boxes.size(); ++i)
          for (std::size_t pixel = 0; pixel < 784; ++pixel) {
            const auto label = static_cast<std::size_t>(found.found[i].label);
            const auto logit = static_cast<double>(logits[(i * 784 + pixel) * 4 + label]),
                       probability = static_cast<double>(found.found[i].mask[pixel]);
            // The logistic function is nowhere steeper than 1/4.
            if (!(std::abs(probability - 1 / (1 + std::exp(-logit))) <=
                  tolerance(precision) * largest / 4 + 1e-6))
              FAIL("instance ", i, ", pixel ", pixel, ": ", probability, " of the logit ", logit);
          }
      }
    }
}

TEST_CASE("conformance: torchvision's Mask R-CNN on the device, instances at each stage") {
  SKIP_WITHOUT_DEVICE();
  if (!conformance_testing::data_is_there()) return;
  if (device()->info().name == "Simulated device" && !std::getenv("ATROUS_SLOW_SIMULATION")) {
    MESSAGE("skipped: on a simulated device this takes minutes; ATROUS_SLOW_SIMULATION=1 runs it");
    return;
  }
  for (const char* name : {"maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2"})
    conformance_testing::check_instances(name, conformance_testing::networks_folder / name / "small_256_384",
                                         {.device = device()});
}

TEST_CASE("a queue refuses regions and maps that do not fit, and names both") {
  SKIP_WITHOUT_DEVICE();
  const auto queue = device()->make_queue();
  std::byte* memory = queue->reserve(1 << 16);
  const auto view = [&](const Shape& shape) {
    return AnyView{memory, shape, device_pitch(shape.c, Precision::fp32), DType::f32, {}};
  };
  const auto refused = [&](const RoiAlign& layer, const Shape& map, int of, const Shape& out) {
    const std::vector<RoiMap<ConstAnyView>> maps{{layer, view(map)}};
    const std::vector<MapRegion> regions{{{0, 0, 1, 1}, 0}, {{0, 0, 1, 1}, of}};
    return sentence(ErrorCode::invalid_argument, [&] { queue->roi_align(maps, regions, view(out)); });
  };
  const Shape map{1, 4, 4, 8};
  CHECK(mentions(refused({2, 2, 1}, map, 1, {2, 2, 2, 8}), "a region of map 1, but there are 1"));
  CHECK(mentions(refused({2, 0, 1}, map, 0, {2, 2, 2, 8}), "samples 0"));
  CHECK(mentions(refused({2, 2, 1}, {2, 4, 4, 8}, 0, {2, 2, 2, 8}), "the map is [2, 4, 4, 8]"));
  for (const Shape& out : {Shape{1, 2, 2, 8}, Shape{2, 2, 2, 7}, Shape{2, 3, 2, 8}, Shape{1, 1, 1, 32},
                           Shape{1, 2, 1, 31}, Shape{1, 2, 2, 32}})
    CHECK(mentions(refused({2, 2, 1}, map, 0, out),
                   str_cat("2 regions of [1, 2, 2, 8], but the output is ", out)));
  CHECK(refused({2, 2, 1}, map, 0, {3, 2, 2, 8}) == "");
  CHECK(refused({2, 2, 1}, map, 0, {1, 2, 1, 32}) == "");
  CHECK(mentions(sentence(ErrorCode::invalid_argument,
                          [&] {
                            queue->flatten(view({2, 3, 3, 5}), view({1, 2, 1, 44}));
                          }),
                 "[2, 3, 3, 5] is not [1, 2, 1, 44]"));
}

TEST_CASE("on the device a quantised checkpoint is computed from the floats that its weights are") {
  SKIP_WITHOUT_DEVICE();
  const StateDict state = tiny_state("deeplabv3");
  Metadata metadata;
  metadata.architecture = make_model(state, std::nullopt, {.threads = 1}).architecture;
  metadata.preparation.resize = {.kind = ResizeRule::Kind::none};
  Calibration c =
      calibrate(state, metadata, {2, [](std::size_t i) { return photo(40, 40, static_cast<unsigned>(i)); }},
                {.max_loss = 1, .threads = 1});
  metadata.activations = c.activations;
  Session here(make_model(c.state, metadata, {.precision = Precision::fp32, .threads = 1}).program,
               {.threads = 1});
  Session there(make_model(c.state, metadata, {.device = device()}).program);
  const Tensor input = noise({1, 17, 33, 3}, 7);
  CHECK(deviation(run(there, input.view()), run(here, input.view())) < tolerance(Precision::fp32));
}

TEST_CASE("every layer on the device gives what it gives on the processor") {
  SKIP_WITHOUT_DEVICE();
  for (const Sample& sample : samples()) {
    const auto& [name, state, aux] = sample;
    CAPTURE(sample.name);
    Session here(make_model(state, std::nullopt, {.threads = 1, .device_layers = true}).program,
                 {.threads = 1});
    for (const char* force : {"", "direct", "cudnn", "cudnn_plain", "cublaslt"}) {
      CAPTURE(force);
      Session there(make_model(state, std::nullopt, {.device = device(Precision::fp32, force)}).program);
      for (const Shape& size : {Shape{1, 17, 20, 3}, Shape{2, 9, 7, 3}}) {
        CAPTURE(str_cat(size));
        const auto layers = compare_layers(there, here, noise(size, 3).view());
        CHECK(layers.size() >= 20);
        for (const LayerDifference& layer : layers)
          CHECK_MESSAGE(layer.difference.relative < 1e-5, layer.node, " ", str_cat(layer.shape));
      }
    }
  }
}

TEST_CASE("forced implementations run where they accept a layer") {
  SKIP_WITHOUT_DEVICE();
  const auto kernels_named = [](const Session& session, const Plan& plan, std::string_view which) {
    std::size_t count = 0;
    for (std::size_t i = 0; i < plan.steps.size(); ++i)
      if (std::holds_alternative<Conv2d>(session.program().graph.nodes[i].layer))
        count += plan.steps[i].kernel->name() == which;
    return count;
  };
  for (const char* force : {"direct", "cudnn", "cudnn_plain", "cublaslt"}) {
    CAPTURE(force);
    Session session(tiny_model("fcn", {.device = device(Precision::fp32, force)}).program);
    CHECK(kernels_named(session, session.plan({1, 32, 32, 3}), force) > 3);
  }
  CHECK(mentions(sentence(ErrorCode::invalid_argument, [] { device(Precision::fp32, "winograd_6x6"); }),
                 "winograd_6x6"));
}

TEST_CASE("a picture as bytes gives the same bits as the tensor it becomes") {
  SKIP_WITHOUT_DEVICE();
  const Preparation usual,
      caffe{
          .mean = {104.008f, 116.669f, 122.675f}, .std = {1, 1, 1}, .range = 255, .order = ChannelOrder::bgr};
  for (const Precision precision : precisions) {
    const Model model = tiny_model("deeplabv3", {.device = device(precision)});
    Session session(model.program);
    for (const auto& [width, height, preparation] : {std::tuple{31, 20, usual}, std::tuple{8, 40, caffe},
                                                     std::tuple{31, 20, usual}, std::tuple{31, 20, caffe}}) {
      const Image picture = photo(width, height);
      Tensor input({1, height, width, 3});
      normalise(picture, preparation, input.view());
      const auto expected = run(session, input.view());
      session.run(picture, preparation);
      CHECK(same_bits(values(session.output()), expected));
    }
    CHECK(mentions(sentence(ErrorCode::invalid_argument, [&] { session.run(make_image(4, 4, 1), usual); }),
                   "expected 3 channels, found 1"));
  }
}

TEST_CASE("labels and confidences made on the device are the processor's") {
  SKIP_WITHOUT_DEVICE();
  const Model here = tiny_model("deeplabv3"), there = tiny_model("deeplabv3", {.device = device()});
  Session one(here.program, {.threads = 1}), other(there.program);
  const Image picture = photo(60, 45);
  for (const bool at_input : {true, false}) {
    const SegmentOptions options{.resize = ResizeRule{.width = 33}, .at_input = at_input};
    const Segmentation a = segment(one, here, picture, options), b = segment(other, there, picture, options);
    REQUIRE(a.labels.labels.size() == b.labels.labels.size());
    std::size_t different = 0;
    for (std::size_t i = 0; i < a.labels.labels.size(); ++i)
      different += a.labels.labels[i] != b.labels.labels[i];
    CHECK(different * 1000 <= a.labels.labels.size());  // where two classes are as good as equal
    CHECK(deviation(b.confidence, a.confidence) < 1e-4);
  }
  std::vector<float> confidence;
  CHECK(mentions(sentence(ErrorCode::invalid_argument, [&] { label(other, 1, 10, 10, &confidence); }),
                 "batch of 1"));
}

TEST_CASE("an image gets the same answer whatever else is in its batch, and wherever it is") {
  SKIP_WITHOUT_DEVICE();
  Session session(tiny_model("fcn", {.device = device()}).program);
  const Tensor batch = noise({3, 20, 24, 3}, 9);
  const auto all = run(session, batch.view());
  std::vector<float> one_by_one;
  for (std::int64_t n = 0; n < 3; ++n) {
    const auto image = run(session, image_of(batch.view(), n));
    one_by_one.insert(one_by_one.end(), image.begin(), image.end());
  }
  CHECK(deviation(all, one_by_one) < 1e-5);
}

TEST_CASE("a run can be repeated and timed on the device, and changes nothing") {
  SKIP_WITHOUT_DEVICE();
  Session session(tiny_model("fcn", {.device = device()}).program);
  CHECK(mentions(sentence(ErrorCode::invalid_argument, [&] { session.repeat(); }), "has not run"));
  const auto expected = run(session, noise({1, 20, 24, 3}, 9).view());
  for (int i = 0; i < 3; ++i) CHECK(session.repeat() >= 0);
  std::vector<std::uint8_t> labels(480);
  session.label(0, 20, 24, labels, {});
  session.run(noise({1, 8, 8, 3}).view());
  CHECK(same_bits(run(session, noise({1, 20, 24, 3}, 9).view()), expected));
  Session here(tiny_model("fcn").program);
  CHECK(mentions(sentence(ErrorCode::invalid_argument, [&] { here.repeat(); }), "does not run on a device"));
}

TEST_CASE("work that cannot be recorded is run plainly every time") {
  SKIP_WITHOUT_DEVICE();
  const auto queue = device()->make_queue();
  int runs = 0;
  for (int repetition = 1; repetition <= 6; ++repetition) {
    queue->run(1, [&] {
      ++runs;
      cuda::OnDevice forbidden(64);  // memory is not taken while a stream is captured
    });
    queue->wait();
  }
  CHECK(runs == 9);  // three of them attempts
  runs = 0;
  for (int repetition = 0; repetition < 4; ++repetition) queue->run(2, [&] { ++runs; });
  CHECK(runs == 2);  // plainly, and recorded
}

TEST_CASE("sessions share a program on the device, each in a thread of its own") {
  SKIP_WITHOUT_DEVICE();
  const Model model = tiny_model("deeplabv3", {.device = device()});
  Session alone(model.program);
  std::vector<std::vector<float>> expected;
  for (int size = 0; size < 3; ++size)
    expected.push_back(run(alone, noise({1, 16 + 8 * size, 20, 3}).view()));
  std::vector<std::thread> callers;
  std::vector<int> wrong(4, -1);
  for (std::size_t i = 0; i < wrong.size(); ++i)
    callers.emplace_back([&, i] {
      Session session(model.program);
      int failures = 0;
      for (int repetition = 0; repetition < 4; ++repetition)
        for (int size = 0; size < 3; ++size) {
          const auto found = run(session, noise({1, 16 + 8 * size, 20, 3}).view());
          failures += !same_bits(found, expected[static_cast<std::size_t>(size)]);
        }
      wrong[i] = failures;
    });
  for (std::thread& caller : callers) caller.join();
  CHECK(wrong == std::vector<int>(4, 0));
}

TEST_CASE("a plan for a device pads pixels, keeps the input and lays nothing over anything") {
  SKIP_WITHOUT_DEVICE();
  for (const Precision precision : {Precision::fp32, Precision::fp16}) {
    Session session(tiny_model("deeplabv3", {.device = device(precision)}).program);
    const Plan& plan = session.plan({1, 33, 33, 3});
    const Graph& graph = session.program().graph;
    for (const Plan::Place& place : plan.places)
      if (place.shape.n > 0) {
        CHECK(place.offset % 256 == 0);
        CHECK(place.pitch == device_pitch(place.shape.c, precision));
      }
    for (const Plan::Step& step : plan.steps) CHECK_FALSE(step.in_place);
    const auto& input = plan.places[static_cast<std::size_t>(graph.input)];
    const std::size_t end = input.offset + device_bytes(input.shape, precision);
    for (const Node& node : graph.nodes) {
      const auto& place = plan.places[static_cast<std::size_t>(node.output)];
      CHECK((place.offset >= end || place.offset + device_bytes(place.shape, precision) <= input.offset));
    }
  }
}

}  // namespace atrous::cuda_network_test
