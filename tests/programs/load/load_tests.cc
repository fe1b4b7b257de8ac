// Many callers at once on one shared model: the same bits as one alone, no memory that grows. Two seconds, or
// as many as ATROUS_LOAD_SECONDS says. tests/programs/tsan/run looks at the same under ThreadSanitizer.
#include <malloc.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "tests/support/evaluate_testing.h"
#include "tests/support/sanitizers.h"

using namespace atrous;
using namespace atrous::evaluate_testing;

namespace {

constexpr bool sanitized = ATROUS_ADDRESS_SANITIZER || ATROUS_THREAD_SANITIZER;

using Clock = std::chrono::steady_clock;

constexpr int callers = 8;
constexpr std::pair<int, int> sizes[] = {{40, 24}, {17, 23}, {33, 57}, {64, 48}, {9, 90}};

Clock::duration load_time() {
  const char* seconds = std::getenv("ATROUS_LOAD_SECONDS");
  return std::chrono::seconds(seconds ? std::atoi(seconds) : 2);
}

std::int64_t resident_kilobytes() {
  std::ifstream statm("/proc/self/statm");
  std::int64_t all = 0, resident = 0;
  statm >> all >> resident;
  return resident * ::sysconf(_SC_PAGESIZE) / 1024;
}

// What is asked of the model, and what one caller alone was answered.
struct Question {
  Image photo;
  std::vector<std::uint8_t> labels;
  std::vector<float> confidence, logits;
};

Segmentation answer(Session& session, const Model& model, const Image& photo) {
  return segment(session, model, photo,
                 {.resize = ResizeRule{.kind = ResizeRule::Kind::none, .width = 0}, .logits = true});
}

bool as_expected(const Segmentation& s, const Question& q) {
  const std::vector<float> logits(s.logits.values().begin(), s.logits.values().end());
  return s.labels.labels == q.labels && same_bits(s.confidence, q.confidence) && same_bits(logits, q.logits);
}

std::vector<Question> questions_for(const Model& model) {
  std::vector<Question> all;
  Session session(model.program, {.threads = 1});
  for (const auto& [width, height] : sizes) {
    Question q{photo(width, height), {}, {}, {}};
    const Segmentation s = answer(session, model, q.photo);
    q.labels = s.labels.labels;
    q.confidence = s.confidence;
    q.logits.assign(s.logits.values().begin(), s.logits.values().end());
    all.push_back(std::move(q));
  }
  return all;
}

struct Tally {
  std::int64_t right = 0, wrong = 0;
};

// One caller: every question a few times, and on until the time is up, with a new session now and then.
Tally call(const Model& model, const std::vector<Question>& questions, int threads, std::size_t first,
           Clock::time_point end) {
  constexpr std::size_t questions_a_session = 23, least = 2 * questions_a_session;
  Tally tally;
  std::optional<Session> session;
  for (std::size_t i = 0; i < least || Clock::now() < end; ++i) {
    if (i % questions_a_session == 0) session.emplace(model.program, SessionOptions{.threads = threads});
    const Question& q = questions[(first + i) % questions.size()];
    ++(as_expected(answer(*session, model, q.photo), q) ? tally.right : tally.wrong);
  }
  return tally;
}

Tally call_at_once(const Model& model, const std::vector<Question>& questions, int threads,
                   Clock::duration time) {
  const auto end = Clock::now() + time;
  std::vector<Tally> tallies(callers);
  {
    std::vector<std::jthread> running;
    for (std::size_t i = 0; i < tallies.size(); ++i)
      running.emplace_back([&, i] { tallies[i] = call(model, questions, threads, i, end); });
  }
  Tally sum;
  for (const Tally& t : tallies) {
    sum.right += t.right;
    sum.wrong += t.wrong;
  }
  return sum;
}

}  // namespace

TEST_CASE("callers at once on one model are answered as one alone, and memory does not grow") {
  ::mallopt(M_ARENA_MAX, 1);  // with a heap for each thread, how much they hold is chance
  const Model models[] = {tiny_model("deeplabv3"),
                          make_model(tiny_mobilenet_state("lraspp"), std::nullopt, {.threads = 1})};
  for (const Model& model : models)
    for (const int threads : {1, 2}) {
      CAPTURE(model.architecture);
      CAPTURE(threads);
      const std::vector<Question> questions = questions_for(model);
      // By then the heap is as large as it gets.
      const Tally warm = call_at_once(model, questions, threads, load_time() / 16);
      const std::int64_t before = resident_kilobytes();
      const Tally tally = call_at_once(model, questions, threads, load_time() / 4);
      const std::int64_t after = resident_kilobytes();
      CHECK(warm.wrong + tally.wrong == 0);
      CHECK(tally.right >= callers * static_cast<std::int64_t>(questions.size()));
      MESSAGE(model.architecture, ", ", threads, " threads: ", tally.right, " answers, resident ", before,
              " KiB at the start, ", after, " KiB at the end");
      if (!sanitized) CHECK(after - before < 2 * 1024);
    }
}

// Decoding, the network and scoring each have a thread, and hand images on.
TEST_CASE_FIXTURE(Pairs, "evaluations at once on one model count the same, whatever their threads") {
  const Dataset dataset = open();
  const auto evaluation = [&](int threads) {
    EvaluateOptions o = options();
    o.session.threads = threads;
    o.resize = ResizeRule{.kind = ResizeRule::Kind::shorter_side, .width = 24};
    return evaluate(model, dataset, o);
  };
  const Evaluation expected = evaluation(1);
  std::vector<Evaluation> found(4);
  {
    std::vector<std::jthread> running;
    for (std::size_t i = 0; i < found.size(); ++i)
      running.emplace_back([&, i] { found[i] = evaluation(1 + static_cast<int>(i % 2)); });
  }
  for (const Evaluation& e : found) check_same(e, expected);
}
