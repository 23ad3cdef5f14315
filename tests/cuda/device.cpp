#include "device.h"

#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace qk::test {
namespace {

constexpr uint32_t kUntouched = 0xa5a5a5a5;

[[noreturn]] void give_up(const qk_cuda_error& failed) {
  qk_cuda_error missing{};
  const bool runs = qk_cuda_available(&missing) == QK_CUDA_OK;
  std::fprintf(stderr, "no device memory: %s\n", runs ? failed.message : missing.message);
  std::exit(EXIT_FAILURE);  // NOLINT(concurrency-mt-unsafe): there is one thread
}

std::vector<uint8_t> laid_out(const RandomWeights& host, int layout, int64_t row_stride) {
  const WeightView& view = host.view;
  if (layout == QK_CUDA_NATIVE) return {view.data, view.data + view.n * view.row_stride};
  std::vector<uint8_t> packed(static_cast<size_t>(view.n * row_stride));
  qk_cuda_error error{};
  qk_cuda_pack(view.format, view.n, view.k, view.data, view.row_stride, packed.data(),
               static_cast<int64_t>(packed.size()), &error);
  QK_CHECK_EQ(std::string(error.message), "");
  return packed;
}

int64_t bytes_of_row(int format, int layout, int64_t k) {
  int64_t bytes = 0;
  qk_cuda_error error{};
  qk_cuda_row_bytes(format, layout, k, &bytes, &error);
  QK_CHECK_EQ(std::string(error.message), "");
  return bytes;
}

int64_t activation_bytes(int act, int64_t m, int64_t k) {
  int64_t bytes = 0;
  qk_cuda_activation_bytes(act, m, k, &bytes, nullptr);
  return bytes;
}

}  // namespace

DeviceBytes::DeviceBytes(int64_t bytes) : size_(bytes) {
  void* memory = nullptr;
  qk_cuda_error error{};
  if (qk_cuda_malloc(0, bytes, &memory, &error) != QK_CUDA_OK) give_up(error);
  data_ = static_cast<uint8_t*>(memory);
}
DeviceBytes::DeviceBytes(const void* from, int64_t bytes) : DeviceBytes(bytes) {
  upload(0, from, bytes);
}
DeviceBytes::~DeviceBytes() { qk_cuda_free(0, data_, nullptr); }

void DeviceBytes::upload(int64_t at, const void* from, int64_t bytes) const {
  copy(data_ + at, from, bytes);
}
void DeviceBytes::copy(void* to, const void* from, int64_t bytes) {
  qk_cuda_error error{};
  qk_cuda_copy(0, to, from, bytes, nullptr, &error);
  if (error.code == QK_CUDA_OK) qk_cuda_synchronize(0, nullptr, &error);
  QK_CHECK_EQ(std::string(error.message), "");
}

DeviceWeights::DeviceWeights(Random& random, int format, int of_layout, int64_t n, int64_t k)
    : host(std::make_shared<RandomWeights>(random, format, n, k, 0)),
      layout(of_layout),
      row_stride(bytes_of_row(format, of_layout, k)),
      bytes(laid_out(*host, of_layout, row_stride).data(), n * row_stride) {}

DeviceWeights::DeviceWeights(const DeviceWeights& other, int of_layout)
    : host(other.host),
      layout(of_layout),
      row_stride(bytes_of_row(host->view.format, of_layout, host->view.k)),
      bytes(laid_out(*host, of_layout, row_stride).data(), host->view.n * row_stride) {}

qk_cuda_weights DeviceWeights::view() const {
  return {bytes.data(), host->view.n, host->view.k, row_stride, host->view.format, layout};
}

