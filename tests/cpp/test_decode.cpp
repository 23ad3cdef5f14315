// Decoding: every format on every ISA that this CPU runs, to the bits of the format's own decode().
#include <cstdint>
#include <cstring>

#include "check.h"
#include "core/half.h"
#include "core/pool.h"
#include "kernel_data.h"
#include "ops/decode.h"
#include "products.h"

namespace qk {
namespace {

using test::Bytes;
using test::Context;
using test::for_each_kernel;
using test::Random;
using test::RandomWeights;

void check_decoded(const KernelTable& kernels, const RandomWeights& weights, int shift) {
  const int64_t count = weights.view.n * weights.view.k;
  const Bytes memory(count * 4, shift);
  ArrayView out;
  out.data = memory.data();
  out.type = ScalarType::kF32;
  out.writable = true;
  out.ndim = 2;
  out.shape[0] = weights.view.n;
  out.shape[1] = weights.view.k;
  out.strides[0] = weights.view.k * 4;
  out.strides[1] = 4;
  QK_REQUIRE_OK(dequantize(Pool::shared().parallel(2), kernels, weights.view, out));
  for (int64_t i = 0; i < count; ++i) {
    float value = 0.0f;
    std::memcpy(&value, memory.data() + i * 4, 4);
    const auto expected = static_cast<float>(weights.values[static_cast<size_t>(i)]);
    QK_CHECK_EQ(bits_of_float(value), bits_of_float(expected));
  }
}

QK_TEST(every_isa_decodes_to_the_bits_of_the_formats_own_decode) {
  Random random(7);
  for_each_kernel([&](const KernelTable& kernels, int format, Act act) {
    if (effective_act(format, Act::kInt16) != act) return;  // decoding has no activations
    for (const int64_t k : {1, 32, 100, 256, 288, 5000}) {
      for (const int shift : {0, 1}) {
        const Context context("k=%d shift=%d", static_cast<int>(k), shift);
        check_decoded(kernels, RandomWeights(random, format, 3, k, shift), shift);
      }
    }
  });
}

}  // namespace
}  // namespace qk
