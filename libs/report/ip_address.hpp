// IP addresses and sets of address ranges, as reports and behaviors name them.
//
// Values without any state, usable from any thread. An IPv4 address and its IPv4-mapped IPv6 form (RFC 4291 section
// 2.5.5.2) are the same address here: a device does not get past a rule by writing its peer in another form.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.hpp"

namespace fleetward::report {

struct IpAddress {
  std::uint64_t high = 0;  // of 128 bits, big end first; IPv4 as ::ffff:a.b.c.d
  std::uint64_t low = 0;

  [[nodiscard]] bool is_v4() const { return high == 0 && (low >> 32) == 0xffff; }
  friend auto operator<=>(const IpAddress&, const IpAddress&) = default;
};

// Dotted quad, or RFC 4291 section 2.2 text; a zone ("%eth0") is cut off. Nothing else: no octal, no missing parts.
std::optional<IpAddress> parse_ip(std::string_view text);
// RFC 5952.
std::string to_text(const IpAddress& address);

struct Endpoint {
  IpAddress address;
  std::uint16_t port = 0;
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};
// "1.2.3.4:80", "[2001:db8::1]:80"; also "2001:db8::1:80", as agents without brackets mean it.
std::optional<Endpoint> parse_endpoint(std::string_view text);

// Ranges of addresses from CIDR texts ("10.0.0.0/8", "2001:db8::/32", or one address), sorted and disjoint.
// IPv4 and IPv6 are kept apart: ::/0 does not hold 10.0.0.1.
class CidrSet {
 public:
  CidrSet() = default;
  // The error names the first text that is no CIDR. Bits below the prefix are ignored.
  static Result<CidrSet> parse(const std::vector<std::string>& cidrs);
  [[nodiscard]] bool contains(const IpAddress& address) const;

 private:
  struct Range {
    IpAddress first, last;
  };
  static void merge(std::vector<Range>& ranges);
  std::vector<Range> v4_, v6_;
};

}  // namespace fleetward::report
