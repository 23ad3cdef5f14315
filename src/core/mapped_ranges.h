// Mapped files that shrink: a bus error becomes zeros and a mark.
//
// To touch a page that is no longer in the file is SIGBUS, whichever thread does it. The handler
// for it, installed with the first map, puts pages of zeros in place of all that follow in that map
// and marks it, so that whatever reads goes on to its end. Who has used mapped memory asks for the
// mark then: where nothing was ever cut, that is one load.
//
// Any other bus error goes to the handler that was there before, as if this one were not. A handler
// that is installed after the last file was opened comes first; Python's faulthandler prints its
// report then and passes the signal on.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/status.h"

namespace qk {

struct MappedRange;

// Enters pages of `size` bytes of the open file fd, which stays open until they are left; null
// where there is no memory for the entry.
MappedRange* enter_mapped_range(const uint8_t* data, int64_t size, int fd);

// Before they are unmapped.
void leave_mapped_range(MappedRange* range);

// Whether a map has been cut since the process started.
extern std::atomic<bool> some_range_was_cut;

// ValueError where a map that was cut has bytes within [begin, end).
Status check_mapped(const uint8_t* begin, const uint8_t* end);

}  // namespace qk
