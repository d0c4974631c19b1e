// See PreparedWeights in layers.h.
#include <algorithm>

#include "bindings/layers.h"

namespace fastnn {
namespace {

// Whether the same weight is laid out alike.
bool lays_out_alike(const ConvParams& a, const ConvParams& b) {
  return a.groups == b.groups && a.dims == b.dims &&
         std::equal(a.stride, a.stride + a.dims, b.stride);
}

}  // namespace

std::shared_ptr<const void> PreparedWeights::find(const ConvParams& p, const TensorView* views,
                                                  py::handle weight, const py::object& array) {
  const ConvPreparation wanted = conv_preparation(p, views);
  if (wanted.layout == ConvLayout::plain) return nullptr;
  Py_ssize_t references = 2;  // the tensor's and the caller's
  for (const Slot& slot : slots_) references += slot.array.is(array);
  if (weight && !owns_memory(array, references)) {
    for (Slot& slot : slots_) slot = Slot{};
    return nullptr;
  }
  const MemoryState state = weight ? MemoryState(weight) : MemoryState();
  Slot& slot = slots_[static_cast<int>(wanted.layout)];
  if (slot.array.is(array) && slot.state == state && lays_out_alike(slot.params, p) &&
      slot.bytes == wanted.bytes && slot.isa == active_isa())
    return slot.data;
  slot = Slot{};
  const std::shared_ptr<void> data(pool_alloc(wanted.bytes), pool_free);
  conv_prepare(p, views, data.get());
  slot = {data, array, state, p, wanted.bytes, active_isa()};
  return data;
}

int64_t PreparedWeights::bytes() const {
  int64_t sum = 0;
  for (const Slot& slot : slots_)
    if (slot.data) sum += static_cast<int64_t>(slot.bytes);
  return sum;
}

}  // namespace fastnn
