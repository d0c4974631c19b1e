// Runs a piece of a test in a forked child, so that a hang or a crash is a failed check.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <ctime>

namespace fastnn::test {

// 0 when the body returned true within 20 seconds.
template <class Body>
int in_child(Body body) {
  const pid_t child = fork();
  if (child == 0) _exit(body() ? 0 : 1);
  int status = -1;
  for (int waited_ms = 0; waitpid(child, &status, WNOHANG) == 0; ++waited_ms) {
    if (waited_ms == 20000) kill(child, SIGKILL);
    const timespec millisecond{0, 1000000};
    nanosleep(&millisecond, nullptr);
  }
  return status;
}

}  // namespace fastnn::test
