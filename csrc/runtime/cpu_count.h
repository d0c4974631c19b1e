// How many processors this process may use.
#pragma once

#include <string>

namespace fastnn {

constexpr int kNoCpuLimit = 1 << 20;

int affinity_cpus();    // CPUs that the scheduler may put this process on; at least 1
int default_threads();  // min(OMP_NUM_THREADS, affinity, CPU quota of the control group); at least
                        // 1

// CPUs that the control groups of this process grant, rounded up; kNoCpuLimit when they set no
// limit. `root` goes in front of every path that is read.
int quota_cpus(const std::string& root);

}  // namespace fastnn
