// Version, instruction set levels, threads, memory statistics.
#include "bindings/convert.h"
#include "fastnn/isa.h"
#include "fastnn/parallel.h"

namespace fastnn {

namespace {

Isa isa_from_name(const std::string& name) {
  for (int i = 0; i < kIsaLevels; ++i)
    if (name == name_of(static_cast<Isa>(i))) return static_cast<Isa>(i);
  fail(ErrorKind::value, "set_isa: unknown instruction set level '", name,
       "'; expected reference, baseline, avx2, avx512, avx512_bf16 or amx");
}

py::list isa_levels() {
  py::list names;
  for (int i = 0; i < kIsaLevels; ++i)
    if (isa_available(static_cast<Isa>(i))) names.append(name_of(static_cast<Isa>(i)));
  return names;
}

py::dict stats() {
  const MemoryStats s = memory_stats();
  py::dict d;
  d["allocated"] = s.allocated;
  d["peak"] = s.peak;
  d["cached"] = s.cached;
  d["system_calls"] = s.system_calls;
  return d;
}

// Uninitialised memory from the pool.
py::object empty(py::handle shape, py::handle dtype) {
  const std::vector<int64_t> sizes = int_list(shape, "empty", "size");
  if (sizes.size() > kMaxDims)
    fail(ErrorKind::shape, "empty: at most ", kMaxDims, " dimensions are supported, got ",
         sizes.size());
  set_output_device(0);
  return new_array(dtype_arg(dtype, "empty"), sizes.data(), static_cast<int>(sizes.size())).array;
}

}  // namespace

void bind_runtime(py::module_& m) {
  m.def("empty", &empty);
  m.def("isa_levels", &isa_levels);
  m.def("isa", [] { return name_of(active_isa()); });
  m.def("set_isa", [](const std::string& name) { set_isa(isa_from_name(name)); });
  m.def("num_threads", &num_threads);
  m.def("set_num_threads", &set_num_threads);
  m.def("memory_stats", &stats);
  m.def("reset_peak_memory", &reset_peak_memory);
  m.def("empty_cache", &empty_cache);
  m.def("set_cache_limit", &set_cache_limit);
}

}  // namespace fastnn
