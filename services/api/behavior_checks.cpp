#include "services/api/behavior_checks.hpp"

#include <fmt/ranges.h>

#include "core/text.hpp"
#include "detect/validate.hpp"
#include "repository/dimension_repository.hpp"
#include "repository/profile_repository.hpp"

namespace fleetward::api {

namespace {
constexpr std::int64_t metrics_max = 10'000;
constexpr std::size_t arn_bytes_max = 2048;

Result<std::vector<std::string>> dimension_names(store::Transaction& tx) {
  const auto rows = repository::list_dimensions(tx, "", static_cast<std::int64_t>(fleet::dimensions_max));
  if (!rows) return rows.error();
  std::vector<std::string> names;
  for (const auto& row : *rows) names.push_back(row.dimension.name);
  return names;
}

Error bad_target(std::string_view member, std::string_view what) {
  return {ErrorCode::invalid_argument, fmt::format("alertTargets{} {}", member, what)};
}

// arn:PARTITION:SERVICE:REGION:ACCOUNT:NAME, in printable characters.
bool is_arn(std::string_view text, std::string_view service, bool has_region) {
  const auto plain = [](char c) { return c > ' ' && c < '\x7f'; };
  if (text.size() > arn_bytes_max || !std::all_of(text.begin(), text.end(), plain)) return false;
  const auto parts = split(text, ':');
  const auto account = [](std::string_view id) {
    return id.size() == 12 && id.find_first_not_of("0123456789") == std::string_view::npos;
  };
  return parts.size() >= 6 && parts[0] == "arn" && parts[1].starts_with("aws") && parts[2] == service &&
         parts[3].empty() != has_region && account(parts[4]) && !parts[5].empty();
}

}  // namespace

Result<std::vector<std::string>> behavior_problems(store::Transaction& tx,
                                                   const std::vector<fleet::Behavior>& behaviors) {
  const auto metrics = repository::list_custom_metrics(tx, "", metrics_max);
  if (!metrics) return metrics.error();
  std::vector<fleet::CustomMetric> known;
  for (const auto& row : *metrics) known.push_back(row.metric);
  const auto dimensions = dimension_names(tx);
  if (!dimensions) return dimensions.error();
  return detect::validate_behaviors(behaviors, known, *dimensions);
}

Status check_behaviors(store::Transaction& tx, const std::vector<fleet::Behavior>& behaviors) {
  const auto problems = behavior_problems(tx, behaviors);
  if (!problems) return problems.error();
  if (problems->empty()) return {};
  return Error(ErrorCode::invalid_argument, fmt::format("{}", fmt::join(*problems, "; ")));
}

Status check_alert_targets(const json::Value& targets) {
  if (!targets.is_object()) return bad_target("", "is not an object");
  for (const auto& [name, target] : targets.items()) {
    if (name != "SNS") return bad_target("", fmt::format("has the key {}: only SNS is known", printable(name, 64)));
    if (!target.is_object()) return bad_target(".SNS", "is not an object");
    for (const auto& [member, value] : target.items()) {
      const std::string path = ".SNS." + printable(member, 64);
      const bool is_topic = member == "alertTargetArn";
      if (!is_topic && member != "roleArn") return bad_target(path, "is not known");
      if (!value.is_string()) return bad_target(path, "is not text");
      const auto& text = value.get_ref<const std::string&>();
      if (is_topic && !is_arn(text, "sns", true)) return bad_target(path, "is not the ARN of an SNS topic");
      if (!is_topic && !(is_arn(text, "iam", false) && text.find(":role/") != std::string::npos))
        return bad_target(path, "is not the ARN of a role");
    }
    for (const char* required : {"alertTargetArn", "roleArn"}) {
      if (!target.contains(required)) return bad_target(fmt::format(".SNS.{}", required), "is required");
    }
  }
  return {};
}

Status check_profile(store::Transaction& tx, const fleet::SecurityProfile& profile) {
  if (const Status good = check_alert_targets(profile.alert_targets); !good) return good;
  const auto dimensions = dimension_names(tx);
  if (!dimensions) return dimensions.error();
  std::vector<std::string> problems;
  for (const fleet::MetricToRetain& metric : profile.additional_metrics_to_retain) {
    for (std::string& problem : detect::validate_retained(metric, *dimensions)) problems.push_back(std::move(problem));
  }
  if (!problems.empty()) return Error(ErrorCode::invalid_argument, fmt::format("{}", fmt::join(problems, "; ")));
  return check_behaviors(tx, profile.behaviors);
}

}  // namespace fleetward::api
