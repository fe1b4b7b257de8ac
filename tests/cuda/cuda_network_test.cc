// Whole networks on a CUDA device, real or simulated, against the processor.
#include <doctest/doctest.h>

#include <thread>

#include "runtime/engine/compare.h"
#include "runtime/engine/plan.h"
#include "runtime/image/preprocess.h"
#include "runtime/instances/detector.h"
#include "runtime/quantisation/calibrate.h"
#include "tests/cuda/device_testing.h"
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
    for (std::size_t i = 0; i < plan.kernels.size(); ++i)
      if (std::holds_alternative<Conv2d>(session.program().graph.nodes[i].layer))
        count += plan.kernels[i]->name() == which;
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
    for (std::size_t i = 0; i < graph.nodes.size(); ++i) CHECK_FALSE(plan.in_place[i]);
    const auto& input = plan.places[static_cast<std::size_t>(graph.input)];
    const std::size_t end = input.offset + device_bytes(input.shape, precision);
    for (const Node& node : graph.nodes) {
      const auto& place = plan.places[static_cast<std::size_t>(node.output)];
      CHECK((place.offset >= end || place.offset + device_bytes(place.shape, precision) <= input.offset));
    }
  }
}

}  // namespace atrous::cuda_network_test
