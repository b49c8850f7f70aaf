// An operator's MQTT broker as a source: what it sends waits here until the bus has it, then it gets its PUBACKs.
#include <atomic>
#include <mutex>

#include "log/log.hpp"
#include "services/collector/sources.hpp"

namespace fleetward::collector {
namespace {

constexpr Millis wait_max{1'000};

Message message_of(const mqtt::Publish& packet, std::uint64_t connection, Instant now) {
  Message m;
  m.topic = packet.topic;
  m.payload = as_text(packet.payload);
  m.content_type = packet.properties.content_type.value_or("");
  for (const mqtt::UserProperty& p : packet.properties.user) m.headers.emplace_back(p.name, p.value);
  m.received = now;
  if (packet.qos > 0) m.packet_id = packet.packet_id;
  m.dup = packet.dup;
  m.connection = connection;
  return m;
}

class MqttSource final : public Source, public std::enable_shared_from_this<MqttSource> {
 public:
  MqttSource(MqttSourceConfig config, Surroundings& around, crypto::Random& random)
      : around_(around),
        delivery_({"mqtt", config.source.name}, config.source, around),
        client_config_(std::move(config.client)),
        random_(random),
        arrived_(around.scheduler),
        connected_(around.metrics.gauge("fleetward_collector_connected", "1 while the source is connected.",
                                        {{"source", delivery_.name().text()}})) {}

  Status start() override {
    client_ = std::make_shared<connect::MqttClient>(
        client_config_, around_.scheduler, random_,
        connect::MqttClient::Callbacks{
            [this](const mqtt::Publish& packet, std::uint64_t connection) { take(packet, connection); },
            [this](bool session_present) { session_present ? give_back() : release(); },
            [this](const Status& state) { on_state(state); }});
    client_->start();
    around_.scope.spawn("mqtt-source", run());
    return {};
  }

  void wake() override { arrived_.notify(); }
  void close() override {
    if (client_) client_->stop();
  }

  Delivery& delivery() override { return delivery_; }

  Status ready() const override {
    if (delivery_.is_stuck())
      return Error(ErrorCode::unavailable, delivery_.name().text() + ": the bus does not take more");
    const std::lock_guard lock(mutex_);
    if (why_.empty()) return {};
    return Error(ErrorCode::unavailable, delivery_.name().text() + ": " + why_);
  }

 private:
  // What was not being written yet when its connection ended is held: the broker sends it again, unless it has lost the
  // session.
  void hold() {
    std::deque<Message> waiting = std::exchange(waiting_, {});
    for (Message& m : waiting) {
      if (!m.packet_id) {
        waiting_.push_back(std::move(m));
        continue;
      }
      waiting_bytes_ -= m.bytes();
      held_.push_back(std::move(m));
    }
  }
  void give_back() {
    for (const Message& m : std::exchange(held_, {})) delivery_.give_back(m);
  }
  void release() {
    for (Message& m : std::exchange(held_, {})) {
      waiting_bytes_ += m.bytes();
      waiting_.push_back(std::move(m));
    }
    arrived_.notify();
  }

  void on_state(const Status& state) {
    if (!state) hold();
    connected_.set(state ? 1 : 0);
    const std::string why = state ? "" : state.error().message;
    const std::lock_guard lock(mutex_);
    if (why_ == why) return;
    why_ = why;
    if (state) log::info("source_connected", {{"source", delivery_.name().text()}});
    else log::warn("source_away", {{"source", delivery_.name().text()}, {"error", why}});
  }

  void take(const mqtt::Publish& packet, std::uint64_t connection) {
    if (packet.dup) give_back();  // the session was kept
    // Those of QoS 1 wait at the broker.
    if (packet.qos == 0 && is_full()) return delivery_.drop();
    Message m = message_of(packet, connection, around_.scheduler.now());
    waiting_bytes_ += m.bytes();
    waiting_.push_back(std::move(m));
    if (is_full()) client_->pause_reading();
    arrived_.notify();
  }
  [[nodiscard]] bool is_full() const {
    return waiting_bytes_ >= delivery_.config().limits.waiting_bytes_max ||
           client_->unacknowledged() > client_config_.session.receive_maximum;
  }

  std::vector<Message> take_batch() {
    std::vector<Message> batch;
    while (!waiting_.empty() && batch.size() < delivery_.config().limits.batch_messages_max) {
      waiting_bytes_ -= waiting_.front().bytes();
      batch.push_back(std::move(waiting_.front()));
      waiting_.pop_front();
    }
    return batch;
  }

  async::Task<void> run() {
    const auto self = shared_from_this();
    while (!around_.scope.stopping()) {
      if (waiting_.empty()) {
        co_await arrived_.wait(wait_max);
        continue;
      }
      std::vector<Message> batch = take_batch();
      std::vector<std::pair<std::uint64_t, std::uint16_t>> owed;
      for (const Message& m : batch) {
        if (m.packet_id) owed.emplace_back(m.connection, *m.packet_id);
      }
      const bool delivered = co_await delivery_.deliver(std::move(batch));
      if (!delivered) co_return;
      for (const auto& [connection, id] : owed) client_->acknowledge(connection, id);
      client_->flush();
      if (!is_full()) client_->resume_reading();
    }
  }

  Surroundings& around_;
  Delivery delivery_;
  connect::MqttClientConfig client_config_;
  crypto::Random& random_;
  async::Event arrived_;
  metrics::Gauge& connected_;
  std::shared_ptr<connect::MqttClient> client_;
  std::deque<Message> waiting_;
  std::vector<Message> held_;  // of a connection that has ended; at most what one had waiting
  std::size_t waiting_bytes_ = 0;
  mutable std::mutex mutex_;
  std::string why_ = "not connected yet";
};

}  // namespace

std::shared_ptr<Source> make_mqtt_source(MqttSourceConfig config, Surroundings& around, crypto::Random& random) {
  return std::make_shared<MqttSource>(std::move(config), around, random);
}

}  // namespace fleetward::collector
