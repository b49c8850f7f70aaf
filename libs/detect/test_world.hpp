// For tests: a partition's log that is written by hand, and engines that read it.
#pragma once

#include <fmt/format.h>

#include <map>
#include <string>
#include <vector>

#include "detect/engine.hpp"
#include "fleet/cloud_event.hpp"

namespace fleetward::detect::testing {

struct LogRecord {
  std::int64_t offset = 0;
  std::int64_t append_ms = 0;
  std::string key, value, kind, thing_id, content_type;
  std::optional<std::int64_t> received_ms;
  std::optional<std::uint16_t> packet_id;
  bool dup = false;
  std::string origin;
  std::int32_t origin_partition = -1;
  std::int64_t origin_offset = -1;
  bool claimed = false;

  [[nodiscard]] InputRecord view() const {
    InputRecord in;
    in.offset = offset;
    in.append_time = instant_from_ms(append_ms);
    in.key = key;
    in.value = value;
    in.kind = kind;
    in.thing_id = thing_id;
    in.content_type = content_type;
    if (received_ms) in.received = instant_from_ms(*received_ms);
    in.packet_id = packet_id;
    in.dup = dup;
    in.origin = origin;
    in.origin_partition = origin_partition;
    in.origin_offset = origin_offset;
    in.claimed = claimed;
    return in;
  }
};

inline std::string event_text(const json::Value& data, std::string_view subject) {
  return fleet::to_json_text({"id", "/test", "type", std::string(subject), instant_from_ms(0), data});
}

// A log and the engine that reads it as it is written. Time starts at the begin of a pane and moves by at().
class World {
 public:
  static constexpr std::int64_t start_ms = 1'700'000'100'000;  // a multiple of 300 s

  World() : engine_(7, rules_, snapshots_) { add("begin", "", json::dump(to_json(fleet::Begin{"b1", "e"}))); }

  World& at(std::int64_t seconds) {
    // Ticks as a live owner appends them, so that the time between is observed.
    const std::int64_t to = start_ms + seconds * 1000;
    while (now_ms_ + tick_interval.count() < to) {
      now_ms_ += tick_interval.count();
      tick();
    }
    now_ms_ = to;
    return *this;
  }
  World& jump(std::int64_t seconds) {  // nobody was there: an outage
    now_ms_ = start_ms + seconds * 1000;
    return *this;
  }
  [[nodiscard]] std::int64_t now_ms() const { return now_ms_; }

  LogRecord& add(std::string_view kind, std::string_view key, std::string value) {
    LogRecord record;
    record.offset = static_cast<std::int64_t>(log_.size());
    record.append_ms = now_ms_;
    record.kind = kind;
    record.key = key;
    record.value = std::move(value);
    return add(std::move(record));
  }
  LogRecord& add(LogRecord record) {
    record.offset = static_cast<std::int64_t>(log_.size());
    log_.push_back(std::move(record));
    engine_.apply(log_.back().view(), out_);
    return log_.back();
  }
  void tick() { add("tick", "", json::dump(to_json(fleet::Tick{"b1"}))); }

