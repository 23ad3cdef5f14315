#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <sys/mman.h>
#include <utility>

#include "cuda_runtime.h"
#include "emulator.h"

namespace cuda_emu {

namespace {

struct Allocation {
  char* pages;
  size_t page_bytes;
  size_t bytes;
  int device;
};

std::map<const char*, Allocation> allocations;  // by where they begin
std::vector<std::string> log_lines;
int devices = 1;
int device_major = 9;
int device_minor = 0;
bool driver_missing = false;
int current_device = 0;
int owner_of_host_memory = -1;
cudaError_t last_error = cudaSuccess;

constexpr size_t kPage = 4096;
constexpr size_t kAlignment = 256;  // cudaMalloc's
constexpr int kPoison = 0xff;       // a NaN, as any float

void note(const char* format, ...) __attribute__((format(printf, 1, 2)));
void note(const char* format, ...) {
  char text[200];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  log_lines.emplace_back(text);
}

Capture captured = Capture::kNone;
thread_local cudaStreamCaptureMode capture_mode = cudaStreamCaptureModeGlobal;

// Whether a call that may wait for the device is allowed here.
bool spoils_capture() {
  if (captured == Capture::kNone || captured == Capture::kSpoilt) return false;
  const bool relaxed = capture_mode == cudaStreamCaptureModeRelaxed;
  if (relaxed && captured == Capture::kGoesOn) return false;
  if (!relaxed) captured = Capture::kSpoilt;
  return true;
}

cudaError_t answer(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

size_t up_to(size_t bytes, size_t multiple) { return (bytes + multiple - 1) / multiple * multiple; }

}  // namespace

std::vector<std::string> take_log() { return std::exchange(log_lines, {}); }

void set_devices(int count, int major, int minor) {
  devices = count;
  device_major = major;
  device_minor = minor;
}
void set_capture(Capture capture) { captured = capture; }
Capture capture() { return captured; }
void set_driver_missing(bool missing) { driver_missing = missing; }
void set_owner_of_host_memory(int device) { owner_of_host_memory = device; }

cudaError_t launch(const cudaLaunchConfig_t& config, const std::function<void()>& thread) {
  int dependent = 0;
  for (unsigned i = 0; i < config.numAttrs; ++i) {
    dependent |= config.attrs[i].val.programmaticStreamSerializationAllowed;
  }
  note("launch stream=%p dependent=%d", static_cast<void*>(config.stream), dependent);
  const dim3& grid = config.gridDim;
  const dim3& block = config.blockDim;
  const bool valid = grid.x > 0 && grid.x < 0x80000000u && grid.y > 0 && grid.y < 65536 &&
                     grid.z > 0 && grid.z < 65536 && block.x * block.y * block.z - 1 < 1024;
  if (!valid) return answer(cudaErrorInvalidValue);
  return answer(launch_threads(grid, block, thread));
}

}  // namespace cuda_emu

using namespace cuda_emu;

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 0;
  if (driver_missing) return answer(cudaErrorInsufficientDriver);
  if (devices == 0) return answer(cudaErrorNoDevice);
  *count = devices;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device < 0 || device >= devices) return answer(cudaErrorInvalidDevice);
  *properties = {};
  std::snprintf(properties->name, sizeof(properties->name), "emulated device");
  properties->totalGlobalMem = size_t{1} << 30;
  properties->major = device_major;
  properties->minor = device_minor;
  properties->multiProcessorCount = 2;
  properties->l2CacheSize = 1 << 20;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int device) {
  if (device < 0 || device >= devices) return answer(cudaErrorInvalidDevice);
  *value = device_major;
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  *device = current_device;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= devices) return answer(cudaErrorInvalidDevice);
  current_device = device;
  return cudaSuccess;
}

