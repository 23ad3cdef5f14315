// Times products of every format on the device, a JSON object a line.
//
//   time_products [seconds]
//
// First what the device is and how fast its memory copies and reads; then, of each shape, format
// and kind of activations, the microseconds of a product alone and of one that quantises x first.
// All weights are random bytes, four times as many as L2 holds. The most wanted come first:
// whatever is not done after `seconds` is left out, and a last line says so.
#include <chrono>
#include <cstring>
#include <string>

#include "cuda/qk_cuda.h"
#include "timing.h"

namespace qk::timing {
namespace {

struct Shape {
  const char* name;
  int64_t n;
  int64_t k;
};
constexpr Shape kShapes[] = {
    {"14336x4096", 14336, 4096}, {"4096x4096", 4096, 4096},     {"32000x4096", 32000, 4096},
    {"qkv_proj", 6144, 2048},    {"attention_out", 2048, 2048}, {"ffn_gate_up", 11264, 2048},
    {"ffn_down", 2048, 5632},    {"lm_head", 32000, 2048},      {"128256x4096", 128256, 4096},
};
constexpr int kLeastCalls = 16;
constexpr int kL2Sizes = 4;
constexpr int64_t kCopied = int64_t{1} << 30;
constexpr int kThreads = 256;

__global__ void fill_bytes(uint32_t* words, int64_t count) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < count;
       i += step) {
    auto bits = static_cast<uint32_t>(i) * 0x9e3779b9u;
    bits = (bits ^ bits >> 16) * 0x85ebca6bu;
    words[i] = (bits ^ bits >> 13) * 0xc2b2ae35u;
  }
}

__global__ void fill_floats(float* values, int64_t count) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const uint32_t bits = static_cast<uint32_t>(i) * 0x9e3779b9u >> 8;
  if (i < count) values[i] = static_cast<float>(bits) * 0x1p-23f - 1.0f;
}

// Reads all, and writes what no bits add up to but by chance, so that nothing is left out.
__global__ void read_all(const uint4* from, int64_t count, uint32_t* out) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  uint32_t sum = 0;
#pragma unroll 8
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < count;
       i += step) {
    const uint4 words = __ldg(from + i);
    sum ^= words.x ^ words.y ^ words.z ^ words.w;
  }
  if (sum == 0x12345678u) *out = sum;
}

void require_ok(int code, const qk_cuda_error& error) {
  if (code == QK_CUDA_OK) return;
  std::fprintf(stderr, "%s\n", error.message);
  std::exit(EXIT_FAILURE);
}

// The device's memory that is read and written, all of it taken at once.
struct Memory {
  cudaStream_t stream = nullptr;
  cudaDeviceProp device{};
  uint8_t* weights = nullptr;
  int64_t bytes = 0;
  float* x = nullptr;
  float* y = nullptr;
  void* activations = nullptr;
};

void* allocate(size_t bytes) {
  void* pointer = nullptr;
  require(cudaMalloc(&pointer, bytes), "allocating");
  return pointer;
}

Memory take_memory() {
  Memory memory;
  require(cudaGetDeviceProperties(&memory.device, 0), "asking for properties");
  require(cudaStreamCreateWithFlags(&memory.stream, cudaStreamNonBlocking), "making a stream");
  size_t free = 0;
  size_t total = 0;
  require(cudaMemGetInfo(&free, &total), "asking for free memory");
  memory.bytes = std::min(static_cast<int64_t>(free / 2), int64_t{5} << 30) / 256 * 256;
  memory.weights = static_cast<uint8_t*>(allocate(static_cast<size_t>(memory.bytes)));
  constexpr int64_t kVector = int64_t{1} << 18;
  memory.x = static_cast<float*>(allocate(kVector * 4));
  memory.y = static_cast<float*>(allocate(kVector * 4));
  memory.activations = allocate(kVector * 8);
  fill_bytes<<<4096, kThreads, 0, memory.stream>>>(reinterpret_cast<uint32_t*>(memory.weights),
                                                   memory.bytes / 4);
  fill_floats<<<kVector / kThreads, kThreads, 0, memory.stream>>>(memory.x, kVector);
  require(cudaGetLastError(), "filling memory");
  require(cudaStreamSynchronize(memory.stream), "filling memory");
  return memory;
}

void print_times(const char* prefix, const Times& times) {
  std::printf(R"(, "%sus": %.4f, "%slower_us": %.4f, "%supper_us": %.4f)", prefix, times.median,
              prefix, times.lower, prefix, times.upper);
  std::printf(R"(, "%sleast_us": %.4f, "%smost_us": %.4f)", prefix, times.least, prefix,
              times.most);
}

void time_memory(const Memory& memory) {
  const int64_t bytes = std::min(kCopied, memory.bytes / 2);
  const Graph copies(memory.stream, 4, [&](int) {
    require(cudaMemcpyAsync(memory.weights + bytes, memory.weights, static_cast<size_t>(bytes),
                            cudaMemcpyDeviceToDevice, memory.stream),
            "copying");
  });
  const Graph reads(memory.stream, 4, [&](int) {
    read_all<<<memory.device.multiProcessorCount * 8, kThreads, 0, memory.stream>>>(
        reinterpret_cast<const uint4*>(memory.weights), bytes / 16,
        reinterpret_cast<uint32_t*>(memory.y));
  });
  const std::vector<Times> times = alternate(memory.stream, {&copies, &reads});
  const char* const names[] = {"copy", "read"};
  for (int i = 0; i < 2; ++i) {
    const double moved = static_cast<double>(bytes) * (i == 0 ? 2.0 : 1.0);
    std::printf(R"({"what": "%s", "bytes": %.0f, "bytes_per_second": %.6g)", names[i], moved,
                moved / times[static_cast<size_t>(i)].median * 1e6);
    print_times("", times[static_cast<size_t>(i)]);
    std::printf("}\n");
  }
}

