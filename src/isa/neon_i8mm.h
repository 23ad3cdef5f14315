// NEON with usdot and smmla.
//
// Both need more than one row to be worth their while: usdot spares quants their centring but then
// the bias has to be taken from every lane, which costs as much; smmla multiplies two rows by two
// columns. Row by row, the products are sdot's.
#pragma once

#include "isa/neon_dotprod.h"

namespace qk::neon_i8mm {
namespace {

struct Isa : neon_dotprod::Isa {
  static constexpr const char* kName = "neon_i8mm";
  static constexpr uint64_t kNeeds = neon_dotprod::Isa::kNeeds | cpu::i8mm;
};

}  // namespace
}  // namespace qk::neon_i8mm
