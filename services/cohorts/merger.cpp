#include "services/cohorts/merger.hpp"

#include <algorithm>
#include <charconv>

#include "detect/cohorts.hpp"
#include "detect/sketch.hpp"

namespace fleetward::cohorts {
namespace {

using fleet::CohortSnapshot;
using Range = CohortSnapshot::Range;

// In hundredths of a percent, in the order of fleet::statistic_names; the last is the mean.
constexpr std::array<std::uint64_t, fleet::statistic_names.size() - 1> hundredths = {
    0, 1, 10, 100, 1000, 5000, 9000, 9900, 9990, 9999, 10'000};

Range to_range(const detect::Sketch::Range& r) { return {r.low, r.high}; }

void fill_in(CohortSnapshot& snapshot, const detect::Sketch& sketch) {
  snapshot.devices = static_cast<std::int64_t>(sketch.count());
  snapshot.relative_error = sketch.relative_error();
  if (sketch.is_empty()) return;
  for (std::size_t i = 0; i < hundredths.size(); ++i) {
    snapshot.statistics[i] = to_range(sketch.percentile(hundredths[i]));
  }
  snapshot.statistics.back() = to_range(sketch.mean());
}

}  // namespace

void Merger::note(const CohortSnapshot& snapshot) {
  Cohort& cohort = cohorts_[snapshot.cohort];
  cohort.numbers.insert(snapshot.number);
  if (snapshot.number <= cohort.newest.number) return;
  cohort.newest = {snapshot.number, snapshot.panes};
  let_go(cohort);
}

void Merger::forget(const std::string& key) {
  const std::size_t at = key.rfind('@');
  const auto known = cohorts_.find(key.substr(0, at));
  if (at == std::string::npos || known == cohorts_.end()) return;
  std::int64_t number = -1;
  std::from_chars(key.data() + at + 1, key.data() + key.size(), number);
  known->second.numbers.erase(number);
  if (known->second.numbers.empty() && known->second.panes.empty()) cohorts_.erase(known);
}

Merger::Taken Merger::take(const fleet::CohortSample& sample, std::int64_t offset, Steady now) {
  if (sample.partition >= partitions_ || !detect::Sketch::decode(sample.sketch)) return Taken::refused;
  if (!cohorts_.contains(sample.cohort) && cohorts_.size() >= cohorts_max) return Taken::refused;
  Cohort& cohort = cohorts_[sample.cohort];
  if (sample.pane <= cohort.newest.number - stand_in_panes) return Taken::late;
  Pane& pane = cohort.panes.try_emplace(sample.pane, Pane{{}, now}).first->second;
  const bool is_first = pane.samples.insert_or_assign(sample.partition, Held{sample.sketch, offset}).second;
  if (sample.pane > newest_pane_) {
    newest_pane_ = sample.pane;
    for (auto& [name, other] : cohorts_) let_go(other);
  }
  if (sample.pane <= cohort.newest.number) return Taken::late;
  return is_first ? Taken::kept : Taken::repeated;
}

// What neither is to be published nor can stand in any more.
void Merger::let_go(Cohort& cohort) const {
  std::erase_if(cohort.panes, [&](const auto& entry) { return entry.first <= cohort.newest.number - stand_in_panes; });
  const bool is_silent = !cohort.panes.empty() && cohort.panes.rbegin()->first < newest_pane_ - silent_panes;
  if (is_silent && cohort.panes.rbegin()->first <= cohort.newest.number) cohort.panes.clear();
}

bool Merger::is_complete(const Cohort& cohort, std::int64_t pane) const {
  std::set<std::int32_t> there;
  for (auto at = cohort.panes.lower_bound(pane); at != cohort.panes.end(); ++at) {
    for (const auto& [partition, held] : at->second.samples) there.insert(partition);
  }
  return there.size() == static_cast<std::size_t>(partitions_);
}

CohortSnapshot Merger::merge(const std::string& name, const Cohort& cohort, std::int64_t pane,
                             const Published& before) {
  std::map<std::int32_t, std::pair<std::int64_t, const Held*>> newest;  // of each partition, up to the pane
  for (auto at = cohort.panes.upper_bound(pane - 1 - stand_in_panes); at != cohort.panes.end() && at->first <= pane;
       ++at) {
    for (const auto& [partition, held] : at->second.samples) newest[partition] = {at->first, &held};
  }
  detect::Sketch all;
  CohortSnapshot snapshot;
  snapshot.cohort = name;
  snapshot.number = pane;
  for (const auto& [partition, sample] : newest) {
    all.merge(*detect::Sketch::decode(sample.second->sketch));  // it was read when it came
    snapshot.sources.push_back({partition, sample.first});
  }
  fill_in(snapshot, all);
  const bool goes_on = before.number >= pane - stand_in_panes;
  if (snapshot.devices >= detect::judging_devices_min) snapshot.panes = goes_on ? before.panes + 1 : 1;
  return snapshot;
}

std::vector<CohortSnapshot> Merger::due(Steady now) const {
  std::vector<CohortSnapshot> out;
  for (const auto& [name, cohort] : cohorts_) {
    Published before = cohort.newest;
    auto at = cohort.panes.upper_bound(before.number);
    for (auto waiting = std::distance(at, cohort.panes.end()); waiting > 0; ++at, --waiting) {
      const bool is_over = now - at->second.first_at >= late_after_ || waiting > static_cast<std::ptrdiff_t>(panes_max);
      if (!is_over && !is_complete(cohort, at->first)) break;
      const CohortSnapshot& snapshot = out.emplace_back(merge(name, cohort, at->first, before));
      before = {snapshot.number, snapshot.panes};
    }
  }
  return out;
}

std::vector<std::string> Merger::outdated(std::size_t keys_max) const {
  std::vector<std::string> out;
  for (const auto& [name, cohort] : cohorts_) {
    for (const std::int64_t number : cohort.numbers) {
      if (number >= newest_pane_ - snapshot_panes_kept || out.size() >= keys_max) break;
      out.push_back(fleet::cohort_snapshot_key(name, number));
    }
  }
  return out;
}

std::int64_t Merger::needed_from(std::int64_t next) const {
  for (const auto& [name, cohort] : cohorts_) {
    for (const auto& [number, pane] : cohort.panes) {
      for (const auto& [partition, held] : pane.samples) next = std::min(next, held.offset);
    }
  }
  return next;
}

}  // namespace fleetward::cohorts
