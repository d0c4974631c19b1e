// The shim itself: lane maps, barriers, deferred copies, and that each misuse is a Fault.
#include <cmath>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "array.h"
#include "lane_maps.h"
#include "shim_kernels.h"
#include "tests/check.h"

using namespace fastnn;
using namespace fastnn::cuda;

namespace {

template <class F>
std::string fault_of(F body) {
  try {
    body();
    shim::synchronize();
  } catch (const shim::Fault& f) {
    return f.what();
  }
  return "";
}

bool contains(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

void faults() {
  float out[64];
  const auto run = [&](void (*kernel)(float*), int threads, size_t shared = 0) {
    return fault_of([&] { launch({"probe", nullptr, 1, threads, shared}, kernel, &out[0]); });
  };
  std::string text = run(half_at_barrier, 64);
  CHECK(contains(text, "deadlock") && contains(text, "__syncthreads") &&
        contains(text, "32 of 64 arrived"));
  CHECK(contains(run(diverged_shuffle, 32), "__shfl_xor_sync"));
  CHECK(contains(run(mixed_collectives, 32), "other lanes of the warp are at"));
  CHECK(contains(run(outside_mask, 32), "lacks the calling lane"));
  CHECK(contains(run(misaligned_copy, 32), "multiple of 16"));
  CHECK(contains(run(copy_out_of_bounds, 32), "not within one shared array"));
  CHECK(contains(run(barrier_counts, 64), "expects"));
  CHECK(contains(run(no_dynamic_memory, 32), "dynamic shared memory"));
  CHECK(contains(run(too_much_static, 32), "more shared memory"));
  CHECK(contains(run(half_at_barrier, 2000), "invalid configuration"));
  CHECK(contains(run(half_at_barrier, 64, 300000), "invalid configuration"));
  CHECK_EQ(run(all_at_barrier, 96), "");  // and the shim works after faults
}

void fragments() {
  // Every element of A, B and the product has its place.
  std::vector<float> a(16 * 16), b(16 * 8), d(16 * 8);
  for (int i = 0; i < 256; ++i) a[static_cast<size_t>(i)] = static_cast<float>(i % 13 - 6);
  for (int i = 0; i < 128; ++i) b[static_cast<size_t>(i)] = static_cast<float>(i % 7 - 3);
  const auto expect = [&](int k, const char* what) {
    for (int i = 0; i < 16; ++i)
      for (int j = 0; j < 8; ++j) {
        float sum = 0;
        for (int l = 0; l < k; ++l)
          sum += a[static_cast<size_t>(i * k + l)] * b[static_cast<size_t>(l * 8 + j)];
        fastnn::test::report(d[static_cast<size_t>(i * 8 + j)] == sum, what, 0, "wrong product");
      }
  };
  for (bool half : {false, true}) {
    launch({"mma16", nullptr, 1, 32}, half ? mma_probe<f16> : mma_probe<bf16>, a.data(), b.data(),
           d.data());
    shim::synchronize();
    expect(16, "mma.m16n8k16");
  }
  launch({"mma8", nullptr, 1, 32}, mma_tf32_probe, a.data(), b.data(), d.data());
  shim::synchronize();
  expect(8, "mma.m16n8k8.tf32");
}

void asynchronous_copies() {
  float source[64], out[64];
  for (int i = 0; i < 64; ++i) source[i] = static_cast<float>(i);
  launch({"copies", nullptr, 1, 32}, copy_groups, &source[0], &out[0]);
  shim::synchronize();
  for (int i = 0; i < 32; ++i) {
    CHECK(std::isnan(out[i]));                          // before the wait
    CHECK_EQ(out[32 + i], i % 4 == 3 ? 0 : source[i]);  // after it, with zeros behind the source
  }
}

void streams() {
  // Work on two streams is not ordered; a schedule shows each order.
  float value = 0;
  launch({"store 1", reinterpret_cast<Stream>(8), 1, 32}, store_value, &value, 1.0f);
  launch({"store 2", reinterpret_cast<Stream>(16), 1, 32}, store_value, &value, 2.0f);
  shim::synchronize();
  CHECK_EQ(value, shim::schedule().order == shim::Order::reverse ? 1.0f : 2.0f);
}

// The shim's lane maps are those of the committed file, line by line.
void calibration() {
  std::ifstream file(FASTNN_LANE_MAPS);
  std::istringstream ours(lane_maps());
  std::string line, own;
  std::getline(file, line);
  CHECK(contains(line, "# source: "));
  int lines = 0;
  for (; std::getline(ours, own); ++lines) {
    std::getline(file, line);
    CHECK_EQ(own, line);
  }
  CHECK(lines > 500 && !std::getline(file, line));
}

}  // namespace

void test_shim() {
  cuda::test::context = "shim";
  faults();
  fragments();
  calibration();
  asynchronous_copies();
  streams();
  int count = 0;
  launch({"collectives", nullptr, 3, 96}, warp_sums, &count);
  shim::synchronize();
  CHECK_EQ(count, 3 * 3 * (31 * 32 / 2));
}
