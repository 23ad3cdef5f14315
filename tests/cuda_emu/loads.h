// Counts what loads of weights cost in sectors.
#pragma once

#include <cstddef>

namespace cuda_emu {

void record_load(int thread, const void* address, size_t bytes);
void finish_block();  // of a grid: its warps make no more requests

}  // namespace cuda_emu