struct Case {
  Shape shape;
  qk_cuda_format_info_t info;
  int32_t format;
  int32_t layout;
  int32_t act;
};

qk_cuda_product product_of(const Memory& memory, const Case& of, int64_t row_bytes) {
  qk_cuda_product product{};
  product.act = of.act;
  product.stream = memory.stream;
  product.weights = {memory.weights, of.shape.n, of.shape.k, row_bytes, of.format, of.layout};
  product.activations = memory.activations;
  product.columns = 1;
  product.y = {memory.y, 1, of.shape.n, of.shape.n, QK_CUDA_F32};
  return product;
}

void time_case(const Memory& memory, const Case& of) {
  static const char* const kActs[] = {"int16", "float32", "int8"};
  qk_cuda_error error{};
  int64_t row_bytes = 0;
  require_ok(qk_cuda_row_bytes(of.format, of.layout, of.shape.k, &row_bytes, &error), error);
  const int64_t bytes = of.shape.n * row_bytes;
  const int64_t apart = (bytes + 255) / 256 * 256;
  const int64_t wanted = static_cast<int64_t>(kL2Sizes) * memory.device.l2CacheSize / bytes + 1;
  std::printf(R"({"what": "product", "shape": "%s", "n": %lld, "k": %lld, "format": "%s")",
              of.shape.name, static_cast<long long>(of.shape.n), static_cast<long long>(of.shape.k),
              of.info.name);
  std::printf(R"(, "layout": "%s", "act": "%s", "bytes": %lld, "copies": %lld)",
              of.layout == QK_CUDA_NATIVE ? "native" : "packed", kActs[of.act],
              static_cast<long long>(bytes), static_cast<long long>(wanted));
  if (wanted * apart > memory.bytes) {
    std::printf(R"(, "skipped": "%lld bytes do not fit"})"
                "\n",
                static_cast<long long>(wanted * apart));
    return;
  }
  qk_cuda_product product = product_of(memory, of, row_bytes);
  const qk_cuda_matrix x{memory.x, 1, of.shape.k, of.shape.k, QK_CUDA_F32};
  require_ok(qk_cuda_quantize(0, &x, of.act, memory.activations, memory.stream, &error), error);
  const auto rotate = [&](int call) {
    product.weights.data = memory.weights + call % wanted * apart;
  };
  const int calls = std::max(kLeastCalls, static_cast<int>(wanted));
  const Graph alone(memory.stream, calls, [&](int call) {
    rotate(call);
    require_ok(qk_cuda_multiply(&product, &error), error);
  });
  const Graph both(memory.stream, calls, [&](int call) {
    rotate(call);
    require_ok(qk_cuda_quantize_and_multiply(&x, &product, &error), error);
  });
  const std::vector<Times> times = alternate(memory.stream, {&alone, &both});
  print_times("", times[0]);
  print_times("quantised_", times[1]);
  std::printf("}\n");
}

// All cases, the most wanted first: q4_k, then one shape of every format, then the rest.
std::vector<Case> all_cases() {
  std::vector<Case> cases[3];
  for (const Shape& shape : kShapes) {
    Case of{shape, {}, 0, 0, 0};
    for (; qk_cuda_format_info(of.format, &of.info, nullptr) == QK_CUDA_OK; ++of.format) {
      const bool first = std::strcmp(shape.name, kShapes[0].name) == 0;
      const bool main = std::strcmp(of.info.name, "q4_k") == 0;
      for (const int layout : {QK_CUDA_PACKED, QK_CUDA_NATIVE}) {
        of.layout = layout;
        const bool best = layout == (of.info.packs != 0 ? QK_CUDA_PACKED : QK_CUDA_NATIVE);
        if (!best && (!first || layout == QK_CUDA_PACKED)) continue;
        for (const int act : {QK_CUDA_INT8, QK_CUDA_INT16, QK_CUDA_FLOAT32}) {
          if ((act == QK_CUDA_FLOAT32) != (of.info.is_float != 0)) continue;
          of.act = act;
          cases[main ? 0 : first && best ? 1 : 2].push_back(of);
        }
      }
    }
  }
  for (const int i : {1, 2}) cases[0].insert(cases[0].end(), cases[i].begin(), cases[i].end());
  return cases[0];
}

}  // namespace
}  // namespace qk::timing

int main(int count, char** arguments) {
  using namespace qk::timing;
  using Clock = std::chrono::steady_clock;
  const double seconds = count > 1 ? std::atof(arguments[1]) : 120.0;
  const Clock::time_point start = Clock::now();
  qk_cuda_error error{};
  if (qk_cuda_available(&error) != QK_CUDA_OK) {
    std::fprintf(stderr, "%s\n", error.message);
    return 3;
  }
  const Memory memory = take_memory();
  std::printf(R"({"what": "device", "name": "%s", "capability": "%d.%d", "multiprocessors": %d)",
              memory.device.name, memory.device.major, memory.device.minor,
              memory.device.multiProcessorCount);
  std::printf(R"(, "l2_bytes": %d, "replays": %d})"
              "\n",
              memory.device.l2CacheSize, kReplays);
  time_memory(memory);
  const std::vector<Case> cases = all_cases();
  size_t done = 0;
  for (; done < cases.size(); ++done) {
    if (std::chrono::duration<double>(Clock::now() - start).count() > seconds) break;
    time_case(memory, cases[done]);
    std::fflush(stdout);
  }
  std::printf(R"({"what": "end", "cases": %zu, "done": %zu})"
              "\n",
              cases.size(), done);
  return 0;
}
