#undef _FORTIFY_SOURCE  // its longjmp refuses another stack
#include "tests/cuda/simulation/grid.h"

#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "tests/cuda/simulation/simulation.h"
#include "tests/support/sanitizers.h"

#if ATROUS_ADDRESS_SANITIZER
#include <sanitizer/common_interface_defs.h>
#endif

namespace simulated {

Place place;

namespace {

constexpr std::size_t stack_bytes = 128 << 10;
constexpr int warp_size = 32;

// Behind the shared memory, checked after each block; AddressSanitizer finds it itself.
constexpr unsigned char guard = 0xa5;
#if ATROUS_ADDRESS_SANITIZER
constexpr std::size_t shared_guard = 0;
#else
constexpr std::size_t shared_guard = 1024;
#endif

enum class Waiting { no, for_block, for_warp };

struct Slot {
  alignas(16) unsigned char bytes[16];
};

// A stack of its own, entered first through a context, then by _longjmp: swapcontext would save the signal
// mask, by a call of the system, at every switch, and AddressSanitizer warns of it.
struct Fiber {
  ucontext_t start;
  jmp_buf place;
  bool started = false;
  void* stack = nullptr;
  void* fake_stack = nullptr;  // AddressSanitizer's
  int thread = -1;             // whose work it does, or -1
};

// The block that runs. There is one at a time: all work is run under the simulation's lock.
struct Running {
  const std::function<void()>* body = nullptr;
  std::vector<unsigned char> shared;
  int threads = 0, started = 0, finished = 0;
  bool reversed = false;
  std::vector<Waiting> waiting;  // by thread
  std::vector<Fiber*> fibers;    // by thread: who waits on its behalf
  std::vector<Slot> slots;
};

Running running;
jmp_buf scheduler;
const void* scheduler_stack = nullptr;
std::size_t scheduler_stack_bytes = 0;
Fiber* current = nullptr;
std::vector<std::unique_ptr<Fiber>> pool;
std::vector<Fiber*> idle;

#if ATROUS_ADDRESS_SANITIZER
void leave(void** fake_stack, const void* bottom, std::size_t bytes) {
  __sanitizer_start_switch_fiber(fake_stack, bottom, bytes);
}
void arrive(void* fake_stack, const void** bottom, std::size_t* bytes) {
  __sanitizer_finish_switch_fiber(fake_stack, bottom, bytes);
}
#else
void leave(void**, const void*, std::size_t) {}
void arrive(void*, const void**, std::size_t*) {}
#endif

void become(int thread) {
  current->thread = thread;
  const dim3 size = place.block_size;
  const auto t = static_cast<unsigned>(thread);
  place.thread = {t % size.x, t / size.x % size.y, t / size.x / size.y};
}

// Runs the fiber until it waits or has nothing to do.
void resume(Fiber& fiber) {
  current = &fiber;
  if (fiber.thread >= 0) become(fiber.thread);
  void* fake_stack = nullptr;
  leave(&fake_stack, fiber.stack, stack_bytes);
  if (_setjmp(scheduler) == 0) {
    if (fiber.started) _longjmp(fiber.place, 1);
    fiber.started = true;
    setcontext(&fiber.start);
    std::abort();
  }
  arrive(fake_stack, nullptr, nullptr);
  current = nullptr;
}

void back_to_scheduler(Fiber& fiber) {
  leave(&fiber.fake_stack, scheduler_stack, scheduler_stack_bytes);
  if (_setjmp(fiber.place) == 0) _longjmp(scheduler, 1);
  arrive(fiber.fake_stack, &scheduler_stack, &scheduler_stack_bytes);
}

// What a fiber does: thread after thread, until one has waited; then the others are another fiber's.
void fiber_main() {
  arrive(nullptr, &scheduler_stack, &scheduler_stack_bytes);
  for (;;) {
    Fiber& self = *current;
    while (running.started < running.threads) {
      const int next = running.started++;
      become(running.reversed ? running.threads - 1 - next : next);
      (*running.body)();
      ++running.finished;
    }
    self.thread = -1;
    idle.push_back(&self);
    back_to_scheduler(self);
  }
}

Fiber& idle_fiber() {
  if (idle.empty()) {
    Fiber& fresh = *pool.emplace_back(std::make_unique<Fiber>());
    fresh.stack = mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (fresh.stack == MAP_FAILED) std::abort();
    getcontext(&fresh.start);
    fresh.start.uc_stack.ss_sp = fresh.stack;
    fresh.start.uc_stack.ss_size = stack_bytes;
    makecontext(&fresh.start, fiber_main, 0);
    idle.push_back(&fresh);
  }
  Fiber& fiber = *idle.back();
  idle.pop_back();
  return fiber;
}

void wait(Waiting what) {
  Fiber& self = *current;
  const auto thread = static_cast<std::size_t>(self.thread);
  running.waiting[thread] = what;
  running.fibers[thread] = &self;
  back_to_scheduler(self);
}

// Lets the threads [first, last) go on, in the block's order.
void release(int first, int last) {
  for (int i = first; i < last; ++i) running.waiting[static_cast<std::size_t>(i)] = Waiting::no;
  for (int i = 0; i < last - first; ++i)
    resume(*running.fibers[static_cast<std::size_t>(running.reversed ? last - 1 - i : first + i)]);
}

// Whether all of them wait for that. Those that left the kernel wait for nothing.
bool all_wait(int first, int last, Waiting what) {
  return std::all_of(running.waiting.begin() + first, running.waiting.begin() + last,
                     [what](Waiting w) { return w == what; });
}

void run_block(const std::function<void()>& body, int threads, std::size_t shared_bytes, bool reversed) {
  const auto count = static_cast<std::size_t>(threads);
  running.body = &body;
  running.threads = threads;
  running.started = running.finished = 0;
  running.reversed = reversed;
  running.shared.assign(shared_bytes, 0xff);
  running.shared.resize(shared_bytes + shared_guard, guard);
  running.waiting.assign(count, Waiting::no);
  running.fibers.assign(count, nullptr);
  running.slots.resize(count);
  while (running.started < threads) resume(idle_fiber());
  while (running.finished < threads) {
    bool released = false;
    for (int first = 0; first < threads; first += warp_size) {
      const int last = std::min(first + warp_size, threads);
      if (!all_wait(first, last, Waiting::for_warp)) continue;
      release(first, last);
      released = true;
    }
    if (!released && all_wait(0, threads, Waiting::for_block)) {
      release(0, threads);
      released = true;
    }
    if (!released) {
      std::fprintf(stderr, "simulated device: block %u: of %d threads %d have ended, others wait for them\n",
                   place.block.x, threads, running.finished);
      std::abort();
    }
  }
  if (!std::all_of(running.shared.begin() + static_cast<std::ptrdiff_t>(shared_bytes), running.shared.end(),
                   [](unsigned char byte) { return byte == guard; })) {
    std::fprintf(stderr, "simulated device: block %u wrote beyond its %zu bytes of shared memory\n",
                 place.block.x, shared_bytes);
    std::abort();
  }
}

void run_grid(dim3 grid, dim3 block, std::size_t shared_bytes, const std::function<void()>& body) {
  place.grid_size = grid;
  place.block_size = block;
  bool reversed = false;
  for (unsigned z = 0; z < grid.z; ++z)
    for (unsigned y = 0; y < grid.y; ++y)
      for (unsigned x = 0; x < grid.x; ++x) {
        place.block = {x, y, z};
        run_block(body, static_cast<int>(block.x * block.y * block.z), shared_bytes, reversed);
        reversed = !reversed;
      }
}

}  // namespace

void enqueue_grid(cudaStream_t stream, dim3 grid, dim3 block, std::size_t shared_bytes,
                  std::function<void()> body) {
  const bool grid_fits = grid.x >= 1 && grid.x < 1u << 31 && grid.y >= 1 && grid.y < 1u << 16 &&
                         grid.z >= 1 && grid.z < 1u << 16;
  const bool block_fits = block.x >= 1 && block.y >= 1 && block.z >= 1 && block.x <= 1024 &&
                          block.y <= 1024 && block.z <= 64 && block.x * block.y * block.z <= 1024;
  if (!grid_fits || !block_fits || shared_bytes > 48 << 10)
    return set_last_error(cudaErrorInvalidConfiguration);
  enqueue(stream,
          [grid, block, shared_bytes, body = std::move(body)] { run_grid(grid, block, shared_bytes, body); });
}

unsigned char* shared_bytes() { return running.shared.data(); }
void wait_for_block() { wait(Waiting::for_block); }
void wait_for_warp() { wait(Waiting::for_warp); }

int lane() { return current->thread % warp_size; }

void* exchange_slot(int lane) {
  const int thread = current->thread;
  const int of = thread / warp_size * warp_size + lane;
  if (of >= running.threads) {
    std::fprintf(stderr, "simulated device: thread %d shuffles with thread %d, which is not there\n", thread,
                 of);
    std::abort();
  }
  return running.slots[static_cast<std::size_t>(of)].bytes;
}

}  // namespace simulated
