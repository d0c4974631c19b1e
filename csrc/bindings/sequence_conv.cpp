// Convolutions among the layers of a sequence.
#include "bindings/sequence_conv.h"

#include <algorithm>

#include "fastnn/isa.h"
#include "runtime/cpu_count.h"

namespace fastnn {

namespace {

bool read_ints(PyObject* tuple, int64_t* out, int n) {
  if (!tuple || !PyTuple_Check(tuple) || PyTuple_GET_SIZE(tuple) != n) return false;
  for (int i = 0; i < n; ++i) {
    PyObject* item = PyTuple_GET_ITEM(tuple, i);
    if (!PyLong_CheckExact(item)) return false;
    out[i] = PyLong_AsLongLong(item);
    if (out[i] == -1 && PyErr_Occurred()) {
      PyErr_Clear();
      return false;
    }
  }
  return true;
}

}  // namespace

bool read_tensor(PyObject* all, PyObject* name, Arg& out, py::object* tensor) {
  PyObject* found = PyDict_GetItemWithError(all, name);
  if (!found || found == Py_None) return found != nullptr;
  if (!is_tensor(found) || wants_grad(found)) return false;
  PyObject* data = as_tensor(found)->data;
  if (!py::detail::npy_api::get().PyArray_Check_(data)) return false;
  out = input_arg(data, "layer", "weight");
  if (tensor) *tensor = py::reinterpret_borrow<py::object>(found);
  return true;
}

bool Weights::read(const Layer& layer) {
  PyObject* all = layer.get(FASTNN_NAME("_parameters"));
  return all && PyDict_Check(all) && read_tensor(all, FASTNN_NAME("bias"), bias, &bias_tensor) &&
         read_tensor(all, FASTNN_NAME("weight"), weight, &tensor) && weight.view;
}

bool ConvStep::read(const Layer& layer, Activation activation) {
  PyObject *mode = layer.get(FASTNN_NAME("padding_mode")),
           *groups = layer.get(FASTNN_NAME("groups"));
  p.dims = layer.dims;
  p.activation = activation;
  if (!mode || !PyUnicode_Check(mode) || PyUnicode_CompareWithASCIIString(mode, "zeros") != 0 ||
      !groups || !PyLong_CheckExact(groups) ||
      !read_ints(layer.get(FASTNN_NAME("stride")), p.stride, p.dims) ||
      !read_ints(layer.get(FASTNN_NAME("padding")), p.padding, p.dims) ||
      !read_ints(layer.get(FASTNN_NAME("dilation")), p.dilation, p.dims))
    return false;
  int_or_list(groups, &p.groups, 1, "conv", "groups");
  if (!w.read(layer) || w.weight.view.ndim != p.dims + 2) return false;
  PyObject* cache = layer.get(FASTNN_NAME("_prepared"));
  if (cache && py::isinstance<PreparedWeights>(cache)) {
    keep_prepared = py::reinterpret_borrow<py::object>(cache);
    prepared = keep_prepared.cast<PreparedWeights*>();
  }
  return true;
}

bool run_conv_step(const ConvStep& s, Value& v) {
  if (v.view.ndim != s.p.dims + 1 && v.view.ndim != s.p.dims + 2) return false;
  v.set(conv_new(s.p, v.view, s.w.weight, s.w.bias, s.prepared, s.weight()));
  return true;
}

bool run_conv(const Layer& layer, Value& v, Activation activation) {
  ConvStep step;
  return step.read(layer, activation) && run_conv_step(step, v);
}

// ---- Chains ----

TensorView LayerImage::view(void* data, int64_t rows) const {
  TensorView v;
  v.data = data;
  v.ndim = 4;
  const int64_t shape[] = {1, channels, rows, width};
  std::copy(shape, shape + 4, v.shape);
  for (int64_t d = 3, step = 1; d >= 0; step *= v.shape[d--]) v.stride[d] = step;
  return v;
}

bool image_behind(const ConvStep& s, const LayerImage& in, LayerImage* out) {
  const TensorView& w = s.w.weight.view;
  const ConvParams& p = s.p;
  if (p.dims != 2 || p.groups < 1 || w.dtype != DType::f32 || w.numel() == 0 ||
      w.shape[1] * p.groups != in.channels || w.shape[0] % p.groups != 0)
    return false;
  int64_t pixels[2];
  const int64_t size[] = {in.height, in.width};
  for (int d = 0; d < 2; ++d) {
    if (std::max({p.stride[d], p.dilation[d], p.padding[d], w.shape[2 + d]}) > INT32_MAX)
      return false;
    const int64_t reach = (w.shape[2 + d] - 1) * p.dilation[d];
    if (p.stride[d] < 1 || p.dilation[d] < 1 || p.padding[d] < 0 || p.padding[d] > reach ||
        size[d] + 2 * p.padding[d] <= reach)
      return false;
    pixels[d] = (size[d] + 2 * p.padding[d] - reach - 1) / p.stride[d] + 1;
  }
  *out = {w.shape[0], pixels[0], pixels[1]};
  return true;
}

namespace {

constexpr int64_t kLeastBytes = 256 << 10;  // of the images between the layers

// Bands are the only tasks of an image, so there is one for each of a few processors; of those that
// the process may use, not of the threads that it uses now: another cut may take another path.
int64_t least_bands() {
  static const int64_t bands = std::clamp(affinity_cpus(), 4, 16);
  return bands;
}

struct Rows {
  int64_t begin, end;
  int64_t count() const { return end - begin; }
};

class ConvChain {
 public:
  explicit ConvChain(const std::vector<ConvStep>& steps) : steps_(steps) {}

