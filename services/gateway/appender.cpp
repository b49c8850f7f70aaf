#include "services/gateway/appender.hpp"

#include "fleet/topics.hpp"
#include "log/log.hpp"

namespace fleetward::gateway {
namespace {

constexpr Millis pause_after_failure{200};

// A write that failed may be there all the same; and whoever sent what waits behind it may lose patience and send it
// again to another gateway, from where it is on the bus sooner. A report that a detector can tell apart by its packet
// id is marked as sent again, so that it counts once.
void mark(bus::OutRecord& record) {
  const bool has_id = bus::find_header(record.headers, fleet::header::packet_id).has_value();
  if (!has_id || bus::find_header(record.headers, fleet::header::dup)) return;
  record.headers.push_back({fleet::header::dup, "1"});
}

}  // namespace

Appender::Appender(bus::Bus& bus, async::Scheduler& scheduler, metrics::Registry& metrics)
    : bus_(bus),
      scheduler_(scheduler),
      retries_(metrics.counter("fleetward_gateway_append_retries_total",
                               "Batches that the bus did not take at the first try.")) {}

void Appender::append(bus::OutRecord record, Receipt receipt) {
  if (failing_) mark(record);
  bytes_waiting_ += record.key.size() + (record.value ? record.value->size() : 0) + 256;
  waiting_.push_back(std::move(record));
  receipts_waiting_.push_back(std::move(receipt));
  pump();
}

void Appender::pump() {
  if (busy_ || waiting_.empty() || std::exchange(pump_posted_, true)) return;
  // Everything that came in this turn of the loop is one batch.
  scheduler_.post([self = shared_from_this()] {
    self->pump_posted_ = false;
    if (self->busy_ || self->waiting_.empty() || self->ended_) return;
    self->busy_ = true;
    self->writing_ = std::make_shared<const std::vector<bus::OutRecord>>(std::exchange(self->waiting_, {}));
    self->receipts_writing_ = std::exchange(self->receipts_waiting_, {});
    self->bytes_writing_ = std::exchange(self->bytes_waiting_, 0);
    self->waiting_.reserve(self->writing_->size());  // the next one is likely to be as large
    self->receipts_waiting_.reserve(self->writing_->size());
    self->write();
  });
}

void Appender::write() {
  bus_.append_batch(writing_, [self = shared_from_this()](const Result<std::vector<bus::Position>>& result) {
    const Status written = result.ok() ? Status() : Status(result.error());
    self->scheduler_.post([self, written] { self->on_written(written); });
  });
}

void Appender::mark_as_sent_again() {
  std::vector<bus::OutRecord> again = *writing_;
  for (bus::OutRecord& record : again) mark(record);
  writing_ = std::make_shared<const std::vector<bus::OutRecord>>(std::move(again));
}

void Appender::on_written(const Status& written) {
  if (ended_) return;
  if (!written) {
    retries_.add();
    if (!std::exchange(failing_, true)) {
      log::error("bus_unavailable", {{"error", written.error().message}});
      mark_as_sent_again();
      for (bus::OutRecord& record : waiting_) mark(record);
    }
    scheduler_.call_after(pause_after_failure, [self = shared_from_this()] {
      if (!self->ended_) self->write();
    });
    return;
  }
  if (std::exchange(failing_, false)) log::info("bus_available_again", {});
  writing_.reset();
  bytes_writing_ = 0;
  busy_ = false;
  for (const Receipt& receipt : std::exchange(receipts_writing_, {})) {
    if (receipt.to) receipt.to->on_durable(receipt);
  }
  pump();
  if (on_progress) on_progress();
}

}  // namespace fleetward::gateway
