// Launches, streams, and what kernels call.
#include "host/shim.h"

#include <atomic>
#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <mutex>

#include "fastnn/error.h"
#include "fastnn/parallel.h"
#include "host/block.h"

namespace fastnn::cuda::shim {

thread_local Block* current_block = nullptr;

namespace {

Schedule from_environment() {
  Schedule s;
  const char* text = std::getenv("FASTNN_SHIM");
  if (!text) return s;
  const std::string name(text);
  if (name.rfind("reverse", 0) == 0) s.order = Order::reverse;
  if (name.rfind("shuffled", 0) == 0) s.order = Order::shuffled;
  const size_t colon = name.find(':');
  if (colon != std::string::npos) s.seed = std::strtoull(text + colon + 1, nullptr, 10);
  return s;
}

Schedule& mutable_schedule() {
  static Schedule s = from_environment();
  return s;
}

Block& own_block() {
  static thread_local std::unique_ptr<Block> block;
  if (!block) block = std::make_unique<Block>();
  return *block;
}

// The i-th block to start, of n.
int64_t scatter(int64_t i, int64_t n, const Schedule& s) {
  if (s.order == Order::forward) return i;
  if (s.order == Order::reverse) return n - 1 - i;
  int64_t step = 7919 % n ? 7919 : 1;  // a prime that does not divide n goes through all of them
  return static_cast<int64_t>((static_cast<uint64_t>(i) * static_cast<uint64_t>(step) + s.seed) %
                              static_cast<uint64_t>(n));
}

void run_grid(const Grid& grid, const std::function<void()>& body) {
  const int64_t gx = grid.blocks.x, gy = grid.blocks.y, gz = grid.blocks.z, n = gx * gy * gz;
  if (grid.threads < 1 || grid.threads > kMostThreads || n < 1 || gx > INT32_MAX || gy > 65535 ||
      gz > 65535 || grid.shared_bytes > kSharedLimit)
    throw Fault(cat("launch of ", grid.name, ": invalid configuration: grid (", gx, ", ", gy, ", ",
                    gz, "), ", grid.threads, " threads, ", grid.shared_bytes, " shared bytes"));
  const Schedule order = schedule();
  std::mutex mutex;
  std::string first_fault;
  std::atomic<bool> failed{false};
  const auto one = [&](int64_t i) {
    if (failed) return;
    const int64_t b = scatter(i, n, order);
    const uint3 index{static_cast<unsigned>(b % gx), static_cast<unsigned>(b / gx % gy),
                      static_cast<unsigned>(b / gx / gy)};
    try {
      own_block().run(grid, index, body, order);
    } catch (const Fault& f) {
      const std::lock_guard<std::mutex> lock(mutex);
      if (!failed) first_fault = f.what();
      failed = true;
    }
  };
  parallel_for(n, [&](int64_t i, int) { one(i); });
  if (failed) throw Fault(first_fault);
}

struct Pending {
  Grid grid;
  std::function<void()> body;
};
std::map<void*, std::deque<Pending>>& queues() {
  static std::map<void*, std::deque<Pending>> q;
  return q;
}

}  // namespace

const Schedule& schedule() { return mutable_schedule(); }
void set_schedule(const Schedule& s) { mutable_schedule() = s; }

void enqueue(void* stream, const Grid& grid, std::function<void()> body) {
  if (!schedule().deferred) return run_grid(grid, body);
  queues()[stream].push_back({grid, std::move(body)});
}

void synchronize() {
  auto& q = queues();
  while (!q.empty()) {
    auto stream = schedule().order == Order::reverse ? std::prev(q.end()) : q.begin();
    if (stream->second.empty()) {
      q.erase(stream);
      continue;
    }
    const Pending next = std::move(stream->second.front());
    stream->second.pop_front();
    try {
      run_grid(next.grid, next.body);
    } catch (...) {
      q.clear();
      throw;
    }
  }
}

// ---- What kernels call ------------------------------------------------------------------------

void fault(const std::string& what) {
  if (!current_block) throw Fault(what);
  current_block->fault(what);
}

void barrier(int id, int threads) { current_block->barrier(id, threads, true); }
void barrier_arrive(int id, int threads) { current_block->barrier(id, threads, false); }
void meet(const char* what, uint32_t mask, void* args, Finish finish) {
  current_block->meet(what, mask, args, finish);
}

void* shared_array(const void* tag, size_t bytes) {
  return current_block->memory().array(tag, bytes);
}
void* dynamic_shared_memory() {
  void* p = current_block->memory().dynamic();
  if (!p) fault("dynamic shared memory is used, but none was asked for at the launch");
  return p;
}

void check_aligned(const char* what, const void* p, size_t align) {
  if (reinterpret_cast<uintptr_t>(p) % align != 0)
    fault(cat(what, ": address is not a multiple of ", align));
}
void check_shared(const char* what, const void* p, size_t bytes, size_t align) {
  check_aligned(what, p, align);
  if (!current_block->memory().contains(p, bytes))
    fault(cat(what, ": ", bytes, " bytes that are not within one shared array"));
}

void copy_async(void* dst, const void* src, int size, int bytes) {
  check_shared("cp.async", dst, static_cast<size_t>(size), static_cast<size_t>(size));
  if (bytes) check_aligned("cp.async source", src, static_cast<size_t>(size));
  if (bytes < 0 || bytes > size) fault("cp.async: source size outside of 0..copy size");
  std::memset(dst, 0xff, static_cast<size_t>(size));
  current_block->self().copies.push_back({dst, src, size, bytes});
}

void copy_async_commit() {
  Thread& t = current_block->self();
  t.groups.push_back(t.copies.size() - t.grouped);
  t.grouped = t.copies.size();
}

void copy_async_wait(int pending_groups) {
  Thread& t = current_block->self();
  const size_t keep = static_cast<size_t>(pending_groups);
  if (t.groups.size() <= keep) return;
  size_t landing = 0;
  const size_t groups = t.groups.size() - keep;
  for (size_t g = 0; g < groups; ++g) landing += t.groups[g];
  for (size_t i = 0; i < landing; ++i) {
    const AsyncCopy& c = t.copies[i];
    std::memcpy(c.dst, c.src, static_cast<size_t>(c.bytes));
    std::memset(static_cast<char*>(c.dst) + c.bytes, 0, static_cast<size_t>(c.size - c.bytes));
  }
  t.copies.erase(t.copies.begin(), t.copies.begin() + static_cast<std::ptrdiff_t>(landing));
  t.groups.erase(t.groups.begin(), t.groups.begin() + static_cast<std::ptrdiff_t>(groups));
  t.grouped -= landing;
}

}  // namespace fastnn::cuda::shim
