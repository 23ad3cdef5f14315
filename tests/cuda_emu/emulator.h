// What tests ask of the emulation of CUDA: schedules, faults, and which bytes of weights were
// loaded.
//
// A kernel is right under every schedule that the execution model allows. Each of these runs the
// threads of a block, and the blocks of a grid, in another order; what a thread finds in shared
// memory before anyone has written to it is 0xcd in every byte, -4.3e8 as a float.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "cuda_runtime.h"

namespace cuda_emu {

enum class Schedule : uint8_t { kAscending, kDescending, kLanesFirst, kRandom };
inline constexpr Schedule kSchedules[] = {Schedule::kAscending, Schedule::kDescending,
                                          Schedule::kLanesFirst, Schedule::kRandom};

void set_schedule(Schedule next);

// Why the last launch failed, or an empty string: barriers and shuffles that not all threads reach,
// threads that leave before them, masks without their caller, misaligned loads of weights.
const std::string& last_fault();

// What the loads of weights cost in memory's sectors of 32 bytes.
struct LoadCount {
  int64_t bytes = 0;            // that were asked for, each once a request
  int64_t request_sectors = 0;  // sectors of all requests: the loads that a warp makes at once
  int64_t used_bytes = 0;       // different bytes, and
  int64_t sectors = 0;  // sectors that come from memory, where a warp's last requests are in L1
};
void start_recording();
LoadCount stop_recording();

// What a launch of the runtime comes to: every block's threads, one after another.
cudaError_t launch_threads(const dim3& grid, const dim3& block,
                           const std::function<void()>& thread);

// The calls of the CUDA runtime since the log was last taken, as text: "launch stream=0x.. pdl=1".
std::vector<std::string> take_log();

// What cudaGetDeviceCount finds from now on.
void set_devices(int count, int major, int minor);
void set_driver_missing(bool missing);

// Whether a stream records a graph meanwhile. Calls that may wait for the device fail then, and
// spoil the recording, unless their thread has said that they do not matter: kStrict refuses those
// too.
enum class Capture : int32_t { kNone, kGoesOn, kStrict, kSpoilt };
void set_capture(Capture capture);
Capture capture();

// The device whose memory all of the host's counts as, for arrays that were not allocated here; -1
// when it counts as what it is.
void set_owner_of_host_memory(int device);

}  // namespace cuda_emu
