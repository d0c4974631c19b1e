#pragma once

#include <string>

namespace fastnn::cuda {

std::string lane_maps();  // one line per register: what each lane holds

}  // namespace fastnn::cuda
