// One ISA's kernels for the formats of a list. Each family of formats is compiled by itself
// (kernels/table_*.cpp), so that a change to one format compiles the kernels of its family again.
#pragma once

#include "isa/idioms.h"
#include "kernels/decode.h"
#include "kernels/family_kernels.h"
#include "kernels/linear.h"
#include "kernels/panels.h"
#include "kernels/table.h"

namespace qk::QK_LIKE {
struct Kernels;
}  // namespace qk::QK_LIKE

namespace qk::QK_ISA {
struct Kernels;

namespace {

// Whether the ISA has kernels without products of integers, or another one's.
inline constexpr bool kHasFloats = __is_same(Kernels, QK_LIKE::Kernels);

template <class Product>
constexpr void fill_layout(LinearKernel (&entry)[kMClasses], int panel_rows) {
  entry[static_cast<int>(MClass::kVector)] = {&product_vector<Product>, panel_rows};
  entry[static_cast<int>(MClass::kMatrix)] = {&product_matrix<Product>, panel_rows};
}

template <class F, class I, Act A>
constexpr void fill_linear(FormatKernels& kernels) {
  // Float weights always meet float32 activations, whatever `act` says.
  constexpr Act kAct = F::kFloat ? Act::kFloat32 : A;
  constexpr int kEntry = static_cast<int>(A);
  auto& native = kernels.linear[static_cast<int>(Layout::kNative)][kEntry];
  fill_layout<RowProduct<F, I, kAct>>(native, 1);
  auto& packed = kernels.linear[static_cast<int>(Layout::kPanels)][kEntry];
  fill_layout<PanelProduct<F, I, kAct>>(packed, I::kLanes);
}

template <class F, class I>
constexpr FormatKernels kernels_of() {
  FormatKernels kernels{};
  fill_linear<F, I, Act::kInt16>(kernels);
  fill_linear<F, I, Act::kInt8>(kernels);
  if constexpr (kHasFloats) {
    fill_linear<F, I, Act::kFloat32>(kernels);
    kernels.decode = &decode_row<F, I>;
  }
  return kernels;
}

template <Idioms I, class... Fs>
constexpr FamilyKernels<FormatList<Fs...>> kernels_of_family(FormatList<Fs...>) {
  return {{kernels_of<Fs, I>()...}};
}

}  // namespace
}  // namespace qk::QK_ISA
