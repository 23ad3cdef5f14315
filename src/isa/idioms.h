// The idioms that kernels are written in, as concepts. Each ISA header defines a struct Isa with
// all of them, in a namespace of the ISA's name and, within it, an anonymous one, so that kernels
// instantiated for it stay private to their object file. An ISA that adds to another derives from
// its struct; one that adds tiles to another has TileIdioms alone.
//
// Types
//   Quants   kStep stored quants as unsigned bytes
//   Ints     int32 lanes; a lane of a dot product sums quants of one group only
//   Floats   kLanes float lanes, the native vector
//   F8       eight floats, one a group of a unit
//   Words    kLanes words of 32 bits: of panels (formats/panel.h), where a lane is a row
#pragma once

#include <concepts>

#include "core/cpu.h"
#include "core/half.h"
#include "core/unaligned.h"
#include "formats/format.h"

namespace qk {

// What an ISA is called, and when it runs.
template <class I>
concept NamedIsa = requires {
  { I::kName } -> std::convertible_to<const char*>;
  { I::kNeeds } -> std::convertible_to<uint64_t>;  // features of core/cpu.h
  { I::kForTests } -> std::convertible_to<bool>;   // runs where it is asked for, is never chosen
};

template <class I>
concept SizedIsa = requires {
  { I::kIsVector } -> std::convertible_to<bool>;     // vector instructions, not plain loops
  { I::kStep } -> std::convertible_to<int>;          // quants a step, 32 or 64
  { I::kLanes } -> std::convertible_to<int>;         // of Floats
  { I::kPanelColumns } -> std::convertible_to<int>;  // batch rows that int8 sums at once in panels
};

// Weights, at any address; nothing past the last byte named is read.
template <class I>
concept LoadsQuants = requires(const uint8_t* p, const int8_t* s, int step, typename I::Quants q,
                               uint64_t (*row)(int), const uint8_t (&table)[16], uint64_t signs) {
  // Runs of 16 nibbles: 8 bytes, low nibbles first.
  { I::nibbles_of_16(p) } -> std::same_as<typename I::Quants>;
  // Blocks of 32 nibbles, kStride bytes apart: 16 bytes, low ones first.
  { I::template nibbles_of_32<18>(p) } -> std::same_as<typename I::Quants>;
  // Runs of 64 nibbles: 32 bytes, low nibbles first.
  { I::nibbles_of_64(p, step) } -> std::same_as<typename I::Quants>;
  // Runs of 128 nibbles: 64 bytes, low nibbles first.
  { I::nibbles_of_128(p, step) } -> std::same_as<typename I::Quants>;
  // Runs of 128 pairs of bits: 32 bytes, lowest bits first.
  { I::crumbs_of_128(p, step) } -> std::same_as<typename I::Quants>;
  // 256 bits: 32 bytes, lowest bits first.
  { I::bits_of_256(p, step) } -> std::same_as<typename I::Quants>;
  // Blocks of 32 bits, kStride bytes apart: 4 bytes, in order.
  { I::template bits_of_32<22>(p) } -> std::same_as<typename I::Quants>;
  // kStep bytes as they are.
  { I::load_quants(p) } -> std::same_as<typename I::Quants>;
  // Blocks of 32 int8, kStride bytes apart, made unsigned by adding 128.
  { I::template signed_bytes<34>(s) } -> std::same_as<typename I::Quants>;
  // The words row(0), row(1), ..., eight bytes each, lowest first.
  { I::octets(row) } -> std::same_as<typename I::Quants>;
  // low | high << kShift, for quants that do not spill.
  { I::template combine<4>(q, q) } -> std::same_as<typename I::Quants>;
  // table[q] for q < 16.
  { I::look_up(q, table) } -> std::same_as<typename I::Quants>;
  // kBias + q, or kBias - q where the bit of `signs` is set; the first quant's is the lowest.
  { I::template apply_signs<64>(q, signs) } -> std::same_as<typename I::Quants>;
  // (q, powers): the high byte of 3 * (q * power mod 256).
  { I::digits_of_3(q, q) } -> std::same_as<typename I::Quants>;
};

// Scales and float weights.
template <class I>
concept LoadsFloats = requires(const U16* halves, uint64_t word, uint16_t bits, const float* p) {
  // Eight binary16, kStride bytes apart.
  { I::template halves<18>(halves) } -> std::same_as<typename I::F8>;
  // The eight bytes of a word, lowest first.
  { I::bytes8(word) } -> std::same_as<typename I::F8>;
  { I::signed_bytes8(word) } -> std::same_as<typename I::F8>;
  // The eight binary16 of two words.
  { I::halves8(word, word) } -> std::same_as<typename I::F8>;
  { I::half(bits) } -> std::same_as<float>;
  // One native vector of float weights; load_f16 and load_bf16 likewise, of their formats' blocks.
  { I::load_f32(p) } -> std::same_as<typename I::Floats>;
};

// Stands for whichever format an idiom is asked for.
struct AnyFormat {
  static constexpr int kGroup = 32;
  static constexpr int kMaxQuant = 15;
  static constexpr int kBias = 8;
};

// Products of a row's weights.
template <class I>
concept MultipliesRows =
    requires(typename I::Quants q, int8_t (&planes)[2][kUnit], int8_t (&plane)[1][kUnit],
             const int32_t (&sums4)[kUnit / 4], const int32_t (&v)[kActivationGroup],
             const float* scales, int step, int g, int at) {
      // The sums of (quant - F::kBias) * activation over a step's weights, exact in every lane for
      // quants up to F::kMaxQuant, each lane within one F::kGroup. Lanes of 4 weights may use sums4
      // to take the bias off.
      {
        I::template dot_int16<AnyFormat>(q, planes, sums4, step)
      } -> std::same_as<typename I::Ints>;
      { I::template dot_int8<AnyFormat>(q, plane, sums4, step) } -> std::same_as<typename I::Ints>;
      // Lays out the 32 activations of group g as dot_int16 reads them.
      I::store_int16(planes, g, v);
      // The step-th kLanes of (quant - kBias).
      { I::template quant_floats<8>(q, step) } -> std::same_as<typename I::Floats>;
      // Each lane of a dot product the scale of its group.
      { I::template spread<32>(scales, step) } -> std::same_as<typename I::Floats>;
      // Each of kLanes weights from `at` on the scale of its group.
      { I::template spread_floats<32>(scales, at) } -> std::same_as<typename I::Floats>;
    };

// Panels, an element a row.
template <class I>
concept ReadsPanels = requires(const uint8_t* p, typename I::Words w, uint32_t bits, int count,
                               const uint8_t (&table)[16], uint8_t power, typename I::Floats a) {
  { I::load_words(p) } -> std::same_as<typename I::Words>;
  { I::load_u16s(p) } -> std::same_as<typename I::Words>;
  { I::load_u8s(p) } -> std::same_as<typename I::Words>;
  { I::load_s8s(p) } -> std::same_as<typename I::Words>;
  { I::load_halves(p) } -> std::same_as<typename I::Floats>;
  // With the same bits in every word.
  { I::and_bits(w, bits) } -> std::same_as<typename I::Words>;
  { I::xor_bits(w, bits) } -> std::same_as<typename I::Words>;
  { I::add_bits(w, bits) } -> std::same_as<typename I::Words>;
  { I::or_words(w, w) } -> std::same_as<typename I::Words>;
  { I::sub_words(w, w) } -> std::same_as<typename I::Words>;
  { I::shift_left(w, count) } -> std::same_as<typename I::Words>;
  { I::shift_right(w, count) } -> std::same_as<typename I::Words>;
  // The i-th byte of each word, extended.
  { I::signed_byte(w, count) } -> std::same_as<typename I::Words>;
  // Byte by byte: less a bias, table[byte], and the digits of digits_of_3.
  { I::template centre_bytes<8>(w) } -> std::same_as<typename I::Words>;
  { I::look_up_bytes(w, table) } -> std::same_as<typename I::Words>;
  { I::digits_of_bytes(w, power) } -> std::same_as<typename I::Words>;
  // Of signed integers, of bits, and of the binary16 in each word's low half, the other being 0.
  { I::floats_of(w) } -> std::same_as<typename I::Floats>;
  { I::as_floats(w) } -> std::same_as<typename I::Floats>;
  { I::halves_of(w) } -> std::same_as<typename I::Floats>;
  { I::bits_of(a) } -> std::same_as<typename I::Words>;
};

// PanelSum<kPlanes>: exact sums, a row each, of the quants' products with activations
// 4 (first + i) .. + 3, i = 0, 1, .. of a group.
template <class I, int kPlanes>
concept MultipliesPanels =
    requires(typename I::template PanelSum<kPlanes> sum, int32_t minus_bias,
             typename I::Words quants, int first, int i, const int8_t (&planes)[kPlanes][kUnit]) {
      { I::template panel_start<AnyFormat, kPlanes>(minus_bias) } -> std::same_as<decltype(sum)>;
      I::template panel_add<AnyFormat>(sum, quants, planes, first, i);
      { I::template panel_total<AnyFormat, kPlanes>(sum) } -> std::same_as<typename I::Words>;
    };

// Streams of int8 (stream/kernels.h), where a word is four signed bytes. ByteSums are the sums of
// kLanes words, which start as ByteSums{} and wrap; weights are kByteBias too high: 128, or 0.
template <class I>
concept MultipliesBytes = requires(const int8_t* x, const uint8_t* p, typename I::ByteSums sums,
                                   typename I::Multiplier multiplier, int32_t* out) {
  { I::kByteBias } -> std::convertible_to<int32_t>;
  // kPeriod bytes at x over and over: 4, 16 or a whole vector.
  { I::template multiplier<4>(x) } -> std::same_as<typename I::Multiplier>;
  // Adds to the sums of the words at p their four products with x each.
  { I::dot_bytes(sums, p, multiplier) } -> std::same_as<typename I::ByteSums>;
  { I::add_sums(sums, sums) } -> std::same_as<typename I::ByteSums>;
  I::store_sums(out, sums);  // kLanes int32
};

template <class I>
concept Calculates = requires(typename I::Floats a, typename I::F8 e, typename I::Ints ints,
                              float x, const float* from, float* to, uint16_t* halves) {
  { I::zero() } -> std::same_as<typename I::Floats>;
  { I::broadcast(x) } -> std::same_as<typename I::Floats>;
  { I::load(from) } -> std::same_as<typename I::Floats>;
  { I::add(a, a) } -> std::same_as<typename I::Floats>;
  { I::fmul(a, a) } -> std::same_as<typename I::Floats>;
  { I::fma(a, a, a) } -> std::same_as<typename I::Floats>;  // (a, b, c): a * b + c
  { I::fdiv(a, a) } -> std::same_as<typename I::Floats>;
  { I::fmax(a, a) } -> std::same_as<typename I::Floats>;  // a > b ? a : b, so that NaN in b is kept
  { I::negate(a) } -> std::same_as<typename I::Floats>;
  { I::to_floats(ints) } -> std::same_as<typename I::Floats>;
  { I::sum(a) } -> std::same_as<float>;
  I::store(to, a);
  I::store_f16(halves, a);  // rounded to the nearest binary16
  { I::broadcast8(x) } -> std::same_as<typename I::F8>;
  { I::load8(from) } -> std::same_as<typename I::F8>;
  { I::template repeat8<2>(from) } -> std::same_as<typename I::F8>;
  { I::mul8(e, e) } -> std::same_as<typename I::F8>;
  { I::fma8(e, e, e) } -> std::same_as<typename I::F8>;
  { I::sum8(e) } -> std::same_as<float>;
  I::store8(to, e);
};

// All of them.
template <class I>
concept Idioms = NamedIsa<I> && SizedIsa<I> && LoadsQuants<I> && LoadsFloats<I> &&
                 MultipliesRows<I> && ReadsPanels<I> && MultipliesPanels<I, 1> &&
                 MultipliesPanels<I, 2> && MultipliesBytes<I> && Calculates<I>;

// Eight tile registers of 16 rows of 64 bytes (kernels/tiles.h), ours while the object lives.
template <class T>
concept TileRegisters = requires(T tiles, const void* from, void* to) {
  tiles.template zero<0>();
  tiles.template load<0>(from);
  tiles.template store<0>(to);
  // dot<s, w, x>: s[r][j] += the sum over i of w[r][i] * x[i / 2][2 * j + i % 2], of bfloat16 in w
  // and x, of float32 in s.
  tiles.template dot<0, 4, 6>();
};

// What an ISA that adds tiles to another has.
template <class I>
concept TileIdioms =
    NamedIsa<I> && TileRegisters<typename I::Tiles> && requires(const void* from, void* to) {
      I::turn(from, to);  // 16 x 16 words, rows for columns
    };

}  // namespace qk
