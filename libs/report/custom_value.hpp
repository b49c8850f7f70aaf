// The rules that Device Defender sets for values of custom metrics (reference section 1.3).
//
// Pure. Each returns what is wrong with the value, or nothing.
#pragma once

#include <string_view>

namespace fleetward::report {

// `token` as it stands in the JSON: at most 15 significant digits.
std::string_view number_problem(std::string_view token);

// Characters A-Z a-z 0-9 : _ - / . The documentation leaves out the digits, and AWS's own demo sends eth0.
std::string_view string_problem(std::string_view text);

}  // namespace fleetward::report
