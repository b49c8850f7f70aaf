// The fleet: all devices on one scheduler, what they share, and what is told of them.
//
// Owns the devices. Lives on one scheduler's thread; counters() may be read from any thread. Limits: the folders found
// in
// --devices-dir; output files grow with what is acknowledged.
#pragma once

#include <atomic>
#include <fstream>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "async/scheduler.hpp"
#include "json/json.hpp"
#include "net/connection.hpp"
#include "options.hpp"

namespace fleetsim {

class Device;

struct Counters {
  std::atomic<std::uint64_t> connected{0};  // now
  std::atomic<std::uint64_t> connects{0};
  std::atomic<std::uint64_t> sent{0};
  std::atomic<std::uint64_t> resent{0};
  std::atomic<std::uint64_t> acknowledged{0};
  std::atomic<std::uint64_t> not_acknowledged{0};  // PUBACK with an error
  std::atomic<std::uint64_t> accepted{0};          // replies
  std::atomic<std::uint64_t> rejected{0};
  std::atomic<std::uint64_t> held_back{0};  // a report was due while the one before was not acknowledged
  std::atomic<std::uint64_t> disconnected{0};
  std::atomic<std::uint64_t> refused{0};      // by CONNACK, or by TLS after the handshake
  std::atomic<std::uint64_t> unreachable{0};  // no connection, or no handshake
};

// Where the lines go: --acked and --events.
struct Outputs {
  std::unique_ptr<std::ofstream> acked;
  std::unique_ptr<std::ofstream> events_file;
  std::ostream* events = nullptr;
};

class Fleet {
 public:
  // Reads the folders of the devices. Errors say which file is missing.
  static fleetward::Result<std::unique_ptr<Fleet>> load(fleetward::async::Scheduler& scheduler, const Options& options,
                                                        Outputs outputs);
  ~Fleet();

  void start();
  void begin_stop();  // every device says goodbye and closes
  [[nodiscard]] bool all_closed() const;
  void flush();

  [[nodiscard]] const Counters& counters() const { return counters_; }
  [[nodiscard]] std::size_t size() const { return devices_.size(); }
  [[nodiscard]] fleetward::json::Value summary() const;

  // For devices.
  [[nodiscard]] fleetward::async::Scheduler& scheduler() { return scheduler_; }
  [[nodiscard]] const Options& options() const { return options_; }
  [[nodiscard]] const std::string& ca_pem() const { return ca_pem_; }
  [[nodiscard]] Counters& count() { return counters_; }
  [[nodiscard]] bool stopping() const { return stopping_; }
  void write_acknowledged(const std::string& thing, std::int64_t report_id);
  // `event` gets "time" (ms) added; written at once.
  void write_event(fleetward::json::Value event);

 private:
  Fleet(fleetward::async::Scheduler& scheduler, const Options& options, Outputs outputs);
  void infect();
  void flush_regularly();

  fleetward::async::Scheduler& scheduler_;
  Options options_;
  Outputs outputs_;
  std::string ca_pem_;
  Counters counters_;
  std::vector<std::unique_ptr<Device>> devices_;
  bool stopping_ = false;
};

}  // namespace fleetsim
