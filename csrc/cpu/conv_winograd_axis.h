// How F(2, 3) takes an axis of any number of taps, with a step of 1 or 2: the taps fall into pieces
// of up to three, each a filter of its own on the same grid of tiles, and all are summed in the
// same four points before one transform back.
//
// A step of 2 parts the image into even and odd pixels, which are images for themselves. In each,
// pieces start at every second tap, which is a tile further on. A piece of two taps has no third,
// so that its filter is 0 at the last point; a single tap is put in the middle of three, 0 at both
// ends. What is 0 is not multiplied: 4, 3 and 2 products for two pixels instead of 6, 4 and 2.
#pragma once

#include <algorithm>
#include <cstdlib>

#include "cpu/conv_shape.h"
#include "cpu/gemm_plan.h"

namespace fastnn {

struct WinogradPiece {
  int64_t phase;    // of the image
  int64_t tile;     // so many tiles further on
  int64_t taps[3];  // of the weight, or kNone
  unsigned points;  // where the filter is not 0, as bits

  static constexpr int64_t kNone = -1;
  bool at(int64_t point) const { return points >> point & 1; }
};

struct WinogradAxis {
  static constexpr int64_t kMostTaps = 9;
  static constexpr int kMost = 4;  // pieces

  int64_t step, gap;      // image phases; taps `gap` apart make as many phases of the result
  int64_t tiles, extra;   // of a phase of the result; the image's, for pieces further on
  int64_t low;            // the image coordinate where the first tile of the first phase begins
  int64_t begin[2] = {};  // of a phase of the image, from `low` on
  int64_t lead;  // pixels of a phase in front of most pieces: a single tap is in the middle
  int pieces = 0;
  WinogradPiece piece[kMost];

  // A step parts the image, a gap the result; both at once would part both.
  static bool takes(const ConvAxis& a) {
    return a.taps >= 2 && a.taps <= kMostTaps && a.step <= 2 &&
           (a.step == 1 || std::abs(a.tap_step) == 1);
  }

  explicit WinogradAxis(const ConvAxis& a) : step(a.step), gap(std::abs(a.tap_step)), extra(0) {
    tiles = ceil_div(a.out, 2 * gap);
    for (int64_t phase = 0; phase < step; ++phase) add_phase(a, phase);
    lead = taps_of(a, step - 1) == 1;
    low = a.origin + std::min<int64_t>(0, (a.taps - 1) * a.tap_step) - lead * spread();
    for (int64_t phase = 0; phase < step; ++phase)
      begin[phase] = phase + (taps_of(a, phase) == 1 ? 0 : lead * spread());
  }

  int64_t spread() const { return step * gap; }
  // Of a phase's pixels, for so many tiles of the result.
  int64_t pixels(int64_t of_tiles) const { return 2 * (of_tiles + extra) + 2 + lead; }

  int64_t products() const {
    int64_t sum = 0;
    for (int64_t point = 0; point < 4; ++point)
      for (int i = 0; i < pieces; ++i) sum += piece[i].at(point);
    return sum;
  }
  bool needs(int64_t phase, int64_t point) const {
    for (int i = 0; i < pieces; ++i)
      if (piece[i].phase == phase && piece[i].at(point)) return true;
    return false;
  }
  bool same_pieces(int64_t point, int64_t other) const {
    for (int i = 0; i < pieces; ++i)
      if (piece[i].at(point) != piece[i].at(other)) return false;
    return true;
  }

 private:
  static int64_t taps_of(const ConvAxis& a, int64_t phase) {
    return (a.taps - phase + a.step - 1) / a.step;
  }

  void add_phase(const ConvAxis& a, int64_t phase) {
    const auto tap = [&](int64_t i) {
      const int64_t t = phase + i * a.step;
      return a.tap_step > 0 ? t : a.taps - 1 - t;
    };
    constexpr int64_t none = WinogradPiece::kNone;
    const int64_t taps = taps_of(a, phase);
    if (taps == 1) {
      piece[pieces++] = {phase, 0, {none, tap(0), none}, 0b0110};
      return;
    }
    for (int64_t i = 0; i < taps; i += 2) {
      const bool three = taps - i == 3;
      piece[pieces++] = {
          phase, i / 2, {tap(i), tap(i + 1), three ? tap(i + 2) : none}, three ? 0b1111u : 0b0111u};
      extra = std::max(extra, i / 2);
      if (three) break;
    }
  }
};

}  // namespace fastnn
