// Lets other Python threads run while a kernel works.
#pragma once

#include <Python.h>
#include <cxxabi.h>
#include <unistd.h>

namespace fastnn {

// A thread that wants the GIL back while the interpreter shuts down never gets it: CPython before
// 3.14 ends such a (daemon) thread by unwinding its stack, which C++ destructors turn into a crash
// of the process. Here the thread sleeps until the process ends, as CPython 3.14 does.
class ReleasedGil {
 public:
  ReleasedGil() : thread_(PyEval_SaveThread()) {}
  ~ReleasedGil() {
    try {
      PyEval_RestoreThread(thread_);
    } catch (abi::__forced_unwind&) {
      for (;;) pause();
    }
  }
  ReleasedGil(const ReleasedGil&) = delete;
  ReleasedGil& operator=(const ReleasedGil&) = delete;

 private:
  PyThreadState* thread_;
};

}  // namespace fastnn
