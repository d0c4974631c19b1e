// How the losses of single elements become one.
#pragma once

namespace fastnn {

enum class Reduction { none, mean, sum };

}  // namespace fastnn
