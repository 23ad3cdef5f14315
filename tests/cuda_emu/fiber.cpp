#include "fiber.h"

#include <cstdint>
#include <cstdlib>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

// Pushes what a call must preserve, leaves the stack pointer in *from and goes on from `to`.
extern "C" void cuda_emu_switch(void** from, void* to);
asm(R"(
.text
.globl cuda_emu_switch
.type cuda_emu_switch, @function
cuda_emu_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size cuda_emu_switch, .-cuda_emu_switch
)");

namespace cuda_emu {
namespace {

constexpr size_t kStackBytes = size_t{256} << 10;  // pages come as they are touched
constexpr size_t kGuardBytes = 4096;

void* scheduler = nullptr;  // where it stopped
void** current = nullptr;   // where the running fiber is to leave its place

#if defined(__SANITIZE_ADDRESS__)
const void* scheduler_stack = nullptr;
size_t scheduler_bytes = 0;

void leave(void** fake, const void* stack, size_t bytes) {
  __sanitizer_start_switch_fiber(fake, stack, bytes);
}
void arrive(void* fake, const void** stack, size_t* bytes) {
  __sanitizer_finish_switch_fiber(fake, stack, bytes);
}
#else
const void* scheduler_stack = nullptr;
size_t scheduler_bytes = 0;
void leave(void**, const void*, size_t) {}
void arrive(void*, const void**, size_t*) {}
#endif

void (*body_of_all)() = nullptr;

void enter() {
  arrive(nullptr, &scheduler_stack, &scheduler_bytes);
  for (;;) {
    body_of_all();
    Fiber::suspend();
  }
}

}  // namespace

Fiber::Fiber(void (*body)()) {
  body_of_all = body;
  void* memory = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED || mprotect(memory, kGuardBytes, PROT_NONE) != 0) std::abort();
  stack_ = static_cast<char*>(memory);
  // Six registers, and the address that the switch returns to: the stack pointer is then 8 more
  // than a multiple of 16, as after a call.
  auto* top = reinterpret_cast<uintptr_t*>(stack_ + kStackBytes) - 1;
  *--top = reinterpret_cast<uintptr_t>(&enter);
  for (int i = 0; i < 6; ++i) *--top = 0;
  top_ = top;
}

Fiber::~Fiber() {
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(stack_, kStackBytes);
#endif
  munmap(stack_, kStackBytes);
}

void Fiber::resume() {
  current = &top_;
  void* fake = nullptr;
  leave(&fake, stack_ + kGuardBytes, kStackBytes - kGuardBytes);
  cuda_emu_switch(&scheduler, top_);
  arrive(fake, nullptr, nullptr);
}

void Fiber::suspend() {
  void* fake = nullptr;
  leave(&fake, scheduler_stack, scheduler_bytes);
  cuda_emu_switch(current, scheduler);
  arrive(fake, &scheduler_stack, &scheduler_bytes);
}

}  // namespace cuda_emu
