// A small persistent thread pool. The caller of a job works too, and never waits for a worker that
// has not entered the job: a worker that the scheduler keeps off its CPU costs nothing. Workers
// spin briefly after a job, then sleep.
#include "fastnn/parallel.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <climits>
#include <cstdint>
#include <memory>
#include <new>

#include "cpu_count.h"
#include "fastnn/error.h"
#include "fp_mode.h"
#include "wait.h"

namespace fastnn {
namespace {

constexpr int kMaxThreads = 1024;
constexpr std::chrono::microseconds kWorkerSpin{50};  // after a job, before sleeping
constexpr std::chrono::microseconds kCallerSpin{50};  // for the last worker, before sleeping

struct Self {
  int width = 0;   // thread count fixed by a LaunchScope; 0: none
  int worker = 0;  // number of this thread in the job that it works for
  bool in_task = false;
};
thread_local Self self;

// Some schedulers wake a worker on the CPU of its caller although others are idle (virtual machines
// that do not tell their caches, processors with several last-level caches): the two then take
// turns on one CPU for milliseconds. A worker that finds itself there moves away, and stays away
// from that CPU until a caller turns up on its own.
class Distance {
 public:
  void keep_from(int cpu) {
    if (sched_getcpu() != cpu) return;
    cpu_set_t now;
    if (sched_getaffinity(0, sizeof now, &now) != 0) return;
    if (!CPU_EQUAL(&now, &mine_)) allowed_ = now;  // the first time, or set from outside
    mine_ = allowed_;
    CPU_CLR(cpu, &mine_);
    if (CPU_COUNT(&mine_) > 0) sched_setaffinity(0, sizeof mine_, &mine_);
  }

 private:
  cpu_set_t allowed_{}, mine_{};
};

// The tasks are shared out in ranges of neighbours, one for each thread, so that a thread meets the
// same part of the data in one region after the other, and finds it in its own cache. Whoever is
// done with its range helps with the others.
struct alignas(64) Range {
  std::atomic<int64_t> next{0};
  int64_t end = 0;
};

struct Pool {
  // gate: kOpen while a job may be entered, kCallerSleeps, and the number of workers inside.
  static constexpr uint32_t kOpen = 1u << 31, kCallerSleeps = 1u << 30;

  alignas(64) Word bell{0};  // counts jobs; idle workers watch it
  std::atomic<int> sleepers{0};
  std::atomic<bool> retired{false};
  alignas(64) Word gate{0};
  alignas(64) std::atomic<int64_t> next{0};
  int64_t tasks =
      0;  // this and the next two: written only while the gate is closed and nobody is inside
  // The job: written only while the gate is closed and nobody is inside.
  alignas(64) TaskFn fn = nullptr;
  void* context = nullptr;
  int ranges = 0;
  int caller_cpu = 0;

  const int width;     // thread count that this pool was made for
  const bool crowded;  // more threads than CPUs: whoever spins keeps somebody else from working
  int workers = 0;     // threads that could be created, at most width - 1
  std::atomic<int> owners{1};
  std::atomic<int> numbered{0};  // workers that have taken their number, from 1 on

  const std::unique_ptr<Range[]> range;  // `width` of them

  explicit Pool(int threads)
      : width(threads),
        crowded(threads > affinity_cpus()),
        range(new (std::nothrow) Range[static_cast<size_t>(threads)]) {}

