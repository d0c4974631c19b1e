#include "cpu_count.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

namespace fastnn {
namespace {

struct CloseFile {
  void operator()(FILE* f) const { std::fclose(f); }
};
using File = std::unique_ptr<FILE, CloseFile>;

File open(const std::string& path) { return File(std::fopen(path.c_str(), "re")); }

int cpus_from(double quota_us, double period_us) {
  if (!(quota_us > 0) || !(period_us > 0)) return kNoCpuLimit;
  const double cpus = quota_us / period_us;
  return cpus >= kNoCpuLimit ? kNoCpuLimit : std::max(1, static_cast<int>(cpus + 0.999));
}

// Version 2: one file "quota period", or "max period" for no limit.
int quota_v2(const std::string& dir) {
  double quota = 0, period = 0;
  if (File f = open(dir + "/cpu.max"))
    if (std::fscanf(f.get(), "%lf %lf", &quota, &period) == 2) return cpus_from(quota, period);
  return kNoCpuLimit;
}

// Version 1: two files; a quota of -1 means no limit.
int quota_v1(const std::string& dir) {
  double quota = 0, period = 0;
  File q = open(dir + "/cpu.cfs_quota_us"), p = open(dir + "/cpu.cfs_period_us");
  if (q && p && std::fscanf(q.get(), "%lf", &quota) == 1 &&
      std::fscanf(p.get(), "%lf", &period) == 1)
    return cpus_from(quota, period);
  return kNoCpuLimit;
}

// The limits of a group and of all groups above it hold together. In a container the path of the
// group may not exist below the mount point: the walk then ends at the mount itself, which is the
// container's own group.
template <class Quota>
int lowest_up_to_root(const std::string& mount, std::string path, Quota quota) {
  int lowest = kNoCpuLimit;
  while (path.size() > 1) {
    lowest = std::min(lowest, quota(mount + path));
    path.resize(path.find_last_of('/'));
  }
  return std::min(lowest, quota(mount));
}

// The first number of a list such as "4,2" (one entry for each nesting level); anything else means
// no wish.
int omp_num_threads() {
  const char* text = std::getenv("OMP_NUM_THREADS");
  if (!text) return kNoCpuLimit;
  char* end = nullptr;
  const long n = std::strtol(text, &end, 10);
  while (*end == ' ') ++end;
  if (end == text || (*end != '\0' && *end != ',') || n < 1) return kNoCpuLimit;
  return static_cast<int>(std::min<long>(n, kNoCpuLimit));
}

}  // namespace

int affinity_cpus() {
  // The set must be as large as the kernel's own, or the call fails: grow it on machines with more
  // than 1024 CPUs.
  for (int cpus = 1024; cpus <= kNoCpuLimit; cpus *= 4) {
    cpu_set_t* set = CPU_ALLOC(cpus);
    if (!set) break;
    const size_t bytes = CPU_ALLOC_SIZE(cpus);
    const int count = sched_getaffinity(0, bytes, set) == 0 ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (count > 0) return count;
  }
  return std::max(1, static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)));
}

int quota_cpus(const std::string& root) {
  File groups = open(root + "/proc/self/cgroup");
  if (!groups) return kNoCpuLimit;
  int lowest = kNoCpuLimit;
  char line[4096];
  while (std::fgets(line, sizeof line, groups.get())) {  // "number:controllers:path"
    std::string text(line);
    while (!text.empty() && (text.back() == '\n' || text.back() == '/')) text.pop_back();
    const size_t first = text.find(':'), second = text.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    std::string controllers = text.substr(first, second + 1 - first);  // with a colon at both ends
    const std::string path = text.substr(second + 1);
    std::replace(controllers.begin(), controllers.end(), ',', ':');
    if (controllers == "::")
      lowest = std::min(lowest, lowest_up_to_root(root + "/sys/fs/cgroup", path, quota_v2));
    else if (controllers.find(":cpu:") != std::string::npos)
      for (const char* mount : {"/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"})
        lowest = std::min(lowest, lowest_up_to_root(root + mount, path, quota_v1));
  }
  return lowest;
}

int default_threads() {
  return std::max(1, std::min({omp_num_threads(), affinity_cpus(), quota_cpus("")}));
}

}  // namespace fastnn
