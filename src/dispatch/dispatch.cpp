#include "dispatch/dispatch.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "core/cpu.h"

namespace qk {

#define QK_ISA(name)                     \
  namespace name {                       \
  extern const KernelTable kernel_table; \
  }
#include "dispatch/isa_list.inc"
#undef QK_ISA

namespace {

#define QK_ISA(name) &name::kernel_table,
constexpr const KernelTable* kTables[] = {
#include "dispatch/isa_list.inc"
};
#undef QK_ISA

constexpr int kTableCount = static_cast<int>(sizeof(kTables) / sizeof(kTables[0]));

std::atomic<const KernelTable*> current{nullptr};

uint64_t features() {
  static const uint64_t kFound = cpu_features();
  return kFound;
}

const KernelTable* best() {
  for (int i = kTableCount - 1; i > 0; --i) {
    if (!kTables[i]->for_tests && cpu_runs(*kTables[i])) return kTables[i];
  }
  return kTables[0];  // scalar: needs nothing
}

void list_isas(char* buffer, size_t size) {
  size_t used = 0;
  buffer[0] = '\0';
  for (int i = 0; i < kTableCount && used < size; ++i) {
    const int written =
        std::snprintf(buffer + used, size - used, "%s%s", i > 0 ? ", " : "", kTables[i]->isa);
    used += written > 0 ? static_cast<size_t>(written) : 0;
  }
}

}  // namespace

int isa_count() { return kTableCount; }

const KernelTable& isa_at(int index) { return *kTables[index]; }

bool cpu_runs(const KernelTable& table) { return (table.needs & ~features()) == 0; }

const KernelTable& current_kernels() {
  const KernelTable* table = current.load(std::memory_order_acquire);
  if (table == nullptr) {
    table = best();
    current.store(table, std::memory_order_release);
  }
  return *table;
}

Status init_dispatch() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): read once, while the library is loaded
  const char* wanted = std::getenv("QKERNELS_ISA");
  if (wanted == nullptr || wanted[0] == '\0') return {};
  const Status status = force_isa(wanted);
  if (status.ok()) return status;
  return Status::value_error("QKERNELS_ISA: %s", status.message);
}

Status force_isa(const char* name) {
  for (const KernelTable* table : kTables) {
    if (std::strcmp(table->isa, name) != 0) continue;
    if (!cpu_runs(*table)) {
      char missing[128];
      cpu_feature_names(table->needs & ~features(), missing, sizeof(missing));
      return Status::value_error("this CPU cannot run %s: it lacks %s", name, missing);
    }
    current.store(table, std::memory_order_release);
    return {};
  }
  char known[128];
  list_isas(known, sizeof(known));
  return Status::value_error("unknown ISA '%.40s'; this build has %s", name, known);
}

}  // namespace qk
