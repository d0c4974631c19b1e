// The table of matrix kernels of one instruction set level.
#include "cpu/kernels/gemm.h"

#include "cpu/kernels/gemm_pack.h"
#include "cpu/kernels/gemm_tile.h"
#include "cpu/kernels/gemm_vector.h"

namespace fastnn {

namespace FASTNN_ISA_NS {

static void nothing() {}

template <class T>
static constexpr GemmFamily family() {
  return {
      kRows,
      kBPanel<T>,
      kAPanel<T>,
      1,
      1,
      false,
      0,
      &nothing,
      &nothing,
      &run_tile<T, true>,
      &run_tile<T, false>,
      &pack<T>,
      &pack<T>,
      &pack<T>,
      &finish<T>,
      &sum<T>,
      &vector_by_matrix<T>,
  };
}

const GemmKernels* gemm_kernels() {
  static constexpr GemmFamily f32 = family<float>(), f64 = family<double>();
  static constexpr GemmKernels kernels{&f32, &f64};
  return &kernels;
}

}  // namespace FASTNN_ISA_NS
}  // namespace fastnn
