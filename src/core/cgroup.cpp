#include "core/cgroup.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

namespace qk {
namespace {

constexpr size_t kPath = 4096;

// Reads up to size - 1 bytes of a file as text; false where there is none.
bool read_text(const char* path, char* text, size_t size) {
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  size_t done = 0;
  for (ssize_t count = 1; count > 0 && done < size - 1; done += static_cast<size_t>(count)) {
    count = std::max(::read(fd, text + done, size - 1 - done), ssize_t{0});
  }
  ::close(fd);
  text[done] = '\0';
  return done > 0;
}

bool read_file_of(const char* folder, const char* name, char* text, size_t size) {
  char path[kPath];
  const int length = std::snprintf(path, sizeof(path), "%s/%s", folder, name);
  return length > 0 && static_cast<size_t>(length) < sizeof(path) && read_text(path, text, size);
}

// Whole processors of a quota; 0 for none ("max", -1).
int64_t processors(int64_t quota, int64_t period) {
  if (quota <= 0 || period <= 0) return 0;
  return quota < period ? 1 : quota / period;
}

// The quota that one folder sets, by either version's files.
int64_t quota_of(const char* folder) {
  char text[64];
  if (read_file_of(folder, "cpu.max", text, sizeof(text))) {
    char* rest = nullptr;
    const int64_t quota = std::strtoll(text, &rest, 10);
    return processors(quota, std::strtoll(rest, nullptr, 10));
  }
  if (!read_file_of(folder, "cpu.cfs_quota_us", text, sizeof(text))) return 0;
  const int64_t quota = std::strtoll(text, nullptr, 10);
  if (!read_file_of(folder, "cpu.cfs_period_us", text, sizeof(text))) return 0;
  return processors(quota, std::strtoll(text, nullptr, 10));
}

// The least quota of the group `path` below `base` and of all above it, down to `base` itself.
int64_t least_quota(const char* base, const char* path) {
  char folder[kPath];
  const size_t base_length = std::strlen(base);
  const bool is_outside = std::strstr(path, "/..") != nullptr;  // of the namespace's own root
  const int length = std::snprintf(folder, sizeof(folder), "%s%s", base, is_outside ? "" : path);
  if (length < 0 || static_cast<size_t>(length) >= sizeof(folder)) return 0;
  int64_t least = 0;
  for (;;) {
    const int64_t quota = quota_of(folder);
    if (quota > 0 && (least == 0 || quota < least)) least = quota;
    char* slash = std::strrchr(folder + base_length, '/');
    if (slash == nullptr) return least;
    *slash = '\0';
  }
}

// Whether a comma-separated list of controllers has "cpu".
bool has_cpu(const char* controllers) {
  for (const char* at = controllers; at != nullptr; at = std::strchr(at, ',')) {
    if (*at == ',') ++at;
    if (std::strncmp(at, "cpu", 3) == 0 && (at[3] == '\0' || at[3] == ',')) return true;
  }
  return false;
}

// The groups that lines `id:controllers:path` name; "" for the root.
struct Groups {
  const char* v1 = "";
  const char* v2 = "";

  explicit Groups(char* lines) {
    char* next = nullptr;
    for (char* line = ::strtok_r(lines, "\n", &next); line != nullptr;
         line = ::strtok_r(nullptr, "\n", &next)) {
      char* controllers = std::strchr(line, ':');
      char* path = controllers == nullptr ? nullptr : std::strchr(controllers + 1, ':');
      if (path == nullptr) continue;
      *controllers = '\0';
      *path = '\0';
      ++controllers;
      ++path;
      if (*controllers == '\0') v2 = path;
      if (has_cpu(controllers)) v1 = path;
    }
  }
};

}  // namespace

int64_t cgroup_processors(const char* root) {
  char text[16384] = {};
  read_file_of(root, "proc/self/cgroup", text, sizeof(text));
  const Groups groups(text);
  const struct {
    const char* base;
    const char* group;
  } places[] = {
      {"/sys/fs/cgroup", groups.v2},
      {"/sys/fs/cgroup/unified", groups.v2},
      {"/sys/fs/cgroup/cpu", groups.v1},
      {"/sys/fs/cgroup/cpu,cpuacct", groups.v1},
      {"/sys/fs/cgroup/cpuacct,cpu", groups.v1},
  };
  int64_t least = 0;
  for (const auto& place : places) {
    char base[kPath];
    const int length = std::snprintf(base, sizeof(base), "%s%s", root, place.base);
    if (length < 0 || static_cast<size_t>(length) >= sizeof(base)) continue;
    const int64_t quota = least_quota(base, place.group);
    if (quota > 0 && (least == 0 || quota < least)) least = quota;
  }
  return least;
}

}  // namespace qk