// The last byte lies as near to a page that nobody may touch as 16-byte alignment allows.
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  std::swap(*mode, capture_mode);
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  note("malloc %zu", bytes);
  if (spoils_capture()) return answer(cudaErrorStreamCaptureUnsupported);
  const size_t page_bytes = up_to(bytes + kAlignment, kPage) + 2 * kPage;
  if (page_bytes > (size_t{1} << 30)) return answer(cudaErrorMemoryAllocation);
#if defined(__SANITIZE_ADDRESS__)
  void* memory = nullptr;
  if (posix_memalign(&memory, kAlignment, bytes == 0 ? 1 : bytes) != 0) {
    return answer(cudaErrorMemoryAllocation);
  }
  auto* begin = static_cast<char*>(memory);
  allocations[begin] = {begin, 0, bytes, current_device};
#else
  void* memory = mmap(nullptr, page_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return answer(cudaErrorMemoryAllocation);
  auto* pages = static_cast<char*>(memory);
  mprotect(pages + kPage, page_bytes - 2 * kPage, PROT_READ | PROT_WRITE);
  char* begin = pages + page_bytes - kPage - up_to(bytes, 16);
  allocations[begin] = {pages, page_bytes, bytes, current_device};
#endif
  std::memset(begin, kPoison, bytes);
  *pointer = begin;
  return cudaSuccess;
}

cudaError_t cudaFree(void* pointer) {
  note("free");
  if (spoils_capture()) return answer(cudaErrorStreamCaptureUnsupported);
  if (pointer == nullptr) return cudaSuccess;
  const auto found = allocations.find(static_cast<char*>(pointer));
  if (found == allocations.end()) return answer(cudaErrorInvalidValue);
#if defined(__SANITIZE_ADDRESS__)
  std::free(pointer);
#else
  munmap(found->second.pages, found->second.page_bytes);
#endif
  allocations.erase(found);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind,
                            cudaStream_t stream) {
  note("memcpy %zu stream=%p", bytes, static_cast<void*>(stream));
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  note("memset %zu stream=%p", bytes, static_cast<void*>(stream));
  std::memset(to, value, bytes);
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  note("synchronize stream=%p", static_cast<void*>(stream));
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  note("synchronize device=%d", current_device);
  return cudaSuccess;
}

// An event is where the stream that it was last recorded on is kept.
struct cudaEventObject {
  cudaStream_t stream;
};

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new cudaEventObject{};
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  event->stream = stream;
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  note("wait stream=%p for=%p", static_cast<void*>(stream), static_cast<void*>(event->stream));
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

namespace {

// The device of the allocation that a byte lies in, or -1.
int device_of(const char* at) {
  auto after = allocations.upper_bound(at);
  if (after == allocations.begin()) return owner_of_host_memory;
  --after;
  return at < after->first + after->second.bytes ? after->second.device : owner_of_host_memory;
}

}  // namespace

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  *attributes = {};
  attributes->device = device_of(static_cast<const char*>(pointer));
  if (attributes->device < 0) return cudaSuccess;
  attributes->type = cudaMemoryTypeDevice;
  attributes->devicePointer = const_cast<void*>(pointer);
  return cudaSuccess;
}

cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }

cudaError_t cudaDriverGetVersion(int* version) {
  *version = driver_missing ? 0 : 13000;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "cudaSuccess";
    case cudaErrorInvalidValue: return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation: return "cudaErrorMemoryAllocation";
    case cudaErrorInsufficientDriver: return "cudaErrorInsufficientDriver";
    case cudaErrorNoDevice: return "cudaErrorNoDevice";
    case cudaErrorInvalidDevice: return "cudaErrorInvalidDevice";
    case cudaErrorLaunchFailure: return "cudaErrorLaunchFailure";
    case cudaErrorStreamCaptureUnsupported: return "cudaErrorStreamCaptureUnsupported";
  }
  return "?";
}
// Of a kernel that went wrong, what went wrong.
const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorLaunchFailure ? last_fault().c_str() : cudaGetErrorName(error);
}