  // Whether all fit each other and bands pay: bytes that need not go to memory and back against
  // what two bands both compute and the weights that every band reads. A byte takes as long as five
  // operations. Where the cache holds the images, bands only spare them the way to another core:
  // not worth computing a row twice.
  bool plan(const TensorView& x) {
    if (x.ndim != 4 || x.dtype != DType::f32 || !x.contiguous() || x.numel() == 0) return false;
    images_.push_back({x.shape[1], x.shape[2], x.shape[3]});
    for (const ConvStep& s : steps_)
      if (!add_image(s)) return false;
    int64_t bytes = 0;
    for (size_t k = 1; k < steps_.size(); ++k) bytes += images_[k].bytes(images_[k].height);
    if (bytes < kLeastBytes) return false;
    const auto l2 = static_cast<int64_t>(cache_sizes().l2);
    choose_bands(bytes, l2 / 2);
    return (bytes >= l2 || again() <= 0) && again() < 5 * (bytes - weights_again());
  }

  // Bands are the tasks of one parallel region: each goes through all layers on one core.
  NewArray run(const TensorView& x) {
    const LayerImage& last = images_.back();
    NewArray y = new_array(DType::f32, {x.shape[0], last.channels, last.height, last.width});
    const LaunchScope scope;
    const Workspace buffers(static_cast<size_t>(max_workers() * buffer_bytes_));
    buffers_ = static_cast<char*>(buffers.data());
    prepare(x, y.view);
    const ReleasedGil released;
    const Workspace workspaces(static_cast<size_t>(max_workers()) * workspace_bytes_);
    char* const workspace = static_cast<char*>(workspaces.data());
    parallel_for(x.shape[0] * bands_, [&](int64_t task, int worker) {
      const int64_t n = task / bands_, band = task % bands_;
      for (size_t k = 0; k < steps_.size(); ++k)
        conv_forward.run(call(band, k).p, views(x, y.view, n, band, k, worker).v,
                         workspace + static_cast<size_t>(worker) * workspace_bytes_);
    });
    return y;
  }

 private:
  bool add_image(const ConvStep& s) {
    LayerImage out;
    if (!image_behind(s, images_.back(), &out)) return false;
    images_.push_back(out);
    return true;
  }

  // The rows of every image that a band of the last one takes.
  std::vector<Rows> rows_of(int64_t band) const {
    std::vector<Rows> rows(images_.size());
    const int64_t height = images_.back().height;
    rows.back() = {band * height / bands_, (band + 1) * height / bands_};
    for (size_t k = steps_.size(); k-- > 0;) {
      const ConvParams& p = steps_[k].p;
      const int64_t reach = (steps_[k].w.weight.view.shape[2] - 1) * p.dilation[0];
      const Rows& out = rows[k + 1];
      rows[k] = {
          std::max<int64_t>(0, out.begin * p.stride[0] - p.padding[0]),
          std::min(images_[k].height, (out.end - 1) * p.stride[0] - p.padding[0] + reach + 1)};
    }
    return rows;
  }

  // As few bands as keep the images between the layers within `budget` bytes, and as many for each
  // processor.
  void choose_bands(int64_t bytes, int64_t budget) {
    const int64_t most = images_.back().height, least = least_bands();
    for (bands_ = bytes / budget;; bands_ += 1 + bands_ / 8) {
      bands_ = std::min(most, std::max(least, (bands_ + least - 1) / least * least));
      rows_.clear();
      for (int64_t b = 0; b < bands_; ++b) rows_.push_back(rows_of(b));
      place_buffers();
      if (buffer_bytes_ <= budget || bands_ == most) return;
    }
  }
  void place_buffers() {
    offset_.assign(images_.size(), 0);
    buffer_bytes_ = 0;
    for (size_t k = 1; k < steps_.size(); ++k) {
      offset_[k] = buffer_bytes_;
      int64_t most = 0;
      for (const auto& rows : rows_) most = std::max(most, rows[k].count());
      buffer_bytes_ += (images_[k].bytes(most) + 63) / 64 * 64;
    }
  }

