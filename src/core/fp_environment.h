// The floating-point environment that this library's arithmetic is written for.
//
// A process may have another one: torch.set_flush_denormal() and libraries built with -ffast-math
// make the calling thread take denormals for zero, and fesetround() changes how it rounds. Results
// would depend on it, and on which thread computed which part of them.
#pragma once

#include <cstdint>

#if !defined(__x86_64__) && !defined(__aarch64__)
#include <cfenv>
#endif

namespace qk {

// For as long as it lives, this thread rounds to nearest, keeps denormals and traps nothing. Then
// the environment is what it was, down to the exception flags: what was raised in between does not
// show. A few nanoseconds; one may live within another.
class FpEnvironment {
 public:
  FpEnvironment();
  ~FpEnvironment();
  FpEnvironment(const FpEnvironment&) = delete;
  FpEnvironment& operator=(const FpEnvironment&) = delete;

 private:
#if defined(__x86_64__)
  uint32_t saved_;  // MXCSR: control and flags in one word. Nothing here computes with the x87.
#elif defined(__aarch64__)
  uint64_t control_;  // FPCR
  uint64_t flags_;    // FPSR
#else
  std::fenv_t saved_;
#endif
};

// The clobbered memory keeps the compiler from moving loads and stores, and so the arithmetic
// between them, out of the environment: what intrinsics for these instructions do not.
// NOLINTBEGIN(portability-no-assembler)
#if defined(__x86_64__)

inline FpEnvironment::FpEnvironment() {
  constexpr uint32_t kDefault = 0x1f80;  // all exceptions masked, all else zero
  asm volatile("stmxcsr %0" : "=m"(saved_)::"memory");
  asm volatile("ldmxcsr %0" ::"m"(kDefault) : "memory");
}

inline FpEnvironment::~FpEnvironment() { asm volatile("ldmxcsr %0" ::"m"(saved_) : "memory"); }

#elif defined(__aarch64__)

inline FpEnvironment::FpEnvironment() {
  asm volatile("mrs %0, fpcr\n\tmrs %1, fpsr" : "=r"(control_), "=r"(flags_)::"memory");
  // Writing it may drain the pipeline, and it is hardly ever anything else.
  if (control_ != 0) asm volatile("msr fpcr, %0" ::"r"(uint64_t{0}) : "memory");
}

inline FpEnvironment::~FpEnvironment() {
  if (control_ != 0) asm volatile("msr fpcr, %0" ::"r"(control_) : "memory");
  asm volatile("msr fpsr, %0" ::"r"(flags_) : "memory");
}

#else

inline FpEnvironment::FpEnvironment() {
  std::fegetenv(&saved_);
  std::fesetenv(FE_DFL_ENV);
}

inline FpEnvironment::~FpEnvironment() { std::fesetenv(&saved_); }

#endif
// NOLINTEND(portability-no-assembler)

}  // namespace qk
