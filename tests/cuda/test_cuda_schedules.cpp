// A kernel is right under every order of threads that the execution model allows: the emulation
// runs each in four of them.
#include <cstring>

#include "device.h"
#include "emulator.h"

namespace qk {
namespace {

using namespace qk::test;

// Calls body() under every schedule, and checks that what it returns has the same bits.
template <class Body>
void check_schedules(Body body) {
  std::vector<float> first;
  for (const auto schedule : cuda_emu::kSchedules) {
    cuda_emu::set_schedule(schedule);
    const std::vector<float> now = body();
    if (first.empty()) first = now;
    QK_CHECK_EQ(std::memcmp(first.data(), now.data(), now.size() * sizeof(float)), 0);
  }
  cuda_emu::set_schedule(cuda_emu::Schedule::kAscending);
}

QK_TEST(every_product_has_the_same_bits_under_every_schedule) {
  Random random(3);
  for_each_kernel([&](int format, int layout, int act) {
    const DeviceWeights weights(random, format, layout, 5, 1280);
    for (const int64_t m : {1, 3, 8}) {
      if (few_shapes() && m != 1) continue;
      const Context context("m=%d", static_cast<int>(m));
      const std::vector<float> x = activations_like(random, Kind::kOutlier, m, 1280);
      DeviceProduct product(weights, act, x, m);
      check_schedules([&] {
        product.run();
        return product.results();
      });
    }
  });
}

QK_TEST(weights_decode_to_the_same_bits_under_every_schedule) {
  Random random(4);
  for_each_kernel([&](int format, int layout, int act) {
    if (act != QK_CUDA_FLOAT32) return;  // decoding knows of none
    const DeviceWeights weights(random, format, layout, 3, 576);
    const qk_cuda_weights view = weights.view();
    check_schedules([&] {
      const DeviceBytes out(view.n * view.k * 4);
      const qk_cuda_matrix matrix{out.data(), view.n, view.k, view.k, QK_CUDA_F32};
      QK_CHECK_EQ(qk_cuda_dequantize(0, &view, &matrix, nullptr, nullptr), QK_CUDA_OK);
      return out.download<float>();
    });
  });
}

QK_TEST(functions_give_the_same_bits_under_every_schedule) {
  Random random(5);
  const std::vector<float> x = activations_like(random, Kind::kGaussian, 3, 300);
  check_schedules([&] {
    const DeviceBytes values(x.data(), 3 * 300 * 4);
    const qk_cuda_matrix matrix{values.data(), 3, 300, 300, QK_CUDA_F32};
    QK_CHECK_EQ(qk_cuda_apply(0, &matrix, nullptr, 0, QK_CUDA_GELU, nullptr, nullptr), QK_CUDA_OK);
    return values.download<float>();
  });
}

}  // namespace
}  // namespace qk
