#pragma once

namespace fastnn::cuda {

using Stream = void*;  // a cudaStream_t, as CuPy hands it out

}  // namespace fastnn::cuda
