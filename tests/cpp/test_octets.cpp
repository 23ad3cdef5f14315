// Quants that no idiom loads: what octet() or quant() gives, eight at a time, is what idioms load.
#include <cstring>
#include <random>

#include "check.h"
#include "formats/iq4_nl.h"
#include "formats/nvfp4.h"
#include "formats/octets.h"
#include "formats/q1_0.h"
#include "formats/q2_0.h"
#include "formats/q4_0.h"
#include "formats/q5_1.h"
#include "formats/q8_0.h"
#include "formats/tq2_0.h"
#include "isa/scalar.h"

namespace qk {
namespace {

using scalar::Isa;

template <class F>
void check_octets() {
  constexpr int kBlocks = kUnit / F::kInfo.block;
  typename F::Block unit[kBlocks];
  uint8_t bytes[sizeof(unit)];
  std::mt19937_64 random(1);
  const test::Context context("%s", F::kInfo.name);
  for (int draw = 0; draw < 20; ++draw) {
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
    std::memcpy(unit, bytes, sizeof(unit));
    for (int step = 0; step < kUnit / Isa::kStep; ++step) {
      const Isa::Quants idiom = F::template quants<Isa>(unit, step);
      const Isa::Quants eights = OctetQuants<F>::template quants<Isa>(unit, step);
      QK_CHECK(std::memcmp(idiom.v, eights.v, sizeof(idiom.v)) == 0);
    }
  }
}

QK_TEST(quants_taken_eight_at_a_time_are_those_of_the_idioms) {
  check_octets<Q1_0>();
  check_octets<Q2_0>();
  check_octets<Q4_0>();
  check_octets<Q5_1>();
  check_octets<Q8_0>();
  check_octets<IQ4_NL>();
  check_octets<TQ2_0>();
  check_octets<NVFP4>();
}

}  // namespace
}  // namespace qk
