#include "report/custom_value.hpp"

#include <algorithm>

namespace fleetward::report {

std::string_view number_problem(std::string_view token) {
  constexpr int digits_max = 15;
  int digits = 0;
  int zeros = 0;  // that count only when another digit follows
  for (const char c : token) {
    if (c == 'e' || c == 'E') break;
    if (c < '0' || c > '9') continue;
    if (c != '0') {
      digits += zeros + 1;
      zeros = 0;
    } else if (digits > 0) {
      ++zeros;
    }
  }
  return digits > digits_max ? "has more than 15 significant digits" : "";
}

std::string_view string_problem(std::string_view text) {
  const bool good = std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == ':' || c == '_' ||
           c == '-' || c == '/' || c == '.';
  });
  return good ? "" : "has an element with characters other than A-Z a-z 0-9 : _ - / .";
}

}  // namespace fleetward::report
