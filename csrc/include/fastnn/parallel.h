// The only door to threads. Sums are cut by shape alone, never by the thread count, so results have
// the same bits for every number of threads; how many tasks share them out may depend on it, and
// which thread runs a task is decided at run time.
//
// Costs: a region that follows another within 50 microseconds takes less than one, so a loop over
// time steps may call parallel_for in every step. After a longer pause the workers sleep, and
// waking one costs the caller 2 to 15 microseconds: work worth less than about 20 should be one
// task. Neighbouring tasks mostly go to the same thread, and the same ones in the next region.
#pragma once

#include <cstdint>
#include <type_traits>

namespace fastnn {

int num_threads();  // min(OMP_NUM_THREADS, affinity, cgroup quota), or what set_num_threads said
void set_num_threads(
    int n);          // 1..1024; throws Error(value) otherwise. Takes effect at the next launch
bool in_parallel();  // inside a task: a nested parallel_for runs serially

using TaskFn = void (*)(void* context, int64_t task, int worker);

// Runs fn(context, task, worker) for task in [0, tasks); worker is in [0, max_workers()) and unique
// among the tasks that run at the same time, so it may index scratch memory. Returns when all are
// done. Tasks must not throw. Nested calls run serially under the worker number of the task that
// made them; so do calls that find the pool taken by another thread.
void run_tasks(int64_t tasks, TaskFn fn, void* context) noexcept;
int max_workers();     // number of scratch slots that a driver must provide
int current_worker();  // worker number of the running task; 0 outside tasks

// Held for the length of a launch: set_num_threads called by another thread cannot change
// max_workers() between the workspace query and the run, and the arithmetic mode (rounding,
// denormals) is the default one in every thread.
class LaunchScope {
 public:
  LaunchScope();
  ~LaunchScope();
  LaunchScope(const LaunchScope&) = delete;
  LaunchScope& operator=(const LaunchScope&) = delete;

 private:
  int outer_width_;
  uint64_t outer_fp_mode_;
};

template <class F>
void parallel_for(int64_t tasks, F&& body) {
  if (tasks <= 0) return;
  if (tasks == 1) {
    body(int64_t{0}, current_worker());
    return;
  }
  run_tasks(
      tasks,
      [](void* c, int64_t t, int w) { (*static_cast<std::remove_reference_t<F>*>(c))(t, w); },
      const_cast<void*>(static_cast<const void*>(&body)));
}

// parallel_for over blocks of `grain` items: body(begin, end, worker). One block (no threads) when
// n <= grain.
template <class F>
void parallel_blocks(int64_t n, int64_t grain, F&& body) {
  const int64_t blocks = n / grain + (n % grain > 0);
  parallel_for(blocks, [&](int64_t b, int worker) {
    const int64_t begin = b * grain, end = n - begin > grain ? begin + grain : n;
    body(begin, end, worker);
  });
}

}  // namespace fastnn
