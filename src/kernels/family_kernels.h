// What one family of formats has in a kernel table: the kernels of each format of its list.
#pragma once

#include "kernels/table.h"

namespace qk {

template <class List>
struct FamilyKernels {
  FormatKernels formats[List::kCount];
};

}  // namespace qk
