// Whole networks: the fast kernels against the references, and what a model says of itself.
#include <doctest/doctest.h>

#include "runtime/engine/program.h"
#include "runtime/image/palette.h"
#include "tests/support/runtime_testing.h"

namespace atrous::network_test {

using namespace atrous::runtime_testing;

TEST_CASE("a network on fast kernels gives the references' logits, on every instruction set") {
  const Shape sizes[] = {{1, 1, 1, 3},  {1, 33, 65, 3}, {1, 24, 40, 3},
                         {1, 1, 50, 3}, {2, 17, 7, 3},  {3, 1, 1, 3}};
  for (const Sample& sample : samples()) {
    const auto& [name, state, aux] = sample;
    CAPTURE(sample.name);
    const Model reference = make_model(state, std::nullopt, {.aux = aux, .force = "reference", .threads = 1});
    for (const Node& node : reference.program->graph.nodes) {
      CHECK(node.kernels.size() == 1);
      CHECK(node.kernels.front()->name() == "reference");
    }
    Session slow(reference.program, {.threads = 1});
    for (const Isa isa : supported_isas()) {
      CAPTURE(std::string(name_of(isa)));
      const Model model = make_model(state, std::nullopt, {.aux = aux, .isa = isa, .threads = 1});
      Session fast(model.program, {.threads = 1});
      for (const Shape& size : sizes) {
        CAPTURE(str_cat(size));
        const Tensor input = noise(size, 5);
        const auto expected = run(slow, input.view());
        CHECK(deviation(run(fast, input.view()), expected) < 1e-5);
        if (aux) CHECK(deviation(values(fast.output("aux")), values(slow.output("aux"))) < 1e-5);
      }
    }
  }
}

TEST_CASE("a network gives the same bits for any number of threads") {
  const Tensor input = noise({2, 65, 50, 3}, 6);
  for (const Sample& sample : samples()) {
    const auto& [name, state, aux] = sample;
    CAPTURE(sample.name);
    const Model model = make_model(state, std::nullopt, {.threads = 1});
    std::vector<float> expected;
    for (const int threads : {1, 2, 3, 7}) {
      CAPTURE(threads);
      Session session(model.program, {.threads = threads});
      const auto logits = run(session, input.view());
      if (expected.empty()) expected = logits;
      CHECK(same_bits(logits, expected));
    }
  }
}

TEST_CASE("no layer of a network falls back to its reference") {
  for (const Sample& sample : samples()) {
    const auto& [name, state, aux] = sample;
    CAPTURE(sample.name);
    const Model model = make_model(state, std::nullopt, {.aux = aux, .threads = 1});
    for (const Node& node : model.program->graph.nodes) {
      CAPTURE(node.name);
      if (std::holds_alternative<Concat>(node.layer)) continue;
      CHECK(node.kernels.front()->name() != "reference");
    }
  }
}

TEST_CASE("compiling keeps weights only in their packed form") {
  const Model model = tiny_model("fcn");
  for (const Node& node : model.program->graph.nodes)
    if (const auto* conv = std::get_if<Conv2d>(&node.layer)) {
      CHECK(conv->weight.data == nullptr);
      CHECK(conv->bias == nullptr);
    }
  const Model mobile = make_model(tiny_mobilenet_state("lraspp"), std::nullopt, {.threads = 1});
  int pairs = 0;
  for (const Node& node : mobile.program->graph.nodes)
    if (const auto* pair = std::get_if<ExpandDepthwise>(&node.layer)) {
      ++pairs;
      for (const Conv2d* conv : {&pair->expand, &pair->depthwise}) {
        CHECK(conv->weight.data == nullptr);
        CHECK(conv->bias == nullptr);
      }
    }
  CHECK(pairs > 0);
  const StateDict state = tiny_state("fcn");
  std::size_t convolution_bytes = 0;
  for (const auto& [name, tensor] : state.entries())
    if (tensor.shape.size() == 4 && !name.starts_with("aux")) convolution_bytes += tensor.bytes().size();
  CHECK(model.program->packed_bytes() >= convolution_bytes);
}

TEST_CASE("the threads that pack the weights do not change the result") {
  const Tensor input = noise({1, 24, 40, 3});
  std::vector<float> expected;
  for (const int threads : {1, 2, 5}) {
    const Model model = tiny_model("deeplabv3", {.threads = threads});
    Session session(model.program, {.threads = 1});
    const auto logits = run(session, input.view());
    if (expected.empty()) expected = logits;
    CHECK(same_bits(logits, expected));
  }
}

TEST_CASE("a model without metadata has torchvision's preparation and generic names") {
  const Model model = tiny_model("deeplabv3");
  CHECK(model.architecture == "deeplabv3_resnet(1,1,1,1)");
  CHECK(model.classes == std::vector<std::string>{"class 0", "class 1", "class 2", "class 3", "class 4"});
  CHECK(model.palette == voc_palette(5));
  CHECK(model.preparation == Preparation{});
  CHECK(model.preparation.resize.width == 520);
  CHECK(model.output_stride == 8);

  const StateDict voc = seeded_state("fcn_resnet18", {.classes = 21, .width = 4, .aux = false});
  CHECK(make_model(voc, std::nullopt, {.threads = 1}).classes == voc_classes());
}

TEST_CASE("a model takes names, colours and preparation from its metadata") {
  Metadata metadata;
  metadata.classes = {"a", "b", "c", "d", "e"};
  metadata.palette = {{1, 2, 3}, {4, 5, 6}, {7, 8, 9}, {10, 11, 12}, {13, 14, 15}};
  metadata.preparation.std = {0.5f, 0.25f, 1.f};
  metadata.preparation.resize = {.kind = ResizeRule::Kind::exact, .width = 32, .height = 16};
  const Model model = make_model(tiny_state("fcn"), metadata, {.threads = 1});
  CHECK(model.classes == metadata.classes);
  CHECK(model.palette == metadata.palette);
  CHECK(model.preparation == metadata.preparation);
}

TEST_CASE("metadata for another number of classes is refused with both numbers") {
  Metadata metadata;
  metadata.classes = {"a", "b", "c"};
  const std::string said = sentence(ErrorCode::mismatch, [&] { make_model(tiny_state("fcn"), metadata); });
  CHECK(mentions(said, "3"));
  CHECK(mentions(said, "5"));
}

TEST_CASE("metadata of another network, or of one that nobody knows, is refused with both names") {
  Metadata metadata;
  for (const char* name : {"fcn_resnet50", "deeplabv3_resnet(1,1,1,1)", "segformer"}) {
    metadata.architecture = name;
    const std::string said = sentence(ErrorCode::mismatch, [&] { make_model(tiny_state("fcn"), metadata); });
    CHECK(mentions(said, name));
    CHECK(mentions(said, "fcn_resnet(1,1,1,1)"));
  }
  metadata.architecture = "fcn_resnet(1,1,1,1)";
  CHECK(make_model(tiny_state("fcn"), metadata, {.threads = 1}).architecture == metadata.architecture);
}

TEST_CASE("a head of more classes than a label map can hold is refused with both numbers") {
  const auto of = [](int classes) {
    return seeded_state("fcn_resnet(1,1,1,1)", {.classes = classes, .width = 4, .aux = false});
  };
  CHECK(make_model(of(256), std::nullopt, {.threads = 1}).classes.size() == 256);
  StateDict state;
  const StateDict most = of(256);
  for (const auto& [name, tensor] : most.entries()) {
    const bool head = name == "classifier.4.weight" || name == "classifier.4.bias";
    if (!head) state.add(name, tensor);
  }
  const auto zeros = [](std::vector<std::int64_t> shape) {
    const auto owner = std::make_shared<const std::vector<float>>(std::size_t{257} * 64);
    return StateTensor{
        DType::f32, std::move(shape), {owner, reinterpret_cast<const std::byte*>(owner->data())}};
  };
  const std::int64_t width = most.find("classifier.4.weight")->shape[1];
  REQUIRE(width <= 64);
  state.add("classifier.4.weight", zeros({257, width, 1, 1}));
  state.add("classifier.4.bias", zeros({257}));
  const std::string said = sentence(ErrorCode::unsupported, [&] { make_model(state, std::nullopt); });
  CHECK(mentions(said, "257 classes, at most 256"));
}

TEST_CASE("asking for an auxiliary head that is not there is an error") {
  const StateDict state = seeded_state("fcn_resnet(1,1,1,1)", {.classes = 2, .width = 4, .aux = false});
  CHECK(mentions(sentence(ErrorCode::unsupported, [&] { make_model(state, std::nullopt, {.aux = true}); }),
                 "auxiliary"));
}

}  // namespace atrous::network_test
