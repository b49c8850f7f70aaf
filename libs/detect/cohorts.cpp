#include "detect/cohorts.hpp"

#include <algorithm>
#include <charconv>

#include "core/text.hpp"
#include "detect/metric.hpp"
#include "detect/validate.hpp"
#include "fleet/cloud_event.hpp"

namespace fleetward::detect {

std::optional<std::string> cohort_of(const std::string& profile, const fleet::Behavior& b,
                                     std::int64_t dimension_version) {
  if (criteria_kind(b) != CriteriaKind::statistical) return std::nullopt;
  const fleet::BehaviorCriteria& c = *b.criteria;
  if (!c.comparison_operator || !is_numeric(*c.comparison_operator)) return std::nullopt;
  if (!c.duration_seconds || !is_duration(*c.duration_seconds)) return std::nullopt;
  const auto& names = fleet::statistic_names;
  if (std::find(names.begin(), names.end(), *c.statistic) == names.end()) return std::nullopt;
  std::string name = fmt::format("{}/{}/{}", profile, b.metric, *c.duration_seconds);
  const MetricInfo* known = find_metric(b.metric);
  if (known != nullptr && !is_comparable(known->kind)) return std::nullopt;
  if (known != nullptr && known->kind == MetricKind::per_message) {
    name += is_upper_bound(*c.comparison_operator) ? "/max" : "/min";
  }
  if (!b.dimension) return name;
  if (dimension_version == 0 || known == nullptr || !has_dimension(known->metric)) return std::nullopt;
  return fmt::format("{}/{}/{}@{}", name, b.dimension->negated ? "NOT_IN" : "IN", b.dimension->name, dimension_version);
}

std::vector<std::string> cohorts_in_force(const Rules& rules, std::int64_t number) {
  const fleet::Manifest& manifest = *rules.manifest(number);
  std::set<std::string> names;
  for (const fleet::Manifest::Entry& entry : manifest.profiles) {
    const auto profile = rules.profile(entry.profile, entry.version);
    for (const fleet::Behavior& b : profile->behaviors) {
      const std::int64_t version = b.dimension ? manifest.dimension_version(b.dimension->name) : 0;
      if (auto name = cohort_of(profile->name, b, version)) names.insert(std::move(*name));
    }
  }
  std::vector<std::string> out(names.begin(), names.end());
  if (out.size() > fleet::cohorts_max) out.resize(fleet::cohorts_max);
  return out;
}

Status Snapshots::add(std::string_view key, const std::optional<std::string>& value) {
  if (!value) {
    const std::size_t at = key.rfind('@');
    const auto known = at == std::string_view::npos ? cohorts_.end() : cohorts_.find(key.substr(0, at));
    if (known == cohorts_.end()) return {};
    std::int64_t number = -1;
    std::from_chars(key.data() + at + 1, key.data() + key.size(), number);
    known->second.erase(number);
    if (known->second.empty()) cohorts_.erase(known);
    return {};
  }
  const auto event = fleet::parse_cloud_event(*value);
  auto snapshot = event ? fleet::cohort_snapshot_from_json(event->data) : event.error();
  if (!snapshot) return snapshot.error().with_context(printable(key, 160));
  if (fleet::cohort_snapshot_key(snapshot->cohort, snapshot->number) != key) {
    return Error(ErrorCode::corrupted, "holds another snapshot").with_context(printable(key, 160));
  }
  auto& numbers = cohorts_[snapshot->cohort];
  const std::int64_t number = snapshot->number;
  snapshot->sources = {};  // of no use to who judges, and there are many snapshots
  numbers.try_emplace(number, std::make_shared<const fleet::CohortSnapshot>(std::move(*snapshot)));
  return {};
}

Snapshots::Snapshot Snapshots::find(const std::string& cohort, std::int64_t number) const {
  const auto known = cohorts_.find(cohort);
  if (known == cohorts_.end()) return nullptr;
  const auto at = known->second.find(number);
  return at == known->second.end() ? nullptr : at->second;
}

Snapshots::Snapshot Snapshots::newest(const std::string& cohort) const {
  const auto known = cohorts_.find(cohort);
  return known == cohorts_.end() ? nullptr : known->second.rbegin()->second;
}

bool is_too_old(std::int64_t number, std::int64_t pane) { return pane - number > judging_panes_age_max; }

bool may_judge(const fleet::CohortSnapshot& s, std::int64_t pane) {
  return s.devices >= judging_devices_min && s.panes >= judging_panes_min && !is_too_old(s.number, pane);
}

}  // namespace fleetward::detect
