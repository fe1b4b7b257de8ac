// Work shared among threads: all that the library knows of OpenMP, and how many threads there are to be had.
//
//   parallel_for(threads, rows, [&](std::int64_t row) {...});                    equal shares, rows in order
//   parallel_tasks(threads, tasks, [&](std::int64_t task, int thread) {...});    each to whoever is free
//   parallel(threads, [&](Team& team) {...});                                    several of them, one after
//                                                                                the other, on one team
//
// Which thread does what is left open, so nothing that a thread computes may depend on it. The work throws
// nothing: an exception cannot leave a thread. FirstFailure takes it to the caller.
//
// Who works beside the caller:
//   the process's main thread   OpenMP's threads. OpenMP keeps a team for every thread that asks for one, and
//                               ends the process where the system refuses a thread (libgomp by exit()): a
//                               team is asked for only after twice as many threads were there for a moment.
//   any other thread            workers of ours, kept for all of them together, no more than the process may
//                               run at once: a thread that lives for one request costs no team.
//   refused threads             the workers there are, or the caller alone.
//   a forked child              workers of its own. OpenMP's team exists in the parent only, and libgomp
//                               waits for that team for ever.
//   within a parallel region    nobody, as OpenMP itself has it unless told otherwise.
//   of ours or the host's own
//   a build without OpenMP      workers of ours on every thread.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <type_traits>

namespace atrous {

// The calling thread's teams are workers of ours from now on, whatever thread it is: OpenMP's threads spin
// for long where they wait for each other, unless the environment said otherwise before the process began. On
// a machine with something else to do that costs a network of many small layers twenty times its time.
void work_without_openmp();

// The processors of the affinity mask, no more than the CPU quotas of the process's cgroup and its parents
// (cgroup.h) rounded up; at least 1.
int available_threads();

// `asked` if positive, but no more than available_threads(). For 0 all of these, or as many as the
// environment's OMP_NUM_THREADS and OMP_THREAD_LIMIT say where that is less. Error(invalid_argument) if
// negative or over 1024.
int resolve_threads(int asked);

// A number that threads wait for.
class Signal {
 public:
  std::uint32_t get() const { return value_.load(std::memory_order_acquire); }
  void set(std::uint32_t value);       // and wakes those that wait; what was written before is seen by them
  void wait_while(std::uint32_t old);  // until the number is another

 private:
  std::atomic<std::uint32_t> value_{0}, sleepers_{0};
};

// What work throws, in whichever threads: the first of it reaches the caller, and what has not begun by then
// is left out.
class FirstFailure {
 public:
  template <class Work>
  void guard(Work&& work) noexcept {
    if (failed_.load(std::memory_order_relaxed)) return;
    try {
      work();
    } catch (...) {
      if (!failed_.exchange(true)) first_ = std::current_exception();
    }
  }
  void rethrow() const {  // once the threads are done
    if (first_) std::rethrow_exception(first_);
  }

 private:
  std::atomic<bool> failed_{false};
  std::exception_ptr first_;
};

// A member's view of the threads that run one call of parallel().
class Team {
 public:
  // What the members share.
  struct Shared {
    alignas(64) std::atomic<std::int64_t> next[2] = {0, 0};  // task of this loop and of the one after
    alignas(64) std::atomic<std::uint32_t> arrived{0};
    Signal phase;
  };

  Team(Shared& shared, int thread, int threads) : shared_(shared), thread_(thread), threads_(threads) {}
  int thread() const { return thread_; }    // 0 .. threads() - 1
  int threads() const { return threads_; }  // at most those asked for

  // Every member calls this: tasks 0 .. count - 1, `chunk` at a time to whoever is free, each given to
  // work(task). Returns when all are done.
  template <class Work>
  void for_each(std::int64_t count, std::int64_t chunk, Work&& work) {
    std::atomic<std::int64_t>& next = shared_.next[loop_ % 2];
    if (thread_ == 0) shared_.next[(loop_ + 1) % 2].store(0, std::memory_order_relaxed);
    ++loop_;
    for (std::int64_t first; (first = next.fetch_add(chunk, std::memory_order_relaxed)) < count;)
      for (std::int64_t task = first; task < std::min(first + chunk, count); ++task) work(task);
    wait();
  }

 private:
  void wait();  // for all members

  Shared& shared_;
  int thread_, threads_;
  unsigned loop_ = 0;
};

// Runs `work` once in each of at most `threads` threads, the caller among them; returns when all are done.
void run_team(int threads, void (*work)(Team&, void* context), void* context);

template <class Work>
void parallel(int threads, Work&& work) {
  run_team(
      threads,
      [](Team& team, void* context) { (*static_cast<std::remove_reference_t<Work>*>(context))(team); },
      &work);
}

template <class Work>
void parallel_for(int threads, std::int64_t count, Work&& work) {
  const auto team_of = static_cast<int>(std::min<std::int64_t>(threads, count));
  parallel(team_of, [&](Team& team) {
    const std::int64_t end = count * (team.thread() + 1) / team.threads();
    for (std::int64_t i = count * team.thread() / team.threads(); i < end; ++i)
      if constexpr (std::is_invocable_v<Work, std::int64_t, int>)
        work(i, team.thread());
      else
        work(i);
  });
}

template <class Work>
void parallel_tasks(int threads, std::int64_t count, Work&& work) {
  const auto team_of = static_cast<int>(std::min<std::int64_t>(threads, count));
  parallel(team_of,
           [&](Team& team) { team.for_each(count, 1, [&](std::int64_t t) { work(t, team.thread()); }); });
}

}  // namespace atrous
