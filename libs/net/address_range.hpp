// Networks as operators write them: 10.0.0.0/8, 2001:db8::/32, or one address. Pure, thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "core/result.hpp"

namespace fleetward::net {

class AddressRange {
 public:
  // invalid_argument: no address, a prefix that is too long, or bits behind the prefix (a slip that would trust more or
  // less than was meant).
  static Result<AddressRange> parse(std::string_view text);
  // An IPv4 address counts as such when it comes mapped into IPv6. Text that is no address is in no network.
  [[nodiscard]] bool contains(std::string_view address) const;

 private:
  std::array<std::uint8_t, 16> bytes_{};  // IPv4 mapped into IPv6
  unsigned prefix_ = 0;                   // of these 128 bits
};

bool contains(const std::vector<AddressRange>& ranges, std::string_view address);

}  // namespace fleetward::net
