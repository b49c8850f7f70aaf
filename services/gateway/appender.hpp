// Brings records to the bus in batches, in order, and says when each is durable.
//
// A batch that could not be written is tried again until it is or the gateway ends: order is kept, nothing is
// acknowledged meanwhile. The gateway's thread. Limit: the owner looks at bytes_in_flight() and stops reading sockets.
#pragma once

#include <functional>
#include <vector>

#include "async/scope.hpp"
#include "bus/bus.hpp"
#include "metrics/metrics.hpp"

namespace fleetward::gateway {

class Appender : public std::enable_shared_from_this<Appender> {
 public:
  Appender(bus::Bus& bus, async::Scheduler& scheduler, metrics::Registry& metrics);

  // `durable` may be empty; it is not called when the gateway ends first.
  void append(bus::OutRecord record, std::function<void()> durable);
  [[nodiscard]] std::size_t bytes_in_flight() const { return bytes_; }
  [[nodiscard]] bool is_idle() const { return waiting_.empty() && !busy_; }
  [[nodiscard]] bool is_failing() const { return failing_; }
  std::function<void()> on_progress;  // after each batch
  void end() { ended_ = true; }

 private:
  struct Item {
    bus::OutRecord record;
    std::function<void()> durable;
    std::size_t bytes = 0;
  };
  void pump();
  void write();
  void on_written(const Status& written);

  bus::Bus& bus_;
  async::Scheduler& scheduler_;
  metrics::Counter& retries_;
  std::vector<Item> waiting_;
  std::vector<Item> batch_;
  std::size_t bytes_ = 0;
  bool busy_ = false;
  bool pump_posted_ = false;
  bool failing_ = false;
  bool ended_ = false;
};

}  // namespace fleetward::gateway
