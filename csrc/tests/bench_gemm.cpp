// Where the time of a matrix product goes, as shares of the multiply-add peak measured right before
// and after each sample (the clock of a shared machine wanders).
//
//   bench_gemm tiles      the register tile alone, by where its operands are
//   bench_gemm packing    panels from matrices
//   bench_gemm M K N [nn|nt|tn|tt [threads]]   a whole product, float32
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "cpu/gemm_core.h"
#include "cpu/kernels/probe.h"
#include "fastnn/memory.h"
#include "fastnn/ops/gemm.h"
#include "fastnn/parallel.h"

namespace {

using namespace fastnn;
using Clock = std::chrono::steady_clock;

double seconds(const std::function<void()>& body) {
  const auto start = Clock::now();
  body();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Floats {
  explicit Floats(int64_t n)
      : space(static_cast<size_t>(n) * 4), p(static_cast<float*>(space.data())) {
    for (int64_t i = 0; i < n; ++i) p[i] = static_cast<float>(i % 17) - 8;
  }
  Workspace space;
  float* p;
};

// ---- Yardsticks -------------------------------------------------------------------------------

// All threads for about this long. Samples are as long as what they are compared with: a core that
// computes for milliseconds clocks lower than in a short burst, and lower again when the operands
// of its multiply-adds come through loads.
using Yardstick = double (*)(double about);

double rate(int64_t rounds, double operations, const std::function<void(int64_t)>& body) {
  const double time = seconds([&] {
    parallel_for(num_threads(), [&](int64_t task, int) {
      for (int64_t i = 0; i < rounds; ++i) body(task);
    });
  });
  return operations * static_cast<double>(rounds * num_threads()) / time;
}

// Multiply-adds, half of them fed by a load.
double multiply_adds(double about) {
  constexpr int64_t kRounds = 1000;
  const ProbeKernels& probe = active_probe_kernels();
  float sink;
  const double each = static_cast<double>(probe.f32(1, &sink));
  return rate(std::max<int64_t>(1, static_cast<int64_t>(about / 2e-6)), each * kRounds,
              [&](int64_t) {
                float dropped;
                probe.f32(kRounds, &dropped);
              });
}

// The register tile on packed panels in the second-level cache.
double resident_tiles(double about) {
  constexpr int64_t kK = 256, kPanels = 4, kColumns = 12;
  const GemmFamily& f = gemm_family(DType::f32);
  static const int64_t a_size = kPanels * f.a_panel * kK, b_size = kColumns * f.nr * kK,
                       c_size = f.mr * f.nr;
  static const Floats space(4 * (a_size + b_size + c_size));
  const double operations = 2.0 * f.mr * f.nr * kK * kPanels * kColumns;
  return rate(std::max<int64_t>(1, static_cast<int64_t>(about / (operations / 2e11))), operations,
              [&](int64_t task) {
                const float* a = space.p + task % 4 * (a_size + b_size + c_size);
                GemmTile t{};
                t.a_row = 1;
                t.a_k = f.a_panel;
                t.b_k = f.nr;
                t.k = kK;
                t.m = f.mr;
                t.n = f.nr;
                t.alpha = 1;
                t.c = const_cast<float*>(a) + a_size + b_size;
                t.c_row = f.nr;
                for (int64_t i = 0; i < kPanels; ++i)
                  for (int64_t j = 0; j < kColumns; ++j) {
                    t.a = t.ahead = a + i * f.a_panel * kK;
                    t.b = a + a_size + j * f.nr * kK;
                    f.packed(t);
                  }
              });
}

struct Result {
  double best;      // seconds
  double share[2];  // median share of the two yardsticks
};

// `body` does `operations`.
Result measure(double operations, const std::function<void()>& body) {
  constexpr Yardstick kYardsticks[2] = {multiply_adds, resident_tiles};
  body();
  const double once = std::max(seconds(body), 1e-7);
  const int group = std::max(1, static_cast<int>(2e-4 / once));
  const int rounds = std::clamp(static_cast<int>(0.4 / once / group), 9, 1000);
  std::vector<double> shares[2];
  Result result{1e9, {}};
  for (int round = 0; round < rounds; ++round)
    for (int y = 0; y < 2; ++y) {
      const double limit = kYardsticks[y](once * group);
      const double time = seconds([&] {
                            for (int i = 0; i < group; ++i) body();
                          }) /
                          group;
      result.best = std::min(result.best, time);
      shares[y].push_back(operations / time / limit);
    }
  for (int y = 0; y < 2; ++y) {
    std::sort(shares[y].begin(), shares[y].end());
    result.share[y] = shares[y][shares[y].size() / 2];
  }
  return result;
}

void print(const char* name, double operations, const Result& r) {
  std::printf("%-44s %9.2f us %6.1f GFLOP/s %6.1f %% %6.1f %%\n", name, r.best * 1e6,
              operations / r.best * 1e-9, 100 * r.share[0], 100 * r.share[1]);
  std::fflush(stdout);
}

// ---- The whole product ----

void product(int64_t m, int64_t k, int64_t n, const char* layout) {
  const Floats a(m * k), b(k * n), c(m * n);
  const auto matrix = [](float* p, int64_t rows, int64_t columns, bool transposed) {
    TensorView v;
    v.data = p;
    v.dtype = DType::f32;
    v.ndim = 2;
    v.shape[0] = rows;
    v.shape[1] = columns;
    v.stride[0] = transposed ? 1 : columns;
    v.stride[1] = transposed ? rows : 1;
    return v;
  };
  const TensorView views[4] = {matrix(a.p, m, k, layout[0] == 't'),
                               matrix(b.p, k, n, layout[1] == 't'),
                               matrix(c.p, m, n, false),
                               {}};
  const double operations =
      2.0 * static_cast<double>(m) * static_cast<double>(k) * static_cast<double>(n);
  char name[80];
  std::snprintf(name, sizeof name, "%ldx%ldx%ld %s, %d threads", static_cast<long>(m),
                static_cast<long>(k), static_cast<long>(n), layout, num_threads());
  print(name, operations, measure(operations, [&] { launch(gemm_forward, GemmParams{}, views); }));
}

// ---- Parts ----

// `panels` panels of A times `columns` panels of B, sums added to a matrix with rows `c_row` apart.
void tiles(const char* what, int64_t k, int panels, int columns, int64_t c_row, double beta) {
  const GemmFamily& f = gemm_family(DType::f32);
  const Floats a((panels + 1) * f.a_panel * k), b(columns * f.nr * k), c(panels * f.mr * c_row);
  const double operations = 2.0 * panels * f.mr * columns * f.nr * static_cast<double>(k);
  GemmTile tile{};
  tile.a_row = 1;
  tile.a_k = f.a_panel;
  tile.b_k = f.nr;
  tile.k = k;
  tile.m = f.mr;
  tile.n = f.nr;
  tile.alpha = 1;
  tile.beta = beta;
  tile.c_row = tile.src_row = c_row;
  char name[80];
  std::snprintf(name, sizeof name, "%s: k %ld, %d x %d tiles", what, static_cast<long>(k), panels,
                columns);
  print(name, operations, measure(operations, [&] {
          for (int i = 0; i < panels; ++i)
            for (int j = 0; j < columns; ++j) {
              tile.a = a.p + i * f.a_panel * k;
              tile.ahead =
                  (char*)(a.p + (i + 1) * f.a_panel * k) + j * (f.a_panel * k * 4 / columns);
              tile.ahead_step = 64;
              tile.b = b.p + j * f.nr * k;
              tile.c = c.p + i * f.mr * c_row + j * f.nr;
              tile.src = tile.c;
              f.packed(tile);
            }
        }));
}

void packing(const char* what, int64_t rows, int64_t columns, int panel, int width, bool adjacent,
             int64_t piece) {
  const GemmFamily& f = gemm_family(DType::f32);
  const Floats matrix(rows * columns);
  const int64_t k = adjacent ? rows : columns, lanes = adjacent ? columns : rows;
  const Floats packed((lanes + panel) * k / width * panel);
  const int64_t lane_stride = adjacent ? 1 : columns, k_stride = adjacent ? columns : 1;
  double time = 1e9;
  for (double total = 0; total < 0.1;) {
    const double once = seconds([&] {
      for (int64_t k0 = 0; k0 < k; k0 += piece)
        for (int64_t lane = 0; lane + width <= lanes; lane += width)
          f.pack({packed.p + lane / width * panel * k + k0 * panel, panel,
                  matrix.p + lane * lane_stride + k0 * k_stride, DType::f32, lane_stride, k_stride,
                  width, std::min(piece, k - k0)});
    });
    time = std::min(time, once);
    total += once;
  }
  std::printf("%-40s %9.2f us %7.1f GB/s read\n", what, time * 1e6,
              static_cast<double>(rows * columns) * 4e-9 / time);
}

void tile_parts() {
  const GemmFamily& f = gemm_family(DType::f32);
  std::printf("%d x %d tile\n", f.mr, f.nr);
  tiles("sums dropped, L1", 256, 1, 1, f.nr, 0);
  for (int64_t k : {128, 256, 384, 512}) {
    tiles("B in L2, C in L1", k, 1, 12, 12 * f.nr + 16, 1);
    tiles("B in L2, C in L2", k, 20, 12, 12 * f.nr + 16, 1);
  }
  tiles("C in L2, rows 4096 bytes apart", 384, 20, 12, 1024, 1);
  tiles("C in L3, rows 8192 bytes apart", 384, 140, 12, 2048, 1);
}

void packings() {
  const GemmFamily& f = gemm_family(DType::f32);
  packing("pack A, rows, 512 x 512", 512, 512, f.a_panel, f.mr, false, 512);
  packing("pack A, columns, 512 x 512", 512, 512, f.a_panel, f.mr, true, 512);
  packing("pack B, rows, 512 x 512", 512, 512, f.nr, f.nr, true, 32);
  packing("pack B, columns, 512 x 512", 512, 512, f.nr, f.nr, false, 512);
  packing("pack A, rows, 2048 x 2048", 2048, 2048, f.a_panel, f.mr, false, 384);
  packing("pack A, columns, 2048 x 2048", 2048, 2048, f.a_panel, f.mr, true, 384);
  packing("pack B, rows, 2048 x 2048", 2048, 2048, f.nr, f.nr, true, 32);
  packing("pack B, columns, 2048 x 2048", 2048, 2048, f.nr, f.nr, false, 384);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc >= 2 && (!std::strcmp(argv[1], "tiles") || !std::strcmp(argv[1], "packing"))) {
    set_num_threads(1);
    const LaunchScope scope;
    argv[1][0] == 't' ? tile_parts() : packings();
    return 0;
  }
  if (argc < 4) {
    std::fprintf(stderr, "usage: bench_gemm tiles | packing | M K N [nn|nt|tn|tt [threads]]\n");
    return 2;
  }
  set_num_threads(argc > 5 ? std::atoi(argv[5]) : 1);
  const LaunchScope scope;
  product(std::atoll(argv[1]), std::atoll(argv[2]), std::atoll(argv[3]), argc > 4 ? argv[4] : "nn");
  return 0;
}
