// How much of what products load of weights is used.
//
// Memory is read in sectors of 32 bytes. `used` is the part of the sectors' bytes that a product
// asks for at all, where a sector counts once while it may be expected in L1; `wide` is the part
// that each single request of a warp asks for: below 1 the same sectors are asked for more than
// once.
#include <cstdio>
#include <cstring>
#include <map>
#include <string>

#include "device.h"
#include "emulator.h"
#include "formats/registry.h"

namespace qk {
namespace {

using namespace qk::test;

// Blocks that no wide load fits as they lie in a file: requests of 1, 2, 4 or 8 bytes a lane, 17 to
// 292 bytes apart. And f32, of which a lane takes 32 bytes in two requests.
const std::map<std::string, double>& narrow_shares() {
  static const std::map<std::string, double> kShares = {
      {"f32", 0.50},    {"q4_0", 0.11},  {"q4_1", 0.19},   {"q5_0", 0.09},   {"q5_1", 0.33},
      {"q8_0", 0.11},   {"q8_1", 0.19},  {"q2_k", 0.19},   {"q3_k", 0.08},   {"q6_k", 0.11},
      {"q8_k", 0.23},   {"q8_ks", 0.23}, {"iq4_nl", 0.11}, {"iq4_xs", 0.30}, {"tq2_0", 0.08},
      {"mxfp4", 0.058}, {"nvfp4", 0.20},
  };
  return kShares;
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

// Formats whose blocks are read by decode()'s own byte loads, until they are packed.
bool decodes_by_eights(const std::string& name) {
  return name.starts_with("iq1") || name.starts_with("iq2") || name.starts_with("iq3") ||
         name == "tq1_0";
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
      if (layout == QK_CUDA_NATIVE && decodes_by_eights(info.name)) continue;
      const Used part = measure(format, layout);
      const Context context("%s layout=%d used=%.3f wide=%.3f", info.name, layout, part.used,
                            part.wide);
      char text[40];
      std::snprintf(text, sizeof(text), "   %.2f (%.2f)", part.used, part.wide);
      line += text;
      QK_CHECK(part.used >= 0.9);
      const auto narrow = narrow_shares().find(info.name);
      if (layout == QK_CUDA_NATIVE && narrow != narrow_shares().end()) {
        QK_CHECK(part.wide >= narrow->second);
      } else {
        QK_CHECK(part.wide >= 0.7);
      }
    }
    std::printf("%s\n", line.c_str());
  }
}

}  // namespace
}  // namespace qk
