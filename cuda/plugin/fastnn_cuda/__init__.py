"""The CUDA kernels of fastnn: fastnn._cuda loads them when CUDA is first asked for."""
