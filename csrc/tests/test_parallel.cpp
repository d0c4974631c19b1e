#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "check.h"
#include "child.h"
#include "fastnn/parallel.h"
#include "runtime/cpu_count.h"

using namespace fastnn;
using fastnn::test::in_child;
using namespace std::chrono_literals;

namespace {

// Runs `tasks` tasks; true when each ran once and no two at a time under one worker number.
bool region_is_right(int64_t tasks) {
  const LaunchScope scope;
  std::vector<int> runs(static_cast<size_t>(tasks), 0);
  const int slots = max_workers();
  std::vector<std::atomic<int>> inside(static_cast<size_t>(slots));
  std::atomic<bool> right{true};
  parallel_for(tasks, [&](int64_t task, int worker) {
    if (worker < 0 || worker >= slots || task < 0 || task >= tasks) {
      right = false;
      return;
    }
    if (inside[worker].fetch_add(1) != 0) right = false;
    ++runs[static_cast<size_t>(task)];
    inside[worker].fetch_sub(1);
  });
  for (int n : runs) right = right && n == 1;
  return right;
}

// Meets the others: returns true once `count` tasks wait here at the same time.
bool meet(std::atomic<int>& arrived, int count) {
  ++arrived;
  const auto end = std::chrono::steady_clock::now() + 20s;
  while (arrived < count && std::chrono::steady_clock::now() < end) std::this_thread::yield();
  return arrived >= count;
}

void every_task_runs_once() {
  for (int threads : {1, 2, 3, 5, 16}) {  // also more threads than CPUs
    set_num_threads(threads);
    CHECK_EQ(num_threads(), threads);
    CHECK_EQ(max_workers(), threads);
    for (int64_t tasks : {0, 1, 2, 3, 7, 64, 1000})
      for (int repeat = 0; repeat < 20; ++repeat) CHECK(region_is_right(tasks));
  }
}

void blocks_cover_the_range() {
  set_num_threads(2);
  for (int64_t n : {0, 1, 9, 10, 11, 20, 105}) {
    std::atomic<int64_t> sum{0};
    parallel_blocks(n, 10, [&](int64_t begin, int64_t end, int) {
      CHECK(begin % 10 == 0 && end <= n && end > begin && end - begin <= 10);
      sum += end - begin;
    });
    CHECK_EQ(sum.load(), n);
  }
  int calls = 0;  // a grain near the largest number must not overflow
  parallel_blocks(5, INT64_MAX, [&](int64_t begin, int64_t end, int) {
    CHECK(begin == 0 && end == 5);
    ++calls;
  });
  CHECK_EQ(calls, 1);
}

void threads_really_run_together() {
  set_num_threads(2);
  std::atomic<int> arrived{0};
  std::atomic<int> workers{0};
  parallel_for(2, [&](int64_t, int worker) {
    CHECK(meet(arrived, 2));
    workers += 1 + worker;
  });
  CHECK_EQ(workers.load(), 3);  // workers 0 and 1
}

void nested_calls_are_serial() {
  set_num_threads(4);
  std::atomic<int> inner{0};
  CHECK(!in_parallel());
  parallel_for(8, [&](int64_t, int worker) {
    CHECK(in_parallel());
    CHECK_EQ(current_worker(), worker);
    int64_t expected = 0;
    parallel_for(5, [&](int64_t task, int nested_worker) {
      CHECK_EQ(task, expected++);
      CHECK_EQ(nested_worker, worker);
      ++inner;
    });
    parallel_for(1, [&](int64_t, int nested_worker) { CHECK_EQ(nested_worker, worker); });
  });
  CHECK(!in_parallel());
  CHECK_EQ(current_worker(), 0);
  CHECK_EQ(inner.load(), 40);
}

void a_second_caller_does_not_wait() {
  set_num_threads(2);
  std::atomic<int> arrived{0};
  std::thread other(
      [&] {  // both tasks of this region wait inside until the second caller lets them go
        parallel_for(2, [&](int64_t, int) { CHECK(meet(arrived, 3)); });
      });
  while (arrived < 2) std::this_thread::yield();
  CHECK(region_is_right(10));
  int64_t next = 0;
  parallel_for(2, [&](int64_t outer, int) {
    if (outer == 1) {  // the pool becomes free, but this is still a task: what it calls is serial
      ++arrived;
      other.join();
    }
    parallel_for(100, [&](int64_t inner, int worker) {
      CHECK_EQ(outer * 100 + inner, next);
      CHECK_EQ(worker, 0);
      ++next;
    });
  });
  CHECK_EQ(next, 200);
}

void many_callers() {
  set_num_threads(3);
  std::vector<std::thread> callers;
  for (int t = 0; t < 8; ++t)
    callers.emplace_back([t] {
      for (int i = 0; i < 300; ++i) {
        if (t == 0 && i % 10 == 0) set_num_threads(2 + i / 10 % 3);  // while the others work
        CHECK(region_is_right(1 + (i + t) % 20));
      }
    });
  for (std::thread& t : callers) t.join();
}

void a_launch_keeps_its_thread_count() {
  set_num_threads(2);
  {
    const LaunchScope scope;
    const int slots = max_workers();
    set_num_threads(7);
    CHECK_EQ(max_workers(), slots);
    parallel_for(50, [&](int64_t, int worker) { CHECK(worker < slots && max_workers() == slots); });
    const LaunchScope inner;
    CHECK_EQ(max_workers(), slots);
  }
  CHECK_EQ(max_workers(), 7);
  for (int wrong : {0, -1, 1025, -2147483647})
    CHECK_FAILS(ErrorKind::value, std::to_string(wrong), set_num_threads(wrong));
  CHECK_EQ(num_threads(), 7);
}

#if defined(__x86_64__)
void denormals_survive() {
  constexpr unsigned kFlushToZero = 0x8040;
  const unsigned before = __builtin_ia32_stmxcsr();
  __builtin_ia32_ldmxcsr(before | kFlushToZero);
  set_num_threads(3);  // new workers are born while the caller flushes denormals
  {
    const LaunchScope scope;
    std::atomic<int> arrived{0};
    parallel_for(3, [&](int64_t, int) {
      CHECK(meet(arrived, 3));
      volatile float tiny = 1e-40f;
      CHECK(tiny * 0.5f > 0.0f);
    });
  }
  CHECK((__builtin_ia32_stmxcsr() & kFlushToZero) == kFlushToZero);  // the caller's mode is back
  __builtin_ia32_ldmxcsr(before);
}
#endif

void workers_take_no_signals() {
  set_num_threads(2);
  std::atomic<int> arrived{0};
  parallel_for(2, [&](int64_t, int worker) {
    CHECK(meet(arrived, 2));
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    CHECK_EQ(sigismember(&mask, SIGINT), worker == 0 ? 0 : 1);
  });
}

void a_forked_child_has_threads() {
  set_num_threads(2);
  CHECK(region_is_right(10));
  const auto child_work = [] {
    std::atomic<int> arrived{0};
    std::atomic<bool> together{true};
    parallel_for(2, [&](int64_t, int) {
      if (!meet(arrived, 2)) together = false;
    });
    return together && region_is_right(100);
  };
  CHECK_EQ(in_child(child_work), 0);
  CHECK_EQ(in_child([&] { return in_child(child_work) == 0; }), 0);

  std::atomic<bool> stop{false};  // now fork while the pool is busy
  std::thread busy([&] {
    while (!stop) CHECK(region_is_right(50));
  });
  for (int i = 0; i < 20; ++i) CHECK_EQ(in_child(child_work), 0);
  stop = true;
  busy.join();
  CHECK(region_is_right(10));
}

void too_few_threads_to_be_had() {
  if (test::kSanitized) return;  // sanitizers need address space of their own
  CHECK_EQ(in_child([] {
             const rlimit none{0, 0};  // no room for more stacks than those that lie ready
             setrlimit(RLIMIT_AS, &none);
             set_num_threads(64);
             std::atomic<int> runs{0};
             std::atomic<int> highest{0};
             parallel_for(1000, [&](int64_t, int worker) {
               ++runs;
               if (worker > highest) highest = worker;
             });
             return runs == 1000 && highest < 63;
           }),
           0);
}

void idle_workers_sleep() {
  set_num_threads(3);
  CHECK(region_is_right(30));
  std::this_thread::sleep_for(20ms);
  timespec before, after;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
  std::this_thread::sleep_for(200ms);
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
  const double used = static_cast<double>(after.tv_sec - before.tv_sec) +
                      1e-9 * static_cast<double>(after.tv_nsec - before.tv_nsec);
  CHECK(used < 0.05);
}

}  // namespace

void test_parallel() {
  const int start = num_threads();
  CHECK(start >= 1 && start <= affinity_cpus());
  every_task_runs_once();
  blocks_cover_the_range();
  threads_really_run_together();
  nested_calls_are_serial();
  a_second_caller_does_not_wait();
  many_callers();
  a_launch_keeps_its_thread_count();
#if defined(__x86_64__)
  denormals_survive();
#endif
  workers_take_no_signals();
  if (!test::emulated()) {
    a_forked_child_has_threads();
    too_few_threads_to_be_had();
  }
  idle_workers_sleep();
  set_num_threads(start);
}