  // Multiply-adds for rows that two bands need, twice.
  int64_t again() const {
    int64_t sum = 0;
    for (size_t k = 1; k < steps_.size(); ++k) {
      int64_t more = -images_[k].height;
      for (const auto& rows : rows_) more += rows[k].count();
      sum += 2 * more * images_[k].width * steps_[k - 1].w.weight.view.numel();
    }
    return sum;
  }

  // Bytes of the weights, for every band but the first.
  int64_t weights_again() const {
    int64_t bytes = 0;
    for (const ConvStep& s : steps_) bytes += 4 * s.w.weight.view.numel();
    return (bands_ - 1) * bytes;
  }

  struct Call {
    ConvParams p;
    std::shared_ptr<const void> prepared;
  };
  const Call& call(int64_t band, size_t k) const {
    return calls_[static_cast<size_t>(band) * steps_.size() + k];
  }
  struct Views {
    TensorView v[4];
  };
  Views views(const TensorView& x, const TensorView& y, int64_t n, int64_t band, size_t k,
              int worker) const {
    const std::vector<Rows>& rows = rows_[static_cast<size_t>(band)];
    char* const buffer = buffers_ + worker * buffer_bytes_;
    const auto image = [&](size_t i) {
      if (i == 0) return part(x, n, rows[0]);
      if (i == steps_.size()) return part(y, n, rows[i]);
      return images_[i].view(buffer + offset_[i], rows[i].count());
    };
    return {{image(k), steps_[k].w.weight, steps_[k].w.bias, image(k + 1)}};
  }

  // All that needs Python, or may throw.
  void prepare(const TensorView& x, const TensorView& y) {
    for (int64_t band = 0; band < bands_; ++band)
      for (size_t k = 0; k < steps_.size(); ++k) {
        const ConvStep& s = steps_[k];
        const std::vector<Rows>& rows = rows_[static_cast<size_t>(band)];
        const Views at = views(x, y, 0, band, k, 0);
        Call c{s.p, {}};
        c.p.padding[0] += rows[k].begin - rows[k + 1].begin * s.p.stride[0];
        if (const Call* like = earlier_call(band, k, c.p.padding[0])) {
          calls_.push_back(*like);
          continue;
        }
        c.p.prepares = true;
        conv_forward.check(c.p, at.v);
        c.prepared = s.prepared->find(c.p, at.v, s.weight(), s.w.weight.keep);
        c.p.prepared = c.prepared.get();
        workspace_bytes_ = std::max(workspace_bytes_, conv_forward.workspace(c.p, at.v));
        calls_.push_back(std::move(c));
      }
    workspace_bytes_ = (workspace_bytes_ + 63) / 64 * 64;
  }

  // The same layer's, in a band before this one with as many rows, if there is one.
  const Call* earlier_call(int64_t band, size_t k, int64_t padding) const {
    const auto alike = [&](int64_t b) {
      const Rows *a = &rows_[static_cast<size_t>(b)][k], *c = &rows_[static_cast<size_t>(band)][k];
      return a[0].count() == c[0].count() && a[1].count() == c[1].count() &&
             call(b, k).p.padding[0] == padding;
    };
    for (int64_t b = band - 1; b >= 0; --b)
      if (alike(b)) return &call(b, k);
    return nullptr;
  }

  static TensorView part(const TensorView& image, int64_t n, const Rows& rows) {
    TensorView v = image;
    v.shape[0] = 1;
    v.shape[2] = rows.count();
    v.data = v.ptr<float>() + n * v.stride[0] + rows.begin * v.stride[2];
    return v;
  }

  const std::vector<ConvStep>& steps_;
  std::vector<LayerImage> images_;  // before the first layer, behind each
  int64_t bands_ = 1;
  std::vector<std::vector<Rows>> rows_;  // of each band, in each image
  std::vector<int64_t> offset_;          // of the images between the layers, in a worker's buffer
  int64_t buffer_bytes_ = 0;
  char* buffers_ = nullptr;
  std::vector<Call> calls_;  // [band][layer]
  size_t workspace_bytes_ = 0;
};

}  // namespace

bool run_conv_chain(const std::vector<ConvStep>& steps, Value& v) {
  for (const ConvStep& s : steps)
    if (!s.prepared) return false;  // weights would be laid out for every band
  ConvChain chain(steps);
  if (!chain.plan(v.view)) return false;
  v.set(chain.run(v.view));
  return true;
}

}  // namespace fastnn
