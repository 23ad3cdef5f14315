// The idioms that kernels are written in. Each ISA header defines a struct Isa with all of them, in
// a namespace of the ISA's name and, within it, an anonymous one, so that kernels instantiated for
// it stay private to their object file. An ISA that adds to another derives from its struct.
//
// What it is
//   kName, kNeeds   its id, and the features of core/cpu.h that it needs
//   kForTests       whether it runs only where it is asked for by name, and is never chosen
//   kIsVector       whether the idioms are vector instructions, not plain loops
//   kStep, kLanes   quants a step, 32 or 64; float lanes of the native vector
// Types
//   Quants   kStep stored quants as unsigned bytes
//   Ints     int32 lanes; a lane of a dot product sums quants of one group only
//   Floats   kLanes float lanes, the native vector
//   F8       eight floats, one a group of a unit
// Loading weights (any address, nothing past the last byte named)
//   nibbles_of_16(p)           runs of 16 nibbles: 8 bytes, low nibbles first
//   nibbles_of_32<kStride>(p)  blocks of 32 nibbles, kStride bytes apart: 16 bytes, low ones first
//   nibbles_of_64(p, step)     runs of 64 nibbles: 32 bytes, low nibbles first
//   nibbles_of_128(p, step)    runs of 128 nibbles: 64 bytes, low nibbles first
//   crumbs_of_128(p, step)     runs of 128 pairs of bits: 32 bytes, lowest bits first
//   bits_of_256(p, step)       256 bits: 32 bytes, lowest bits first
//   bits_of_32<kStride>(p)     blocks of 32 bits, kStride bytes apart: 4 bytes, in order
//   load_quants(p)             kStep bytes as they are
//   octets(row)                the words row(0), row(1), ..., eight bytes each, lowest first
//   combine<kShift>(low, high) low | high << kShift, for quants that do not spill
//   look_up(q, table)          table[q] for q < 16
//   signed_bytes<kStride>(p)   blocks of 32 int8, kStride bytes apart, made unsigned by adding 128
//   apply_signs<kBias>(m, signs)  kBias + m, or kBias - m where the bit of `signs`, a uint64_t with
//                              the first quant's lowest, is set
//   digits_of_3(q, powers)     the high byte of 3 * (q * power mod 256)
//   halves<kStride>(p)         eight binary16, kStride bytes apart, as F8
//   bytes8, signed_bytes8(word)  the eight bytes of a word as F8, lowest first
//   halves8(low, high)         the eight binary16 of two words as F8
//   half(bits)                 one binary16
//   load_f32, load_f16, load_bf16(p)  one native vector of float weights
// Products
//   dot_int16<F>, dot_int8<F>(quants, planes, sums4, step)
//                              sums of (quant - F::kBias) * activation over step's weights, exact
//                              in every lane for quants up to F::kMaxQuant, each lane within one
//                              F::kGroup. Lanes of 4 weights may use sums4 to correct the bias
//   store_int16(planes, g, v)  lays out the 32 activations of group g as dot_int16 reads them
//   quant_floats<kBias>(quants, v)  the v-th kLanes of (quant - kBias) as Floats
//   spread<kGroup>(scales, step)       each lane of a dot product the scale of its group
//   spread_floats<kGroup>(scales, at)  each of kLanes weights from `at` on the scale of its group
// Panels (formats/panel.h), where a lane is a row
//   kPanelColumns              batch rows that int8 sums at once: 4, or as registers allow
//   Words                      kLanes words of 32 bits
//   load_words, load_u16s, load_u8s, load_s8s(p)  one element a row
//   load_halves(p)             the same as Floats
//   and_bits, xor_bits, add_bits(w, bits)  with the same bits in every word
//   or_words, sub_words(a, b), shift_left, shift_right(w, count)
//   signed_byte(w, i)          the i-th byte of each word, extended
//   centre_bytes<kBias>(w), look_up_bytes(w, table), digits_of_bytes(w, power)  byte by byte
//   floats_of(w)               signed integers as Floats
//   as_floats(w)               bits as Floats
//   halves_of(w)               the binary16 in each word's low half, the other being 0, as Floats
//   negate(Floats)
//   panel_start<F, kPlanes>(minus_bias), panel_add<F>(sum, quants, planes, first, i), panel_total
//                              a PanelSum<kPlanes>: exact sums, a row each, of the quants' products
//                              with activations 4 (first + i) .. + 3, i = 0, 1, .. of a group
// Streams of int8 (stream/kernels.h), where a word is four signed bytes
//   ByteSums                   the sums of kLanes words, which start as ByteSums{} and wrap
//   Multiplier, multiplier<kPeriod>(p)  kPeriod bytes at p over and over: 4, 16 or a whole vector
//   dot_bytes(sums, p, x)      adds to the sums of the words at p their four products with x each,
//                              where weights are kByteBias too high: 128, or 0
//   add_sums(a, b), store_sums(p, sums)  kLanes int32
// Arithmetic
//   zero, broadcast, load, add, fmul, fma(a, b, c) = a * b + c, to_floats(Ints), sum(Floats)
//   fdiv(a, b), fmax(a, b)     a > b ? a : b, so that a NaN in b is kept
//   bits_of(Floats)            as Words
//   store_f16(p, Floats)       rounded to nearest binary16
//   store(p, Floats), broadcast8, load8, repeat8<kRepeat>, store8, mul8, fma8, sum8
//
// An ISA that adds tiles to another (kernels/tiles.h) has kName, kNeeds and kForTests, and
//   turn(from, to)             16 x 16 words, rows for columns
//   Tiles                      eight registers of 16 rows of 64 bytes, ours while the object lives
//     zero<t>, load<t>(tile), store<t>(tile)
//     dot<s, w, x>             s[r][j] += the sum over i of w[r][i] * x[i / 2][2 * j + i % 2], of
//                              bfloat16 in w and x, of float32 in s
#pragma once

#include "core/cpu.h"
#include "core/half.h"
#include "core/unaligned.h"
#include "formats/format.h"
