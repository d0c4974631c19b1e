#include "cpu/ref/conv.h"

#include "cpu/ref/element.h"

namespace fastnn {

namespace {

struct Index {
  int64_t at[3];
};

// f(index) for all positions of a box, row by row.
template <class F>
void for_box(int64_t n0, int64_t n1, int64_t n2, F f) {
  Index i;
  for (i.at[0] = 0; i.at[0] < n0; ++i.at[0])
    for (i.at[1] = 0; i.at[1] < n1; ++i.at[1])
      for (i.at[2] = 0; i.at[2] < n2; ++i.at[2]) f(i);
}

template <class V>
int64_t offset(const V& view, const Index& i) {
  return i.at[0] * view.axis[0] + i.at[1] * view.axis[1] + i.at[2] * view.axis[2];
}

// The pixel of the image that output p and tap k meet at; false outside of it.
bool meet(const Correlation& c, const Index& p, const Index& k, Index& pixel) {
  for (int a = 0; a < 3; ++a) {
    const ConvAxis& x = c.axis[a];
    pixel.at[a] = x.origin + p.at[a] * x.step + k.at[a] * x.tap_step;
    if (pixel.at[a] < 0 || pixel.at[a] >= x.size) return false;
  }
  return true;
}

template <class F>
void for_taps(const Correlation& c, F f) {
  for_box(c.axis[0].taps, c.axis[1].taps, c.axis[2].taps, f);
}
template <class F>
void for_pixels(const Correlation& c, F f) {
  for_box(c.axis[0].out, c.axis[1].out, c.axis[2].out, f);
}

void one_group(const Correlation& c) {
  for (int64_t n = 0; n < c.batch; ++n)
    for (int64_t o = 0; o < c.out; ++o)
      for_pixels(c, [&](const Index& p) {
        double sum = 0;
        for (int64_t i = 0; i < c.in; ++i)
          for_taps(c, [&](const Index& k) {
            Index pixel;
            if (!meet(c, p, k, pixel)) return;
            sum += read_element(c.image.data, c.dtype,
                                n * c.image.n + i * c.image.c + offset(c.image, pixel)) *
                   read_element(c.weight.data, c.dtype,
                                o * c.weight.o + i * c.weight.c + offset(c.weight, k));
          });
        if (c.bias) sum += read_element(c.bias.data, c.bias.dtype, o * c.bias.stride[0]);
        write_element(c.result.data, c.dtype, n * c.result.n + o * c.result.c + offset(c.result, p),
                      activate_reference(c.activation, sum));
      });
}

void one_group_weight(const Correlation& c) {
  for (int64_t o = 0; o < c.out; ++o)
    for (int64_t i = 0; i < c.in; ++i)
      for_taps(c, [&](const Index& k) {
        double sum = 0;
        for (int64_t n = 0; n < c.batch; ++n)
          for_pixels(c, [&](const Index& p) {
            Index pixel;
            if (!meet(c, p, k, pixel)) return;
            sum += read_element(c.image.data, c.dtype,
                                n * c.image.n + i * c.image.c + offset(c.image, pixel)) *
                   read_element(c.result.data, c.dtype,
                                n * c.result.n + o * c.result.c + offset(c.result, p));
          });
        write_element(c.weight.data, c.dtype, o * c.weight.o + i * c.weight.c + offset(c.weight, k),
                      sum);
      });
}

}  // namespace

void correlate_reference(const Correlation& c) {
  for (int64_t g = 0; g < c.groups; ++g) one_group(c.group(g));
}
void correlate_weight_reference(const Correlation& c) {
  for (int64_t g = 0; g < c.groups; ++g) one_group_weight(c.group(g));
}

}  // namespace fastnn
