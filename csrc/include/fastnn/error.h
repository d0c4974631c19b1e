// Errors that kernels' drivers raise; the bindings translate them to Python classes.
#pragma once

#include <cstdint>
#include <exception>
#include <sstream>
#include <string>

namespace fastnn {

enum class ErrorKind { shape, dtype, value, index, memory, runtime, unsupported };

class Error : public std::exception {
 public:
  Error(ErrorKind kind, std::string text) : kind_(kind), text_(std::move(text)) {}
  ErrorKind kind() const { return kind_; }
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  ErrorKind kind_;
  std::string text_;
};

template <class... Parts>
std::string cat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

// The text names op, argument, what was expected and what came: fail(kind, "conv2d: stride must be
// >= 1, got ", s).
template <class... Parts>
[[noreturn]] void fail(ErrorKind kind, const Parts&... parts) {
  throw Error(kind, cat(parts...));
}

// Products of user-supplied sizes: never wrap.
inline int64_t checked_mul(int64_t a, int64_t b, const char* op) {
  int64_t r;
  if (__builtin_mul_overflow(a, b, &r))
    fail(ErrorKind::value, op, ": size overflow: ", a, " * ", b, " does not fit in 63 bits");
  return r;
}

inline int64_t checked_add(int64_t a, int64_t b, const char* op) {
  int64_t r;
  if (__builtin_add_overflow(a, b, &r))
    fail(ErrorKind::value, op, ": size overflow: ", a, " + ", b, " does not fit in 63 bits");
  return r;
}

}  // namespace fastnn
