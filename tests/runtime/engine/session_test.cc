#include "runtime/engine/session.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <limits>
#include <new>
#include <span>
#include <thread>
#include <vector>

#include "layers/cpu/parallel.h"
#include "runtime/engine/compare.h"
#include "runtime/engine/plan.h"
#include "tests/support/logging_device.h"
#include "tests/support/runtime_testing.h"
#include "tests/support/sanitizers.h"

// AddressSanitizer checks operator new against delete; there it keeps its own, and nothing is counted.
#define ATROUS_COUNTS_ALLOCATIONS (!ATROUS_ADDRESS_SANITIZER)

namespace {

std::atomic<bool> counting{false};
std::atomic<std::size_t> allocated{0};  // bytes

}  // namespace

#if ATROUS_COUNTS_ALLOCATIONS
namespace {

void* counted(std::size_t bytes, std::size_t alignment = 0) {
  if (counting) allocated += bytes;
  if (bytes > PTRDIFF_MAX) throw std::bad_alloc();
  if (bytes == 0) bytes = 1;
  void* memory = alignment ? std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment)
                           : std::malloc(bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

// Not inline: g++ takes a free() within a delete-expression for a mismatch.
[[gnu::noinline]] void release(void* memory) { std::free(memory); }

}  // namespace

// Counts what this program allocates while a test asks for it; the array and nothrow forms end up here.
void* operator new(std::size_t bytes) { return counted(bytes); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return counted(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { release(memory); }
void operator delete(void* memory, std::size_t) noexcept { release(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { release(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { release(memory); }
#endif

namespace atrous::session_test {

using namespace atrous::runtime_testing;

namespace {

const Shape sizes[] = {{1, 24, 40, 3}, {1, 1, 1, 3},   {2, 33, 17, 3}, {1, 64, 64, 3},
                       {3, 9, 9, 3},   {1, 40, 24, 3}, {1, 24, 40, 3}};

// Layers of 16 to 512 channels: on maps of some size Winograd's kernels run.
Model wide_model() {
  return make_model(seeded_state("deeplabv3_resnet(1,1,1,1)", {.classes = 5, .width = 16, .aux = false}),
                    std::nullopt, {.threads = 1});
}

// The least that a plan's kernels can be held to, whichever they are.
std::size_t least_workspace(const Program& program, const Shape& size, int threads) {
  const Plan plan = make_plan(program, size, threads);
  const auto shape = [&](ValueId v) { return plan.places[static_cast<std::size_t>(v)].shape; };
  std::size_t most = 0;
  for (const Node& node : program.graph.nodes) {
    std::vector<Shape> inputs;
    for (ValueId v : node.inputs) inputs.push_back(shape(v));
    std::size_t least = SIZE_MAX;
    for (const auto& kernel : node.kernels)
      least = std::min(least, kernel->least_workspace_bytes(inputs, shape(node.output), threads));
    most = std::max(most, least);
  }
  return most;
}

}  // namespace

TEST_CASE("one session takes any size and batch, in any order, and gives a fresh session's bytes") {
  const Model model = tiny_model("deeplabv3");
  Session reused(model.program, {.threads = 1});
  for (int round = 0; round < 2; ++round)
    for (const Shape& size : sizes) {
      CAPTURE(str_cat(size));
      const Tensor input = noise(size, 7);
      Session fresh(model.program, {.threads = 1});
      const auto expected = run(fresh, input.view());
      CHECK(expected.size() ==
            static_cast<std::size_t>(size.n * ((size.h + 7) / 8) * ((size.w + 7) / 8) * 5));
      CHECK(same_bits(run(reused, input.view()), expected));
    }
}

TEST_CASE("more sizes than a session remembers still give the right answers") {
  const Model model = tiny_model("fcn");
  Session session(model.program, {.threads = 1});
  const Tensor first = noise({1, 16, 16, 3});
  const auto expected = run(session, first.view());
  for (std::int64_t width = 1; width <= 40; ++width) session.run(noise({1, 8, width, 3}).view());
  CHECK(same_bits(run(session, first.view()), expected));
}

TEST_CASE("the last run's output survives plans for other sizes") {
  const Model model = tiny_model("fcn");
  Session session(model.program, {.threads = 1});
  const auto expected = run(session, noise({1, 16, 16, 3}).view());
  for (std::int64_t width = 1; width <= 40; ++width) session.plan({1, 8, width, 3});
  CHECK(sentence(ErrorCode::invalid_argument, [&] { session.output(); }) == "");
  CHECK(same_bits(values(session.output()), expected));
}

TEST_CASE("a plan that a caller holds stays what it was, however many others are made") {
  const Model model = tiny_model("fcn");
  Session session(model.program, {.threads = 1});
  const Shape size{1, 16, 16, 3};
  const Plan expected = make_plan(*model.program, size, 1);
  const Plan &planned = session.plan(size), &reserved = session.reserve(size);
  for (std::int64_t width = 1; width <= 40; ++width) session.plan({1, 8, width, 3});
  for (const Plan* held : {&planned, &reserved}) {
    CHECK(held->steps == expected.steps);
    CHECK(held->arena_bytes() == expected.arena_bytes());
    REQUIRE(held->places.size() == expected.places.size());
    for (std::size_t v = 0; v < expected.places.size(); ++v)
      CHECK(held->places[v].shape == expected.places[v].shape);
  }
}

TEST_CASE("a session repeats what ran last, whatever was planned since") {
  const auto log = std::make_shared<Log>();
  const Model model = tiny_model("fcn", {.device = std::make_shared<LoggingDevice>(log)});
  Session session(model.program);
  CHECK(mentions(sentence(ErrorCode::invalid_argument, [&] { session.repeat(); }), "has not run"));
  for (const Shape& size : {Shape{1, 16, 16, 3}, Shape{1, 8, 8, 3}}) {
    log->written.clear();
    session.run(noise(size).view());
    const auto written = log->written;
    const std::uint64_t key = log->keys.back();
    REQUIRE(!written.empty());
    const auto repeats = [&] {
      log->written.clear();
      session.repeat();
      CHECK(log->written == written);
      CHECK(log->keys.back() == key);
    };
    repeats();
    session.plan({1, 64, 64, 3});
    repeats();
    session.reserve({1, 4, 4, 3});
    repeats();
    for (std::int64_t width = 1; width <= 40; ++width) session.plan({1, 100, width, 3});
    repeats();
    CHECK(sentence(ErrorCode::limit, [&] { session.plan({1, std::int64_t{1} << 40, 1 << 20, 3}); }) != "");
    repeats();
    CHECK_FALSE(log->outside);
  }
  session.reserve({1, 64, 64, 3});  // takes other memory, in which there is no input
  CHECK(mentions(sentence(ErrorCode::invalid_argument, [&] { session.repeat(); }), "no input"));
  CHECK(mentions(sentence(ErrorCode::invalid_argument, [&] { session.output(); }), "no output"));
}

TEST_CASE("an input that is made on a device is put where the network takes it, and runs as any other") {
  const auto log = std::make_shared<Log>();
  const Model model = tiny_model("fcn", {.device = std::make_shared<LoggingDevice>(log)});
  Session session(model.program);
  const Shape shape{1, 16, 24, 3};
  for (int run = 0; run < 3; ++run) {
    log->written.clear();
    std::size_t before = 1;
    session.run(shape, [&](DeviceQueue&, AnyView to) {
      CHECK(to.shape == shape);
      CHECK(to.pitch == device_pitch(3, Precision::fp32));
      CHECK(to.data >= log->memory.data());
      CHECK(to.data + device_bytes(shape, Precision::fp32) <= log->memory.data() + log->memory.size());
      before = log->written.size();
    });
    CHECK(before == 0);
    CHECK(log->written.size() > 3);
  }
  CHECK(log->uploaded.empty());
  const int waits = log->waits;
  const ConstAnyView out = session.output_on_device();
  CHECK(log->waits == waits + 1);
  CHECK(out.shape == Shape{1, 2, 3, 5});
  CHECK(out.data > log->memory.data());
  CHECK(log->downloaded.empty());
  CHECK_FALSE(log->outside);
  CHECK(mentions(sentence(ErrorCode::invalid_argument, [&] { session.output_on_device("other"); }),
                 "no output named other"));

  const Model padding = make_model(seeded_state("maskrcnn_resnet(1,1,1,1)_fpn", {.classes = 4, .width = 8}),
                                   std::nullopt, {.device = model.program->device});
  Session padded(padding.program);
  CHECK(mentions(
      sentence(ErrorCode::invalid_argument, [&] { padded.run(shape, [](DeviceQueue&, AnyView) {}); }),
      "[1, 16, 24, 3] on the device, the network takes [1, 32, 32, 3]"));
  Session here(tiny_model("fcn").program);
  for (const std::string& said :
       {sentence(ErrorCode::invalid_argument, [&] { here.run(shape, [](DeviceQueue&, AnyView) {}); }),
        sentence(ErrorCode::invalid_argument, [&] { here.output_on_device(); })})
    CHECK(mentions(said, "does not run on a device"));
}

TEST_CASE("an observer may plan as many other sizes as it likes") {
  const Model model = tiny_model("fcn");
  Session session(model.program, {.threads = 1});
  const Tensor input = noise({1, 16, 16, 3});
  const auto expected = run(session, input.view());
  session.run(input.view(), [&](std::size_t node, double, ConstView) {
    if (node == 0)
      for (std::int64_t width = 1; width <= 40; ++width) session.plan({1, 8, width, 3});
  });
  CHECK(same_bits(values(session.output()), expected));
}

TEST_CASE("labels are written into spans of exactly the map's size, or not at all") {
  const Model model = tiny_model("fcn");
  Session session(model.program, {.threads = 1});
  session.run(noise({2, 16, 16, 3}).view());
  const Tensor logits = noise({1, 2, 2, 5});
  std::vector<std::uint8_t> labels(300, 7);
  std::vector<float> confidence(300, -1);
  const auto label = [&](bool own, std::int64_t height, std::int64_t width, std::size_t count,
                         std::size_t confidences) {
    const std::span<std::uint8_t> to = std::span(labels).first(count);
    const std::span<float> beside = std::span(confidence).first(confidences);
    return sentence(ErrorCode::invalid_argument, [&] {
      if (own)
        session.label(1, height, width, to, beside);
      else
        session.label(logits.view(), {}, height, width, to, beside);
    });
  };
  for (const bool own : {true, false}) {
    CAPTURE(own);
    CHECK(mentions(label(own, 16, 16, 64, 0), "label map: 16x16 needs 256 labels, there is room for 64"));
    CHECK(mentions(label(own, 16, 16, 0, 0), "needs 256 labels, there is room for 0"));
    CHECK(mentions(label(own, 16, 16, 257, 0), "needs 256 labels, there is room for 257"));
    CHECK(mentions(label(own, 16, 16, 256, 255), "needs 256 confidences, there is room for 255"));
    CHECK(mentions(label(own, 16, 16, 256, 257), "needs 256 confidences, there is room for 257"));
    CHECK(mentions(label(own, 0, 16, 0, 0), "16x0 has no pixels"));
    CHECK(mentions(label(own, -16, -16, 256, 0), "-16x-16 has no pixels"));
    CHECK(std::ranges::count(labels, 7) == 300);
    CHECK(std::ranges::count(confidence, -1.f) == 300);
    CHECK(label(own, 16, 16, 256, 256) == "");
    CHECK(std::ranges::count(std::span(labels).subspan(256), 7) == 44);
    std::ranges::fill(labels, std::uint8_t{7});
    std::ranges::fill(confidence, -1.f);
  }
  CHECK(mentions(sentence(ErrorCode::invalid_argument, [&] { session.label(2, 16, 16, labels, {}); }),
                 "image 2 of a batch of 2"));
  CHECK(mentions(sentence(ErrorCode::invalid_argument, [&] { session.label(-1, 16, 16, labels, {}); }),
                 "image -1 of a batch of 2"));
}

// What is wrong with a view of 8x8 pixels, and what the error says of it.
struct BadView {
  const char* wrong;
  std::function<void(ConstView&)> spoil;
  const char* said;
};

TEST_CASE("a view that cannot be is refused wherever a session takes one") {
  const std::vector<BadView> views{
      {"no memory", [](ConstView& v) { v.data = nullptr; }, "there is no memory"},
      {"a pitch below its channels", [](ConstView& v) { v.pitch = 2; }, "a pitch of 2 is less than its 3"},
      {"a negative pitch", [](ConstView& v) { v.pitch = -3; }, "a pitch of -3 is less than its 3"},
      {"no images", [](ConstView& v) { v.shape.n = 0; }, "[0, 8, 8, 3] has a dimension of 0"},
      {"a negative height", [](ConstView& v) { v.shape.h = -8; }, "[1, -8, 8, 3] has a dimension of -8"},
      {"a negative width", [](ConstView& v) { v.shape.w = -8; }, "[1, 8, -8, 3] has a dimension of -8"},
      {"no channels", [](ConstView& v) { v.shape.c = 0; }, "[1, 8, 8, 0] has a dimension of 0"},
  };
  const Model model = tiny_model("fcn");
  Session session(model.program, {.threads = 1}), other(model.program, {.threads = 1});
  const Tensor input = noise({1, 8, 8, 3});
  std::vector<std::uint8_t> labels(64);
  for (const BadView& bad : views) {
    CAPTURE(bad.wrong);
    ConstView view = input.view();
    bad.spoil(view);
    const auto refused = [&](const auto& take) {
      CHECK(mentions(sentence(ErrorCode::invalid_argument, take), bad.said));
    };
    refused([&] { session.run(view); });
    refused([&] { session.label(view, {}, 8, 8, labels, {}); });
    refused([&] { segment(session, model, view); });
    refused([&] { difference(view, input.view()); });
    refused([&] { difference(input.view(), view); });
    refused([&] { compare_layers(session, other, view); });
  }
  ConstView wide = input.view();
  wide.pitch = std::numeric_limits<std::int64_t>::max();
  CHECK(mentions(sentence(ErrorCode::limit, [&] { session.run(wide); }), "overflows"));
  CHECK(mentions(sentence(ErrorCode::invalid_argument, [&] { Session(nullptr); }), "no program"));
}

TEST_CASE("an input may be a slice of a wider tensor's channels") {
  const Model model = tiny_model("fcn");
  Session session(model.program, {.threads = 1});
  const Tensor wide = noise({1, 13, 18, 7});
  Tensor narrow({1, 13, 18, 3});
  const ConstView slice = channels(ConstView(wide.view()), 2, 3);
  std::ranges::copy(values(slice), narrow.data());
  const auto expected = run(session, narrow.view());
  CHECK(same_bits(run(session, slice), expected));
}

TEST_CASE("input that is written where the network reads it gives the bits of a caller's own") {
  const Model model = tiny_model("fcn");
  Session session(model.program, {.threads = 1}), other(model.program, {.threads = 1});
  for (const Shape shape : {Shape{1, 13, 18, 3}, Shape{3, 24, 33, 3}, Shape{1, 9, 7, 3}}) {
    const Tensor input = noise(shape);
    const auto expected = run(other, input.view());
    int calls = 0;
    session.run(shape, HostInput([&](View place) {
                  ++calls;
                  REQUIRE(place.shape == shape);
                  for (std::int64_t p = 0; p < shape.pixels(); ++p)
                    std::copy_n(input.data() + 3 * p, 3, place.data + p * place.pitch);
                }));
    CHECK(calls == 1);
    CHECK(same_bits(values(session.output()), expected));
  }
  struct Stopped {};
  CHECK_THROWS_AS(session.run({1, 13, 18, 3}, HostInput([](View) { throw Stopped(); })), Stopped);
  CHECK(sentence(ErrorCode::invalid_argument, [&] { session.output(); }) != "");
}

TEST_CASE("each image of a batch gets the answer it gets alone") {
  const Model model = tiny_model("deeplabv3");
  Session session(model.program, {.threads = 1});
  const Tensor batch = noise({3, 24, 33, 3});
  const auto together = run(session, batch.view());
  std::vector<float> alone;
  for (std::int64_t n = 0; n < 3; ++n) {
    const auto one = run(session, ConstView{batch.view().pixel(n, 0, 0), {1, 24, 33, 3}, 3});
    alone.insert(alone.end(), one.begin(), one.end());
  }
  CHECK(same_bits(together, alone));
}

TEST_CASE("a second run of a shape allocates no more than small tables") {
  if (!ATROUS_COUNTS_ALLOCATIONS) {
    MESSAGE("skipped: AddressSanitizer does the allocating");
    return;
  }
  const Model small = tiny_model("deeplabv3"), wide = wide_model();
  for (const Model* model : {&small, &wide})
    for (const int threads : {1, 2}) {
      CAPTURE(threads);
      Session session(model->program, {.threads = threads});
      const Tensor input = noise({1, 160, 200, 3});
      allocated = 0;
      counting = true;
      session.run(input.view());
      const std::size_t at_first = allocated.exchange(0);
      session.run(input.view());
      counting = false;
      CHECK(at_first > 0);
      CHECK(allocated.load() < 100'000);
      CHECK(allocated.load() < session.arena_bytes() / 10);
    }
}

TEST_CASE("the arena is as large as the largest shape so far needs") {
  const Model model = tiny_model("fcn");
  Session session(model.program, {.threads = 1});
  CHECK(session.arena_bytes() == 0);
  session.run(noise({1, 64, 64, 3}).view());
  const std::size_t large = session.plan({1, 64, 64, 3}).arena_bytes();
  CHECK(session.arena_bytes() == large);
  session.run(noise({1, 8, 8, 3}).view());
  CHECK(session.arena_bytes() == large);
}

TEST_CASE("a lower memory limit takes less workspace and gives the same logits but for rounding") {
  const Model model = wide_model();
  const Shape size{1, 160, 200, 3};
  const Tensor input = noise(size);
  for (const int threads : {1, 2}) {
    CAPTURE(threads);
    Session free(model.program, {.threads = threads});
    const auto expected = run(free, input.view());
    const std::size_t without = model.program->packed_bytes() + free.plan(size).activation_bytes;
    const std::size_t best = free.plan(size).workspace_bytes,
                      least = least_workspace(*model.program, size, 1);
    REQUIRE(least < best);
    std::size_t before = best, different = 0;
    for (std::size_t step = 0; step <= 8; ++step) {
      const std::size_t limit = without + best - (best - least) * step / 8;
      CAPTURE(limit);
      Session session(model.program, {.threads = threads, .memory_limit = limit});
      CHECK(deviation(run(session, input.view()), expected) < 1e-4);
      CHECK(model.program->packed_bytes() + session.arena_bytes() <= limit);
      const std::size_t workspace = session.plan(size).workspace_bytes;
      CHECK(workspace <= before);
      different += workspace < before;
      before = workspace;
    }
    CHECK(different >= 3);
    CHECK(before == least);
  }
}

TEST_CASE("the memory limit counts weights, arena and scratch, and is exact") {
  const Shape size{1, 40, 48, 3};
  const Tensor input = noise(size);
  for (const Model& model : {tiny_model("fcn"), wide_model()}) {
    const std::size_t workspace = least_workspace(*model.program, size, 1);
    const std::size_t needed =
        model.program->packed_bytes() + make_plan(*model.program, size, 1).activation_bytes + workspace;

    Session enough(model.program, {.threads = 1, .memory_limit = needed});
    CHECK(sentence(ErrorCode::limit, [&] { enough.run(input.view()); }) == "");
    CHECK(model.program->packed_bytes() + enough.arena_bytes() == needed);
    // The kernels' workspace serves for other steps between two runs; what goes beyond it counts.
    CHECK(sentence(ErrorCode::limit, [&] { enough.scratch(workspace); }) == "");
    CHECK(mentions(sentence(ErrorCode::limit, [&] { enough.scratch(workspace + 1); }),
                   str_cat(needed + workspace + 1)));

    Session short_of_one(model.program, {.threads = 1, .memory_limit = needed - 1});
    const std::string said = sentence(ErrorCode::limit, [&] { short_of_one.run(input.view()); });
    CHECK(mentions(said, str_cat(needed)));
    CHECK(mentions(said, str_cat(needed - 1)));
    CHECK(short_of_one.arena_bytes() == 0);
  }
}

// From the least limit that one thread can be held to, to one that takes nothing away from eight.
TEST_CASE("under any memory limit any number of threads gives the same bits, or all are refused") {
  const int counts[] = {2, 3, 8};
  std::vector<std::pair<std::string, Model>> models{{"wide", wide_model()}};
  for (const Sample& sample : samples())
    models.emplace_back(sample.name, make_model(sample.state, std::nullopt, {.threads = 1}));
  for (const auto& [called, model] : models) {
    const std::string name = called;
    CAPTURE(name);
    const Image picture = photo(120, 90);
    const SegmentOptions as_it_is{.resize = ResizeRule{.kind = ResizeRule::Kind::none, .width = 0}};
    const auto answer = [&, &model = model](int threads, std::size_t limit) -> std::optional<Segmentation> {
      try {
        Session session(model.program, {.threads = threads, .memory_limit = limit});
        return segment(session, model, picture, as_it_is);
      } catch (const Error& error) {
        CHECK(error.code() == ErrorCode::limit);
        return std::nullopt;
      }
    };
    const Plan free = make_plan(*model.program, {1, 90, 120, 3}, 8);
    const std::size_t least = model.program->packed_bytes() + free.activation_bytes,
                      most = least + free.workspace_bytes + 2'000'000;
    std::size_t answered = 0, refused = 0;
    for (std::size_t step = 0; step <= 12; ++step) {
      const std::size_t limit = least + (most - least) * step * step / 144;
      CAPTURE(limit);
      const auto expected = answer(1, limit);
      ++(expected ? answered : refused);
      for (const int threads : counts) {
        CAPTURE(threads);
        const auto found = answer(threads, limit);
        REQUIRE(found.has_value() == expected.has_value());
        if (!found) continue;
        CHECK(found->labels.labels == expected->labels.labels);
        CHECK(same_bits(found->confidence, expected->confidence));
      }
    }
    CHECK(answered > 3);
    CHECK(refused > 0);
  }
}

TEST_CASE("scratch memory after a run is not the output's, and the next run does not mind it") {
  const Model model = tiny_model("deeplabv3");
  Session session(model.program, {.threads = 1});
  const Tensor input = noise({1, 40, 48, 3});
  const auto expected = run(session, input.view());
  for (const std::size_t bytes : {std::size_t{100}, session.arena_bytes(), 2 * session.arena_bytes()}) {
    const auto scratch = session.scratch(bytes);
    std::ranges::fill(scratch, std::byte{0xff});
    CHECK(same_bits(values(session.output()), expected));
    CHECK(same_bits(run(session, input.view()), expected));
  }
}

TEST_CASE("a session that refused a size still runs a smaller one, and keeps its last output until then") {
  const Model model = tiny_model("fcn");
  const Shape small{1, 8, 8, 3};
  const std::size_t limit = model.program->packed_bytes() + make_plan(*model.program, small, 1).arena_bytes();
  Session session(model.program, {.threads = 1, .memory_limit = limit});
  const auto expected = run(session, noise(small).view());
  CHECK(sentence(ErrorCode::limit, [&] { session.run(noise({1, 64, 64, 3}).view()); }) != "");
  CHECK(same_bits(values(session.output()), expected));
  CHECK(same_bits(run(session, noise(small).view()), expected));
}

TEST_CASE("an output is there only after a run, and only under its name") {
  const Model model = tiny_model("fcn");
  Session session(model.program, {.threads = 1});
  CHECK(mentions(sentence(ErrorCode::invalid_argument, [&] { session.output(); }), "has not run"));
  session.run(noise({1, 8, 8, 3}).view());
  CHECK(session.output().shape == Shape{1, 1, 1, 5});
  CHECK(mentions(sentence(ErrorCode::invalid_argument, [&] { session.output("aux"); }), "aux"));
  CHECK(mentions(sentence(ErrorCode::invalid_argument, [&] { session.output("nothing"); }), "nothing"));
}

TEST_CASE("the auxiliary head answers beside the main one and does not change it") {
  const Model plain = tiny_model("deeplabv3"), both = tiny_model("deeplabv3", {.aux = true, .threads = 1});
  Session a(plain.program, {.threads = 1}), b(both.program, {.threads = 1});
  const Tensor input = noise({1, 33, 25, 3});
  const auto expected = run(a, input.view());
  CHECK(same_bits(run(b, input.view()), expected));
  CHECK(b.output("aux").shape == b.output("out").shape);
  CHECK_FALSE(same_bits(values(b.output("aux")), expected));
}

TEST_CASE("the observer hears of every node that ran, in order, and sees what it gave") {
  const Model model = tiny_model("deeplabv3");
  Session session(model.program, {.threads = 1});
  const Tensor input = noise({1, 9, 9, 3});
  const Plan plan = session.plan(input.shape());
  std::vector<std::size_t> expected, heard;
  for (std::size_t i = 0; i < plan.steps.size(); ++i)
    if (!plan.steps[i].in_place) expected.push_back(i);
  std::vector<float> last;
  session.run(input.view(), [&](std::size_t node, double seconds, ConstView output) {
    heard.push_back(node);
    CHECK(seconds >= 0);
    last = values(output);
  });
  CHECK(heard == expected);
  CHECK(same_bits(last, values(session.output())));
}

TEST_CASE("the number of threads does not change a bit") {
  const Model model = tiny_model("deeplabv3");
  for (const Shape& size : {Shape{1, 57, 83, 3}, Shape{2, 16, 200, 3}}) {
    CAPTURE(str_cat(size));
    const Tensor input = noise(size);
    Session one(model.program, {.threads = 1});
    const auto expected = run(one, input.view());
    for (const int threads : {2, 3, 7}) {
      CAPTURE(threads);
      Session session(model.program, {.threads = threads});
      CHECK(session.threads() == resolve_threads(threads));
      CHECK(same_bits(run(session, input.view()), expected));
    }
  }
}

TEST_CASE("no more threads run than the process may run on, whatever is asked for") {
  const Model model = tiny_model("fcn");
  for (const int asked : {2, 64, 1024}) {
    Session session(model.program, {.threads = asked});
    CHECK(session.threads() == std::min(asked, available_threads()));
    CHECK(run(session, noise({1, 16, 16, 3}).view()).size() == 2 * 2 * 5);
  }
}

// As servers and Python's multiprocessing fork.
TEST_CASE("a forked child runs networks as its parent does") {
  const Model model = tiny_model("deeplabv3");
  const Tensor input = noise({1, 57, 83, 3});
  Session before(model.program, {.threads = 2});
  const auto expected = run(before, input.view());
  const auto child = [&](Session& session) {
    const pid_t id = ::fork();
    if (id == 0) {
      ::alarm(60);
      ::_exit(same_bits(run(session, input.view()), expected) ? 0 : 1);
    }
    int status = 0;
    ::waitpid(id, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  };
  CHECK(child(before) == 0);
  Session fresh(model.program, {.threads = 2});
  CHECK(child(fresh) == 0);
  CHECK(same_bits(run(before, input.view()), expected));
}

TEST_CASE("bytes that the caller sets aside count against the memory limit") {
  const Model model = wide_model();
  const Shape size{1, 40, 48, 3};
  const std::size_t needed = model.program->packed_bytes() +
                             make_plan(*model.program, size, 1).activation_bytes +
                             least_workspace(*model.program, size, 1);
  Session session(model.program, {.threads = 1, .memory_limit = needed + 1000});
  session.set_aside(1001);
  CHECK(mentions(sentence(ErrorCode::limit, [&] { session.reserve(size); }), str_cat(needed + 1001)));
  session.set_aside(1000);
  CHECK(model.program->packed_bytes() + session.reserve(size).arena_bytes() == needed);
  session.set_aside(0);
  session.reserve(size);
  session.set_aside(1000);  // what the arena took in the meantime is given back
  session.reserve(size);
  CHECK(model.program->packed_bytes() + session.arena_bytes() == needed);
  CHECK(mentions(sentence(ErrorCode::limit, [&] { session.set_aside(needed + 1001); }),
                 str_cat(needed + 1000)));
}

TEST_CASE("eight sessions at once on one program give what one gives alone") {
  const Model model = tiny_model("deeplabv3");
  Session alone(model.program, {.threads = 1});
  std::vector<std::vector<float>> expected;
  for (const Shape& size : sizes) expected.push_back(run(alone, noise(size, 3).view()));

  std::atomic<int> wrong{0}, done{0};
  std::vector<std::thread> callers;
  for (std::size_t caller = 0; caller < 8; ++caller)
    callers.emplace_back([&, caller] {
      Session session(model.program, {.threads = caller % 2 ? 2 : 1});
      for (std::size_t i = 0; i < 2 * std::size(sizes); ++i) {
        const std::size_t which = (caller + i) % std::size(sizes);
        if (!same_bits(run(session, noise(sizes[which], 3).view()), expected[which])) ++wrong;
        ++done;
      }
    });
  for (std::thread& caller : callers) caller.join();
  CHECK(wrong.load() == 0);
  CHECK(done.load() == 8 * 2 * static_cast<int>(std::size(sizes)));
}

TEST_CASE("scratch memory grows as asked for and is kept") {
  const Model model = tiny_model("fcn");
  Session session(model.program, {.threads = 1});
  const auto small = session.scratch(100);
  CHECK(small.size() == 100);
  CHECK(reinterpret_cast<std::uintptr_t>(small.data()) % 64 == 0);
  const auto large = session.scratch(1000);
  CHECK(large.size() == 1000);
  CHECK(session.scratch(10).data() == large.data());
}

}  // namespace atrous::session_test
