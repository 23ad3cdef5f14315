// The slices that a format has with nothing written for CUDA: the products and the floats of its
// blocks, as others give them.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "cuda/dequantize.h"
#include "cuda/gemv.h"
#include "cuda/kernels.h"
#include "cuda/slices_default.h"
#include "device.h"
#include "formats/nvfp4.h"
#include "formats/q2_k.h"
#include "formats/q4_0.h"
#include "formats/q4_1.h"
#include "formats/q4_k.h"
#include "formats/q5_0.h"
#include "formats/q6_k.h"
#include "formats/registry.h"
#include "formats/tq2_0.h"

namespace qk {
namespace {

using namespace qk::test;
using cuda::Layout;

// The native kernels of a format, made of its default slices, while this lives.
template <class S>
class WithSlices {
 public:
  explicit WithSlices(int format)
      : kernels_(const_cast<cuda::FormatKernels&>(cuda::kernels_of(format))), kept_(kernels_) {
    auto& of = kernels_.gemv[static_cast<int>(Layout::kNative)];
    for (auto& by_columns : of) {
      for (auto& kernel : by_columns) kernel = nullptr;
    }
    of[static_cast<int>(Act::kInt8)][0] = &cuda::gemv<S, Layout::kNative, Act::kInt8, 1>;
    of[static_cast<int>(Act::kInt16)][0] = &cuda::gemv<S, Layout::kNative, Act::kInt16, 1>;
    of[static_cast<int>(Act::kFloat32)][0] = &cuda::gemv<S, Layout::kNative, Act::kFloat32, 1>;
    kernels_.dequantize[static_cast<int>(Layout::kNative)] = &cuda::dequantize<S, Layout::kNative>;
    kernels_.weights_per_thread[static_cast<int>(Layout::kNative)] = S::kWeights;
    kernels_.weights_per_step = cuda::kWarp * S::kWeights;
  }
  ~WithSlices() { kernels_ = kept_; }
  WithSlices(const WithSlices&) = delete;
  WithSlices& operator=(const WithSlices&) = delete;

 private:
  cuda::FormatKernels& kernels_;
  cuda::FormatKernels kept_;
};

double relative_error(const std::vector<float>& results, const std::vector<double>& references) {
  double difference = 0.0;
  double reference = 0.0;
  for (size_t i = 0; i < results.size(); ++i) {
    difference += std::pow(static_cast<double>(results[i]) - references[i], 2);
    reference += references[i] * references[i];
  }
  return std::sqrt(difference / reference);
}

template <class F, class S>
void check_slices(const char* which) {
  const int format = find_format(F::kInfo.name);
  const WithSlices<S> replaced(format);
  Random random(7);
  for (const int64_t k : {256, 576, 1280}) {
    const DeviceWeights weights(random, format, QK_CUDA_NATIVE, 65, k);
    const std::vector<float> x = activations_like(random, Kind::kGaussian, 1, k);
    const std::vector<double> reference = exact(weights, x, 1);
    for (const int act : kActNumbers) {
      const Context context("%s %s k=%d %s", F::kInfo.name, which, static_cast<int>(k),
                            act_text(act));
      DeviceProduct product(weights, act, x, 1);
      qk_cuda_quantize(0, &product.x_view, act, product.activations.data(), nullptr, nullptr);
      product.run();
      QK_CHECK(relative_error(product.results(), reference) < bound_of_act(act_text(act)));
    }
    const DeviceBytes floats(65 * k * 4);
    const qk_cuda_matrix out{floats.data(), 65, k, k, QK_CUDA_F32};
    const qk_cuda_weights view = weights.view();
    QK_CHECK_EQ(qk_cuda_dequantize(0, &view, &out, nullptr, nullptr), QK_CUDA_OK);
    const std::vector<float> decoded = floats.download<float>();
    QK_CHECK(std::ranges::equal(decoded, weights.host->values));
  }
}

template <class F>
void check_decoded() {
  check_slices<F, cuda::SlicesOfDecode<F>>("by decode()");
}

QK_TEST(a_format_with_nothing_written_for_cuda_is_multiplied_by_what_decode_gives) {
  check_decoded<Q4_0>();  // one scale
  check_decoded<Q4_1>();  // and a min
  check_decoded<Q2_K>();  // scales and mins of 16
  check_decoded<Q4_K>();  // of 32
  check_decoded<Q6_K>();  // scales of 16 alone
}

QK_TEST(or_by_its_eights_where_it_gives_them) {
  check_slices<Q5_0, cuda::SlicesOfOctets<Q5_0>>("by quant()");
  check_slices<TQ2_0, cuda::SlicesOfOctets<TQ2_0>>("by quant()");
  check_slices<NVFP4, cuda::SlicesOfOctets<NVFP4>>("by octet()");
}

}  // namespace
}  // namespace qk
