// Every kernel: within the bounds of its activations, whatever x is like, and each row and column
// by itself.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <string>

#include "device.h"
#include "formats/registry.h"

namespace qk {
namespace {

using namespace qk::test;

// Sums of squares, over kernels and shapes: a single output may cancel.
struct Errors {
  double difference = 0.0;
  double reference = 0.0;

  void add(const std::vector<float>& results, const std::vector<double>& references) {
    for (size_t i = 0; i < results.size(); ++i) {
      const double off = static_cast<double>(results[i]) - references[i];
      difference += off * off;
      reference += references[i] * references[i];
    }
  }
  double relative() const { return std::sqrt(difference / reference); }
};

// x of each kind and depth, quantised once for all kernels that take such activations.
struct Quantised {
  Quantised(Random& random, Kind kind, int64_t k) : x(activations_like(random, kind, 1, k)) {
    const DeviceBytes floats(x.data(), k * 4);
    const qk_cuda_matrix view{floats.data(), 1, k, k, QK_CUDA_F32};
    for (const int act : kActNumbers) {
      int64_t bytes = 0;
      qk_cuda_activation_bytes(act, 1, k, &bytes, nullptr);
      by_act[act] = std::make_unique<DeviceBytes>(bytes);
      QK_CHECK_EQ(qk_cuda_quantize(0, &view, act, by_act[act]->data(), nullptr, nullptr), 0);
    }
  }

