#include "layers/cpu/cgroup.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "layers/base/error.h"
#include "tests/support/temporary.h"

namespace atrous::cgroup_test {

using testing::TemporaryFolder;

namespace {

using Files = std::vector<std::pair<std::string, std::string>>;

constexpr const char* v2_mount =
    "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
constexpr const char* v1_mounts =
    "25 24 0:22 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755\n"
    "33 25 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:16 - cgroup cgroup rw,cpu,cpuacct\n"
    "34 25 0:30 / /sys/fs/cgroup/memory rw,nosuid shared:17 - cgroup cgroup rw,memory\n";

// What is found in a file tree of these files.
CgroupLimits limits(const Files& files) {
  const TemporaryFolder folder;
  for (const auto& [name, text] : files) {
    const std::filesystem::path path = folder / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  std::string root = folder / "";
  root.pop_back();
  return cgroup_limits(root);
}

Files v2(const std::string& group, Files files) {
  files.insert(files.end(), {{"proc/self/mountinfo", v2_mount}, {"proc/self/cgroup", "0::" + group + "\n"}});
  return files;
}

constexpr double unlimited = std::numeric_limits<double>::infinity();
constexpr std::uint64_t all = std::numeric_limits<std::uint64_t>::max();

}  // namespace

TEST_CASE("without control groups nothing is limited") {
  for (const Files& files :
       {Files{}, v2("/", {}), v2("/a/b", {{"sys/fs/cgroup/a/b/cpu.max", "max 100000\n"}})}) {
    CHECK(limits(files).processors == unlimited);
    CHECK(limits(files).memory == all);
  }
}

// systemd-run -p CPUQuota=150% -p MemoryMax=1G, a Slurm step, a pod: groups within groups.
TEST_CASE("a process's own group limits it, and so does every parent") {
  const std::string at = "sys/fs/cgroup";
  CHECK(limits(v2("/a/b", {{at + "/a/b/cpu.max", "150000 100000\n"}})).processors == 1.5);
  CHECK(limits(v2("/a/b", {{at + "/a/cpu.max", "50000 100000\n"}, {at + "/a/b/cpu.max", "150000 100000\n"}}))
            .processors == 0.5);
  CHECK(limits(v2("/a/b", {{at + "/cpu.max", "400000 100000\n"}})).processors == 4);
  CHECK(limits(v2("/a/b", {{at + "/a/b/memory.max", "max\n"}, {at + "/a/memory.max", "1073741824\n"}}))
            .memory == 1073741824);
  // Not those beside it or below.
  CHECK(limits(v2("/a/b", {{at + "/c/cpu.max", "1000 100000\n"}, {at + "/a/b/c/cpu.max", "1000 100000\n"}}))
            .processors == unlimited);
}

TEST_CASE("version 1 has a hierarchy for each controller") {
  const Files groups{{"proc/self/mountinfo", v1_mounts},
                     {"proc/self/cgroup", "5:memory:/m/x\n4:cpu,cpuacct:/c/y\n1:name=systemd:/s\n"}};
  Files files = groups;
  const std::string at = "sys/fs/cgroup/";
  files.insert(files.end(), {{at + "cpu,cpuacct/c/y/cpu.cfs_quota_us", "-1\n"},
                             {at + "cpu,cpuacct/c/y/cpu.cfs_period_us", "100000\n"},
                             {at + "cpu,cpuacct/c/cpu.cfs_quota_us", "250000\n"},
                             {at + "cpu,cpuacct/c/cpu.cfs_period_us", "100000\n"},
                             {at + "memory/m/x/memory.limit_in_bytes", "9223372036854771712\n"},
                             {at + "memory/m/memory.limit_in_bytes", "536870912\n"}});
  CHECK(limits(files).processors == 2.5);
  CHECK(limits(files).memory == 536870912);
  CHECK(limits(groups).processors == unlimited);
}

TEST_CASE("both versions at once: the least of either") {
  CHECK(limits({{"proc/self/mountinfo",
                 std::string(v1_mounts) + "35 25 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"},
                {"proc/self/cgroup", "4:cpu,cpuacct:/a\n0::/b\n"},
                {"sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "300000\n"},
                {"sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n"},
                {"sys/fs/cgroup/unified/b/memory.max", "1000000\n"}})
            .processors == 3);
}

// The mount's root is the container's group, whether /proc/self/cgroup names it as the host does or as "/".
TEST_CASE("a container finds its own group where only that is mounted") {
  const std::string mount = "30 24 0:26 /docker/0af3 /sys/fs/cgroup ro - cgroup2 cgroup ro\n";
  for (const char* group : {"/docker/0af3", "/", "/../other"})
    CHECK(limits({{"proc/self/mountinfo", mount},
                  {"proc/self/cgroup", str_cat("0::", group, "\n")},
                  {"sys/fs/cgroup/cpu.max", "200000 100000\n"}})
              .processors == 2);
  CHECK(limits({{"proc/self/mountinfo", mount},
                {"proc/self/cgroup", "0::/docker/0af3/worker\n"},
                {"sys/fs/cgroup/cpu.max", "200000 100000\n"},
                {"sys/fs/cgroup/worker/cpu.max", "100000 100000\n"}})
            .processors == 1);
}

TEST_CASE("files that make no sense limit nothing") {
  for (const char* content :
       {"", "\n", "fast\n", "0 0\n", "-5 100000\n", "100000\n", "99999999999999999999 1\n"})
    CHECK(limits(v2("/", {{"sys/fs/cgroup/cpu.max", content}})).processors == unlimited);
  CHECK(limits({{"proc/self/mountinfo", "cgroup2\n- cgroup2\n1 2 3 4 5 6 - cgroup2\n\n"},
                {"proc/self/cgroup", "0:\n::\n"}})
            .processors == unlimited);
}

}  // namespace atrous::cgroup_test
