// Maximum pooling: the inner loops. Positions in windows are written as uint8.
#pragma once

#include "cpu/kernels/isa_table.h"
#include "cpu/kernels/pool_axis.h"

namespace fastnn {

// Output rows of one plane whose rows are contiguous; windows are plain along w.
template <class T>
struct MaxRows {
  const T* x;
  int64_t x_d, x_h;     // strides
  PoolAxis d, h, w;     // tables of d and h
  int64_t first, last;  // rows, numbered od * H + oh
  T* y;
  uint8_t* index;  // null: not wanted
  int64_t y_d, y_h, index_d, index_h;
};

// The same rows of dx from dy and index.
template <class T>
struct MaxRowsBackward {
  const T* dy;
  const uint8_t* index;
  int64_t dy_d, dy_h, index_d, index_h;
  PoolAxis d, h, w;
  int64_t first, last;  // rows of dx, numbered id * H + ih
  T* dx;
  int64_t dx_d, dx_h;
};

// One output row of an image whose channels are contiguous; all three axes have tables.
template <class T>
struct MaxPixels {
  const T* x;  // of the image
  int64_t x_d, x_h, x_w;
  PoolAxis d, h, w;
  int64_t od, oh, channels;
  T* y;  // of the row
  uint8_t* index;
  int64_t y_w, index_w;
};

template <class T>
struct MaxPixelsBackward {
  const T* dy;  // of the image, as is index
  const uint8_t* index;
  int64_t dy_d, dy_h, dy_w, index_d, index_h, index_w;
  PoolAxis d, h, w;
  int64_t id, ih, channels;
  T* dx;  // of the row
  int64_t dx_w;
};

template <class T>
struct MaxPoolTable {
  void (*rows)(const MaxRows<T>&);
  void (*rows_backward)(const MaxRowsBackward<T>&);
  void (*pixels)(const MaxPixels<T>&);
  void (*pixels_backward)(const MaxPixelsBackward<T>&);
  // The maximum of n >= 1 neighbours, and its place: the first of equals, the last NaN. n < 2^31.
  T (*span)(const T* p, int64_t n, int64_t* place);
};

struct MaxPoolKernels {
  MaxPoolTable<float> f32;
  MaxPoolTable<double> f64;
};

FASTNN_KERNELS(MaxPoolKernels, max_pool_kernels)

}  // namespace fastnn
