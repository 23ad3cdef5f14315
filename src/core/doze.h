// Waiting for a moment, awake: until a word changes, or some microseconds have passed.
//
// A loop of `pause` runs at full speed, which its core's other thread and the clock of all cores pay
// for. Two instructions stop the core until a cache line is written to, and start it again within a
// fraction of a microsecond: Intel's UMWAIT ("waitpkg") and AMD's MWAITX.
#pragma once

#include <atomic>
#include <cstdint>

namespace qk {

enum class Doze : uint8_t { kPause, kUmwait, kMwaitx };

// Whether this CPU can wait in this way.
bool can_doze(Doze way);

// The best of the ways that this CPU has.
Doze best_doze();

// Returns when `word` is not `seen`, or after some microseconds; perhaps sooner. The CPU has this way.
void doze(Doze way, const std::atomic<uint32_t>& word, uint32_t seen);

}  // namespace qk