  // Profiles by name with their JSON behaviors; targets by default all things.
  void profile(const std::string& name, std::string_view behaviors,
               std::vector<fleet::Target> targets = {{fleet::Target::Kind::all_things, {}}}) {
    const std::int64_t version = ++versions_[name];
    json::Value value = {{"securityProfileName", name}, {"version", version}, {"behaviors", *json::parse(behaviors)}};
    const std::string key = fleet::profile_key(name, version);
    if (const Status status = rules_.add(key, event_text(value, key)); !status)
      throw std::runtime_error(status.error().message);
    std::erase_if(manifest_.profiles, [&](const auto& e) { return e.profile == name; });
    manifest_.profiles.push_back({name, version, std::move(targets)});
    std::sort(manifest_.profiles.begin(), manifest_.profiles.end(),
              [](const auto& a, const auto& b) { return a.profile < b.profile; });
    mark();
  }
  void detach(const std::string& name) {
    std::erase_if(manifest_.profiles, [&](const auto& e) { return e.profile == name; });
    mark();
  }
  void custom_metric(const std::string& name, fleet::CustomMetricType type) {
    manifest_.custom_metrics.push_back({name, type, ""});
    mark();
  }
  // The next version of the dimension.
  fleet::DimensionVersion dimension(const std::string& name, std::vector<std::string> filters) {
    const fleet::Dimension made{name, ++dimension_versions_[name], std::move(filters)};
    const std::string key = fleet::dimension_key(name, made.version);
    if (const Status status = rules_.add(key, event_text(to_json(made), key)); !status)
      throw std::runtime_error(status.error().message);
    std::erase_if(manifest_.dimensions, [&](const auto& d) { return d.dimension == name; });
    manifest_.dimensions.push_back({name, made.version});
    mark();
    return {name, made.version};
  }
  // What a gateway says of what it counts, by the manifest in force.
  void counting(std::vector<fleet::DimensionVersion> dimensions, const std::string& gateway = "g1",
                std::int64_t start_number = 0) {
    add("counting", "",
        json::dump(to_json(fleet::Counting{gateway, start_number, manifest_.number, std::move(dimensions)})));
  }
  void mark() {
    ++manifest_.number;
    const std::string key = fleet::manifest_key(manifest_.number);
    if (const Status status = rules_.add(key, event_text(to_json(manifest_), key)); !status)
      throw std::runtime_error(status.error().message);
    add("mark", "", json::dump(to_json(fleet::Mark{"b1", manifest_.number})));
  }
  // A snapshot of a cohort as the role cohorts gives it, and the mark by which it applies.
  void hold(const fleet::CohortSnapshot& snapshot) {
    const std::string key = fleet::cohort_snapshot_key(snapshot.cohort, snapshot.number);
    if (const Status status = snapshots_.add(key, event_text(to_json(snapshot), key)); !status)
      throw std::runtime_error(status.error().message);
  }
  void cohort_mark(std::vector<fleet::CohortMark::Snapshot> snapshots, const std::string& begin_id = "b1") {
    add("cohorts", "", json::dump(to_json(fleet::CohortMark{begin_id, std::move(snapshots)})));
  }
  void thing(const std::string& name, std::vector<std::string> groups, std::string id = "id-1", bool deleted = false) {
    fleet::RegistryFact fact{name, std::move(id), ++fact_versions_[name], deleted, "camera", "1.0", std::move(groups)};
    add("registry", name, event_text(to_json(fact), name));
  }
  LogRecord& report(const std::string& thing, std::string_view metrics) {
    return add("report", thing, report_text(metrics));
  }
  static std::string report_text(std::string_view metrics) {
    return fmt::format(R"({{"header":{{"report_id":1,"version":"1.0"}},"metrics":{}}})", metrics);
  }
  void tcp_ports(const std::string& thing, const std::vector<int>& ports) {
    json::Value list = json::Value::array();
    for (const int port : ports) list.push_back({{"port", port}});
    report(thing, json::dump({{"listening_tcp_ports", {{"ports", list}, {"total", ports.size()}}}}));
  }
  void bytes_out(const std::string& thing, std::int64_t bytes) {
    report(thing, fmt::format(R"({{"network_stats":{{"bytes_out":{}}}}})", bytes));
  }
  void cloud(const std::string& thing, fleet::CloudMetrics m) {
    if (m.gateway.empty()) m.gateway = "g1";
    if (m.sequence == 0) m.sequence = ++sequence_;
    add("cloud-metrics", thing, json::dump(to_json(m)));
  }

  // What came out since the last call: "in-alarm v1 p/b".
  std::vector<std::string> events() {
    std::vector<std::string> texts;
    for (std::size_t i = shown_; i < out_.size(); ++i) {
      texts.push_back(fmt::format("{} {} {}", fleet::to_string(out_[i].type), out_[i].thing, out_[i].behavior.name));
    }
    shown_ = out_.size();
    return texts;
  }
  [[nodiscard]] const fleet::ViolationEvent& last() const { return out_.back(); }

  [[nodiscard]] const std::vector<LogRecord>& log() const { return log_; }
  [[nodiscard]] const std::vector<fleet::ViolationEvent>& out() const { return out_; }
  [[nodiscard]] const Rules& rules() const { return rules_; }
  [[nodiscard]] const Snapshots& snapshots() const { return snapshots_; }
  PartitionEngine& engine() { return engine_; }

 private:
  Rules rules_;
  Snapshots snapshots_;
  PartitionEngine engine_;
  std::int64_t now_ms_ = start_ms;
  std::vector<LogRecord> log_;
  std::vector<fleet::ViolationEvent> out_;
  std::size_t shown_ = 0;
  fleet::Manifest manifest_;
  std::map<std::string, std::int64_t> versions_, fact_versions_, dimension_versions_;
  std::int64_t sequence_ = 0;
};

}  // namespace fleetward::detect::testing
