// How much of what products load of weights is used.
//
// Memory is read in sectors of 32 bytes. `used` is the part of the sectors' bytes that a product
// asks for at all, where a sector counts once while it may be expected in L1; `wide` is the part
// that each single request of a warp asks for: below 1 the same sectors are asked for more than
// once.
#include <cstdio>
#include <cstring>
#include <string>

#include "device.h"
#include "emulator.h"
#include "formats/registry.h"
#include "load_shares.h"

namespace qk {
namespace {

using namespace qk::test;

// As tests/format_facts.py has it; blocks that no wide load fits as they lie in a file take requests
// of 1, 2, 4 or 8 bytes a lane, 17 to 292 bytes apart, and f32 32 bytes a lane in two requests.
double share_of(const char* name) {
  for (const LoadShare& row : kLoadShares) {
    if (std::strcmp(row.format, name) == 0) return row.share;
  }
  QK_CHECK(false);
  return 1.0;
}

struct Used {
  double used;
  double wide;
};

Used measure(int format, int layout) {
  Random random(1);
  const DeviceWeights weights(random, format, layout, 8, 8192);
  const std::vector<float> x = activations_like(random, Kind::kGaussian, 1, 8192);
  const int act = is_kernel(format, layout, QK_CUDA_INT8) ? QK_CUDA_INT8 : QK_CUDA_FLOAT32;
  const DeviceProduct product(weights, act, x, 1);
  qk_cuda_quantize(0, &product.x_view, act, product.activations.data(), nullptr, nullptr);
  cuda_emu::start_recording();
  qk_cuda_multiply(&product.call, nullptr);
  const cuda_emu::LoadCount count = cuda_emu::stop_recording();
  return {static_cast<double>(count.used_bytes) / (32.0 * static_cast<double>(count.sectors)),
          static_cast<double>(count.bytes) / (32.0 * static_cast<double>(count.request_sectors))};
}

QK_TEST(nine_tenths_of_the_sectors_that_weights_are_loaded_from_are_used) {
  std::printf("  sector bytes used          native         packed\n");
  for (int format = 0; format < format_count(); ++format) {
    qk_cuda_format_info_t info{};
    qk_cuda_format_info(format, &info, nullptr);
    std::string line =
        std::string("  ") + info.name + std::string(18 - std::strlen(info.name), ' ');
    for (const int layout : {QK_CUDA_NATIVE, QK_CUDA_PACKED}) {
      if (!is_kernel(format, layout, QK_CUDA_FLOAT32)) continue;
      const double share = layout == QK_CUDA_NATIVE ? share_of(info.name) : 0.7;
      if (share < 0) continue;  // read by decode()'s own byte loads
      const Used part = measure(format, layout);
      const Context context("%s layout=%d used=%.3f wide=%.3f", info.name, layout, part.used,
                            part.wide);
      char text[40];
      std::snprintf(text, sizeof(text), "   %.2f (%.2f)", part.used, part.wide);
      line += text;
      QK_CHECK(part.used >= 0.9);
      QK_CHECK(part.wide >= share);
    }
    std::printf("%s\n", line.c_str());
  }
}

}  // namespace
}  // namespace qk
