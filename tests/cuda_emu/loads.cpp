#include "loads.h"

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "cuda_runtime.h"
#include "emulator.h"

namespace cuda_emu {
namespace {

constexpr uintptr_t kSector = 32;
// A sector that was loaded is taken to stay in L1 while the warp makes this many more requests.
constexpr size_t kRequestsInL1 = 32;

struct Load {
  uintptr_t address;
  size_t bytes;
};

// The n-th loads of a warp's lanes are one request: lanes run the same code.
std::map<int, std::vector<std::vector<Load>>> loads_of_thread_warps;  // warp -> request -> loads
std::map<int, size_t> next_request;                                   // thread -> request
std::set<uintptr_t> used;                                             // bytes, of everything
LoadCount count;

void count_warp(const std::vector<std::vector<Load>>& requests) {
  std::map<uintptr_t, size_t> last_seen;  // sector -> request
  for (size_t r = 0; r < requests.size(); ++r) {
    std::set<uintptr_t> sectors;
    std::set<uintptr_t> bytes;
    for (const Load& load : requests[r]) {
      for (uintptr_t b = load.address; b < load.address + load.bytes; ++b) {
        bytes.insert(b);
        sectors.insert(b / kSector);
      }
    }
    count.bytes += static_cast<int64_t>(bytes.size());
    count.request_sectors += static_cast<int64_t>(sectors.size());
    used.insert(bytes.begin(), bytes.end());
    for (const uintptr_t sector : sectors) {
      const auto seen = last_seen.find(sector);
      if (seen == last_seen.end() || r - seen->second > kRequestsInL1) ++count.sectors;
      last_seen[sector] = r;
    }
  }
}

}  // namespace

void record_load(int thread, const void* address, size_t bytes) {
  const size_t request = next_request[thread]++;
  auto& requests = loads_of_thread_warps[thread / 32];
  if (requests.size() <= request) requests.resize(request + 1);
  requests[request].push_back({reinterpret_cast<uintptr_t>(address), bytes});
}

void finish_block() {
  for (const auto& [warp, requests] : loads_of_thread_warps) count_warp(requests);
  loads_of_thread_warps.clear();
  next_request.clear();
}

void start_recording() {
  count = {};
  used.clear();
  recording = true;
}

LoadCount stop_recording() {
  recording = false;
  count.used_bytes = static_cast<int64_t>(used.size());
  return count;
}

}  // namespace cuda_emu
