// What is beside the plain product: decoding, packing, biases, gates, functions, element types.
#include <cmath>
#include <numbers>
#include <vector>

#include "core/half.h"
#include "device.h"
#include "formats/registry.h"

namespace qk {
namespace {

using namespace qk::test;

constexpr int kDtypes[] = {QK_CUDA_F32, QK_CUDA_F16, QK_CUDA_BF16};

int64_t bytes_of(int dtype) { return dtype == QK_CUDA_F32 ? 4 : 2; }

// Elements on the device, as floats.
std::vector<float> elements(const DeviceBytes& bytes, int dtype) {
  if (dtype == QK_CUDA_F32) return bytes.download<float>();
  std::vector<float> values;
  values.reserve(static_cast<size_t>(bytes.size()) / 2);
  for (const uint16_t bits : bytes.download<uint16_t>()) {
    values.push_back(dtype == QK_CUDA_F16 ? half_to_float(bits) : bfloat_to_float(bits));
  }
  return values;
}

// Floats as elements on the device, rounded.
DeviceBytes on_device(const std::vector<float>& values, int dtype) {
  if (dtype == QK_CUDA_F32) {
    return {values.data(), static_cast<int64_t>(values.size()) * 4};
  }
  std::vector<uint16_t> narrow;
  narrow.reserve(values.size());
  for (const float value : values) {
    narrow.push_back(dtype == QK_CUDA_F16 ? float_to_half(value) : float_to_bfloat(value));
  }
  return {narrow.data(), static_cast<int64_t>(narrow.size()) * 2};
}

float rounded(float value, int dtype) {
  if (dtype == QK_CUDA_F32) return value;
  return dtype == QK_CUDA_F16 ? half_to_float(float_to_half(value))
                              : bfloat_to_float(float_to_bfloat(value));
}

QK_TEST(weights_decode_to_the_bits_of_the_cpu) {
  Random random(1);
  for (int format = 0; format < format_count(); ++format) {
    for (const int64_t k : {256, 576, 100, 33}) {
      for (const int layout : {QK_CUDA_NATIVE, QK_CUDA_PACKED}) {
        if (!is_kernel(format, layout, QK_CUDA_FLOAT32)) continue;
        const DeviceWeights weights(random, format, layout, 3, k);
        const qk_cuda_weights view = weights.view();
        for (const int dtype : kDtypes) {
          const Context context("%s layout=%d k=%d dtype=%d", format_at(format).info.name, layout,
                                static_cast<int>(k), dtype);
          const DeviceBytes out(3 * k * bytes_of(dtype));
          const qk_cuda_matrix matrix{out.data(), 3, k, k, dtype};
          QK_CHECK_EQ(qk_cuda_dequantize(0, &view, &matrix, nullptr, nullptr), QK_CUDA_OK);
          const std::vector<float> actual = elements(out, dtype);
          int64_t wrong = 0;
          for (int64_t i = 0; i < 3 * k; ++i) {
            const auto value = static_cast<float>(weights.host->values[static_cast<size_t>(i)]);
            const float expected = rounded(value, dtype);
            const uint32_t bits = bits_of_float(actual[static_cast<size_t>(i)]);
            wrong += bits != bits_of_float(expected) ? 1 : 0;
          }
          QK_CHECK_EQ(wrong, 0);
        }
      }
    }
  }
}

QK_TEST(blocks_of_random_bytes_decode_like_on_the_cpu) {
  Random random(2);
  for (int format = 0; format < format_count(); ++format) {
    const Format& about = format_at(format);
    const int64_t k = about.info.block;
    for (int draw = 0; draw < 200; ++draw) {
      const Context context("%s", about.info.name);
      std::vector<uint8_t> block(static_cast<size_t>(about.info.bytes));
      for (uint8_t& byte : block) byte = static_cast<uint8_t>(random());
      std::vector<float> expected(static_cast<size_t>(k));
      about.decode(block.data(), expected.data());
      const DeviceBytes bytes(block.data(), about.info.bytes);
      const DeviceBytes out(k * 4);
      const qk_cuda_weights view{bytes.data(), 1, k, about.info.bytes, format, QK_CUDA_NATIVE};
      const qk_cuda_matrix matrix{out.data(), 1, k, k, QK_CUDA_F32};
      QK_CHECK_EQ(qk_cuda_dequantize(0, &view, &matrix, nullptr, nullptr), QK_CUDA_OK);
      const std::vector<float> actual = out.download<float>();
      for (int64_t i = 0; i < k; ++i) {
        const float a = actual[static_cast<size_t>(i)];
        const float b = expected[static_cast<size_t>(i)];
        if (std::isnan(a) && std::isnan(b)) continue;
        QK_CHECK_EQ(bits_of_float(a), bits_of_float(b));
      }
    }
  }
}

double function_of(int function, double x) {
  switch (function) {
    case QK_CUDA_SILU: return x / (1.0 + std::exp(-x));
    case QK_CUDA_GELU: return 0.5 * x * (1.0 + std::erf(x / std::numbers::sqrt2));
    case QK_CUDA_GELU_TANH:
      return 0.5 * x *
             (1.0 + std::tanh(std::sqrt(2.0 * std::numbers::inv_pi) * (x + 0.044715 * x * x * x)));
    case QK_CUDA_GELU_SIGMOID: return x / (1.0 + std::exp(-1.702 * x));
    default: return x;
  }
}

double tolerance_of(int dtype) {
  if (dtype == QK_CUDA_F32) return 2e-6;
  return dtype == QK_CUDA_F16 ? 1e-3 : 8e-3;
}

void check_function(Random& random, int function, int dtype) {
  constexpr int64_t kRows = 3;
  constexpr int64_t kColumns = 300;
  constexpr int64_t kStride = 304;
  std::normal_distribution<float> gaussian(0.0f, 4.0f);
  std::vector<float> biases(kColumns);
  for (float& value : biases) value = gaussian(random);
  std::vector<float> in((kRows - 1) * kStride + kColumns);
  for (float& value : in) value = rounded(gaussian(random), dtype);
  const DeviceBytes values = on_device(in, dtype);
  const DeviceBytes bias = on_device(biases, QK_CUDA_F32);
  const qk_cuda_matrix matrix{values.data(), kRows, kColumns, kStride, dtype};
  QK_CHECK_EQ(qk_cuda_apply(0, &matrix, bias.data(), QK_CUDA_F32, function, nullptr, nullptr),
              QK_CUDA_OK);
  const std::vector<float> out = elements(values, dtype);
  for (size_t at = 0; at < in.size(); ++at) {
    if (at % kStride >= kColumns) {
      QK_CHECK_EQ(out[at], in[at]);
      continue;
    }
    const float x = in[at] + biases[at % kStride];
    const double want = function_of(function, static_cast<double>(x));
    const double off = std::fabs(static_cast<double>(out[at]) - want);
    const Context context("x=%.9g: off by %.3g", static_cast<double>(x), off);
    QK_CHECK(off <= tolerance_of(dtype) * (std::fabs(want) + 0.1));
  }
}

QK_TEST(functions_apply_in_place_with_a_bias_and_leave_gaps_alone) {
  Random random(3);
  for (int function = QK_CUDA_NONE; function <= QK_CUDA_GELU_SIGMOID; ++function) {
    for (const int dtype : kDtypes) {
      const Context context("function=%d dtype=%d", function, dtype);
      check_function(random, function, dtype);
    }
  }
}

QK_TEST(functions_of_extremes_are_finite_where_their_limits_are) {
  for (int function = QK_CUDA_SILU; function <= QK_CUDA_GELU_SIGMOID; ++function) {
    const float in[] = {-INFINITY, -1e30f, -100.0f, 0.0f, 1e30f, NAN};
    const DeviceBytes values(in, sizeof(in));
    const qk_cuda_matrix matrix{values.data(), 1, 6, 6, QK_CUDA_F32};
    QK_CHECK_EQ(qk_cuda_apply(0, &matrix, nullptr, 0, function, nullptr, nullptr), QK_CUDA_OK);
    const std::vector<float> out = values.download<float>();
    const Context context("function=%d: %g %g %g", function, static_cast<double>(out[0]),
                          static_cast<double>(out[1]), static_cast<double>(out[2]));
    for (size_t i = 0; i < 4; ++i) QK_CHECK(std::fabs(out[i]) < 1e-30f);
    QK_CHECK_EQ(out[4], 1e30f);
    QK_CHECK(std::isnan(out[5]));
  }
}

QK_TEST(a_bias_of_each_row_or_of_each_product_is_added) {
  Random random(4);
  const DeviceWeights weights(random, find_format("q4_k"), QK_CUDA_NATIVE, 5, 256);
  const std::vector<float> x = activations_like(random, Kind::kGaussian, 2, 256);
  DeviceProduct plain(weights, QK_CUDA_INT16, x, 2);
  plain.run();
  const float values[] = {1.0f, -2.0f, 0.0f, 1e6f, 0.5f, 7.0f, 8.0f, 9.0f, 10.0f, 11.0f};
  const DeviceBytes bias(values, sizeof(values));
  for (const int64_t stride : {0, 5}) {
    DeviceProduct biased(weights, QK_CUDA_INT16, x, 2);
    biased.call.bias = bias.as<float>();
    biased.call.bias_stride = stride;
    biased.run();
    for (int64_t j = 0; j < 2; ++j) {
      for (int64_t i = 0; i < 5; ++i) {
        QK_CHECK_EQ(biased.at(j, i), plain.at(j, i) + values[j * stride + i]);
      }
    }
  }
}

QK_TEST(a_residual_is_added_in_place) {
  Random random(5);
  const DeviceWeights weights(random, find_format("q6_k"), QK_CUDA_PACKED, 5, 256);
  const std::vector<float> x = activations_like(random, Kind::kGaussian, 1, 256);
  DeviceProduct plain(weights, QK_CUDA_INT8, x, 1);
  plain.run();
  qk_cuda_product call = plain.call;
  call.bias = plain.y.as<float>();
  const std::vector<float> before = plain.results();
  QK_CHECK_EQ(qk_cuda_multiply(&call, nullptr), QK_CUDA_OK);
  plain.fetch();
  for (int64_t i = 0; i < 5; ++i)
    QK_CHECK_EQ(plain.at(0, i), 2.0f * before[static_cast<size_t>(i)]);
}

QK_TEST(a_gate_is_applied_to_the_other_matrix) {
  Random random(6);
  for (const char* name : {"q4_k", "q4_0", "f16"}) {
    const int format = find_format(name);
    const int act =
        is_kernel(format, QK_CUDA_NATIVE, QK_CUDA_INT16) ? QK_CUDA_INT16 : QK_CUDA_FLOAT32;
    const DeviceWeights gate(random, format, QK_CUDA_NATIVE, 5, 320);
    const DeviceWeights up(random, format, QK_CUDA_NATIVE, 5, 320);
    const std::vector<float> x = activations_like(random, Kind::kGaussian, 3, 320);
    DeviceProduct of_gate(gate, act, x, 3);
    DeviceProduct of_up(up, act, x, 3);
    DeviceProduct both(gate, act, x, 3);
    both.call.up = up.bytes.data();
    both.call.function = QK_CUDA_SILU;
    const float values[] = {1.0f, -2.0f, 0.0f, 3.0f, 0.5f};
    const DeviceBytes bias(values, sizeof(values));
    both.call.up_bias = bias.as<float>();
    of_gate.run();
    of_up.run();
    both.run();
    for (int64_t j = 0; j < 3; ++j) {
      for (int64_t i = 0; i < 5; ++i) {
        const double expected = function_of(QK_CUDA_SILU, static_cast<double>(of_gate.at(j, i))) *
                                static_cast<double>(of_up.at(j, i) + values[i]);
        QK_CHECK(std::fabs(static_cast<double>(both.at(j, i)) - expected) <=
                 1e-5 * std::fabs(expected) + 1e-6);
      }
    }
  }
}

QK_TEST(x_and_y_may_be_of_16_bits) {
  Random random(7);
  const DeviceWeights weights(random, find_format("q5_1"), QK_CUDA_PACKED, 7, 96);
  std::vector<float> x = activations_like(random, Kind::kGaussian, 2, 96);
  for (const int dtype : {QK_CUDA_F16, QK_CUDA_BF16}) {
    for (float& value : x) value = rounded(value, dtype);
    DeviceProduct wide(weights, QK_CUDA_INT16, x, 2);
    wide.run();
    const DeviceBytes x16 = on_device(x, dtype);
    const DeviceBytes y16(2 * 7 * 2);
    qk_cuda_product call = wide.call;
    call.y = {y16.data(), 2, 7, 7, dtype};
    const qk_cuda_matrix view{x16.data(), 2, 96, 96, dtype};
    QK_CHECK_EQ(qk_cuda_quantize_and_multiply(&view, &call, nullptr), QK_CUDA_OK);
    const std::vector<float> out = elements(y16, dtype);
    for (int64_t i = 0; i < 14; ++i) {
      QK_CHECK_EQ(out[static_cast<size_t>(i)], rounded(wide.at(i / 7, i % 7), dtype));
    }
  }
}

QK_TEST(a_nan_in_a_scale_stays_in_its_row) {
  Random random(8);
  const DeviceWeights weights(random, find_format("q4_k"), QK_CUDA_NATIVE, 3, 256);
  const uint16_t nan = float_to_half(NAN);
  weights.bytes.upload(weights.row_stride, &nan, 2);
  const std::vector<float> x = activations_like(random, Kind::kGaussian, 1, 256);
  DeviceProduct product(weights, QK_CUDA_INT16, x, 1);
  product.run();
  QK_CHECK(std::isfinite(product.at(0, 0)) && std::isnan(product.at(0, 1)) &&
           std::isfinite(product.at(0, 2)));
}

}  // namespace
}  // namespace qk
