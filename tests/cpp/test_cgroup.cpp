// The CPU quota of control groups, read from folders that look like those of every version.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <string>
#include <utility>

#include "check.h"
#include "core/cgroup.h"

namespace qk {
namespace {

// A root folder with the files that are given by path and content, gone at the end of the test.
class Root {
 public:
  Root(std::initializer_list<std::pair<const char*, const char*>> files) {
    std::string name = (std::filesystem::temp_directory_path() / "qk-cgroup-XXXXXX").string();
    path_ = ::mkdtemp(name.data()) == nullptr ? "" : name;
    for (const auto& [file, content] : files) {
      const std::filesystem::path at = path_ / file;
      std::filesystem::create_directories(at.parent_path());
      std::ofstream(at) << content << '\n';
    }
  }
  ~Root() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Root(const Root&) = delete;
  Root& operator=(const Root&) = delete;

  int64_t processors() const { return cgroup_processors(path_.c_str()); }

 private:
  std::filesystem::path path_;
};

QK_TEST(without_control_groups_there_is_no_quota) {
  QK_CHECK_EQ(Root({}).processors(), 0);
  QK_CHECK_EQ(Root({{"proc/self/cgroup", "0::/"}}).processors(), 0);
  QK_CHECK_EQ(Root({{"sys/fs/cgroup/cpu.max", "max 100000"}}).processors(), 0);
  QK_CHECK_EQ(Root({{"sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1"},
                    {"sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000"}})
                  .processors(),
              0);
}

QK_TEST(a_quota_is_rounded_down_to_whole_processors_and_at_least_one) {
  for (const auto& [quota, expected] : {std::pair{"200000 100000", 2},
                                        {"150000 100000", 1},
                                        {"399999 100000", 3},
                                        {"20000 100000", 1},
                                        {"50000 10000", 5},
                                        {"1 100000", 1}}) {
    const test::Context context("cpu.max=%s", quota);
    QK_CHECK_EQ(Root({{"sys/fs/cgroup/cpu.max", quota}}).processors(), expected);
  }
}

QK_TEST(every_version_has_its_own_place) {
  for (const char* folder : {"cpu", "cpu,cpuacct", "cpuacct,cpu"}) {
    const test::Context context("%s", folder);
    const std::string base = std::string("sys/fs/cgroup/") + folder;
    const std::string quota = base + "/cpu.cfs_quota_us";
    const std::string period = base + "/cpu.cfs_period_us";
    QK_CHECK_EQ(Root({{quota.c_str(), "300000"}, {period.c_str(), "100000"}}).processors(), 3);
  }
  QK_CHECK_EQ(Root({{"sys/fs/cgroup/unified/cpu.max", "300000 100000"}}).processors(), 3);
}

QK_TEST(a_nested_group_and_all_that_it_lies_in_count) {
  const char* groups = "12:cpuset:/x\n4:cpu,cpuacct:/a/b\n0::/c/d/e";
  QK_CHECK_EQ(Root({{"proc/self/cgroup", groups},
                    {"sys/fs/cgroup/c/d/e/cpu.max", "max 100000"},
                    {"sys/fs/cgroup/c/d/cpu.max", "400000 100000"},
                    {"sys/fs/cgroup/c/cpu.max", "500000 100000"}})
                  .processors(),
              4);
  QK_CHECK_EQ(Root({{"proc/self/cgroup", groups},
                    {"sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us", "600000"},
                    {"sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_period_us", "100000"},
                    {"sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "200000"},
                    {"sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000"}})
                  .processors(),
              2);
  // Another process's group is no limit.
  QK_CHECK_EQ(Root({{"proc/self/cgroup", groups}, {"sys/fs/cgroup/c/f/cpu.max", "100000 100000"}})
                  .processors(),
              0);
}

QK_TEST(a_group_that_is_mounted_as_the_root_counts_whatever_it_is_called) {
  for (const char* group :
       {"0::/docker/abc", "0::/../other", "0::/", "4:cpu:/docker/abc", ":", ""}) {
    const test::Context context("%s", group);
    QK_CHECK_EQ(Root({{"proc/self/cgroup", group}, {"sys/fs/cgroup/cpu.max", "200000 100000"}})
                    .processors(),
                2);
  }
}

QK_TEST(files_that_say_nothing_of_sense_set_no_quota) {
  for (const char* quota : {"", "x", "-5 100000", "100000", "100000 0", "9 -9"}) {
    const test::Context context("cpu.max=%s", quota);
    QK_CHECK_EQ(Root({{"sys/fs/cgroup/cpu.max", quota}}).processors(), 0);
  }
  QK_CHECK_EQ(Root({{"sys/fs/cgroup/cpu/cpu.cfs_quota_us", "100000"}}).processors(), 0);
}

}  // namespace
}  // namespace qk
