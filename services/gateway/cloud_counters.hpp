// Cloud-side metrics of devices (reference section 2), counted and handed out as numbered deltas. Pure; the gateway's
// thread.
//
// A device's counters stay while it is connected or has something to tell; then they go, but for the sequence number.
#pragma once

#include <functional>
#include <string>
#include <unordered_map>

#include "fleet/device_records.hpp"

namespace fleetward::gateway {

class CloudCounters {
 public:
  CloudCounters(std::string gateway, std::int64_t start_number)
      : gateway_(std::move(gateway)), start_number_(start_number) {}

  void connection_attempt(const std::string& thing, const std::string& address);
  void connected(const std::string& thing, const std::string& thing_id);
  void disconnected(const std::string& thing);
  void message_sent(const std::string& thing, std::size_t bytes);  // by the device
  void message_received(const std::string& thing);                 // by the device
  void authorization_failure(const std::string& thing);

  using Emit = std::function<void(const std::string& thing, const std::string& thing_id, const fleet::CloudMetrics&)>;
  // What has gathered, of the devices that are due: urgent ones (connect, disconnect, refusal) at once, others when
  // `every` has passed since their last.
  void emit_due(Instant now, Millis every, const Emit& emit);
  [[nodiscard]] bool has_urgent() const { return urgent_ > 0; }

 private:
  struct Device {
    std::string thing_id;
    fleet::CloudMetrics delta;
    std::int64_t sequence = 0;
    Instant last_emitted{};
    bool dirty = false;
    bool urgent = false;
  };
  Device& device(const std::string& thing) { return devices_[thing]; }
  void add(Device& d, const char* metric, double value);
  void make_urgent(Device& d);

  std::string gateway_;
  std::int64_t start_number_;
  std::unordered_map<std::string, Device> devices_;
  std::size_t urgent_ = 0;
};

}  // namespace fleetward::gateway
