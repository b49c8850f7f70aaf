// Names and ARNs as AWS IoT has them. One installation is one account and one region, in every ARN.
#pragma once

#include <string>
#include <string_view>

#include "core/result.hpp"

namespace fleetward::fleet {

struct Installation {
  std::string account = "000000000000";  // 12 digits
  std::string region = "eu-central-1";
};

// 1 to 128 of [a-zA-Z0-9:_-]: things, groups, profiles, behaviors, custom metrics (reference section 5.5).
bool is_valid_name(std::string_view name);

// arn:aws:iot:REGION:ACCOUNT:KIND/NAME with kind thing, thinggroup, securityprofile, cert, custommetric, …
std::string arn(const Installation& installation, std::string_view kind, std::string_view name);

// Where a security profile is attached (reference section 4.3).
struct Target {
  enum class Kind { thing_group, all_things, registered_things, unregistered_things };
  Kind kind = Kind::all_things;
  std::string group;  // thing_group only
  friend auto operator<=>(const Target&, const Target&) = default;
};

// As it stands in profile files and manifests: group/NAME, all/things, all/registered-things, all/unregistered-things.
std::string to_text(const Target& target);
Result<Target> parse_target(std::string_view text);

std::string to_arn(const Installation& installation, const Target& target);
// Refuses an ARN of another account, region or kind.
Result<Target> parse_target_arn(const Installation& installation, std::string_view text);
// The name in an ARN of `kind`, or invalid_argument.
Result<std::string> parse_arn(const Installation& installation, std::string_view kind, std::string_view text);

}  // namespace fleetward::fleet
