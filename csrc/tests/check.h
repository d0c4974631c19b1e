// What a native test needs: CHECK counts and prints failures, and the test goes on.
#pragma once

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "fastnn/error.h"

namespace fastnn::test {

inline std::atomic<int> failures{0};

inline void report(bool ok, const char* file, int line, const char* text) {
  if (ok) return;
  ++failures;
  std::fprintf(stderr, "%s:%d: %s\n", file, line, text);
}

template <class A, class B>
void check_equal(const char* file, int line, const char* text, const A& a, const B& b) {
  if (!(a == b)) report(false, file, line, cat(text, ": ", a, " against ", b).c_str());
}

// Runs body and checks that it throws an Error of this kind whose text contains `part`.
template <class Body>
void check_fails(const char* file, int line, ErrorKind kind, const std::string& part, Body body) {
  try {
    body();
    report(false, file, line,
           cat("no error was raised; expected one that says '", part, "'").c_str());
  } catch (const Error& e) {
    report(e.kind() == kind, file, line, cat("wrong kind of error: ", e.what()).c_str());
    report(std::string(e.what()).find(part) != std::string::npos, file, line,
           cat("error text lacks '", part, "': ", e.what()).c_str());
  }
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

// Set by scripts/check_qemu.sh: the emulator cannot start threads in a forked child.
inline bool emulated() { return std::getenv("FASTNN_TEST_EMULATED") != nullptr; }

}  // namespace fastnn::test

#define CHECK(condition) ::fastnn::test::report((condition), __FILE__, __LINE__, #condition)
#define CHECK_EQ(a, b) ::fastnn::test::check_equal(__FILE__, __LINE__, #a " == " #b, (a), (b))
#define CHECK_FAILS(kind, part, ...) \
  ::fastnn::test::check_fails(__FILE__, __LINE__, kind, part, [&] { __VA_ARGS__; })
