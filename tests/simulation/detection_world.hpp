// A world of detectors alone: a bus, what gateways and the relay would write to it, and detectors that crash, stand
// still and lose their way to the bus. So does the role that merges their cohorts.
#pragma once

#include "services/detector/detector.hpp"
#include "simulation/broker.hpp"
#include "simulation/detection_oracle.hpp"
#include "simulation/process.hpp"

namespace fleetward::simulation {

class DetectionWorld {
 public:
  static constexpr std::string_view name = "detection";

  explicit DetectionWorld(std::uint64_t seed);
  ~DetectionWorld();
  DetectionWorld(const DetectionWorld&) = delete;
  DetectionWorld& operator=(const DetectionWorld&) = delete;

  // Trouble, then calm. What was found to be wrong; empty: nothing.
  const std::string& run();
  Universe& universe() { return universe_; }
  DetectionOracle& oracle() { return oracle_; }
  [[nodiscard]] int crashes() const { return crashes_; }

 private:
  struct Thing;
  void start_bus();
  void start_detector(std::size_t number);
  void crash_detector(std::size_t number);
  void crash_all();
  void append_until_there(bus::OutRecord record, std::function<void()> then);
  void write_rules();
  void write_fact(const std::string& thing);
  void report(Thing& thing);
  void send(Thing& thing, std::string text, std::uint16_t packet, bool again);
  void trouble();
  void disturb(Loop& loop);
  void stall(Process& process, Millis duration);

  Universe universe_;
  BusFaults faults_;
  DurableLog log_;
  Ghosts ghosts_;
  std::int32_t partitions_;
  DetectionOracle oracle_;
  Loop loop_;                                     // of those who write, and of the trouble
  std::vector<std::unique_ptr<Broker>> brokers_;  // the last one lives
  std::unique_ptr<ProcessBus> writers_bus_;
  std::vector<std::unique_ptr<ProcessBus>> earlier_buses_;
  std::vector<std::unique_ptr<Process>> detectors_;  // and, last, those of the role cohorts; null: it is down
  std::vector<std::unique_ptr<Process>> graveyard_;
  std::vector<std::unique_ptr<Thing>> things_;
  detector::DetectorSettings settings_;
  std::int64_t manifest_ = 0;
  std::map<std::string, std::int64_t> fact_versions_;
  std::uint64_t incarnations_ = 0;
  std::int64_t disturb_one_in_;
  bool in_trouble_ = true;
  int crashes_ = 0;
};

}  // namespace fleetward::simulation
