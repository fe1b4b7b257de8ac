#include "runtime/engine/pipeline.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>

namespace atrous::pipeline_test {

namespace {

using Numbers = std::vector<std::size_t>;

// Jobs are their own numbers; later ones are prepared sooner.
std::size_t prepare_slowly(std::size_t number) {
  std::this_thread::sleep_for(std::chrono::milliseconds(number % 4 == 0 ? 8 : 1));
  return number;
}

constexpr PipelineSizes ways[] = {{.first = 2, .last = 30},
                                  {.first = 2, .last = 30, .threads = 1, .ahead = 4, .behind = 2},
                                  {.first = 2, .last = 30, .threads = 4, .ahead = 4},
                                  {.first = 2, .last = 30, .threads = 3, .ahead = 5, .behind = 1}};

Numbers from_to(std::size_t first, std::size_t last) {
  Numbers all;
  for (std::size_t i = first; i < last; ++i) all.push_back(i);
  return all;
}

}  // namespace

TEST_CASE("jobs are run and finished once each, in the order of their numbers") {
  for (const PipelineSizes& sizes : ways) {
    CAPTURE(sizes.threads);
    Numbers ran, finished;
    run_pipeline<std::size_t>(sizes, {.prepare = prepare_slowly,
                                      .run = [&](const std::size_t& job) { ran.push_back(job); },
                                      .finish = [&](const std::size_t& job) { finished.push_back(job); }});
    CHECK(ran == from_to(2, 30));
    CHECK(finished == from_to(2, 30));
  }
}

TEST_CASE("no more jobs are begun ahead than was said, so that a job modulo that number is alone") {
  for (const PipelineSizes& sizes : ways) {
    CAPTURE(sizes.threads);
    std::vector<std::atomic<int>> busy(sizes.ahead);
    std::atomic<bool> met = false;
    run_pipeline<std::size_t>(sizes, {.prepare =
                                          [&](std::size_t number) {
                                            std::atomic<int>& slot = busy[number % sizes.ahead];
                                            if (++slot > 1) met = true;
                                            prepare_slowly(number);
                                            --slot;
                                            return number;
                                          },
                                      .finish = [](const std::size_t&) {}});
    CHECK_FALSE(met);
  }
}

TEST_CASE("a step that throws ends the pipeline with its error, and jobs run before are finished") {
  for (const PipelineSizes& sizes : ways)
    for (const bool prepares : {true, false}) {
      CAPTURE(sizes.threads);
      CAPTURE(prepares);
      Numbers finished;
      const auto refuse = [](std::size_t number) {
        if (number == 9) throw std::runtime_error("nine");
      };
      CHECK_THROWS_WITH(run_pipeline<std::size_t>(
                            sizes, {.prepare =
                                        [&](std::size_t number) {
                                          if (prepares) refuse(number);
                                          return prepare_slowly(number);
                                        },
                                    .run =
                                        [&](const std::size_t& job) {
                                          if (!prepares) refuse(job);
                                        },
                                    .finish = [&](const std::size_t& job) { finished.push_back(job); }}),
                        "nine");
      CHECK(finished == from_to(2, 9));
    }
}

TEST_CASE("a job that cannot be finished ends the pipeline with its error, and none after it is finished") {
  for (const PipelineSizes& sizes : ways) {
    CAPTURE(sizes.threads);
    Numbers finished;
    CHECK_THROWS_WITH(run_pipeline<std::size_t>(sizes, {.prepare = prepare_slowly,
                                                        .finish =
                                                            [&](const std::size_t& job) {
                                                              if (job == 5) throw std::runtime_error("five");
                                                              finished.push_back(job);
                                                            }}),
                      "five");
    CHECK(finished == from_to(2, 5));
  }
}

TEST_CASE("a pipeline that is stopped finishes what was run") {
  for (const PipelineSizes& sizes : ways) {
    CAPTURE(sizes.threads);
    int asked = 0;
    Numbers finished;
    run_pipeline<std::size_t>(sizes, {.prepare = prepare_slowly,
                                      .finish = [&](const std::size_t& job) { finished.push_back(job); },
                                      .stop = [&] { return ++asked > 6; }});
    CHECK(finished == from_to(2, 8));
  }
}

}  // namespace atrous::pipeline_test
