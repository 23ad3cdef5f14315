// What the C interface refuses, and with which words.
#include <cstring>
#include <limits>
#include <string>

#include "device.h"
#include "formats/registry.h"

namespace qk {
namespace {

using namespace qk::test;

constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();

void refuses(const qk_cuda_product& call, int code, const char* part) {
  qk_cuda_error error{};
  QK_CHECK_EQ(qk_cuda_multiply(&call, &error), code);
  QK_CHECK_EQ(error.code, code);
  const Context context("message: %s", error.message);
  QK_CHECK(std::strstr(error.message, part) != nullptr);
}

QK_TEST(devices_have_properties_and_wrong_ones_are_refused) {
  qk_cuda_device_info info{};
  qk_cuda_error error{};
  int32_t count = 0;
  QK_CHECK_EQ(qk_cuda_device_count(&count, &error), QK_CUDA_OK);
  QK_REQUIRE(count >= 1);
  QK_CHECK_EQ(qk_cuda_device(0, &info, &error), QK_CUDA_OK);
  QK_CHECK(std::strlen(info.name) > 0);
  QK_CHECK(10 * info.major + info.minor >= 75);
  QK_CHECK(info.multiprocessors > 0 && info.memory_bytes > 0 && info.l2_bytes > 0);
  const std::string outside = " is outside 0.." + std::to_string(count - 1);
  QK_CHECK_EQ(qk_cuda_device(count, &info, &error), QK_CUDA_INDEX);
  QK_CHECK_EQ(std::string(error.message), "device " + std::to_string(count) + outside);
  Sound sound;
  sound.product.call.device = -1;
  refuses(sound.product.call, QK_CUDA_INDEX, ("device -1" + outside).c_str());
}

QK_TEST(wrong_weights_are_refused_with_their_values) {
  const Sound sound;
  const qk_cuda_product& right = sound.product.call;
  const auto with = [&](auto change) {
    qk_cuda_product call = right;
    change(call.weights);
    return call;
  };
  using W = qk_cuda_weights;
  refuses(with([](W& w) { w.format = 99; }), QK_CUDA_INDEX, "format 99 is outside 0..");
  refuses(with([](W& w) { w.layout = 2; }), QK_CUDA_VALUE, "layout=2");
  refuses(with([](W& w) { w.k = 0; }), QK_CUDA_VALUE, "k=0 is outside 1..");
  refuses(with([](W& w) { w.k = kHuge; }), QK_CUDA_VALUE, "k=9223372036854775807");
  refuses(with([](W& w) { w.n = 0; }), QK_CUDA_VALUE, "n=0 is outside 1..");
  refuses(with([](W& w) { w.n = kHuge; }), QK_CUDA_VALUE, "n=9223372036854775807");
  refuses(with([](W& w) { w.row_stride = 144; }), QK_CUDA_VALUE,
          "k=512 needs 288 bytes a row of q4_k, rows lie 144 apart");
  refuses(with([](W& w) { w.row_stride = 289; }), QK_CUDA_VALUE, "no multiple of 16");
  refuses(with([](W& w) { w.row_stride = kHuge; }), QK_CUDA_VALUE, "lie 9223372036854775807 apart");
  refuses(with([](W& w) { w.data = nullptr; }), QK_CUDA_VALUE, "weights is null");
  refuses(with([](W& w) { w.data = static_cast<const uint8_t*>(w.data) + 2; }), QK_CUDA_VALUE,
          "is not aligned to 16 bytes");
  refuses(with([&](W& w) { w.data = sound.weights.host->view.data; }), QK_CUDA_TYPE,
          "is memory of the host, or was freed");
}

QK_TEST(freed_weights_are_refused) {
  const Sound sound;
  qk_cuda_product call = sound.product.call;
  {
    const DeviceBytes gone(4096);
    call.weights.data = gone.data();
  }
  refuses(call, QK_CUDA_TYPE, "is memory of the host, or was freed");
}

QK_TEST(wrong_products_are_refused_with_their_values) {
  const Sound sound;
  const qk_cuda_product& right = sound.product.call;
  const auto with = [&](auto change) {
    qk_cuda_product call = right;
    change(call);
    return call;
  };
  using P = qk_cuda_product;
  refuses(with([](P& p) { p.act = 3; }), QK_CUDA_VALUE, "act=3 is none of");
  refuses(with([](P& p) { p.columns = 9; }), QK_CUDA_VALUE, "m=9 is outside 1..8");
  refuses(with([](P& p) { p.columns = 0; }), QK_CUDA_VALUE, "m=0 is outside 1..8");
  refuses(with([](P& p) { p.columns = 1; }), QK_CUDA_VALUE, "y is (2, 4), not (1, 4)");
  refuses(with([](P& p) { p.y.columns = 5; }), QK_CUDA_VALUE, "y is (2, 5), not (2, 4)");
  refuses(with([](P& p) { p.y.stride = 3; }), QK_CUDA_VALUE, "stride=3");
  refuses(with([](P& p) { p.y.stride = kHuge; }), QK_CUDA_VALUE, "stride=9223372036854775807");
  refuses(with([](P& p) { p.y.dtype = 7; }), QK_CUDA_TYPE, "dtype=7");
  refuses(with([](P& p) { p.y.data = nullptr; }), QK_CUDA_VALUE, "y is null");
  refuses(with([](P& p) { p.activations = nullptr; }), QK_CUDA_VALUE, "activations is null");
  refuses(with([](P& p) { p.function = 5; }), QK_CUDA_VALUE, "function=5");
  alignas(16) static const uint8_t kOfHost[16] = {};
  refuses(with([](P& p) { p.up = kOfHost; }), QK_CUDA_TYPE, "up at");
  refuses(with([](P& p) { p.bias = reinterpret_cast<const float*>(16); }), QK_CUDA_TYPE, "bias at");
  refuses(with([](P& p) {
            p.bias = p.bias_stride == 0 ? static_cast<const float*>(p.y.data) : nullptr;
            p.bias_stride = -1;
          }),
          QK_CUDA_VALUE, "bias_stride=-1");

  qk_cuda_error error{};
  qk_cuda_matrix x = sound.product.x_view;
  x.columns = 511;
  QK_CHECK_EQ(qk_cuda_quantize_and_multiply(&x, &right, &error), QK_CUDA_VALUE);
  QK_CHECK_EQ(std::string(error.message), "x is (2, 511), not (2, 512)");
}

QK_TEST(float_weights_take_float_activations_only) {
  Random random(2);
  const DeviceWeights weights(random, find_format("bf16"), QK_CUDA_NATIVE, 2, 64);
  const DeviceProduct product(weights, QK_CUDA_INT16,
                              activations_like(random, Kind::kGaussian, 1, 64), 1);
  refuses(product.call, QK_CUDA_VALUE, "bf16 weights are multiplied with float32 activations");
}

QK_TEST(sizes_that_overflow_are_refused) {
  qk_cuda_error error{};
  int64_t bytes = 0;
  QK_CHECK_EQ(qk_cuda_activation_bytes(QK_CUDA_INT16, 8, kHuge, &bytes, &error), QK_CUDA_VALUE);
  QK_CHECK_EQ(qk_cuda_row_bytes(0, QK_CUDA_NATIVE, kHuge, &bytes, &error), QK_CUDA_VALUE);
  QK_CHECK_EQ(qk_cuda_activation_bytes(QK_CUDA_INT16, 1, 256, &bytes, &error), QK_CUDA_OK);
  QK_CHECK_EQ(bytes, 128 + 640);
  uint8_t memory[64];
  QK_CHECK_EQ(qk_cuda_pack(3, kHuge, 256, memory, kHuge, memory, 64, &error), QK_CUDA_VALUE);
  QK_CHECK_EQ(qk_cuda_pack(3, 1, 32, nullptr, 18, memory, 64, &error), QK_CUDA_VALUE);
  QK_CHECK_EQ(qk_cuda_pack(3, 1, 32, memory, 18, memory + 32, 16, &error), QK_CUDA_VALUE);
  QK_CHECK(std::strstr(error.message, "into 16 bytes; they have 18 each, packed 32") != nullptr);
}

QK_TEST(formats_are_found_by_name_in_any_case) {
  qk_cuda_error error{};
  int32_t format = -1;
  qk_cuda_format_info_t info{};
  QK_CHECK_EQ(qk_cuda_find_format("Q6_K", &format, &error), QK_CUDA_OK);
  QK_CHECK_EQ(qk_cuda_format_info(format, &info, &error), QK_CUDA_OK);
  QK_CHECK_EQ(std::string(info.name), "q6_k");
  QK_CHECK_EQ(info.block_bytes, 210);
  QK_CHECK_EQ(info.alignment, 2);
  QK_CHECK_EQ(info.packs, 1);
  QK_CHECK_EQ(qk_cuda_find_format("q7_k", &format, &error), QK_CUDA_VALUE);
  QK_CHECK_EQ(std::string(error.message), "\"q7_k\" is no format");
  QK_CHECK_EQ(qk_cuda_format_info(-1, &info, &error), QK_CUDA_INDEX);
}

QK_TEST(memory_comes_and_goes) {
  qk_cuda_error error{};
  void* memory = nullptr;
  int32_t device = -2;
  QK_CHECK_EQ(qk_cuda_malloc(0, 0, &memory, &error), QK_CUDA_VALUE);
  QK_CHECK_EQ(qk_cuda_malloc(0, int64_t{1} << 40, &memory, &error), QK_CUDA_MEMORY);
  QK_REQUIRE(qk_cuda_malloc(0, 100, &memory, &error) == QK_CUDA_OK);
  QK_CHECK_EQ(qk_cuda_pointer_device(memory, &device, &error), QK_CUDA_OK);
  QK_CHECK_EQ(device, 0);
  const char text[] = "some bytes";
  char back[sizeof(text)] = {};
  QK_CHECK_EQ(qk_cuda_copy(0, memory, text, sizeof(text), nullptr, &error), QK_CUDA_OK);
  QK_CHECK_EQ(qk_cuda_copy(0, back, memory, sizeof(text), nullptr, &error), QK_CUDA_OK);
  QK_CHECK_EQ(qk_cuda_synchronize(0, nullptr, &error), QK_CUDA_OK);
  QK_CHECK_EQ(std::string(back), "some bytes");
  QK_CHECK_EQ(qk_cuda_copy(0, nullptr, memory, 4, nullptr, &error), QK_CUDA_VALUE);
  QK_CHECK_EQ(qk_cuda_free(0, memory, &error), QK_CUDA_OK);
  QK_CHECK_EQ(qk_cuda_pointer_device(memory, &device, &error), QK_CUDA_OK);
  QK_CHECK_EQ(device, -1);
  QK_CHECK_EQ(qk_cuda_free(0, memory, &error), QK_CUDA_RUNTIME);
}

}  // namespace
}  // namespace qk
