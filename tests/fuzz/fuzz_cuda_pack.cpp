// Any blocks of any format, packed for CUDA: nothing is read or written past the rows, and the
// emulated device decodes what was packed, and the blocks as they were, to the bits of the format's
// own decode().
//
// The input chooses format, n, k, the distance of rows and the bytes of the blocks. Blocks, packed
// rows and floats end at a guard page each.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <fuzzer/FuzzedDataProvider.h>
#include <vector>

#include "core/checked.h"
#include "core/half.h"
#include "cuda/qk_cuda.h"
#include "emulator.h"
#include "finding.h"
#include "formats/registry.h"
#include "guarded.h"
#include "inputs.h"

namespace qk::fuzz {
namespace {

constexpr int64_t kMostRows = 4;
constexpr int64_t kMostDepth = 1100;

struct Arenas {
  Guarded native{kMostRows * kMostDepth * 10};
  Guarded packed{kMostRows * kMostDepth * 5 + 4096};
  Guarded floats{kMostRows * kMostDepth * 4};
};

Arenas& arenas() {
  static Arenas all;
  return all;
}

std::vector<float> decoded_by_format(const qk_cuda_weights& weights, int64_t row) {
  const Format& format = format_at(weights.format);
  const auto* block = static_cast<const uint8_t*>(weights.data) + row * weights.row_stride;
  const int64_t blocks = ceil_div(weights.k, format.info.block);
  std::vector<float> floats(static_cast<size_t>(blocks * format.info.block));
  for (int64_t b = 0; b < blocks; ++b) {
    format.decode(block + b * format.info.bytes, floats.data() + b * format.info.block);
  }
  return floats;
}

void check_decoded(const qk_cuda_weights& weights, const qk_cuda_weights& native) {
  const int64_t size = weights.n * weights.k * 4;
  uint8_t* memory = arenas().floats.take(size, size % 16 == 0 ? 0 : 16 - size % 16);
  const qk_cuda_matrix out{memory, weights.n, weights.k, weights.k, QK_CUDA_F32};
  qk_cuda_error error{};
  qk_cuda_dequantize(0, &weights, &out, nullptr, &error);
  QK_FINDING_UNLESS(error.code == QK_CUDA_OK, "%s", error.message);
  for (int64_t i = 0; i < weights.n; ++i) {
    const std::vector<float> expected = decoded_by_format(native, i);
    for (int64_t j = 0; j < weights.k; ++j) {
      float value = 0.0f;
      std::memcpy(&value, memory + (i * weights.k + j) * 4, 4);
      const float wanted = expected[static_cast<size_t>(j)];
      const bool same = bits_of_float(value) == bits_of_float(wanted) ||
                        (std::isnan(value) && std::isnan(wanted));
      QK_FINDING_UNLESS(same, "%s, layout %d: weight %lld of row %lld is %.9g, not %.9g",
                        format_at(weights.format).info.name, weights.layout,
                        static_cast<long long>(j), static_cast<long long>(i),
                        static_cast<double>(value), static_cast<double>(wanted));
    }
  }
}

void check(FuzzedDataProvider& input) {
  qk_cuda_weights native{};
  native.format = input.ConsumeIntegralInRange<int>(0, format_count() - 1);
  native.n = input.ConsumeIntegralInRange<int64_t>(1, kMostRows);
  native.k = input.ConsumeIntegralInRange<int64_t>(1, kMostDepth);
  native.layout = QK_CUDA_NATIVE;
  int64_t row = 0;
  qk_cuda_row_bytes(native.format, QK_CUDA_NATIVE, native.k, &row, nullptr);
  native.row_stride = row * input.ConsumeIntegralInRange<int64_t>(1, 2);
  const int64_t size = (native.n - 1) * native.row_stride + row;
  uint8_t* blocks = arenas().native.take(size, (16 - size % 16) % 16);
  fill(input, blocks, size);
  overwrite(input, blocks, size);
  native.data = blocks;

  qk_cuda_weights packed = native;
  packed.layout = QK_CUDA_PACKED;
  qk_cuda_row_bytes(native.format, QK_CUDA_PACKED, native.k, &packed.row_stride, nullptr);
  const int64_t packed_size = native.n * packed.row_stride;
  uint8_t* rows = arenas().packed.take(packed_size, (16 - packed_size % 16) % 16);
  packed.data = rows;
  qk_cuda_error error{};
  qk_cuda_pack(native.format, native.n, native.k, blocks, native.row_stride, rows, packed_size,
               &error);
  QK_FINDING_UNLESS(error.code == QK_CUDA_OK, "%s", error.message);
  check_decoded(packed, native);
  check_decoded(native, native);
}

}  // namespace
}  // namespace qk::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  cuda_emu::set_owner_of_host_memory(0);  // guarded memory counts as the device's
  FuzzedDataProvider input(data, size);
  qk::fuzz::check(input);
  return 0;
}
