#include "detect/cohort_board.hpp"

#include <algorithm>

namespace fleetward::detect {

void CohortBoard::set_cohorts(const std::vector<std::string>& names) {
  std::vector<Cohort> cohorts(names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (const auto known = find(names[i])) cohorts[i].snapshot = std::move(cohorts_[*known].snapshot);
  }
  names_ = names;
  cohorts_ = std::move(cohorts);
}

std::optional<std::uint16_t> CohortBoard::find(const std::string& name) const {
  const auto at = std::lower_bound(names_.begin(), names_.end(), name);
  if (at == names_.end() || *at != name) return std::nullopt;
  return static_cast<std::uint16_t>(at - names_.begin());
}

const fleet::CohortSnapshot* CohortBoard::judging(std::uint16_t cohort, std::int64_t pane) const {
  const fleet::CohortSnapshot* snapshot = cohorts_[cohort].snapshot.get();
  return snapshot != nullptr && may_judge(*snapshot, pane) ? snapshot : nullptr;
}

void CohortBoard::apply(std::uint16_t cohort, Snapshots::Snapshot snapshot) {
  cohorts_[cohort].snapshot = std::move(snapshot);
}

bool CohortBoard::is_news(const fleet::CohortMark::Snapshot& named) const {
  const auto known = find(named.cohort);
  return known && named.number > applied(*known);
}

std::int64_t CohortBoard::applied(std::uint16_t cohort) const {
  const fleet::CohortSnapshot* snapshot = cohorts_[cohort].snapshot.get();
  return snapshot == nullptr ? -1 : snapshot->number;
}

std::vector<fleet::CohortMark::Snapshot> CohortBoard::applied() const {
  std::vector<fleet::CohortMark::Snapshot> out;
  for (std::size_t i = 0; i < cohorts_.size(); ++i) {
    const fleet::CohortSnapshot* snapshot = cohorts_[i].snapshot.get();
    if (snapshot != nullptr) out.push_back({names_[i], snapshot->number});
  }
  return out;
}

void CohortBoard::close_pane(std::int32_t partition, std::int64_t pane) {
  for (std::size_t i = 0; i < cohorts_.size(); ++i) {
    samples_.push_back({names_[i], partition, pane, cohorts_[i].votes.encode()});
    cohorts_[i].votes = Sketch();
  }
}

}  // namespace fleetward::detect
