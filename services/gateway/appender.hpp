// Brings records to the bus in batches, in order, and says when each is durable.
//
// A batch that could not be written is tried again until it is or the gateway ends: order is kept, nothing is
// acknowledged meanwhile. The gateway's thread. Limit: the owner looks at bytes_in_flight() and stops reading sockets.
#pragma once

#include <functional>
#include <vector>

#include "access/topic_policy.hpp"
#include "async/scope.hpp"
#include "bus/bus.hpp"
#include "metrics/metrics.hpp"

namespace fleetward::gateway {

struct Receipt;

class Reporter {
 public:
  virtual ~Reporter() = default;
  virtual void on_durable(const Receipt& receipt) = 0;
};

// What is owed to whom for a report, once it is durable. Nothing without `to`.
struct Receipt {
  std::shared_ptr<Reporter> to;
  std::uint16_t packet_id = 0;  // 0: QoS 0
  access::TopicUse use = access::TopicUse::report_json;
  std::string reply;  // empty: nobody listens
};

class Appender : public std::enable_shared_from_this<Appender> {
 public:
  Appender(bus::Bus& bus, async::Scheduler& scheduler, metrics::Registry& metrics);

  // The receipt is not handed out when the gateway ends first.
  void append(bus::OutRecord record, Receipt receipt);
  [[nodiscard]] std::size_t bytes_in_flight() const { return bytes_waiting_ + bytes_writing_; }
  [[nodiscard]] bool is_idle() const { return waiting_.empty() && !busy_; }
  [[nodiscard]] bool is_failing() const { return failing_; }
  std::function<void()> on_progress;  // after each batch
  void end() { ended_ = true; }

 private:
  void pump();
  void write();
  void on_written(const Status& written);
  void mark_as_sent_again();

  bus::Bus& bus_;
  async::Scheduler& scheduler_;
  metrics::Counter& retries_;
  std::vector<bus::OutRecord> waiting_;
  std::vector<Receipt> receipts_waiting_;
  std::size_t bytes_waiting_ = 0;
  bus::Batch writing_;
  std::vector<Receipt> receipts_writing_;
  std::size_t bytes_writing_ = 0;
  bool busy_ = false;
  bool pump_posted_ = false;
  bool failing_ = false;
  bool ended_ = false;
};

}  // namespace fleetward::gateway
