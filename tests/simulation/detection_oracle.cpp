#include "simulation/detection_oracle.hpp"

#include "fleet/cloud_event.hpp"
#include "fleet/topics.hpp"
#include "services/detector/records.hpp"

namespace fleetward::simulation {

DetectionOracle::DetectionOracle(Universe& universe, std::int32_t partitions) : universe_(universe) {
  for (std::int32_t p = 0; p < partitions; ++p) {
    Partition partition;
    partition.engine = std::make_unique<detect::PartitionEngine>(p, rules_, snapshots_);
    partition.own_record[0] = "";
    partitions_.push_back(std::move(partition));
  }
}

void DetectionOracle::on_write(const Written& written) {
  for (const bus::Record& r : written.records) {
    if (r.topic == fleet::topic::rules && r.value) {
      if (const Status added = rules_.add(r.key, *r.value); !added) universe_.fail("a rule is unreadable: " + r.key);
      for (Partition& p : partitions_) catch_up(p);
    } else if (r.topic == fleet::topic::cohorts) {
      take_snapshot(r);
    } else if (r.topic == fleet::topic::devices) {
      take_device_record(r);
    } else if (r.topic == fleet::topic::violations) {
      take_violation(r);
    } else if (r.topic == fleet::topic::cohort_samples) {
      take_sample(r);
    } else if (r.topic == fleet::topic::detector_state) {
      take_state(r);
    }
  }
  for (const bus::OffsetCommit& o : written.offsets) {
    if (o.group == "detector" && o.topic == fleet::topic::devices) take_offset(o.partition, o.next_offset);
  }
}

void DetectionOracle::take_device_record(const bus::Record& record) {
  Partition& p = partitions_[static_cast<std::size_t>(record.partition)];
  p.waiting.push_back(record);
  if (bus::find_header(record.headers, fleet::header::kind) == "report") {
    ++p.report_records;
    p.reports_end = record.offset + 1;
  }
  if (bus::find_header(record.headers, fleet::header::kind) == "registry") take_fact(p, record);
  catch_up(p);
}

void DetectionOracle::take_fact(Partition& p, const bus::Record& record) {
  const auto event = fleet::parse_cloud_event(record.value.value_or(""));
  const auto fact = event ? fleet::registry_fact_from_json(event->data) : Result<fleet::RegistryFact>(event.error());
  Standing& s = p.standings[record.key];
  if (!fact || fact->version <= s.version) return;
  if (fact->deleted || s.deleted || fact->thing_id != s.id) ++s.incarnation;
  s = {fact->version, fact->thing_id, fact->deleted, s.incarnation};
}

void DetectionOracle::catch_up(Partition& p) {
  while (!p.waiting.empty() && p.engine->can_apply(detector::to_input(p.waiting.front()))) {
    apply(p, p.waiting.front());
    p.waiting.pop_front();
  }
}

void DetectionOracle::apply(Partition& p, const bus::Record& record) {
  std::vector<fleet::ViolationEvent> events;
  const std::uint64_t applied_before = p.engine->counters()[detect::Outcome::report_applied];
  p.engine->apply(detector::to_input(record), events);
  if (bus::find_header(record.headers, fleet::header::kind) == "report")
    note_report(p, record, p.engine->counters()[detect::Outcome::report_applied] > applied_before);
  for (const fleet::ViolationEvent& event : events) {
    const std::string id = fleet::event_id(event);
    const auto [at, first] = due_.emplace(id, detector::violation_text(event));
    if (!first) universe_.fail("one violation event is due twice: " + id);
    p.not_durable[record.offset].insert(id);
    universe_.note(fmt::format("due: {} {} {} by {}/{}", fleet::to_string(event.type), event.thing, event.behavior.name,
                               record.partition, record.offset));
  }
  for (detect::StateChange& change : p.engine->take_changes()) {
    p.history[change.key][record.offset + 1] = std::move(change.value);
  }
  for (const fleet::CohortSample& sample : p.engine->take_samples()) {
    p.samples_end[*detector::sample_record(sample).value] = record.offset + 1;
  }
  p.own_record[record.offset + 1] = p.engine->partition_record();
}

// However often it was sent, each report is applied once; of an incarnation of its thing.
void DetectionOracle::note_report(Partition& p, const bus::Record& record, bool applied) {
  const auto header = [&record](std::string_view name) {
    return std::string(bus::find_header(record.headers, name).value_or("-"));
  };
  const std::string how =
      fmt::format("{} by {} dup {}", record.offset, header(fleet::header::source), header(fleet::header::dup));
  const std::string report =
      fmt::format("{} {} {}", record.key, p.standings[record.key].incarnation, record.value.value_or(""));
  const auto [first, is_new] = p.reports.emplace(report, how);
  if (applied && !is_new)
    universe_.fail(fmt::format("a report is applied twice: offsets {} and {}: {}", first->second, how, report));
  if (!applied && is_new) universe_.fail(fmt::format("a report is not applied: {}: {}", how, report));
}

void DetectionOracle::take_violation(const bus::Record& record) {
  const auto event = fleet::parse_cloud_event(record.value.value_or(""));
  if (!event) return universe_.fail("an unreadable violation is on the bus");
  const auto due = due_.find(event->id);
  if (due == due_.end()) return universe_.fail("a violation that is not due was published: " + *record.value);
  if (due->second != *record.value)
    return universe_.fail("a violation differs from what the log gives:\n" + *record.value + "\n" + due->second);
  for (Partition& p : partitions_) {
    for (auto entry = p.not_durable.begin(); entry != p.not_durable.end();) {
      entry->second.erase(event->id);
      entry = entry->second.empty() ? p.not_durable.erase(entry) : std::next(entry);
    }
  }
}

// It never changes: whoever only believes to own its cohort cannot write it anew.
void DetectionOracle::take_snapshot(const bus::Record& record) {
  if (!snapshot_keys_.insert(record.key).second)
    universe_.fail("a snapshot of a cohort is written twice: " + record.key);
  if (const Status added = snapshots_.add(record.key, record.value); !added) {
    universe_.fail("a snapshot is unreadable: " + record.key);
  }
  for (Partition& p : partitions_) catch_up(p);
}

void DetectionOracle::take_sample(const bus::Record& record) {
  const std::string& text = record.value.value();
  const bool is_due = std::any_of(partitions_.begin(), partitions_.end(),
                                  [&](const Partition& p) { return p.samples_end.contains(text); });
  if (!is_due) return universe_.fail("a sample of a cohort that is not due is on the log: " + text);
  if (!samples_.insert(text).second) universe_.fail("a sample of a cohort is on the log twice: " + text);
}

void DetectionOracle::take_state(const bus::Record& record) {
  auto& table = partitions_[static_cast<std::size_t>(record.partition)].table;
  if (record.value) table[record.key] = *record.value;
  else table.erase(record.key);
}

void DetectionOracle::take_offset(std::int32_t partition, std::int64_t offset) {
  Partition& p = partitions_[static_cast<std::size_t>(partition)];
  if (offset < p.committed)
    universe_.fail(fmt::format("the committed offset of partition {} goes back from {} to {}: a stale owner", partition,
                               p.committed, offset));
  p.committed = offset;
  ++checkpoints_;
  universe_.note(fmt::format("checkpoint: partition {} up to {}", partition, offset));
  if (!p.not_durable.empty() && p.not_durable.begin()->first < offset)
    universe_.fail(fmt::format("the checkpoint of partition {} up to {} covers a violation that is not durable ({})",
                               partition, offset, *p.not_durable.begin()->second.begin()));
  compare_state(partition, p);
  for (const auto& [text, end] : p.samples_end) {
    if (end <= offset && !samples_.contains(text))
      universe_.fail("a checkpoint covers a sample of a cohort that is not on the log: " + text);
  }
}

void DetectionOracle::compare_state(std::int32_t partition, const Partition& p) {
  const std::string own_key = detect::PartitionEngine::partition_key(partition);
  const auto own = p.own_record.find(p.committed);
  const auto kept = p.table.find(own_key);
  if (own == p.own_record.end())
    return universe_.fail(
        fmt::format("partition {} is committed up to {}, which is not there", partition, p.committed));
  if (kept == p.table.end() || kept->second != own->second)
    return universe_.fail(
        fmt::format("the record of partition {} is not the one of offset {}", partition, p.committed));
  for (const auto& [key, values] : p.history) {
    auto next = values.upper_bound(p.committed);
    if (next == values.begin()) continue;
    const std::optional<std::string>& expected = std::prev(next)->second;
    const auto found = p.table.find(key);
    const bool equal = expected ? found != p.table.end() && found->second == *expected : found == p.table.end();
    if (!equal)
      return universe_.fail(fmt::format("the checkpoint of {} in partition {} is not its state at offset {}", key,
                                        partition, p.committed));
  }
}

std::uint64_t DetectionOracle::ended(detect::Outcome outcome) const {
  std::uint64_t sum = 0;
  for (const Partition& p : partitions_) sum += p.engine->counters()[outcome];
  return sum;
}

void DetectionOracle::at_rest() {
  for (std::size_t i = 0; i < partitions_.size(); ++i) {
    const Partition& p = partitions_[i];
    if (!p.waiting.empty()) universe_.fail(fmt::format("partition {}: a mark names rules that are not there", i));
    if (!p.not_durable.empty())
      universe_.fail(fmt::format("partition {}: a violation that is due was never published ({})", i,
                                 *p.not_durable.begin()->second.begin()));
    if (p.committed < p.reports_end)
      universe_.fail(fmt::format("partition {}: reports are there up to {}, the last checkpoint is of {}", i,
                                 p.reports_end, p.committed));
    if (p.engine->manifest() != rules_.newest_held())
      universe_.fail(fmt::format("partition {} is at manifest {}, the newest is {}", i, p.engine->manifest(),
                                 rules_.newest_held()));
    check_reports(i, p);
  }
}

void DetectionOracle::check_reports(std::size_t partition, const Partition& p) {
  const detect::Counters& counters = p.engine->counters();
  const auto applied = static_cast<std::int64_t>(counters[detect::Outcome::report_applied]);
  const auto duplicate = static_cast<std::int64_t>(counters[detect::Outcome::report_duplicate]);
  if (applied + duplicate != p.report_records)
    universe_.fail(fmt::format("partition {}: {} records of reports, {} applied and {} duplicate", partition,
                               p.report_records, applied, duplicate));
  if (applied != static_cast<std::int64_t>(p.reports.size()))
    universe_.fail(fmt::format("partition {}: {} reports were sent, {} applied", partition, p.reports.size(), applied));
}

}  // namespace fleetward::simulation
