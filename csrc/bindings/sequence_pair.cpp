// A convolution of one tap and the depthwise one behind it, as in inverted residuals. A task
// computes some channels of both: the image between them, the largest of the network, stays in the
// cache of one core instead of going from those that wrote it to those that read it.
#include <algorithm>

#include "bindings/sequence_conv.h"
#include "fastnn/isa.h"

namespace fastnn {

namespace {

constexpr int64_t kPanel = 32;  // channels: whole panels of prepared weights at every level
constexpr int64_t kTasks = 6;   // of an image, or kTasksEach for each worker
constexpr int64_t kTasksEach = 3;
constexpr int64_t kLeastChannels = 16;  // of a task: a vector at every level
constexpr int64_t kLeastBytes = 64 << 10;

// Elements [first, first + count) of the first axis.
TensorView slice(const TensorView& v, int64_t first, int64_t count) {
  TensorView part = v;
  part.shape[0] = count;
  if (v) part.data = v.ptr<float>() + first * v.stride[0];
  return part;
}

class ConvPair {
 public:
  ConvPair(const ConvStep& wide, const ConvStep& deep) : wide_(wide), deep_(deep) {}

  bool plan(const TensorView& x) {
    const TensorView& w = wide_.w.weight.view;
    if (x.ndim != 4 || x.dtype != DType::f32 || !x.contiguous() || x.numel() == 0) return false;
    in_ = {x.shape[1], x.shape[2], x.shape[3]};
    if (!image_behind(wide_, in_, &between_) || !image_behind(deep_, between_, &out_)) return false;
    const int64_t channels = between_.channels, bytes = between_.bytes(between_.height);
    if (wide_.p.groups != 1 || w.shape[2] != 1 || w.shape[3] != 1 || deep_.p.groups != channels ||
        out_.channels != channels || bytes < kLeastBytes)
      return false;
    const int64_t panels = (channels + kPanel - 1) / kPanel;
    const int64_t wanted = std::max(kTasks, kTasksEach * max_workers());
    each_ = (panels + wanted - 1) / wanted * kPanel;
    if (count(tasks() - 1) < kLeastChannels) return false;
    return bytes / channels * each_ <= static_cast<int64_t>(cache_sizes().l2) / 2;
  }

  // False: the weight is laid out for all channels at once.
  bool run(Value& v) {
    const TensorView x = v.view;
    NewArray y = new_array(DType::f32, {x.shape[0], out_.channels, out_.height, out_.width});
    const LaunchScope scope;
    if (!prepare(x, y.view)) return false;
    const int64_t buffer_bytes = between_.bytes(between_.height) / between_.channels * each_;
    const Workspace buffers(static_cast<size_t>(max_workers() * buffer_bytes));
    const Workspace workspaces(static_cast<size_t>(max_workers()) * workspace_bytes_);
    {
      const ReleasedGil released;
      parallel_for(x.shape[0] * tasks(), [&](int64_t i, int worker) {
        void* const buffer = static_cast<char*>(buffers.data()) + worker * buffer_bytes;
        void* const workspace =
            static_cast<char*>(workspaces.data()) + static_cast<size_t>(worker) * workspace_bytes_;
        const int64_t task = i % tasks();
        const Views at = views(x, y.view, i / tasks(), task, buffer);
        ConvParams p = params(wide_);
        p.prepared = weight_of(task);
        conv_forward.run(p, at.wide, workspace);
        conv_forward.run(deep_of(task), at.deep, workspace);
      });
    }
    v.set(std::move(y));
    return true;
  }

 private:
  struct Views {
    TensorView wide[4], deep[4];
  };

  int64_t tasks() const { return (between_.channels + each_ - 1) / each_; }
  int64_t first(int64_t task) const { return task * each_; }
  int64_t count(int64_t task) const { return std::min(each_, between_.channels - first(task)); }
  static ConvParams params(const ConvStep& s) {
    ConvParams p = s.p;
    p.prepares = true;
    return p;
  }
  ConvParams deep_of(int64_t task) const {
    ConvParams p = params(deep_);
    p.groups = count(task);
    return p;
  }
  const void* weight_of(int64_t task) const {
    return data_ ? static_cast<const char*>(data_.get()) + static_cast<size_t>(task) * weight_bytes_
                 : nullptr;
  }

  Views views(const TensorView& x, const TensorView& y, int64_t n, int64_t task,
              void* buffer) const {
    const int64_t from = first(task), channels = count(task);
    const TensorView between =
        LayerImage{channels, between_.height, between_.width}.view(buffer, between_.height);
    TensorView out = slice(y, n, 1);
    out.shape[1] = channels;
    out.data = out.ptr<float>() + from * out.stride[1];
    return {
        {slice(x, n, 1), slice(wide_.w.weight, from, channels), slice(wide_.w.bias, from, channels),
         between},
        {between, slice(deep_.w.weight, from, channels), slice(deep_.w.bias, from, channels), out}};
  }

  // All that needs Python, or may throw.
  bool prepare(const TensorView& x, const TensorView& y) {
    const ConvParams p = params(wide_);
    // The addresses do not matter here.
    const TensorView whole[] = {slice(x, 0, 1), wide_.w.weight, wide_.w.bias,
                                between_.view(y.data, between_.height)};
    const TensorView behind[] = {whole[3], deep_.w.weight, deep_.w.bias, slice(y, 0, 1)};
    conv_forward.check(p, whole);
    conv_forward.check(params(deep_), behind);
    const ConvLayout layout = conv_preparation(p, whole).layout;
    data_ = wide_.prepared->find(p, whole, wide_.weight(), wide_.w.weight.keep);
    for (const int64_t task : {int64_t{0}, tasks() - 1}) {
      if (task > 0 && count(task) == each_) break;  // like the first, as are all between
      const Views at = views(x, y, 0, task, y.data);
      const ConvParams deep = deep_of(task);
      conv_forward.check(p, at.wide);
      conv_forward.check(deep, at.deep);
      const ConvPreparation part = conv_preparation(p, at.wide);
      if (part.layout != layout || conv_preparation(deep, at.deep).layout != ConvLayout::plain)
        return false;
      if (task == 0) weight_bytes_ = part.bytes;
      ConvParams with = p;
      with.prepared = weight_of(task);
      workspace_bytes_ = std::max({workspace_bytes_, conv_forward.workspace(with, at.wide),
                                   conv_forward.workspace(deep, at.deep)});
    }
    workspace_bytes_ = (workspace_bytes_ + 63) / 64 * 64;
    return true;
  }

  const ConvStep &wide_, &deep_;
  LayerImage in_{}, between_{}, out_{};
  int64_t each_ = 0;  // channels of a task
  std::shared_ptr<const void> data_;
  size_t weight_bytes_ = 0;  // of a task's panels in it
  size_t workspace_bytes_ = 0;
};

}  // namespace

bool run_conv_pair(const ConvStep& wide, const ConvStep& deep, Value& v) {
  if (!wide.prepared) return false;
  ConvPair pair(wide, deep);
  return pair.plan(v.view) && pair.run(v);
}

}  // namespace fastnn
