#include "host/block.h"

#include <bit>

#include "fastnn/error.h"

namespace fastnn::cuda::shim {

thread_local Ids* current = nullptr;
extern thread_local Block* current_block;

namespace {

void thread_main() {
  current_block->run_body();
  current_block->finish_thread();
}

uint64_t next_random(uint64_t& state) {  // xorshift64*
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return state * 0x2545F4914F6CDD1DULL >> 33;
}

int nth_bit(uint32_t bits, int n) {
  for (; n > 0; --n) bits &= bits - 1;
  return std::countr_zero(bits);
}

}  // namespace

void Block::run(const Grid& grid, uint3 index, const std::function<void()>& body,
                const Schedule& schedule) {
  grid_ = &grid;
  body_ = &body;
  order_ = schedule.order;
  random_ =
      (schedule.seed + 1) * 0x9E3779B97F4A7C15ULL +
      (index.x + (uint64_t{index.y} << 20) + (uint64_t{index.z} << 40)) * 0xD1342543DE82EF95ULL;
  random_ |= 1;
  failed_ = false;
  alive_ = grid.threads;
  current_block = this;
  memory_.reset(grid.shared_bytes);
  for (Barrier& b : barriers_) b = Barrier{};
  for (Warp& w : warps_) w.ready = 0, w.pending = 0;
  for (int i = 0; i < grid.threads; ++i) {
    Thread& t = threads_[i];
    t.ids = {{static_cast<unsigned>(i), 0, 0},
             index,
             {static_cast<unsigned>(grid.threads), 1, 1},
             grid.blocks};
    t.fiber.stack = stacks_.at(i);
    fiber_start(t.fiber, thread_main);
    t.waits_for = nullptr;
    t.done = false;
    t.copies.clear();
    t.groups.clear();
    t.grouped = 0;
    warps_[i / 32].ready |= 1u << i % 32;
  }
  self_ = next_thread();
  current = &self_->ids;
  fiber_switch(scheduler_, self_->fiber);
  current = nullptr;
  current_block = nullptr;
  if (failed_) throw Fault(fault_);
}

// The thread that runs next: as far ahead of the others as it can get, so that a missing barrier
// shows.
Thread* Block::next_thread() {
  const int warps = (grid_->threads + 31) / 32;
  int chosen = -1;
  if (order_ == Order::forward) {
    for (int w = 0; w < warps && chosen < 0; ++w)
      if (warps_[w].ready) chosen = w * 32 + std::countr_zero(warps_[w].ready);
  } else if (order_ == Order::reverse) {
    for (int w = warps - 1; w >= 0 && chosen < 0; --w)
      if (warps_[w].ready) chosen = w * 32 + 31 - std::countl_zero(warps_[w].ready);
  } else {
    const int first = static_cast<int>(next_random(random_) % static_cast<uint64_t>(warps));
    for (int k = 0; k < warps && chosen < 0; ++k) {
      const int w = (first + k) % warps;
      const uint32_t ready = warps_[w].ready;
      if (!ready) continue;
      const auto n = static_cast<uint64_t>(std::popcount(ready));
      chosen = w * 32 + nth_bit(ready, static_cast<int>(next_random(random_) % n));
    }
  }
  if (chosen < 0) return nullptr;
  warps_[chosen / 32].ready &= ~(1u << chosen % 32);
  return &threads_[chosen];
}

void Block::switch_to(Thread* next) {
  Thread* from = self_;
  if (next == from) return;
  self_ = next;
  if (next) current = &next->ids;
  fiber_switch(from->fiber, next ? next->fiber : scheduler_);
}

void Block::wait(const char* what) {
  self_->waits_for = what;
  Thread* next = next_thread();
  if (!next) {
    failed_ = true;
    fault_ = deadlock();
  }
  switch_to(next);
}

void Block::release(int warp, uint32_t lanes) {
  for (uint32_t left = lanes; left; left &= left - 1)
    threads_[warp * 32 + std::countr_zero(left)].waits_for = nullptr;
  warps_[warp].ready |= lanes;
}

void Block::finish_thread() {
  self_->done = true;
  --alive_;
  Thread* next = next_thread();
  if (!next && alive_ > 0) {
    failed_ = true;
    fault_ = deadlock();
  }
  switch_to(next);
  __builtin_unreachable();
}

void Block::fault(const std::string& what) {
  failed_ = true;
  fault_ = cat(what, place(*self_));
  switch_to(nullptr);
  __builtin_unreachable();
}

std::string Block::place(const Thread& t) const {
  return cat(" (kernel ", grid_->name, ", block (", t.ids.block.x, ", ", t.ids.block.y, ", ",
             t.ids.block.z, "), thread ", t.ids.thread.x, ")");
}

std::string Block::deadlock() const {
  std::string text = "deadlock: no thread can go on";
  int shown = 0, waiting = 0, done = 0;
  for (int i = 0; i < grid_->threads; ++i) {
    const Thread& t = threads_[i];
    done += t.done;
    if (t.done || !t.waits_for) continue;
    ++waiting;
    if (++shown > 4) continue;
    text += cat("; thread ", i, " waits at ", t.waits_for);
    if (t.barrier >= 0) {
      const Barrier& b = barriers_[t.barrier];
      text +=
          cat(" ", t.barrier, ", phase ", b.phase, ", ", b.arrived, " of ", b.expected, " arrived");
    } else {
      std::ostringstream mask;
      mask << std::hex << t.mask;
      text += cat(", mask ", mask.str());
    }
  }
  const uint3 b = threads_[0].ids.block;
  return cat(text, "; ", waiting, " wait and ", done, " have ended, of ", grid_->threads,
             " (kernel ", grid_->name, ", block (", b.x, ", ", b.y, ", ", b.z, "))");
}

void Block::barrier(int id, int threads, bool waits) {
  if (id < 0 || id >= kBarriers) fault("barrier number outside of 0..15");
  if (threads == 0) threads = grid_->threads;
  if (id != 0 && threads % 32 != 0) fault("a named barrier counts whole warps");
  Barrier& b = barriers_[id];
  if (b.arrived == 0) b.expected = threads;
  if (b.expected != threads)
    fault(cat("barrier ", id, ": expects ", b.expected, " threads here and ", threads, " there"));
  if (++b.arrived == b.expected) {
    for (int w = 0; w < kMostWarps; ++w) {
      if (b.waiting[w]) release(w, b.waiting[w]);
      b.waiting[w] = 0;
    }
    b.arrived = 0;
    ++b.phase;
  } else if (waits) {
    const unsigned x = self_->ids.thread.x;
    b.waiting[x / 32] |= 1u << x % 32;
    self_->barrier = id;
    wait(id == 0 ? "__syncthreads, barrier" : "barrier");
  }
}

void Block::meet(const char* what, uint32_t mask, void* args, Finish finish) {
  const unsigned x = self_->ids.thread.x;
  const uint32_t bit = 1u << x % 32;
  Warp& warp = warps_[x / 32];
  if (!(mask & bit)) fault(cat(what, ": the mask lacks the calling lane"));
  warp.args[x % 32] = args;
  int at = 0;
  for (; at < warp.pending; ++at) {
    Meeting& m = warp.meetings[at];
    if (m.mask == mask && m.finish == finish && m.what == what) break;
    if (m.mask & mask)
      fault(cat(what, ": other lanes of the warp are at ", m.what,
                m.mask == mask ? "" : " with another mask"));
  }
  if (at == warp.pending) warp.meetings[warp.pending++] = {what, finish, mask, 0};
  Meeting& m = warp.meetings[at];
  m.arrived |= bit;
  if (m.arrived == mask) {
    m = warp.meetings[--warp.pending];
    finish(warp.args, mask);
    release(static_cast<int>(x / 32), mask & ~bit);
  } else {
    self_->mask = mask;
    self_->barrier = -1;
    wait(what);
  }
}

}  // namespace fastnn::cuda::shim
