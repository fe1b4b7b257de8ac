#include "layers/cpu/parallel.h"

#include <doctest/doctest.h>
#include <omp.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

namespace atrous::parallel_test {

namespace {

constexpr int counts[] = {1, 2, 3, 8, 64};

// As a thread other than the main one, which has OpenMP's threads.
template <class Action>
void elsewhere(Action&& action) {
  std::thread(action).join();
}

// Every index once, whoever ran it; every thread's number below the threads asked for.
void check_every_index_once() {
  for (const int threads : counts)
    for (const std::int64_t count : {0, 1, 2, 7, 64, 1000}) {
      CAPTURE(threads);
      CAPTURE(count);
      std::vector<std::atomic<int>> shares(static_cast<std::size_t>(count)),
          tasks(static_cast<std::size_t>(count));
      std::atomic<bool> in_range{true};
      parallel_for(threads, count, [&](std::int64_t i, int thread) {
        ++shares[static_cast<std::size_t>(i)];
        if (thread < 0 || thread >= threads) in_range = false;
      });
      parallel_tasks(threads, count, [&](std::int64_t i, int thread) {
        ++tasks[static_cast<std::size_t>(i)];
        if (thread < 0 || thread >= threads) in_range = false;
      });
      CHECK(std::ranges::all_of(shares, [](const auto& n) { return n == 1; }));
      CHECK(std::ranges::all_of(tasks, [](const auto& n) { return n == 1; }));
      CHECK(in_range);
    }
}

// Each loop reads what the one before wrote in other threads' places.
bool loops_wait_for_each_other(int threads) {
  constexpr std::size_t size = 97;
  std::vector<int> values(size, 0);
  std::atomic<bool> right{true};
  parallel(threads, [&](Team& team) {
    for (int round = 0; round < 200; ++round)
      team.for_each(size, 1 + round % 5, [&](std::int64_t i) {
        const std::size_t own = static_cast<std::size_t>(i) * 31 % size;
        if (values[own]++ != round) right = false;
      });
  });
  return right && std::ranges::all_of(values, [](int v) { return v == 200; });
}

std::size_t threads_now() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return static_cast<std::size_t>(std::distance(begin(tasks), end(tasks)));
}

// Of a child process that `action` runs in; 124 where it takes a minute.
template <class Action>
int status_of_child(Action&& action) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(60);
    action();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

TEST_CASE("every index of a parallel loop runs once") {
  check_every_index_once();
  elsewhere(check_every_index_once);
}

TEST_CASE("what work throws in a thread reaches the caller, and what has not begun by then is left out") {
  for (const int threads : counts) {
    CAPTURE(threads);
    FirstFailure failure;
    std::atomic<int> begun{0};
    parallel_tasks(threads, 1000, [&](std::int64_t task, int) {
      failure.guard([&] {
        ++begun;
        if (task >= 10) throw std::runtime_error("task failed");
      });
    });
    CHECK(begun <= 10 + threads);
    CHECK_THROWS_WITH(failure.rethrow(), "task failed");
  }
  FirstFailure none;
  none.guard([] {});
  CHECK_NOTHROW(none.rethrow());
}

TEST_CASE("loops of one team begin when the one before is done") {
  for (const int threads : counts) {
    CAPTURE(threads);
    CHECK(loops_wait_for_each_other(threads));
    bool right = false;
    elsewhere([&] { right = loops_wait_for_each_other(threads); });
    CHECK(right);
  }
}

TEST_CASE("a parallel loop has as many threads as it asked for, where they are to be had") {
  const auto threads_of = [](int asked) {
    int found = 0;
    parallel(asked, [&](Team& team) {
      if (team.thread() == 0) found = team.threads();
    });
    return found;
  };
  for (const int asked : counts) CHECK(threads_of(asked) == asked);
  CHECK(threads_of(2) == 2);  // after more
  int found = 0;
  elsewhere([&] { found = threads_of(5); });
  CHECK(found == 5);
}

TEST_CASE("within a host's own parallel region the caller works alone") {
  std::atomic<int> most{0};
#pragma omp parallel num_threads(2)
  parallel(4, [&](Team& team) {
    if (team.threads() > most) most = team.threads();
  });
  CHECK(most == 1);
}

TEST_CASE("within a team each member works alone, whichever thread called") {
  const auto threads_within = [] {
    parallel(8, [](Team&) {});  // so that workers are idle
    std::atomic<int> most{0};
    parallel(2, [&](Team&) {
      parallel(4, [&](Team& team) {
        if (team.threads() > most) most = team.threads();
      });
    });
    return most.load();
  };
  CHECK(threads_within() == 1);
  int most = 0;
  elsewhere([&] { most = threads_within(); });
  CHECK(most == 1);
}

TEST_CASE("many callers share the threads of a process: as many as it may run on, not as many for each") {
  const std::size_t before = threads_now();
  std::mutex mutex;
  std::set<std::thread::id> seen;  // of members that are no callers
  std::vector<std::thread> callers;
  for (int c = 0; c < 6; ++c)
    callers.emplace_back([&] {
      for (int round = 0; round < 50; ++round)
        parallel(2, [&](Team& team) {
          const std::lock_guard lock(mutex);
          if (team.thread() > 0) seen.insert(std::this_thread::get_id());
        });
    });
  for (std::thread& caller : callers) caller.join();
  CHECK(seen.size() >= 1);
  // An earlier test of the same process may have asked for more.
  CHECK(seen.size() < before + static_cast<std::size_t>(std::max(2, available_threads())));
}

TEST_CASE("a new thread for each request brings no threads of its own") {
  std::mutex mutex;
  std::set<long> seen;
  for (int i = 0; i < 20; ++i)
    elsewhere([&] {
      parallel(3, [&](Team& team) {
        const std::lock_guard lock(mutex);
        if (team.thread() > 0) seen.insert(::syscall(SYS_gettid));
      });
    });
  CHECK(seen.size() == 2);
}

TEST_CASE("a forked child works with threads of its own, whatever its parent used") {
  check_every_index_once();
  elsewhere(check_every_index_once);
  const auto works = [] {
    if (!loops_wait_for_each_other(3)) ::_exit(3);
    bool right = false;
    elsewhere([&] { right = loops_wait_for_each_other(2); });
    if (!right) ::_exit(4);
    if (status_of_child([] { ::_exit(loops_wait_for_each_other(2) ? 0 : 5); }) != 0) ::_exit(6);
  };
  CHECK(status_of_child(works) == 0);
  int status = -1;
  elsewhere([&] { status = status_of_child(works); });
  CHECK(status == 0);
  check_every_index_once();
}

TEST_CASE("threads are those asked for, at most those that the process may run on") {
  CHECK(available_threads() >= 1);
  CHECK(available_threads() <= 1024);
  CHECK(resolve_threads(0) <= available_threads());
  CHECK(resolve_threads(1) == 1);
  for (const int asked : {2, 3, 64, 1024})
    CHECK(resolve_threads(asked) == std::min(asked, available_threads()));

  cpu_set_t all, first;
  REQUIRE(::sched_getaffinity(0, sizeof all, &all) == 0);
  int cpu = 0;
  while (!CPU_ISSET(cpu, &all)) ++cpu;
  CPU_ZERO(&first);
  CPU_SET(cpu, &first);
  REQUIRE(::sched_setaffinity(0, sizeof first, &first) == 0);
  CHECK(resolve_threads(0) == 1);
  CHECK(resolve_threads(64) == 1);
  REQUIRE(::sched_setaffinity(0, sizeof all, &all) == 0);
}

TEST_CASE("OMP_NUM_THREADS and OMP_THREAD_LIMIT are what 0 threads mean, and no more than there are") {
  const int all = resolve_threads(1024);
  for (const char* variable : {"OMP_NUM_THREADS", "OMP_THREAD_LIMIT"}) {
    CAPTURE(variable);
    for (const auto& [value, expected] : {std::pair{"1", 1},
                                          {" 1", 1},
                                          {"1,4", 1},
                                          {"1000", all},
                                          {"0", all},
                                          {"-3", all},
                                          {"", all},
                                          {"many", all},
                                          {"99999999999999999999", all}}) {
      const std::string said = value;
      CAPTURE(said);
      ::setenv(variable, value, 1);
      CHECK(resolve_threads(0) == expected);
      CHECK(resolve_threads(1024) == all);  // asked for by name: the program's own word
      ::unsetenv(variable);
    }
  }
}

}  // namespace atrous::parallel_test