  void drop() {
    if (owners.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  void claim_tasks(int worker) {
    const Self outer = self;
    self.worker = worker;
    self.width = width;
    self.in_task = true;
    for (int i = 0, r = worker % ranges; i < ranges; ++i, r = r + 1 < ranges ? r + 1 : 0) {
      std::atomic<int64_t>& next = range[r].next;
      const int64_t end = range[r].end;
      while (next.load(std::memory_order_relaxed) < end) {
        const int64_t task = next.fetch_add(1, std::memory_order_relaxed);
        if (task < end) fn(context, task, worker);
      }
    }
    self = outer;
  }

  bool enter() {
    uint32_t state = gate.load(std::memory_order_relaxed);
    while (state & kOpen)
      if (gate.compare_exchange_weak(state, state + 1, std::memory_order_acquire,
                                     std::memory_order_relaxed))
        return true;
    return false;
  }

  void leave() {
    const uint32_t before = gate.fetch_sub(1, std::memory_order_release);
    if (before == (kCallerSleeps | 1)) futex_wake(gate, 1);
  }

  void work(int worker) {
    uint32_t seen = 0;
    Distance distance;
    for (;;) {
      const auto rung = [&] { return bell.load(std::memory_order_acquire) != seen; };
      if (crowded ? !rung() : !spin(kWorkerSpin, rung)) {
        sleepers.fetch_add(1);
        futex_wait(bell, seen);
        sleepers.fetch_sub(1);
        if (!rung()) continue;
      }
      if (retired.load(std::memory_order_acquire)) return;
      seen = bell.load(std::memory_order_relaxed);
      if (enter()) {
        distance.keep_from(caller_cpu);
        claim_tasks(worker);
        leave();
      }
    }
  }

  void ring(int helpers) {
    bell.fetch_add(1);
    const int asleep = sleepers.load();
    const int wanted = helpers - (workers - asleep);
    if (asleep > 0 && wanted > 0) futex_wake(bell, wanted);
  }

  void share_out(int64_t tasks) {
    ranges = static_cast<int>(std::min<int64_t>(workers + 1, tasks));
    const int64_t share = tasks / ranges, longer = tasks % ranges;
    int64_t begin = 0;
    for (int r = 0; r < ranges; ++r) {
      range[r].next.store(begin, std::memory_order_relaxed);
      begin += share + (r < longer);
      range[r].end = begin;
    }
  }

  void run(int64_t tasks, TaskFn task_fn, void* task_context) {
    share_out(tasks);
    fn = task_fn;
    context = task_context;
    caller_cpu = sched_getcpu();
    gate.store(kOpen, std::memory_order_release);
    ring(ranges - 1);
    claim_tasks(0);
    gate.fetch_and(~kOpen, std::memory_order_relaxed);
    const auto empty = [&] { return gate.load(std::memory_order_acquire) == 0; };
    if (crowded ? empty() : spin(kCallerSpin, empty)) return;
    uint32_t state = gate.fetch_or(kCallerSleeps, std::memory_order_acquire) | kCallerSleeps;
    while (state != kCallerSleeps) {
      futex_wait(gate, state);
      state = gate.load(std::memory_order_acquire);
    }
  }

  void retire() {
    retired.store(true, std::memory_order_release);
    bell.fetch_add(1);
    futex_wake(bell, INT_MAX);
    drop();
  }

  void start_workers();
};

// A new thread frees nothing at its start: in the child of a fork, the allocator's
// locks may be held by threads that only the parent has (AddressSanitizer's are not given back
// there).
void* worker_main(void* argument) {
  Pool* pool = static_cast<Pool*>(argument);
  set_fp_mode(kDefaultFpMode);
  pool->work(pool->numbered.fetch_add(1, std::memory_order_relaxed) + 1);
  pool->drop();
  return nullptr;
}

// Threads take no signals, so handlers run where the program expects them. When the system has no
// more threads to give, the pool goes on with those that it has.
void Pool::start_workers() {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  while (workers < width - 1) {
    pthread_t thread;
    owners.fetch_add(1);
    if (pthread_create(&thread, &attributes, worker_main, this) != 0) {
      owners.fetch_sub(1);
      break;
    }
    ++workers;
  }
  pthread_attr_destroy(&attributes);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

std::atomic<int> thread_setting{0};  // 0: not yet known
std::atomic<bool> pool_taken{false};
Pool* pool = nullptr;  // guarded by pool_taken

// A forked child has only the thread that forked: it starts afresh, and leaves the parent's pool
// (perhaps in the middle of a job) where it is.
void after_fork_in_child() {
  pool = nullptr;
  pool_taken.store(false);
}
[[maybe_unused]] const int fork_handler = pthread_atfork(nullptr, nullptr, after_fork_in_child);

Pool* pool_of_width(int width) {
  if (pool && pool->width == width) return pool;
  if (pool) pool->retire();
  pool = new (std::nothrow) Pool(width);
  if (pool && pool->range) {
    pool->start_workers();
  } else {
    delete pool;
    pool = nullptr;
  }
  return pool;
}

void run_serially(int64_t tasks, TaskFn fn, void* context) {
  const bool outer = self.in_task;
  self.in_task = true;
  for (int64_t task = 0; task < tasks; ++task) fn(context, task, self.worker);
  self.in_task = outer;
}

}  // namespace

int num_threads() {
  int n = thread_setting.load(std::memory_order_relaxed);
  if (n == 0) {
    const int found = std::min(default_threads(), kMaxThreads);
    if (thread_setting.compare_exchange_strong(n, found)) n = found;
  }
  return n;
}

void set_num_threads(int n) {
  if (n < 1 || n > kMaxThreads)
    fail(ErrorKind::value, "set_num_threads: n must be between 1 and ", kMaxThreads, ", got ", n);
  thread_setting.store(n);
}

bool in_parallel() { return self.in_task; }

int current_worker() { return self.worker; }

int max_workers() { return self.width ? self.width : num_threads(); }

LaunchScope::LaunchScope() : outer_width_(self.width), outer_fp_mode_(fp_mode()) {
  if (!self.width) self.width = num_threads();
  if ((outer_fp_mode_ & ~kFpStickyFlags) != kDefaultFpMode) set_fp_mode(kDefaultFpMode);
}

LaunchScope::~LaunchScope() {
  self.width = outer_width_;
  if ((outer_fp_mode_ & ~kFpStickyFlags) != kDefaultFpMode) set_fp_mode(outer_fp_mode_);
}

void run_tasks(int64_t tasks, TaskFn fn, void* context) noexcept {
  const int width = max_workers();
  if (self.in_task || width == 1 || tasks <= 1 ||
      pool_taken.exchange(true, std::memory_order_acquire)) {
    run_serially(tasks, fn, context);
    return;
  }
  if (Pool* p = pool_of_width(width))
    p->run(tasks, fn, context);
  else
    run_serially(tasks, fn, context);
  pool_taken.store(false, std::memory_order_release);
}

}  // namespace fastnn
