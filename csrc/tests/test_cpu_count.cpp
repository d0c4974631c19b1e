#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "check.h"
#include "runtime/cpu_count.h"

using namespace fastnn;

namespace {

namespace fs = std::filesystem;

// A made-up file system root with control-group files in it.
class FakeRoot {
 public:
  FakeRoot() {
    char name[] = "/tmp/fastnn_cgroup_XXXXXX";
    CHECK(mkdtemp(name) != nullptr);
    root_ = name;
  }
  ~FakeRoot() { fs::remove_all(root_); }
  void write(const std::string& path, const std::string& text) {
    fs::create_directories((root_ + path).substr(0, (root_ + path).find_last_of('/')));
    std::ofstream(root_ + path) << text;
  }
  int quota() const { return quota_cpus(root_); }

 private:
  std::string root_;
};

void omp_num_threads_is_a_wish() {
  const char* before = std::getenv("OMP_NUM_THREADS");
  const std::string kept = before ? before : "";
  unsetenv("OMP_NUM_THREADS");
  const int most = default_threads();
  for (const char* ignored :
       {"", "x", "0", "-3", "1x", "99999", "99999999999999999999", ",", " "}) {
    setenv("OMP_NUM_THREADS", ignored, 1);
    CHECK_EQ(default_threads(), most);
  }
  for (const char* one : {"1", "1,4", " 1 ", "1 ,2", "+1"}) {
    setenv("OMP_NUM_THREADS", one, 1);
    CHECK_EQ(default_threads(), 1);
  }
  before ? setenv("OMP_NUM_THREADS", kept.c_str(), 1) : unsetenv("OMP_NUM_THREADS");
}

void quota_version_2() {
  FakeRoot root;
  CHECK_EQ(root.quota(), kNoCpuLimit);
  root.write("/proc/self/cgroup", "0::/a/b\n");
  CHECK_EQ(root.quota(), kNoCpuLimit);
  root.write("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
  CHECK_EQ(root.quota(), kNoCpuLimit);
  root.write("/sys/fs/cgroup/a/cpu.max", "250000 100000\n");
  CHECK_EQ(root.quota(), 3);
  root.write("/sys/fs/cgroup/a/b/cpu.max", "50000 100000\n");
  CHECK_EQ(root.quota(), 1);
  root.write("/sys/fs/cgroup/a/b/cpu.max", "nonsense");
  CHECK_EQ(root.quota(), 3);
}

void quota_of_the_mount_itself() {  // as containers see it
  FakeRoot root;
  root.write("/proc/self/cgroup", "0::/\n");
  root.write("/sys/fs/cgroup/cpu.max", "200000 100000\n");
  CHECK_EQ(root.quota(), 2);
}

void quota_version_1() {
  FakeRoot root;
  root.write("/proc/self/cgroup", "5:cpuset:/x\n4:cpu,cpuacct:/docker/1\n0::/\n");
  root.write("/sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.cfs_quota_us", "-1\n");
  root.write("/sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.cfs_period_us", "100000\n");
  CHECK_EQ(root.quota(), kNoCpuLimit);
  root.write("/sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.cfs_quota_us", "400000\n");
  CHECK_EQ(root.quota(), 4);
  root.write("/sys/fs/cgroup/cpuset/x/cpu.cfs_quota_us",
             "100000\n");  // not the controller that counts
  CHECK_EQ(root.quota(), 4);
}

}  // namespace

void test_cpu_count() {
  CHECK(affinity_cpus() >= 1);
  omp_num_threads_is_a_wish();
  quota_version_2();
  quota_of_the_mount_itself();
  quota_version_1();
}
