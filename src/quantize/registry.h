// The quantisers by format, of the ISA in use.
#pragma once

#include "quantize/quantizer.h"

namespace qk {

// That of a format; its `run` is null where nothing is quantised to that format.
const Quantizer& quantizer_of(int format);

}  // namespace qk