  std::vector<float> x;
  std::unique_ptr<DeviceBytes> by_act[3];
};

// The products of the last n rows of the weights.
std::vector<float> product_of_last(const DeviceWeights& weights, int64_t n, int act,
                                   const Quantised& quantised) {
  const DeviceBytes y(n * 4);
  qk_cuda_product call{};
  call.act = act;
  call.weights = weights.view();
  call.weights.data = weights.bytes.data() + (call.weights.n - n) * weights.row_stride;
  call.weights.n = n;
  call.activations = quantised.by_act[act]->data();
  call.columns = 1;
  call.y = {y.data(), 1, n, n, QK_CUDA_F32};
  qk_cuda_error error{};
  qk_cuda_multiply(&call, &error);
  QK_CHECK_EQ(std::string(error.message), "");
  return y.download<float>();
}

// Errors of each kernel, for each kind of x.
using AllErrors = std::map<std::string, std::map<Kind, Errors>>;

// Adds the errors of a matrix's products, and checks that those of its last rows have the same
// bits.
void add_errors(const DeviceWeights& weights, const std::map<Kind, Quantised>& quantised,
                AllErrors* errors) {
  const int64_t rows = weights.host->view.n;
  for (const auto& [kind, x] : quantised) {
    const std::vector<double> reference = exact(weights, x.x, 1);
    for (const int act : kActNumbers) {
      if (!is_kernel(weights.host->view.format, weights.layout, act)) continue;
      const std::string kernel = kernel_text(weights.host->view.format, weights.layout, act);
      const Context context("%s k=%d kind=%d", kernel.c_str(),
                            static_cast<int>(weights.host->view.k), static_cast<int>(kind));
      const std::vector<float> all = product_of_last(weights, rows, act, x);
      (*errors)[kernel][kind].add(all, reference);
      for (const int64_t n : {1, 3, 5}) {
        if (few_shapes() && n != 3) continue;
        const std::vector<float> some = product_of_last(weights, n, act, x);
        QK_CHECK_EQ(std::memcmp(some.data(), all.data() + rows - n, some.size() * 4), 0);
      }
    }
  }
}

AllErrors errors_of_all_kernels() {
  Random random(1);
  AllErrors errors;
  for (const int64_t k : {256, 576, 1280, 4352}) {
    if (few_shapes() && k != 576) continue;
    std::map<Kind, Quantised> quantised;
    for (const Kind kind : kKinds) {
      if (few_shapes() && kind != Kind::kOutlier) continue;  // all read the same memory
      quantised.try_emplace(kind, random, kind, k);
    }
    for (int format = 0; format < format_count(); ++format) {
      Random same(static_cast<uint64_t>(k));
      const DeviceWeights native(same, format, QK_CUDA_NATIVE, few_shapes() ? 20 : 129, k);
      const DeviceWeights packed(native, QK_CUDA_PACKED);
      add_errors(native, quantised, &errors);
      add_errors(packed, quantised, &errors);
    }
  }
  return errors;
}

// Errors are of many outputs together, as the bounds are: those of all depths.
QK_TEST(every_product_is_within_the_bound_of_its_activations) {
  std::map<std::string, double> worst;
  for (const auto& [kernel, by_kind] : errors_of_all_kernels()) {
    const std::string act = kernel.substr(kernel.rfind(' ') + 1);
    for (const auto& [kind, error] : by_kind) {
      if (kind == Kind::kZero) {
        QK_CHECK_EQ(error.difference, 0.0);
        continue;
      }
      const Context context("%s kind=%d: error %.3g", kernel.c_str(), static_cast<int>(kind),
                            error.relative());
      QK_CHECK(error.relative() < bound_of_act(act));
      worst[act] = std::max(worst[act], error.relative());
    }
  }
  for (const auto& [act, error] : worst) {
    std::printf("  worst error, %-8s %.1e\n", act.c_str(), error);
  }
}

QK_TEST(batches_of_up_to_eight_are_as_exact_and_their_columns_independent) {
  Random random(2);
  for_each_kernel([&](int format, int layout, int act) {
    const DeviceWeights weights(random, format, layout, 5, 576);
    for (const int64_t m : {3, 8}) {
      if (few_shapes() && m != 3) continue;
      const Context context("m=%d", static_cast<int>(m));
      const std::vector<float> x = activations_like(random, Kind::kGaussian, m, 576);
      DeviceProduct product(weights, act, x, m);
      product.run();
      Errors errors;
      errors.add(product.results(), exact(weights, x, m));
      QK_CHECK(errors.relative() < 3.0 * bound_of_act(act_text(act)));
      for (int64_t j = few_shapes() ? m - 1 : 0; j < m; ++j) {
        const std::vector<float> alone(x.begin() + 576 * j, x.begin() + 576 * (j + 1));
        DeviceProduct single(weights, act, alone, 1);
        single.run();
        for (int64_t i = 0; i < 5; ++i) QK_CHECK_EQ(product.at(j, i), single.at(0, i));
      }
    }
  });
}

QK_TEST(a_row_does_not_depend_on_its_neighbours) {
  Random random(4);
  for_each_kernel([&](int format, int layout, int act) {
    const DeviceWeights weights(random, format, layout, 7, 576);
    const std::vector<float> x = activations_like(random, Kind::kGaussian, 1, 576);
    DeviceProduct whole(weights, act, x, 1);
    whole.run();
    for (int64_t row = 0; row < 7; ++row) {
      if (few_shapes() && row != 6) continue;
      qk_cuda_product call = whole.call;
      const DeviceBytes y(4);
      const DeviceBytes only(weights.bytes.data() + row * weights.row_stride, weights.row_stride);
      call.weights.n = 1;
      call.weights.data = only.data();
      call.y = {y.data(), 1, 1, 1, QK_CUDA_F32};
      QK_CHECK_EQ(qk_cuda_multiply(&call, nullptr), QK_CUDA_OK);
      QK_CHECK_EQ(y.download<float>()[0], whole.at(0, row));
    }
  });
}

QK_TEST(what_is_not_finite_in_x_stays_in_its_column) {
  Random random(5);
  for_each_kernel([&](int format, int layout, int act) {
    const DeviceWeights weights(random, format, layout, 3, 576);
    for (const float bad : {INFINITY, -INFINITY, NAN}) {
      if (few_shapes() && !std::isnan(bad)) continue;
      std::vector<float> x = activations_like(random, Kind::kGaussian, 3, 576);
      x[576 + 100] = bad;
      DeviceProduct product(weights, act, x, 3);
      product.run();
      for (int64_t i = 0; i < 3; ++i) {
        QK_CHECK(std::isfinite(product.at(0, i)) && std::isfinite(product.at(2, i)));
        if (act == QK_CUDA_FLOAT32) {
          QK_CHECK(!std::isfinite(product.at(1, i)));
        } else {
          QK_CHECK(std::isnan(product.at(1, i)));
        }
      }
    }
  });
}

QK_TEST(tiny_and_huge_x_scale_the_result) {
  Random random(6);
  for_each_kernel([&](int format, int layout, int act) {
    const DeviceWeights weights(random, format, layout, 40, 256);
    for (const float scale : {0x1p-120f, 0x1p-70f, 0x1p70f, 0x1p110f}) {
      if (few_shapes() && scale != 0x1p70f) continue;
      std::vector<float> x = activations_like(random, Kind::kGaussian, 1, 256);
      for (float& value : x) value *= scale;
      DeviceProduct product(weights, act, x, 1);
      product.run();
      Errors errors;
      errors.add(product.results(), exact(weights, x, 1));
      const Context context("scale %.3g: error %.3g", static_cast<double>(scale),
                            errors.relative());
      QK_CHECK(errors.relative() < 2.0 * bound_of_act(act_text(act)));
    }
  });
}

}  // namespace
}  // namespace qk
