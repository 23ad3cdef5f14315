// The largest products there are: every bit of the quants and scales set or not, against
// activations that are all at one end. What overflows an int shows here, and under
// UndefinedBehaviorSanitizer.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "device.h"
#include "formats/registry.h"

namespace qk {
namespace {

using namespace qk::test;

constexpr int64_t kDepth = 512;

struct ConstantBlock {
  std::vector<uint8_t> bytes;
  std::vector<float> values;
  float largest = -1.0f;  // weight, by magnitude
};

// A block of equal bytes, but for two binary16 of 1 at `offset`: where d is, and dmin where there
// is one.
ConstantBlock block_with_d_at(const Format& format, int byte, int offset) {
  ConstantBlock block;
  block.bytes.assign(static_cast<size_t>(format.info.bytes), static_cast<uint8_t>(byte));
  constexpr uint16_t kOnes[2] = {0x3c00, 0x3c00};
  const int room = format.info.bytes - offset;
  std::memcpy(block.bytes.data() + offset, kOnes, static_cast<size_t>(room < 4 ? room : 4));
  block.values.resize(static_cast<size_t>(format.info.block));
  format.decode(block.bytes.data(), block.values.data());
  for (const float value : block.values) {
    if (!std::isfinite(value) || std::fabs(value) > 1e9f) return {};
    block.largest = std::fmax(block.largest, std::fabs(value));
  }
  return block;
}

// Of the places that d may have, the one that makes the weights largest is its own.
ConstantBlock constant_block(const Format& format, int byte) {
  ConstantBlock best;
  for (int offset = 0; offset < format.info.bytes; ++offset) {
    ConstantBlock block = block_with_d_at(format, byte, offset);
    if (block.largest > best.largest) best = std::move(block);
  }
  return best;
}

// The row of such blocks in a layout.
std::vector<uint8_t> row_of(int format, int layout, const ConstantBlock& block) {
  std::vector<uint8_t> native;
  for (int64_t k = 0; k < kDepth; k += format_at(format).info.block) {
    native.insert(native.end(), block.bytes.begin(), block.bytes.end());
  }
  if (layout == QK_CUDA_NATIVE) return native;
  int64_t bytes = 0;
  qk_cuda_row_bytes(format, layout, kDepth, &bytes, nullptr);
  std::vector<uint8_t> packed(static_cast<size_t>(bytes));
  const auto stride = static_cast<int64_t>(native.size());
  QK_CHECK_EQ(qk_cuda_pack(format, 1, kDepth, native.data(), stride, packed.data(), bytes, nullptr),
              QK_CUDA_OK);
  return packed;
}

// kDepth activations that are all `sign`, quantised.
struct Ends {
  Ends(int which, float sign_of_all) : act(which), sign(sign_of_all), quantised(size(which)) {
    const std::vector<float> values(kDepth, sign);
    const DeviceBytes x(values.data(), kDepth * 4);
    const qk_cuda_matrix view{x.data(), 1, kDepth, kDepth, QK_CUDA_F32};
    QK_CHECK_EQ(qk_cuda_quantize(0, &view, act, quantised.data(), nullptr, nullptr), QK_CUDA_OK);
  }
  static int64_t size(int act) {
    int64_t bytes = 0;
    QK_CHECK_EQ(qk_cuda_activation_bytes(act, 1, kDepth, &bytes, nullptr), QK_CUDA_OK);
    return bytes;
  }

  int act;
  float sign;
  DeviceBytes quantised;
};

void check_product(int format, int layout, const Ends& x, const ConstantBlock& block) {
  const std::vector<uint8_t> row = row_of(format, layout, block);
  const DeviceBytes weights(row.data(), static_cast<int64_t>(row.size()));
  const DeviceBytes y(4);
  qk_cuda_product call{};
  call.act = x.act;
  call.weights = {weights.data(), 1, kDepth, static_cast<int64_t>(row.size()), format, layout};
  call.activations = x.quantised.data();
  call.columns = 1;
  call.y = {y.data(), 1, 1, 1, QK_CUDA_F32};
  QK_CHECK_EQ(qk_cuda_multiply(&call, nullptr), QK_CUDA_OK);
  double expected = 0.0;
  double magnitude = 0.0;
  for (const float value : block.values) {
    expected += static_cast<double>(value);
    magnitude += static_cast<double>(std::fabs(value));
  }
  const double blocks = static_cast<double>(kDepth) / format_at(format).info.block;
  const double off = std::fabs(static_cast<double>(y.download<float>()[0]) -
                               static_cast<double>(x.sign) * blocks * expected);
  const Context context("off by %.3g of %.3g", off, blocks * magnitude);
  QK_CHECK(off <= 1e-5 * blocks * magnitude);
}

void check_blocks_of(int format, int byte, const Ends (&ends)[6]) {
  const ConstantBlock block = constant_block(format_at(format), byte);
  if (block.largest < 0.0f) return;
  for (const int layout : {QK_CUDA_NATIVE, QK_CUDA_PACKED}) {
    for (const Ends& x : ends) {
      if (!is_kernel(format, layout, x.act)) continue;
      const std::string act = act_text(x.act);
      const Context context("%s layout=%d %s byte=0x%02x", format_at(format).info.name, layout,
                            act.c_str(), static_cast<unsigned>(byte));
      check_product(format, layout, x, block);
    }
  }
}

QK_TEST(the_largest_products_do_not_overflow) {
  const Ends ends[6] = {{QK_CUDA_INT16, 1.0f},    {QK_CUDA_INT16, -1.0f}, {QK_CUDA_FLOAT32, 1.0f},
                        {QK_CUDA_FLOAT32, -1.0f}, {QK_CUDA_INT8, 1.0f},   {QK_CUDA_INT8, -1.0f}};
  for (int format = 0; format < format_count(); ++format) {
    if (format_at(format).is_float) continue;
    for (const int byte : {0x00, 0xff, 0x80, 0x7f, 0x0f, 0xf0}) check_blocks_of(format, byte, ends);
  }
}

}  // namespace
}  // namespace qk
