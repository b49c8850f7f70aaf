// What detection owes, from the durable log alone: which violations are due, byte for byte, and what a checkpoint may
// say.
//
// Follows each partition of `devices` with an engine that is never stopped, restored or late, and knows its state at
// every offset. Checks, at each transaction of the bus: a violation that is written is due and has the due text; an
// offset does not go back; a checkpoint covers only violations that are durable, and equals the state at its offset,
// device by device. What devices add to their cohorts is on the log once, as the never stopped engine has it; a
// snapshot of a cohort is written once.
#pragma once

#include <map>
#include <set>

#include "detect/engine.hpp"
#include "detect/rules.hpp"
#include "simulation/durable_log.hpp"
#include "simulation/universe.hpp"

namespace fleetward::simulation {

class DetectionOracle {
 public:
  DetectionOracle(Universe& universe, std::int32_t partitions);
  void on_write(const Written& written);

  // When everything has come to rest: every due violation is there, every report is in a checkpoint, and each was
  // counted once, however often it is on the log.
  void at_rest();
  [[nodiscard]] std::size_t due() const { return due_.size(); }
  [[nodiscard]] std::size_t samples() const { return samples_.size(); }
  [[nodiscard]] std::size_t checkpoints() const { return checkpoints_; }
  // How often a record ended so, in all partitions.
  [[nodiscard]] std::uint64_t ended(detect::Outcome outcome) const;
  [[nodiscard]] const std::map<std::string, std::string>& due_texts() const { return due_; }

 private:
  // A key's values by the offset from which on they hold.
  using History = std::map<std::string, std::map<std::int64_t, std::optional<std::string>>>;
  // Of a thing, as the registry's facts tell: what was learned of one incarnation is not the next one's, so what it
  // sends again across a change is new.
  struct Standing {
    std::int64_t version = 0;
    std::string id;
    bool deleted = false;
    int incarnation = 0;
  };
  struct Partition {
    std::unique_ptr<detect::PartitionEngine> engine;
    std::deque<bus::Record> waiting;                            // for rules
    std::map<std::int64_t, std::set<std::string>> not_durable;  // due violations by offset of the deciding record
    std::map<std::int64_t, std::string> own_record;             // by next offset
    History history;
    std::map<std::string, std::string> table;         // detector-state as it is
    std::map<std::string, std::int64_t> samples_end;  // those that are due, by their text: after which offset
    std::int64_t committed = 0;
    std::map<std::string, Standing> standings;
    std::int64_t report_records = 0;
    std::int64_t reports_end = 0;                // the offset after the last one
    std::map<std::string, std::string> reports;  // how each first came: every report is unlike any other
  };

  void take_device_record(const bus::Record& record);
  static void take_fact(Partition& p, const bus::Record& record);
  void catch_up(Partition& p);
  void note_report(Partition& p, const bus::Record& record, bool applied);
  void apply(Partition& p, const bus::Record& record);
  void take_violation(const bus::Record& record);
  void take_snapshot(const bus::Record& record);
  void take_sample(const bus::Record& record);
  void take_state(const bus::Record& record);
  void take_offset(std::int32_t partition, std::int64_t offset);
  void compare_state(std::int32_t partition, const Partition& p);
  void check_reports(std::size_t partition, const Partition& p);

  Universe& universe_;
  detect::Rules rules_;
  detect::Snapshots snapshots_;
  std::vector<Partition> partitions_;
  std::map<std::string, std::string> due_;  // text by event id
  std::set<std::string> samples_;           // that are on the log
  std::set<std::string> snapshot_keys_;     // likewise
  std::size_t checkpoints_ = 0;
};

}  // namespace fleetward::simulation
