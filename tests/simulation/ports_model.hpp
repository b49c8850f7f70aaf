// Which violations are due, told independently of the engine: a model of one rule, "no open port but 22", over the log.
//
// For worlds whose only profile is that one. A thing is in alarm from the first report with another port to the first
// without; what is sent again changes nothing; a thing that is registered anew begins anew.
#pragma once

#include <map>
#include <set>

#include "simulation/durable_log.hpp"
#include "simulation/universe.hpp"

namespace fleetward::simulation {

class PortsModel {
 public:
  explicit PortsModel(Universe& universe) : universe_(universe) {}
  void on_write(const Written& written);
  void at_rest() const;  // what was published is what is due

 private:
  // Partition and offset of the deciding record, and what became of the alarm.
  using Due = std::tuple<std::int32_t, std::int64_t, std::string>;
  struct Thing {
    std::int64_t version = 0;
    std::string id;
    bool deleted = false;
    bool in_alarm = false;
    std::set<std::string> reports;
  };
  struct Partition {
    std::string begin;
    std::int64_t manifest = 0;
    std::map<std::string, Thing> things;
  };
  void take_device_record(const bus::Record& record);
  void take_report(Partition& p, const bus::Record& record);
  void take_fact(Partition& p, const bus::Record& record);
  void take_violation(const bus::Record& record);

  Universe& universe_;
  std::map<std::int32_t, Partition> partitions_;
  std::set<Due> due_;
  std::set<Due> published_;
};

}  // namespace fleetward::simulation
