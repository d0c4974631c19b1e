// The table of matrix kernels of one instruction set level.
#include "cpu/kernels/gemm.h"

#include "cpu/kernels/gemm_direct.h"
#include "cpu/kernels/gemm_pack.h"
#include "cpu/kernels/gemm_vector.h"

namespace fastnn {

namespace FASTNN_ISA_NS {

static void nothing() {}

template <class T>
static constexpr GemmFamily family() {
  return {
      .mr = kRows,
      .nr = kBPanel<T>,
      .a_panel = kAPanel<T>,
      .elem = sizeof(T),
      .header = 0,
      .depth = 0,
      .quarters = 1,
      .k_step = 1,
      .speed = 1,
      .asks = true,
      .stores_behind = false,
      .row_group = 0,
      .enter = &nothing,
      .leave = &nothing,
      .packed = &run_packed<T>,
      .direct = &run_direct<T>,
      .pack_a = &pack<T>,
      .pack_b = &pack<T>,
      .pack = &pack<T>,
      .finish = &finish<T>,
      .sum = &sum<T>,
      .vector = &vector_by_matrix<T>,
  };
}

const GemmKernels* gemm_kernels() {
  static constexpr GemmFamily f32 = family<float>(), f64 = family<double>();
  static constexpr GemmKernels kernels{&f32, &f64};
  return &kernels;
}

}  // namespace FASTNN_ISA_NS
}  // namespace fastnn
