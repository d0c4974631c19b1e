// The ops: checks of views against each other, and the choice of a path.
#include "fastnn/ops/conv.h"

#include <algorithm>

#include "cpu/conv_direct.h"
#include "cpu/conv_gemm.h"
#include "cpu/conv_matrix.h"
#include "cpu/conv_parts.h"
#include "cpu/conv_shape.h"
#include "cpu/conv_spread.h"
#include "cpu/ref/conv.h"
#include "fastnn/isa.h"

namespace fastnn {

namespace {

constexpr const char* kName = "conv";

// x and y are the images that the formula of the contract calls so.
void check_views(const ConvParams& p, const TensorView& x, const TensorView& w,
                 const TensorView& y) {
  if (p.dims < 1 || p.dims > 3)
    fail(ErrorKind::value, kName, ": dims must be 1, 2 or 3, got ", p.dims);
  int64_t after[3] = {}, least[3];
  for (int d = 0; d < p.dims; ++d)  // y may go as far as it likes: any padding behind
    after[d] = x.ndim == p.dims + 2 && w.ndim == p.dims + 2 && w.shape[2 + d] > 0 &&
                       w.shape[2 + d] < INT32_MAX && p.dilation[d] < INT32_MAX
                   ? std::min<int64_t>(INT32_MAX, (w.shape[2 + d] - 1) * p.dilation[d] + 1)
                   : 0;
  conv_output_shape(kName, p, after, x, w, least);
  bool fits = y.ndim == x.ndim && y.dtype == x.dtype && y.shape[0] == x.shape[0] &&
              y.shape[1] == w.shape[0];
  for (int d = 0; fits && d < p.dims; ++d) fits = y.shape[2 + d] <= INT32_MAX;
  if (!fits)
    fail(ErrorKind::shape, kName, ": output or its gradient, ", name_of(y.dtype), " of shape ",
         y.shape_text(), ", does not fit input ", name_of(x.dtype), " of shape ", x.shape_text(),
         " and weight of shape ", w.shape_text());
}

void check_bias(const TensorView& bias, int64_t channels, DType dtype) {
  if (!bias) return;
  if (bias.ndim != 1 || bias.shape[0] != channels)
    fail(ErrorKind::shape, kName, ": bias must have shape (", channels, ",), got ",
         bias.shape_text());
  if (bias.dtype != dtype && (size_of(dtype) != 2 || bias.dtype != DType::f32))
    fail(ErrorKind::dtype, kName, ": bias must be ", name_of(dtype), ", got ", name_of(bias.dtype));
}

// ---- Forward ----

void check_forward(const ConvParams& p, const TensorView* v) {
  check_views(p, v[0], v[1], v[3]);
  check_bias(v[2], v[1].shape[0], v[0].dtype);
}

Correlation forward_of(const ConvParams& p, const TensorView* v) {
  return make_correlation(p, v[0], v[1], v[2], v[3]);
}

// The ways to compute a correlation, or the weight of one.
struct Path {
  size_t (*workspace)(const Correlation&);
  void (*run)(const Correlation&, void* workspace);
  // For paths that lay the weight out anew.
  ConvLayout layout = ConvLayout::plain;
  size_t (*prepared_bytes)(const Correlation&) = nullptr;
  void (*prepare)(const Correlation&, void* dst) = nullptr;
};

Path correlate_path(const Correlation& c) {
  if (active_isa() == Isa::reference)
    return {[](const Correlation&) -> size_t { return 0; },
            [](const Correlation& c, void*) { correlate_reference(c); }};
  if (is_matrix(c)) return {correlate_matrix_workspace, correlate_matrix};
  if (prefers_gemm(c)) return {correlate_gemm_workspace, correlate_gemm};
  if (prefers_channels(c)) return {correlate_channels_workspace, correlate_channels};
  if (prefers_planes(c)) return {correlate_planes_workspace, correlate_planes};
  if (prefers_pointwise(c))
    return {correlate_pointwise_workspace, correlate_pointwise, ConvLayout::filters,
            prepared_pointwise_bytes, prepare_pointwise};
  if (prefers_pointwise_tiles(c))
    return {correlate_pointwise_tiles_workspace, correlate_pointwise_tiles};
  if (prefers_pointwise_dots(c))
    return {correlate_pointwise_dots_workspace, correlate_pointwise_dots};
  if (prefers_winograd(c))
    return {correlate_winograd_workspace, correlate_winograd, ConvLayout::winograd,
            prepared_winograd_bytes, prepare_winograd};
  if (prefers_gemm_of_taps(c)) return {correlate_gemm_workspace, correlate_gemm};
  if (prefers_filters(c))
    return {correlate_filters_workspace, correlate_filters, ConvLayout::filters,
            prepared_filters_bytes, prepare_filters};
  if (prefers_direct(c)) {
    if (c.groups > 1) return {correlate_direct_workspace, correlate_direct};
    return {correlate_direct_workspace, correlate_direct, ConvLayout::direct, prepared_direct_bytes,
            prepare_direct};
  }
  return {correlate_gemm_workspace, correlate_gemm};
}

Path weight_path(const Correlation& c) {
  if (active_isa() == Isa::reference)
    return {[](const Correlation&) -> size_t { return 0; },
            [](const Correlation& c, void*) { correlate_weight_reference(c); }};
  if (is_matrix(c)) return {correlate_weight_matrix_workspace, correlate_weight_matrix};
  if (weight_prefers_gemm(c)) return {correlate_weight_gemm_workspace, correlate_weight_gemm};
  if (prefers_channels(c)) return {correlate_weight_channels_workspace, correlate_weight_channels};
  if (weight_prefers_planes(c)) return {correlate_weight_planes_workspace, correlate_weight_planes};
  if (weight_prefers_taps(c)) return {correlate_weight_taps_workspace, correlate_weight_taps};
  if (weight_prefers_strips(c)) return {correlate_weight_strips_workspace, correlate_weight_strips};
  if (weight_prefers_dots(c)) return {correlate_weight_dots_workspace, correlate_weight_dots};
  if (weight_prefers_direct(c)) return {correlate_weight_direct_workspace, correlate_weight_direct};
  return {correlate_weight_gemm_workspace, correlate_weight_gemm};
}

size_t correlate_workspace(const Correlation& c) { return correlate_path(c).workspace(c); }
void correlate(const Correlation& c, void* workspace) { correlate_path(c).run(c, workspace); }

size_t forward_workspace(const ConvParams& p, const TensorView* v) {
  return correlate_workspace(forward_of(p, v));
}

void run_forward(const ConvParams& p, const TensorView* v, void* workspace) {
  correlate(forward_of(p, v), workspace);
}

// The weight alone: neither image is read or written.
Correlation preparation_of(const ConvParams& p, const TensorView* v) {
  Correlation c = forward_of(p, v);
  c.prepares = true;
  c.prepared = nullptr;
  return c;
}

// ---- Backward, input ----

void check_backward_input(const ConvParams& p, const TensorView* v) {
  check_views(p, v[3], v[1], v[0]);
  check_bias(v[2], v[3].shape[1], v[0].dtype);
}

bool takes_spread_planes(const Transposed& t) {
  return active_isa() != Isa::reference && prefers_spread_planes(t.whole());
}
bool takes_matrix(const Transposed& t) {
  return active_isa() != Isa::reference && is_spread_matrix(t.whole());
}
bool takes_spread(const Transposed& t) {
  return active_isa() != Isa::reference && prefers_spread(t.whole());
}

// Asked before the weight is laid out, so the answer must not hang on the weight's strides or on
// what is prepared: the ways that look at those take one tap, or all of an image's, and a part that
// goes by filters has several, in descending order.
bool by_filters(const Correlation& c) { return correlate_path(c).run == correlate_filters; }

// Calls fn for every correlation that the gradient falls into; what is packed for all of them lies
// in `memory`, which this does not read.
template <class F>
void for_parts(const Transposed& t, const PartWeights& weights, const void* memory, F fn) {
  if (t.gaps()) fn(t.nothing());
  for (int64_t i = 0; i < t.parts(); ++i) {
    const Correlation c = weights.bytes() ? weights.part(i, memory) : t.part(i);
    if (c.taps() > 0) fn(c);  // the others are what nothing() fills
  }
}

size_t backward_input_workspace(const ConvParams& p, const TensorView* v) {
  const Transposed t(p, v[0], v[1], v[2], v[3]);
  if (takes_spread_planes(t)) return 0;
  if (takes_matrix(t)) return spread_matrix_workspace(t.whole());
  if (takes_spread(t)) return spread_workspace(t.whole());
  const PartWeights weights(t, by_filters);
  size_t bytes = 0;
  for_parts(t, weights, p.dilation /* any address: nothing is read */,
            [&](const Correlation& c) { bytes = std::max(bytes, correlate_workspace(c)); });
  return weights.bytes() + bytes;
}

void run_backward_input(const ConvParams& p, const TensorView* v, void* workspace) {
  const Transposed t(p, v[0], v[1], v[2], v[3]);
  if (takes_spread_planes(t)) return correlate_spread_planes(t.whole());
  if (takes_matrix(t)) return spread_matrix(t.whole(), workspace);
  if (takes_spread(t)) return run_spread(t.whole(), workspace);
  const PartWeights weights(t, by_filters);
  if (weights.bytes()) weights.pack(workspace);
  void* rest = static_cast<char*>(workspace) + weights.bytes();
  for_parts(t, weights, workspace, [&](const Correlation& c) { correlate(c, rest); });
}

// ---- Backward, weight ----

void check_backward_weight(const ConvParams& p, const TensorView* v) {
  check_views(p, v[0], v[2], v[1]);
}

Correlation weight_of(const ConvParams& p, const TensorView* v) {
  return make_correlation(p, v[0], v[2], TensorView{}, v[1]);
}

size_t backward_weight_workspace(const ConvParams& p, const TensorView* v) {
  const Correlation c = weight_of(p, v);
  return weight_path(c).workspace(c);
}

void run_backward_weight(const ConvParams& p, const TensorView* v, void* workspace) {
  const Correlation c = weight_of(p, v);
  weight_path(c).run(c, workspace);
}

}  // namespace

ConvPreparation conv_preparation(const ConvParams& p, const TensorView* views) {
  const Correlation c = preparation_of(p, views);
  const Path path = correlate_path(c);
  return {path.layout, path.prepare ? path.prepared_bytes(c) : 0};
}

void conv_prepare(const ConvParams& p, const TensorView* views, void* dst) {
  const LaunchScope scope;
  const Correlation c = preparation_of(p, views);
  correlate_path(c).prepare(c, dst);
}

const Op<ConvParams> conv_forward{"conv", check_forward, forward_workspace, run_forward};
const Op<ConvParams> conv_backward_input{"conv_backward_input", check_backward_input,
                                         backward_input_workspace, run_backward_input};
const Op<ConvParams> conv_backward_weight{"conv_backward_weight", check_backward_weight,
                                          backward_weight_workspace, run_backward_weight};

}  // namespace fastnn
