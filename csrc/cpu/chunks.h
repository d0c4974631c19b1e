// A list of arrays laid end to end and cut into chunks of one size: the tasks of an op that visits
// them all at once. A chunk holds many small arrays, or a part of a large one.
#pragma once

#include <algorithm>

#include "fastnn/tensor_view.h"

namespace fastnn {

class Chunks {
 public:
  static constexpr int64_t kSize = 16384;  // elements
  static constexpr int64_t kPad =
      64;  // every array starts at a multiple of this, so that parts keep their alignment

  static size_t bytes(int64_t items) { return static_cast<size_t>(items + 1) * sizeof(int64_t); }

  static int64_t padded_total(const TensorView* views, int64_t items) {
    int64_t total = 0;
    for (int64_t i = 0; i < items; ++i) total += padded(views[i]);
    return total;
  }

  // `memory` holds bytes(items).
  Chunks(const TensorView* views, int64_t items, void* memory)
      : views_(views), items_(items), start_(static_cast<int64_t*>(memory)) {
    start_[0] = 0;
    for (int64_t i = 0; i < items; ++i) start_[i + 1] = start_[i] + padded(views[i]);
  }

  int64_t count() const { return chunks(start_[items_]); }

  // body(item, begin, end, piece) for the parts of arrays in a chunk. Pieces are numbered through,
  // with gaps, in the order of arrays and elements: see first_piece.
  template <class F>
  void visit(int64_t chunk, F&& body) const {
    const int64_t from = chunk * kSize, to = std::min(from + kSize, start_[items_]);
    int64_t item = std::upper_bound(start_, start_ + items_ + 1, from) - start_ - 1;
    for (; item < items_ && start_[item] < to; ++item) {
      const int64_t begin = std::max(from - start_[item], int64_t{0});
      const int64_t end = std::min(to - start_[item], views_[item].numel());
      if (begin < end) body(item, begin, end, chunk + item);
    }
  }

  // The pieces of an array are [first_piece(item), first_piece(item) + pieces(item)); all numbers
  // are below max_pieces(padded_total, items).
  int64_t first_piece(int64_t item) const { return start_[item] / kSize + item; }
  int64_t pieces(int64_t item) const {
    const int64_t n = views_[item].numel();
    return n == 0 ? 0 : (start_[item] + n - 1) / kSize - start_[item] / kSize + 1;
  }
  static int64_t max_pieces(int64_t padded_total, int64_t items) {
    return chunks(padded_total) + items;
  }

 private:
  static int64_t padded(const TensorView& v) { return (v.numel() + kPad - 1) / kPad * kPad; }
  static int64_t chunks(int64_t total) { return (total + kSize - 1) / kSize; }

  const TensorView* views_;
  int64_t items_;
  int64_t* start_;
};

}  // namespace fastnn
