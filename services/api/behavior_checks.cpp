#include "services/api/behavior_checks.hpp"

#include <fmt/ranges.h>

#include "detect/validate.hpp"
#include "repository/profile_repository.hpp"

namespace fleetward::api {

namespace {
constexpr std::int64_t metrics_max = 10'000;
}

Result<std::vector<std::string>> behavior_problems(store::Transaction& tx,
                                                   const std::vector<fleet::Behavior>& behaviors) {
  const auto metrics = repository::list_custom_metrics(tx, "", metrics_max);
  if (!metrics) return metrics.error();
  std::vector<fleet::CustomMetric> known;
  for (const auto& row : *metrics) known.push_back(row.metric);
  return detect::validate_behaviors(behaviors, known);
}

Status check_behaviors(store::Transaction& tx, const std::vector<fleet::Behavior>& behaviors) {
  const auto problems = behavior_problems(tx, behaviors);
  if (!problems) return problems.error();
  if (problems->empty()) return {};
  return Error(ErrorCode::invalid_argument, fmt::format("{}", fmt::join(*problems, "; ")));
}

}  // namespace fleetward::api
