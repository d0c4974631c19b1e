// The weight for all parts of a gradient with a stride (Transposed), laid out in one pass. Each
// part has some of the taps of every filter: packed by the parts themselves, every line of a weight
// that no cache holds would be fetched for every part.
#pragma once

#include "cpu/conv_shape.h"

namespace fastnn {

class PartWeights {
 public:
  static constexpr int64_t kMost = 16;  // parts

  // `by_filters`: whether a correlation is computed by correlate_filters().
  PartWeights(const Transposed& t, bool (*by_filters)(const Correlation&));

  size_t bytes() const { return static_cast<size_t>(bytes_); }  // 0: the parts pack for themselves
  void pack(void* memory) const;
  // Part i, with its weight in `memory`.
  Correlation part(int64_t i, const void* memory) const;

 private:
  struct Part {
    int64_t at, taps;  // in memory
    bool panels;       // as correlate_filters() wants them; else a matrix of channels and filters
  };
  // Where a tap of the whole weight goes. A result with fewer pixels than the stride has taps that
  // no part takes.
  struct Row {
    static constexpr int64_t kNone = -1;
    int64_t part = kNone, tap = 0;
  };
  static constexpr int64_t kMostTaps = 64;

  bool add_part(int64_t i, const Correlation& c, bool panels);
  void pack_channel(int64_t group, int64_t panel, int64_t channel, char* memory) const;

  const Transposed& t_;
  const Correlation& whole_;
  int64_t panel_ = 0, panels_ = 0, lanes_ = 0, bytes_ = 0;
  Part parts_[kMost];
  Row rows_[kMostTaps];
};

}  // namespace fastnn
