// Maximum pooling, vectorised along rows (NCHW) and across channels (channels-last).
//
// Forward keeps the running maximum and its place in the window in registers. Backward gathers:
// each element of dx asks the outputs whose windows span it whether it was their maximum, so that
// every element is written once, in one order, and rows of dx are independent tasks.
#include "cpu/kernels/max_pool.h"

#include "cpu/kernels/max_pool_backward.h"
#include "cpu/kernels/max_pool_pixels.h"
#include "cpu/kernels/max_pool_rows.h"

namespace fastnn::FASTNN_ISA_NS {
namespace {

template <class T>
constexpr MaxPoolTable<T> table() {
  return {rows<T>, rows_backward<T>, pixels<T>, pixels_backward<T>, span<T>};
}

}  // namespace

const MaxPoolKernels* max_pool_kernels() {
  static const MaxPoolKernels kernels = {table<float>(), table<double>()};
  return &kernels;
}

}  // namespace fastnn::FASTNN_ISA_NS
