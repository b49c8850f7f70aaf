#include "fleet/names.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/text.hpp"

namespace fleetward::fleet {

bool is_valid_name(std::string_view name) {
  return !name.empty() && name.size() <= 128 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == ':' || c == '_' ||
           c == '-';
  });
}

std::string arn(const Installation& installation, std::string_view kind, std::string_view name) {
  return fmt::format("arn:aws:iot:{}:{}:{}/{}", installation.region, installation.account, kind, name);
}

Result<std::string> parse_arn(const Installation& installation, std::string_view kind, std::string_view text) {
  const std::string prefix = arn(installation, kind, "");
  if (!text.starts_with(prefix) || text.size() == prefix.size()) {
    return Error(ErrorCode::invalid_argument,
                 fmt::format("{} is not an ARN of this installation that starts with {}", printable(text), prefix));
  }
  return std::string(text.substr(prefix.size()));
}

std::string to_text(const Target& t) {
  switch (t.kind) {
    case Target::Kind::thing_group:
      return "group/" + t.group;
    case Target::Kind::all_things:
      return "all/things";
    case Target::Kind::registered_things:
      return "all/registered-things";
    case Target::Kind::unregistered_things:
      return "all/unregistered-things";
  }
  return {};
}

Result<Target> parse_target(std::string_view text) {
  if (text.starts_with("group/") && is_valid_name(text.substr(6)))
    return Target{Target::Kind::thing_group, std::string(text.substr(6))};
  for (const auto kind :
       {Target::Kind::all_things, Target::Kind::registered_things, Target::Kind::unregistered_things}) {
    if (to_text({kind, {}}) == text) return Target{kind, {}};
  }
  return Error(
      ErrorCode::invalid_argument,
      fmt::format("{} is not a target: write group/NAME, all/things, all/registered-things or all/unregistered-things",
                  printable(text)));
}

std::string to_arn(const Installation& installation, const Target& target) {
  switch (target.kind) {
    case Target::Kind::thing_group:
      return arn(installation, "thinggroup", target.group);
    case Target::Kind::all_things:
      return arn(installation, "all", "things");
    case Target::Kind::registered_things:
      return arn(installation, "all", "registered-things");
    case Target::Kind::unregistered_things:
      return arn(installation, "all", "unregistered-things");
  }
  return {};
}

Result<Target> parse_target_arn(const Installation& installation, std::string_view text) {
  if (const auto all = parse_arn(installation, "all", text); all.ok()) {
    if (*all == "things") return Target{Target::Kind::all_things, {}};
    if (*all == "registered-things") return Target{Target::Kind::registered_things, {}};
    if (*all == "unregistered-things") return Target{Target::Kind::unregistered_things, {}};
  }
  const auto group = parse_arn(installation, "thinggroup", text);
  if (!group || !is_valid_name(*group)) {
    return Error(ErrorCode::invalid_argument,
                 fmt::format("{} is not a target: give the ARN of a thing group of this installation or {}",
                             printable(text), arn(installation, "all", "things")));
  }
  return Target{Target::Kind::thing_group, *group};
}

}  // namespace fleetward::fleet
