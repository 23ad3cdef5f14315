// Which ISA runs: the best one of this CPU, or the one asked for where the CPU has what it needs.
#include <string>
#include <string_view>
#include <vector>

#include "check.h"
#include "core/cpu.h"
#include "dispatch/dispatch.h"

namespace qk {
namespace {

std::vector<std::string> runnable_isas() {
  std::vector<std::string> names;
  for (int i = 0; i < isa_count(); ++i) {
    if (cpu_runs(isa_at(i))) names.emplace_back(isa_at(i).isa);
  }
  return names;
}

bool is_built(std::string_view name) {
  for (int i = 0; i < isa_count(); ++i) {
    if (name == isa_at(i).isa) return true;
  }
  return false;
}

QK_TEST(the_last_isa_that_the_cpu_runs_is_chosen) {
  std::string_view best = "scalar";
  for (int i = 0; i < isa_count(); ++i) {
    const KernelTable& table = isa_at(i);
    if (cpu_runs(table) && !table.for_tests) best = table.isa;
  }
  QK_CHECK_EQ(std::string_view(current_kernels().isa), best);
}

QK_TEST(every_isa_that_the_cpu_runs_can_be_forced) {
  const std::string before = current_kernels().isa;
  for (const std::string& name : runnable_isas()) {
    QK_CHECK_OK(force_isa(name.c_str()));
    QK_CHECK_EQ(std::string(current_kernels().isa), name);
  }
  QK_CHECK_OK(force_isa(before.c_str()));
}

QK_TEST(an_isa_that_the_cpu_lacks_is_refused_by_its_features) {
  const std::string before = current_kernels().isa;
  for (int i = 0; i < isa_count(); ++i) {
    const KernelTable& table = isa_at(i);
    if (cpu_runs(table)) continue;
    char missing[128];
    cpu_feature_names(table.needs & ~cpu_features(), missing, sizeof(missing));
    QK_CHECK(missing[0] != '\0');
    QK_CHECK_FAILS(force_isa(table.isa), Code::kValue,
                   "this CPU cannot run " + std::string(table.isa) + ": it lacks " + missing);
  }
  QK_CHECK_EQ(std::string(current_kernels().isa), before);
}

QK_TEST(an_unknown_isa_is_refused_with_the_known_ones) {
  QK_CHECK_FAILS(force_isa("mmx"), Code::kValue, "unknown ISA 'mmx'; this build has scalar");
}

// An emulated Cortex-A53 is such a CPU.
QK_TEST(an_arm_cpu_without_dot_products_runs_plain_neon) {
  if (!is_built("neon_dotprod") || (cpu_features() & cpu::asimddp) != 0) return;
  QK_CHECK((runnable_isas() == std::vector<std::string>{"scalar", "neon"}));
  QK_CHECK_EQ(std::string(current_kernels().isa), "neon");
  QK_CHECK_FAILS(force_isa("neon_dotprod"), Code::kValue, "it lacks asimddp");
  QK_CHECK_FAILS(force_isa("neon_i8mm"), Code::kValue, "it lacks asimddp i8mm");
}

}  // namespace
}  // namespace qk
