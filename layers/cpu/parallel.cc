#include "layers/cpu/parallel.h"

#include <pthread.h>
#ifdef __EMSCRIPTEN__
#include <emscripten/threading.h>
#else
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif
#ifdef _OPENMP
#include <omp.h>
#endif

#include <algorithm>
#include <charconv>
#include <climits>
#include <cmath>
#include <cstdlib>
#include <latch>
#include <limits>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "hwy/cache_control.h"
#include "layers/base/error.h"
#include "layers/cpu/cgroup.h"

namespace atrous {

namespace {

// Sleeping until a number is another, the system's own way, and waking all that sleep for it.
#ifdef __EMSCRIPTEN__
void sleep_while(std::atomic<std::uint32_t>& value, std::uint32_t old) {
  emscripten_futex_wait(&value, old, std::numeric_limits<double>::infinity());
}
void wake_all(std::atomic<std::uint32_t>& value) { emscripten_futex_wake(&value, INT_MAX); }
#else
void sleep_while(std::atomic<std::uint32_t>& value, std::uint32_t old) {
  ::syscall(SYS_futex, &value, FUTEX_WAIT_PRIVATE, old, nullptr, nullptr, 0);
}
void wake_all(std::atomic<std::uint32_t>& value) {
  ::syscall(SYS_futex, &value, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}
#endif

constexpr int most_threads = 1024;

thread_local bool within_team = false;  // this thread is a member of one of several

// What a region runs.
struct Job {
  void (*work)(Team&, void*);
  void* context;
  Team::Shared& shared;
  int threads;
  void run(int thread) const {
    Team team(shared, thread, threads);
    const bool outer = std::exchange(within_team, within_team || threads > 1);
    work(team, context);
    within_team = outer;
  }
};

}  // namespace

// Sleeps by the system's own call: libstdc++'s std::atomic::wait() yields the processor before it sleeps,
// which on a machine with other work to do now and then made a region take a millisecond.
void Signal::wait_while(std::uint32_t old) {
  // Regions follow each other within microseconds, and sleeping costs as many: so a short spin first, which a
  // machine with other work to do hardly notices.
  constexpr int spins = 1000;
  for (int i = 0; i < spins; ++i) {
    if (value_.load(std::memory_order_acquire) != old) return;
    hwy::Pause();
  }
  sleepers_.fetch_add(1);
  while (value_.load() == old) sleep_while(value_, old);
  sleepers_.fetch_sub(1, std::memory_order_relaxed);
}

void Signal::set(std::uint32_t value) {
  static_assert(sizeof value_ == sizeof value && decltype(value_)::is_always_lock_free);
  value_.store(value);
  // All sequentially consistent: either the setter sees the sleeper, or the sleeper sees the value.
  if (sleepers_.load() != 0) wake_all(value_);
}

void Team::wait() {
  if (threads_ == 1) return;
  const std::uint32_t phase = shared_.phase.get();
  if (shared_.arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == static_cast<std::uint32_t>(threads_)) {
    shared_.arrived.store(0, std::memory_order_relaxed);
    shared_.phase.set(phase + 1);
  } else {
    shared_.phase.wait_while(phase);
  }
}

namespace {

int affinity() {
#ifndef __EMSCRIPTEN__
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
  return static_cast<int>(std::thread::hardware_concurrency());  // more processors than a cpu_set_t holds
}

// ---- workers

// A thread that sleeps until it is given a part of a job.
struct Worker {
  alignas(64) Signal busy;  // 1, else 0
  const Job* job = nullptr;
  int thread = 0;
  Worker* next = nullptr;  // in a list of idle or taken ones

  void begin(const Job& j, int number) {
    job = &j;
    thread = number;
    busy.set(1);
  }
  void finish() { busy.wait_while(1); }
  [[noreturn]] void serve() {
    for (;;) {
      busy.wait_while(0);
      job->run(thread);
      busy.set(0);
    }
  }
};

// Those of this process, which nobody destroys: they may serve until the process ends.
class Workers {
 public:
  // A list of at most `count` idle ones, new ones if need be and to be had.
  Worker* take(int count) {
    const std::lock_guard lock(mutex_);
    while (idle_ < count && all_ < std::max(count, most_) && patience_ == 0)
      if (!add()) patience_ = 1000;
    if (patience_ > 0) --patience_;
    Worker* taken = nullptr;
    for (int i = std::min(count, idle_); i > 0; --i) move(first_, taken);
    idle_ -= std::min(count, idle_);
    return taken;
  }
  void give_back(Worker* taken) {
    const std::lock_guard lock(mutex_);
    for (; taken; ++idle_) move(taken, first_);
  }

 private:
  static void move(Worker*& from, Worker*& to) {
    Worker* const first = from;
    from = first->next;
    first->next = to;
    to = first;
  }
  bool add() try {
    auto worker = std::make_unique<Worker>();
    std::thread([w = worker.get()] { w->serve(); }).detach();
    Worker* made = worker.release();
    move(made, first_);
    ++all_;
    ++idle_;
    return true;
  } catch (...) {  // neither threads nor memory
    return false;
  }

