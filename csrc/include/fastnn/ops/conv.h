// Convolution over the last one, two or three axes of (N, C, spatial...), and its gradients.
//
//   y[n, o, p] = act(bias[o] + sum_{c, k} x[n, c, p * stride + k * dilation - padding] w[o, c, k])
//
// x is (N, C, in...), w (O, C / groups, kernel...), y (N, O, out...). Output channels are cut into
// `groups` equal parts, each of which sees its part of the input channels. Pixels of x outside of
// the array are zero, on either side, so the sizes of y are free: padding names what lies before
// the first pixel, and the caller chooses how far y goes.
//
// A transposed convolution is conv_backward_input used forward; its gradients are conv_forward and
// conv_backward_weight with the images exchanged.
//
// Layout: any strides in every view, also in w. Fast where the last axis has stride 1 (NCHW) or the
// channels have (channels-last). Views that are written must not broadcast onto themselves nor
// overlap the others. dtypes: all images and w alike, float32, float64, bfloat16 or float16; bias
// the same, or float32 for the 16-bit types; sums are kept in float32 (float64 for float64).
//
// The same bits for every number of threads and every alignment. No path skips a product with zero:
// NaN and infinity spread as in the formula.
#pragma once

#include "fastnn/activation.h"
#include "fastnn/op.h"

namespace fastnn {

struct ConvParams {
  int dims = 2;  // convolved axes, 1..3; the arrays below have that many entries
  int64_t stride[3] = {1, 1, 1};
  int64_t padding[3] = {0, 0, 0};
  int64_t dilation[3] = {1, 1, 1};
  int64_t groups = 1;
  Activation activation = Activation::none;  // of the written image; none for weight gradients
  // conv_forward only: the weight is used again and again, so the path is chosen as if it cost
  // nothing to lay it out; and what conv_prepare() wrote, or null (the same results, later).
  bool prepares = false;
  const void* prepared = nullptr;
};

// The sizes of y, or (transposed) of dx = conv_transpose(dy), written to out[0 .. dims). They check
// all of the parameters and the shapes of image and weight first; `op` begins the texts of errors.
// `padding_after` is what lies behind the last pixel, p.padding what lies before the first.
void conv_output_shape(const char* op, const ConvParams& p, const int64_t* padding_after,
                       const TensorView& x, const TensorView& w, int64_t* out);
void conv_transpose_output_shape(const char* op, const ConvParams& p, const int64_t* output_padding,
                                 const TensorView& x, const TensorView& w, int64_t* out);

// Views: x, w, bias (O,) or null, y.
extern const Op<ConvParams> conv_forward;

// How the path that conv_forward takes for these views wants the weight, with `prepares` set; the
// layout is a function of the weight's shape, of groups and stride, and of the instruction set.
enum class ConvLayout { plain, filters, winograd, direct };
constexpr int kConvLayouts = 4;
struct ConvPreparation {
  ConvLayout layout = ConvLayout::plain;  // as it is: nothing to prepare
  size_t bytes = 0;
};
ConvPreparation conv_preparation(const ConvParams& p, const TensorView* views);
// Writes `bytes` to dst (64-byte aligned), of a weight of any strides.
void conv_prepare(const ConvParams& p, const TensorView* views, void* dst);
// Views: dy (shaped like y), w, bias (C,) or null, dx (shaped like x). Writes all of dx.
extern const Op<ConvParams> conv_backward_input;
// Views: x, dy, dw (shaped like w). Writes all of dw.
extern const Op<ConvParams> conv_backward_weight;
// Views: dy, db (O,). Writes all of db. Only `dims` of the parameters is read.
extern const Op<ConvParams> conv_backward_bias;

}  // namespace fastnn
