#include "runtime/serve/jobs.h"

#include <atomic>
#include <thread>

#include "doctest/doctest.h"

namespace atrous::serve {

namespace {

Job job_of(std::uint64_t connection) {
  return {.connection = connection, .head = {}, .body = {}, .came = Clock::now()};
}

}  // namespace

TEST_CASE("beside the jobs that sessions are free for, as many wait as may") {
  Jobs jobs(2);
  jobs.add_worker();
  for (std::uint64_t i = 0; i < 3; ++i) CHECK(jobs.push(job_of(i)));  // one for the session, two wait
  CHECK(jobs.full());
  CHECK_FALSE(jobs.push(job_of(3)));
  CHECK(jobs.pop()->connection == 0);
  CHECK(jobs.busy() == 1);
  CHECK(jobs.waiting() == 2);
  CHECK(jobs.full());  // the session is busy with the first
  jobs.done();
  CHECK(jobs.push(job_of(4)));
  CHECK_FALSE(jobs.push(job_of(5)));
}

TEST_CASE("a queue without places takes what a session is free for") {
  Jobs jobs(0);
  CHECK_FALSE(jobs.push(job_of(0)));
  jobs.add_worker();
  CHECK(jobs.push(job_of(1)));
  CHECK_FALSE(jobs.push(job_of(2)));
}

TEST_CASE("jobs that waited too long, and those that nobody waits for, are taken out") {
  Jobs jobs(10);
  jobs.push(job_of(1));
  jobs.push(job_of(2));
  const auto then = Clock::now() + std::chrono::nanoseconds(1);
  while (Clock::now() <= then) {
  }
  jobs.push(job_of(3));
  jobs.push(job_of(4));
  const std::vector<Job> old = jobs.take_older(then);
  REQUIRE(old.size() == 2);
  CHECK(old[0].connection == 1);
  CHECK(old[1].connection == 2);
  jobs.drop(3);
  CHECK(jobs.waiting() == 1);
  CHECK(jobs.pop()->connection == 4);
}

TEST_CASE("after the end what waits is still taken, and nothing comes") {
  Jobs jobs(10);
  jobs.push(job_of(1));
  jobs.end();
  CHECK_FALSE(jobs.push(job_of(2)));
  CHECK(jobs.pop()->connection == 1);
  CHECK_FALSE(jobs.pop());
}

TEST_CASE("of many sessions each job is one's") {
  Jobs jobs(1000);
  std::atomic<int> taken = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    jobs.add_worker();
    threads.emplace_back([&] {
      while (jobs.pop()) {
        ++taken;
        jobs.done();
      }
    });
  }
  for (std::uint64_t i = 0; i < 1000; ++i) CHECK(jobs.push(job_of(i)));
  jobs.end();
  for (std::thread& thread : threads) thread.join();
  CHECK(taken == 1000);
  CHECK(jobs.busy() == 0);
}

}  // namespace atrous::serve