  std::mutex mutex_;
  Worker* first_ = nullptr;  // of the idle ones
  int idle_ = 0, all_ = 0;
  const int most_ = available_threads() - 1;  // beside the caller
  int patience_ = 0;                          // calls until a refused thread is asked for again
};

std::atomic<Workers*> workers{nullptr};
[[maybe_unused]] std::atomic<bool> forked{false};

// Of a parent's threads a forked child has one, and of the locks whatever state they were in.
[[maybe_unused]] const int registered = pthread_atfork(nullptr, nullptr, [] {
  workers.store(nullptr);
  forked.store(true);
});

Workers* the_workers() try {
  Workers* found = workers.load(std::memory_order_acquire);
  if (found) return found;
  auto made = std::make_unique<Workers>();
  return workers.compare_exchange_strong(found, made.get()) ? made.release() : found;
} catch (...) {  // no memory
  return nullptr;
}

void run_with_workers(int threads, void (*work)(Team&, void*), void* context) {
  Team::Shared shared;
  Workers* const all = the_workers();
  Worker* const taken = all ? all->take(threads - 1) : nullptr;
  Job job{work, context, shared, 1};
  for (const Worker* w = taken; w; w = w->next) ++job.threads;
  int thread = 0;
  for (Worker* w = taken; w; w = w->next) w->begin(job, ++thread);
  job.run(0);
  for (Worker* w = taken; w; w = w->next) w->finish();
  if (taken) all->give_back(taken);
}

#ifdef _OPENMP

// ---- OpenMP

// Whether so many more threads can be had at once. When this returns they are gone from the system's books
// too.
bool room_for(int count) try {
  std::vector<pid_t> ids(static_cast<std::size_t>(count));
  bool all = true;
  {
    std::latch gate(1);
    std::vector<std::jthread> threads;
    threads.reserve(ids.size());
    try {
      for (pid_t& id : ids)
        threads.emplace_back([&gate, &id] {
          id = static_cast<pid_t>(::syscall(SYS_gettid));
          gate.wait();
        });
    } catch (...) {
      all = false;
    }
    gate.count_down();
  }
  int patience = 100000;
  for (const pid_t id : ids)
    while (id != 0 && ::syscall(SYS_tgkill, ::getpid(), id, 0) == 0 && --patience > 0) ::sched_yield();
  return all && patience > 0;
} catch (...) {
  return false;
}

// The main thread's team, which only grows: libgomp ends threads that a smaller team does not need.
struct OpenMp {
  bool refused = ::syscall(SYS_gettid) != ::getpid();  // on other threads from the beginning
  int team = 1;
};
thread_local OpenMp openmp;

bool openmp_has(int threads) {
  if (openmp.refused) return false;
  if (threads <= openmp.team) return true;
  if (!room_for(2 * (threads - openmp.team))) {
    openmp.refused = true;
    return false;
  }
  openmp.team = threads;
  return true;
}

bool within_region() { return omp_in_parallel() != 0; }

void refuse_openmp() { openmp.refused = true; }

// A team by OpenMP where it has one of so many, by workers otherwise.
void run_with_threads(int threads, void (*work)(Team&, void*), void* context) {
  if (forked.load(std::memory_order_relaxed) || !openmp_has(threads))
    return run_with_workers(threads, work, context);
  Team::Shared shared;
#pragma omp parallel num_threads(openmp.team)
  {
    const Job job{work, context, shared, std::min(threads, omp_get_num_threads())};
    if (omp_get_thread_num() < job.threads) job.run(omp_get_thread_num());
  }
}

#else

bool within_region() { return false; }

void refuse_openmp() {}

void run_with_threads(int threads, void (*work)(Team&, void*), void* context) {
  run_with_workers(threads, work, context);
}

#endif

}  // namespace

void work_without_openmp() { refuse_openmp(); }

void run_team(int threads, void (*work)(Team&, void*), void* context) {
  if (threads > 1 && !within_team && !within_region()) return run_with_threads(threads, work, context);
  Team::Shared shared;
  Job{work, context, shared, 1}.run(0);
}

namespace {

// The first number of a variable such as OMP_NUM_THREADS, "4" or "4,2" for nested regions; all threads where
// there is none.
int threads_by(const char* variable) {
  const char* const value = std::getenv(variable);
  if (!value) return most_threads;
  const std::string_view text(value);
  const std::size_t begin = std::min(text.find_first_not_of(' '), text.size());
  int threads = 0;
  const auto parsed = std::from_chars(text.data() + begin, text.data() + text.size(), threads);
  return parsed.ec == std::errc() && threads > 0 ? threads : most_threads;
}

}  // namespace

int available_threads() {
  const double granted = std::ceil(cgroup_limits().processors);
  const int quota = granted < most_threads ? static_cast<int>(granted) : most_threads;
  return std::clamp(std::min(affinity(), quota), 1, most_threads);
}

int resolve_threads(int asked) {
  if (asked < 0 || asked > most_threads)
    fail(ErrorCode::invalid_argument, "threads: expected 0 (all) to ", most_threads, ", found ", asked);
  if (asked == 1) return 1;
  if (asked == 0) asked = std::min(threads_by("OMP_NUM_THREADS"), threads_by("OMP_THREAD_LIMIT"));
  return std::min(asked, available_threads());
}

}  // namespace atrous
