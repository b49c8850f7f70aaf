// The way of a batch of messages from a source to the bus: translated, their things looked up, written, counted.
//
// Made once a source and used by its tasks, on the collector's scheduler. A batch that the store or the bus does not
// take is tried again until it is taken or the collector stops.
#pragma once

#include <atomic>

#include "fleet/dead_letter.hpp"
#include "services/collector/collector.hpp"
#include "services/collector/records.hpp"
#include "services/collector/thing_book.hpp"

namespace fleetward::collector {

// What the sources of a collector share. All of it outlives them.
struct Surroundings {
  const std::string& instance;
  bus::Bus& bus;
  async::Scheduler& scheduler;
  async::Scope& scope;
  metrics::Registry& metrics;
  ThingBook& things;
};

class Delivery {
 public:
  Delivery(SourceName name, SourceConfig config, Surroundings& around);

  // True: each of them is durable, as a report or as a dead letter, and counted. False: the collector stops, and
  // nothing is said of them.
  async::Task<bool> deliver(std::vector<Message> messages);
  // A dead letter of this source once more, as a message that comes now. What became of it: repository::replay_state::
  // taken, or the reason and the words why it cannot be used again. Nothing: the collector stops.
  struct Replayed {
    std::string state;
    std::string why;
  };
  async::Task<std::optional<Replayed>> replay(fleet::DeadLetter letter);
  // One that nobody waits for an acknowledgement of, and that there is no room for.
  void drop() { count("dropped-overload").add(); }
  // One that its broker has still, and sends again.
  void give_back(const Message& message);
  [[nodiscard]] const SourceName& name() const { return name_; }
  [[nodiscard]] const SourceConfig& config() const { return config_; }
  // What keeps a batch from being taken; empty when nothing does. Thread-safe.
  [[nodiscard]] bool is_stuck() const { return stuck_; }

 private:
  struct Prepared {
    std::vector<bus::OutRecord> records;
    std::vector<std::string_view> results;  // of each, as it is counted
  };
  async::Task<bool> know_things(const std::vector<collect::Translation>& translations);
  async::Task<bool> write(std::vector<bus::OutRecord> records);
  async::Task<bool> pause(std::string step, Error error);
  Prepared prepare(const std::vector<Message>& messages, std::vector<collect::Translation> translations);
  void refuse_unknown(collect::Translation& translation, const std::string& thing_id) const;
  metrics::Counter& count(std::string_view result);

  SourceName name_;
  SourceConfig config_;
  Surroundings& around_;
  collect::Translator translator_;
  metrics::Counter& retries_;
  metrics::Counter& repeats_;
  std::atomic<bool> stuck_{false};
};

}  // namespace fleetward::collector
