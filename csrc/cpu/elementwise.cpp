// Driver of the elementwise maps: broadcasting, dtypes, tiles, threads.
#include "fastnn/ops/elementwise.h"

#include <cstring>

#include "cpu/kernels/cast.h"
#include "cpu/kernels/map.h"
#include "cpu/loops.h"
#include "cpu/overlap.h"

namespace fastnn {

namespace {

constexpr int64_t kGrain = 32768;  // elements per task: below, threads cost more than they give
constexpr int64_t kBufferBytes = 4096;  // per operand: all of them stay in L1
constexpr int64_t kCrossedBytes =
    16384;  // for tiles that turn a transposed operand: long pieces of its lines
constexpr int64_t kShortLine = 64;  // shorter lines are worth gathering into longer ones
constexpr int kSplatBytes = 64;     // the widest vector

int compute_index(DType t) { return t == DType::f32 ? 0 : t == DType::f64 ? 1 : 2; }

const MapEntry& entry_of(MapOp op) {
#define FASTNN_X(name, arity, kind, params) +1
  constexpr int basic = 0 FASTNN_MAP_BASIC(FASTNN_X), math = basic FASTNN_MAP_MATH(FASTNN_X);
#undef FASTNN_X
  const int i = static_cast<int>(op);
  if (i < basic) return active_map_basic_kernels().entries[i];
  if (i < math) return active_map_math_kernels().entries[i - basic];
  return active_map_activation_kernels().entries[i - math];
}

const MapInfo& info_of(const ElementwiseParams& p) { return kMapInfo[static_cast<int>(p.op)]; }

// ---- Checks -----------------------------------------------------------------------------------

void check_broadcast(const char* op, const TensorView& out, const TensorView& in, int number) {
  bool fits = in.ndim <= out.ndim;
  for (int d = 0; fits && d < in.ndim; ++d) {
    const int64_t size = in.shape[d];
    fits = size == 1 || size == out.shape[d + out.ndim - in.ndim];
  }
  if (!fits)
    fail(ErrorKind::shape, op, ": input ", number, " of shape ", in.shape_text(),
         " does not broadcast to the output's shape ", out.shape_text());
}

void check_divisor(const char* op, const TensorView& v) {
  if (v.numel() == 0) return;  // tiles of no columns would be divided by
  const Loops loops = build_loops(&v, 1);
  TileWalk walk(loops, 1, loops.cols());
  const auto size = static_cast<int64_t>(size_of(v.dtype));
  const LoadFn load = active_cast_kernels().load[2][static_cast<int>(v.dtype)];
  walk.seek(0);
  for (int64_t t = 0; t < walk.tiles(); ++t, walk.next())
    for (int64_t c = 0; c < walk.cols(); ++c) {
      int64_t value;
      load(&value, v.ptr<char>() + (walk.offset(0) + c * loops.col_stride(0)) * size, {1, 1, 0, 1});
      if (value == 0) fail(ErrorKind::runtime, op, ": integer division by zero");
    }
}

void check(const ElementwiseParams& p, const TensorView* views) {
  const MapInfo& info = info_of(p);
  const TensorView& out = views[0];
  if (!entry_of(p.op).fn[compute_index(p.compute)])
    fail(ErrorKind::dtype, info.name, ": expected ",
         p.compute == DType::i64 ? "floating point" : "integer or bool", " inputs, got ",
         name_of(p.compute));
  if (info.kind == MapKind::test && out.dtype != DType::b8)
    fail(ErrorKind::dtype, info.name, ": out must have dtype bool, got ", name_of(out.dtype));
  for (int k = 0; k < info.arity; ++k) check_broadcast(info.name, out, views[1 + k], k);
  for (int d = 0; d < out.ndim; ++d)
    if (out.shape[d] > 1 && out.stride[d] == 0 && out.numel() > 0)
      fail(ErrorKind::runtime, info.name,
           ": out has several elements in one place (an expanded array); pass a copy");
}

void check_values(const ElementwiseParams& p, const TensorView* views) {
  const bool divides = p.op == MapOp::floor_divide || p.op == MapOp::trunc_divide ||
                       p.op == MapOp::fmod || p.op == MapOp::remainder;
  if (divides && p.compute == DType::i64 && views[0].numel() > 0)
    check_divisor(info_of(p).name, views[2]);
}

size_t copy_bytes(const TensorView& v) {
  return (static_cast<size_t>(v.numel()) * size_of(v.dtype) + 63) / 64 * 64;
}

size_t workspace(const ElementwiseParams& p, const TensorView* views) {
  size_t bytes = 0;
  for (int k = 1; k <= info_of(p).arity; ++k)
    if (clobbers(views[0], views[k])) bytes += copy_bytes(views[k]);
  return bytes;
}

// ---- Copies that change no byte ---------------------------------------------------------------

int log2_size(DType t) {
  const size_t s = size_of(t);
  return s == 1 ? 0 : s == 2 ? 1 : s == 4 ? 2 : 3;
}

void run_tiles(const Loops& loops, int64_t tile_rows, int64_t tile_cols, auto&& body) {
  const int64_t tiles = TileWalk(loops, tile_rows, tile_cols).tiles();
  const int64_t per_task = tile_rows * tile_cols >= kGrain ? 1 : kGrain / (tile_rows * tile_cols);
  parallel_blocks(tiles, per_task, [&](int64_t begin, int64_t end, int) {
    TileWalk walk(loops, tile_rows, tile_cols);
    walk.seek(begin);
    for (int64_t t = begin; t < end; ++t, walk.next()) body(walk);
  });
}

int64_t at_most(int64_t n, int64_t limit) { return n < limit ? n : limit; }

bool transposed(const Loops& l, int k) {
  const int64_t col = l.col_stride(k), row = l.row_stride(k);
  return l.ndim > 1 && col != 0 && col != 1 && row != 0 &&
         (row < 0 ? -row : row) < (col < 0 ? -col : col);
}

void raw_copy(const TensorView& dst, const TensorView& src) {
  const TensorView views[] = {dst, src};
  const Loops loops = build_loops(views, 2);
  const CopyFn copy = active_cast_kernels().copy[log2_size(dst.dtype)];
  const auto size = static_cast<int64_t>(size_of(dst.dtype));
  const int64_t tile_cols =
      transposed(loops, 1) ? at_most(loops.cols(), 64) : at_most(loops.cols(), kGrain);
  const int64_t tile_rows = at_most(loops.rows(), transposed(loops, 1) ? 64 : 1 + 1023 / tile_cols);
  run_tiles(loops, tile_rows, tile_cols, [&](const TileWalk& walk) {
    copy(dst.ptr<char>() + walk.offset(0) * size, src.ptr<char>() + walk.offset(1) * size,
         walk.rows(), walk.cols(), loops.row_stride(0), loops.col_stride(0), loops.row_stride(1),
         loops.col_stride(1));
  });
}

// ---- Maps -------------------------------------------------------------------------------------

struct Job {
  MapFn map;
  const double* params;
  const CastKernels* cast;
  const TensorView* views;  // out, then inputs
  const Loops* loops;
  int arity;
  int compute;     // index of the compute type
  DType in_type;   // dtype of a tile that kernels can read as it is
  DType out_type;  // and of one that they can write
  bool is_copy, is_test;
};

// A tile is one run of memory.
bool dense(const Loops& l, int k, int64_t rows, int64_t cols) {
  return l.col_stride(k) == 1 && (rows == 1 || l.row_stride(k) == cols);
}

void run_tile(const Job& job, const TileWalk& walk) {
  alignas(64) char buffer[kMaxOperands][kCrossedBytes];
  alignas(64) char splat[kMaxMapInputs][kSplatBytes];
  const int64_t rows = walk.rows(), cols = walk.cols();
  const Loops& l = *job.loops;
  const TensorView& out = job.views[0];
  char* target = out.ptr<char>() + walk.offset(0) * static_cast<int64_t>(size_of(out.dtype));
  const bool direct = out.dtype == job.out_type && dense(l, 0, rows, cols);
  const void* in[kMaxMapInputs] = {};
  int64_t step[kMaxMapInputs] = {};

  for (int k = 0; k < job.arity; ++k) {
    const TensorView& v = job.views[1 + k];
    const int dtype = static_cast<int>(v.dtype);
    const char* source =
        v.ptr<char>() + walk.offset(1 + k) * static_cast<int64_t>(size_of(v.dtype));
    const int64_t row = l.row_stride(1 + k), col = l.col_stride(1 + k);
    step[k] = 1;
    if (v.dtype == job.in_type && dense(l, 1 + k, rows, cols)) {
      in[k] = source;
    } else if (col == 0 && (rows == 1 || row == 0)) {
      job.cast->load[job.compute][dtype](splat[k], source,
                                         {1, kSplatBytes / (job.compute ? 8 : 4), 0, 0});
      in[k] = splat[k];
      step[k] = 0;
    } else {
      char* gathered = job.is_copy && direct ? target : buffer[1 + k];
      job.cast->load[job.compute][dtype](gathered, source, {rows, cols, row, col});
      in[k] = gathered;
    }
  }
  if (job.is_copy && step[0]) {
    if (in[0] == target) return;
    if (!direct)
      return job.cast->store[job.compute][static_cast<int>(out.dtype)](
          target, in[0], {rows, cols, l.row_stride(0), l.col_stride(0)});
  }
  job.map(direct ? target : buffer[0], in, step, rows * cols, job.params);
  if (direct) return;
  if (job.is_test)
    job.cast->copy[0](target, buffer[0], rows, cols, l.row_stride(0), l.col_stride(0), cols, 1);
  else
    job.cast->store[job.compute][static_cast<int>(out.dtype)](
        target, buffer[0], {rows, cols, l.row_stride(0), l.col_stride(0)});
}

// Whether whole lines need no buffer at all.
bool all_lines_direct(const Job& job) {
  const Loops& l = *job.loops;
  bool direct = job.views[0].dtype == job.out_type && l.col_stride(0) == 1;
  for (int k = 0; k < job.arity; ++k) {
    const int64_t col = l.col_stride(1 + k);
    direct = direct && (col == 0 || (col == 1 && job.views[1 + k].dtype == job.in_type));
  }
  return direct;
}

void run_map(Job& job) {
  const Loops loops = build_loops(job.views, 1 + job.arity);
  job.loops = &loops;
  const int64_t room = kBufferBytes / (job.compute ? 8 : 4);
  int64_t tile_rows = 1, tile_cols = loops.cols();
  bool crossed = false;
  for (int k = 0; k < job.arity; ++k) crossed = crossed || transposed(loops, 1 + k);
  if (all_lines_direct(job) && (loops.ndim == 1 || loops.cols() >= kShortLine)) {
    tile_cols = at_most(loops.cols(), kGrain);
  } else if (crossed) {
    tile_cols = at_most(loops.cols(), 32);
    tile_rows = at_most(loops.rows(), kCrossedBytes / kBufferBytes * room / tile_cols);
  } else {
    tile_cols = at_most(loops.cols(), room);
    tile_rows = at_most(loops.rows(), room / tile_cols);
  }
  run_tiles(loops, tile_rows, tile_cols, [&](const TileWalk& walk) { run_tile(job, walk); });
}

// Small dense arrays of one dtype, and scalars: nothing to plan.
bool run_small(const Job& job) {
  const TensorView& out = job.views[0];
  const int64_t n = out.numel();
  if (n > kGrain || out.dtype != job.out_type || !out.contiguous()) return false;
  alignas(64) char splat[kMaxMapInputs][kSplatBytes];
  const void* in[kMaxMapInputs];
  int64_t step[kMaxMapInputs];
  for (int k = 0; k < job.arity; ++k) {
    const TensorView& v = job.views[1 + k];
    if (v.ndim == 0) {
      job.cast->load[job.compute][static_cast<int>(v.dtype)](
          splat[k], v.data, {1, kSplatBytes / (job.compute ? 8 : 4), 0, 0});
      in[k] = splat[k];
      step[k] = 0;
      continue;
    }
    if (v.dtype != job.in_type || v.ndim != out.ndim || !v.contiguous()) return false;
    for (int d = 0; d < v.ndim; ++d)
      if (v.shape[d] != out.shape[d]) return false;
    in[k] = v.data;
    step[k] = 1;
  }
  job.map(out.data, in, step, n, job.params);
  return true;
}

void run(const ElementwiseParams& p, const TensorView* views, void* scratch) {
  const MapInfo& info = info_of(p);
  const int compute = compute_index(p.compute);
  TensorView own[kMaxOperands];
  if (scratch) {  // inputs that out would overwrite
    char* room = static_cast<char*>(scratch);
    own[0] = views[0];
    for (int k = 1; k <= info.arity; ++k) {
      own[k] = views[k];
      if (!clobbers(views[0], views[k])) continue;
      own[k].data = room;
      int64_t step = 1;
      for (int d = own[k].ndim - 1; d >= 0; --d) {
        own[k].stride[d] = step;
        step *= own[k].shape[d];
      }
      raw_copy(own[k], views[k]);
      room += copy_bytes(own[k]);
    }
    views = own;
  }
  if (views[0].numel() == 0) return;
  if (p.op == MapOp::copy && views[0].dtype == views[1].dtype) return raw_copy(views[0], views[1]);
  Job job{entry_of(p.op).fn[compute],
          p.p,
          &active_cast_kernels(),
          views,
          nullptr,
          info.arity,
          compute,
          p.compute,
          info.kind == MapKind::test ? DType::b8 : p.compute,
          p.op == MapOp::copy,
          info.kind == MapKind::test};
  if (!run_small(job)) run_map(job);
}

}  // namespace

const Op<ElementwiseParams> elementwise = {"elementwise", check, workspace, run, check_values};

bool map_has_integers(MapOp op) { return entry_of(op).fn[2] != nullptr; }

DType promote(DType a, DType b) {
  if (a == b) return a;
  const bool fa = is_float(a), fb = is_float(b);
  if (fa != fb) return fa ? a : b;
  if (fa)
    return a == DType::f64 || b == DType::f64 ? DType::f64
                                              : DType::f32;  // bfloat16 with float16: float32
  if (a > b) std::swap(a, b);                                // bool, uint8, int8 ... int64
  return a == DType::u8 && b == DType::i8 ? DType::i16 : b;
}

}  // namespace fastnn
