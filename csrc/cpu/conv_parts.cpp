#include "cpu/conv_parts.h"

#include <algorithm>

#include "cpu/conv_band.h"
#include "cpu/conv_direct.h"
#include "cpu/gemm_core.h"
#include "cpu/gemm_plan.h"
#include "cpu/kernels/conv.h"
#include "fastnn/parallel.h"

namespace fastnn {

namespace {

constexpr int64_t kElem = 4;
constexpr int64_t kChannels = 32;  // of a task

}  // namespace

PartWeights::PartWeights(const Transposed& t, bool (*by_filters)(const Correlation&))
    : t_(t), whole_(t.whole()) {
  const Correlation& c = whole_;
  lanes_ = active_conv_kernels().filters.lanes;
  const int64_t weight_bytes = c.groups * c.in * c.out * c.taps() * kElem;
  if (c.dtype != DType::f32 || t.parts() < 2 || t.parts() > kMost || c.taps() > kMostTaps ||
      c.taps() == 1 /* lies as it should */ || c.out < lanes_ || c.batch == 0 ||
      weight_bytes <= cache_sizes().l2 / 4 || !two_axes(c) || !c.adjacent_taps() ||
      c.weight.o != c.taps())
    return;
  panel_ = std::min(2 * lanes_, round_up(c.out, lanes_));
  panels_ = ceil_div(c.out, panel_);
  for (int64_t i = 0; i < t.parts(); ++i) {
    const Correlation part = t.part(i);
    if (part.taps() > 0 && !add_part(i, part, by_filters(part))) {
      bytes_ = 0;
      return;
    }
  }
}

bool PartWeights::add_part(int64_t i, const Correlation& c, bool panels) {
  if (c.pixels() == 0 || (!panels && c.taps() > 1)) return false;
  parts_[i] = {bytes_, c.taps(), panels};
  bytes_ += c.groups * panels_ * panel_ * c.in * c.taps() * kElem;
  const int64_t first = (c.weight.data - whole_.weight.data) / kElem;
  int64_t tap = 0;
  for (int64_t y = 0; y < c.axis[1].taps; ++y)
    for (int64_t x = 0; x < c.axis[2].taps; ++x)
      rows_[first + y * c.weight.axis[1] + x * c.weight.axis[2]] = {i, tap++};
  return true;
}

void PartWeights::pack(void* memory) const {
  const int64_t chunks = ceil_div(whole_.in, kChannels);
  parallel_for(whole_.groups * panels_ * chunks, [&](int64_t task, int) {
    const int64_t first = task % chunks * kChannels, panel = task / chunks % panels_;
    for (int64_t k = first; k < std::min(first + kChannels, whole_.in); ++k)
      pack_channel(task / chunks / panels_, panel, k, static_cast<char*>(memory));
  });
}

void PartWeights::pack_channel(int64_t group, int64_t panel, int64_t channel, char* memory) const {
  const ConvWeightView& w = whole_.weight;
  const int64_t o = panel * panel_, taps = whole_.taps();
  const int64_t width = std::min(panel_, whole_.out - o), row = round_up(width, lanes_);
  alignas(64) float rows[kMostTaps * 32];
  gemm_family(DType::f32)
      .pack({rows, static_cast<int>(row),
             w.data + (group * w.group + channel * w.c + o * w.o) * kElem, DType::f32, w.o, 1,
             static_cast<int>(width), taps});
  for (int64_t tap = 0; tap < taps; ++tap) {
    if (rows_[tap].part == Row::kNone) continue;
    const Part& part = parts_[rows_[tap].part];
    const int64_t before = group * panels_ * panel_ * whole_.in;
    const int64_t at = part.panels ? (before + o * whole_.in) * part.taps +
                                         (channel * part.taps + rows_[tap].tap) * row
                                   : before + channel * panels_ * panel_ + o;
    std::copy_n(rows + tap * row, row, reinterpret_cast<float*>(memory + part.at) + at);
  }
}

Correlation PartWeights::part(int64_t i, const void* memory) const {
  Correlation c = t_.part(i);
  if (c.taps() == 0) return c;
  char* weight = static_cast<char*>(const_cast<void*>(memory)) + parts_[i].at;
  const int64_t row = panels_ * panel_;
  if (parts_[i].panels)
    c.prepared = weight;
  else
    c.weight = {weight, 1, row, {0, 0, 0}, c.in * row};
  return c;
}

}  // namespace fastnn