DeviceProduct::DeviceProduct(const DeviceWeights& of, int act, const std::vector<float>& values,
                             int64_t columns)
    : weights(of),
      m(columns),
      stride(of.host->view.n + kGap),
      x(values.data(), static_cast<int64_t>(values.size() * sizeof(float))),
      activations(activation_bytes(act, columns, of.host->view.k)),
      y(((columns - 1) * stride + of.host->view.n) * static_cast<int64_t>(sizeof(float))),
      x_view{x.data(), columns, of.host->view.k, of.host->view.k, QK_CUDA_F32},
      call{} {
  call.act = act;
  call.weights = of.view();
  call.activations = activations.data();
  call.columns = columns;
  call.y = {y.data(), columns, of.host->view.n, stride, QK_CUDA_F32};
}

void DeviceProduct::run() {
  const std::vector<uint32_t> untouched(static_cast<size_t>(y.size()) / 4, kUntouched);
  y.upload(0, untouched.data(), y.size());
  qk_cuda_error error{};
  qk_cuda_quantize_and_multiply(&x_view, &call, &error);
  QK_CHECK_EQ(std::string(error.message), "");
  fetch();
  for (int64_t i = 0; i < m * stride - kGap; ++i) {
    const bool written = std::bit_cast<uint32_t>(fetched[static_cast<size_t>(i)]) != kUntouched;
    if (written != (i % stride < weights.host->view.n)) {
      fail(__FILE__, __LINE__, "y[" + std::to_string(i) + "] was or was not written");
    }
  }
}

void DeviceProduct::fetch() { fetched = y.download<float>(); }

float DeviceProduct::at(int64_t column, int64_t row) const {
  return fetched[static_cast<size_t>(column * stride + row)];
}

std::vector<float> DeviceProduct::results() const {
  std::vector<float> all;
  for (int64_t column = 0; column < m; ++column) {
    for (int64_t row = 0; row < weights.host->view.n; ++row) all.push_back(at(column, row));
  }
  return all;
}

std::vector<float> activations_like(Random& random, Kind kind, int64_t m, int64_t k) {
  std::normal_distribution<float> gaussian;
  std::vector<float> x(static_cast<size_t>(m * k));
  if (kind == Kind::kZero) return x;
  for (float& value : x) {
    value = gaussian(random);
    if (kind == Kind::kLargeSums) value = 5000.0f * std::fabs(value) + 3000.0f;
  }
  for (int64_t j = 0; j < m && kind == Kind::kOutlier; ++j) {
    x[static_cast<size_t>(j * k) + random() % static_cast<size_t>(k)] = 1000.0f;
  }
  return x;
}

std::vector<double> exact(const DeviceWeights& weights, const std::vector<float>& x, int64_t m) {
  const int64_t n = weights.host->view.n;
  const int64_t k = weights.host->view.k;
  std::vector<double> all;
  for (int64_t j = 0; j < m; ++j) {
    for (int64_t i = 0; i < n; ++i) {
      const double* w = weights.host->values.data() + i * k;
      const float* v = x.data() + j * k;
      double sum = 0.0;
      for (int64_t e = 0; e < k; ++e) sum += w[e] * static_cast<double>(v[e]);
      all.push_back(sum);
    }
  }
  return all;
}

Sound::Sound()
    : random(1),
      weights(random, find_format("q4_k"), QK_CUDA_NATIVE, 4, 512),
      product(weights, QK_CUDA_INT8, activations_like(random, Kind::kGaussian, 2, 512), 2) {}

const char* act_text(int act) {
  constexpr const char* kNames[] = {"int16", "float32", "int8"};
  return kNames[act];
}

double bound_of_act(std::string_view act) {
  if (act == "int16") return 1e-4;
  return act == "float32" ? 2e-6 : 2e-2;
}

bool is_kernel(int format, int layout, int act) {
  qk_cuda_format_info_t info{};
  qk_cuda_format_info(format, &info, nullptr);
  return (layout == QK_CUDA_NATIVE || info.packs != 0) &&
         (info.is_float == 0 || act == QK_CUDA_FLOAT32);
}

std::string kernel_text(int format, int layout, int act) {
  return std::string(format_at(format).info.name) +
         (layout == QK_CUDA_NATIVE ? " native " : " packed ") + act_text(act);
}

}  // namespace qk::test
