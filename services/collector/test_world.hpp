// A collector with everything around it, for its tests: our bus, which can be made to fail or to wait, a store with
// things, an operator's cluster, and a broker that says what a test tells it to.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "async/eventually.hpp"
#include "bus/embedded_bus.hpp"
#include "fleet/cloud_event.hpp"
#include "fleet/dead_letter.hpp"
#include "fleet/gateway_events.hpp"
#include "fleet/topics.hpp"
#include "mqtt/decode.hpp"
#include "mqtt/encode.hpp"
#include "repository/registry_repository.hpp"
#include "repository/store_fixture.hpp"
#include "services/collector/collector.hpp"

namespace fleetward::collector {

constexpr std::chrono::seconds patience{20};

inline std::string report(int id) {
  return fmt::format(
      R"({{"header":{{"report_id":{},"version":"1.0"}},"metrics":{{"network_stats":{{"bytes_in":5}}}}}})", id);
}

// The bus behind it, but for what a test switches.
class FlakyBus final : public bus::Bus {
 public:
  explicit FlakyBus(std::unique_ptr<bus::Bus> inner) : inner_(std::move(inner)) {}
  Status ensure_topics(const std::vector<bus::TopicSpec>& topics) override { return inner_->ensure_topics(topics); }
  std::int32_t partition_count(std::string_view topic) const override { return inner_->partition_count(topic); }
  void append_batch(bus::Batch records, bus::AppendCallback done) override {
    if (fails) return done(Error(ErrorCode::unavailable, "the bus is away"));
    // It was written, but nobody heard so.
    if (loses_answers)
      return inner_->append_batch(std::move(records),
                                  [done](const auto&) { done(Error(ErrorCode::unavailable, "no answer")); });
    inner_->append_batch(std::move(records), std::move(done));
  }
  Result<std::unique_ptr<bus::Consumer>> subscribe(async::Scheduler& s, bus::ConsumerOptions o) override {
    return inner_->subscribe(s, std::move(o));
  }
  Result<std::unique_ptr<bus::Reader>> read(async::Scheduler& s, std::string topic,
                                            std::vector<bus::Position> start) override {
    return inner_->read(s, std::move(topic), std::move(start));
  }
  async::Task<Result<std::vector<bus::PartitionRange>>> ranges(async::Scheduler& s, std::string topic) override {
    return inner_->ranges(s, std::move(topic));
  }
  async::Task<Result<std::vector<bus::Position>>> committed(async::Scheduler& s, std::string group,
                                                            std::string topic) override {
    return inner_->committed(s, std::move(group), std::move(topic));
  }
  std::atomic<bool> fails{false};
  std::atomic<bool> loses_answers{false};

 private:
  std::unique_ptr<bus::Bus> inner_;
};

// A broker for one client at a time: takes CONNECT and SUBSCRIBE, sends what it is told to, notes the PUBACKs.
class Broker {
 public:
  explicit Broker(async::Scheduler& scheduler, std::uint16_t at = 0) : scheduler_(scheduler) {
    async::run_on(scheduler_, [this, at] {
      auto opened = net::Listener::open(scheduler_, {"127.0.0.1", at}, nullptr,
                                        [this](std::shared_ptr<net::Connection> c) { accept(std::move(c)); });
      EXPECT_TRUE(opened.ok());
      listener_ = std::move(*opened);
      port = listener_->port();
    });
  }
  ~Broker() {
    async::run_on(scheduler_, [this] {
      drop();
      listener_.reset();
    });
  }
  void publish(const std::string& topic, const std::string& payload, std::uint16_t packet_id, bool dup = false) {
    async::run_on(scheduler_, [&] {
      const std::uint8_t qos = packet_id == 0 ? 0 : 1;
      connection_->write(mqtt::encode_publish(mqtt::Version::v5, topic, payload, qos, packet_id, dup));
    });
  }
  void cut() {
    async::run_on(scheduler_, [this] { drop(); });
  }
  std::vector<std::uint16_t> acknowledged() {
    std::vector<std::uint16_t> out;
    async::run_on(scheduler_, [&] { out = acknowledged_; });
    return out;
  }
  std::uint16_t port = 0;
  std::atomic<int> subscriptions{0};
  std::atomic<bool> keeps_sessions{true};

 private:
  void accept(std::shared_ptr<net::Connection> connection) {
    drop();
    connection_ = std::move(connection);
    buffer_.clear();
    net::Connection::Callbacks callbacks;
    callbacks.open = [](const net::TlsInfo&) {};
    callbacks.data = [this](ByteView bytes) { on_data(bytes); };
    callbacks.closed = [](const Error&) {};
    connection_->set_callbacks(std::move(callbacks));
  }
  void drop() {
    if (!connection_) return;
    connection_->set_callbacks({});
    connection_->abort();
    connection_.reset();
  }
  void on_data(ByteView bytes) {
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
    mqtt::Failure failure;
    while (const auto frame = mqtt::next_frame(buffer_, 1 << 20, failure)) {
      if (frame->type == mqtt::PacketType::connect)
        connection_->write(std::string_view(keeps_sessions ? "\x20\x03\x01\x00\x00" : "\x20\x03\x00\x00\x00", 5));
      if (frame->type == mqtt::PacketType::subscribe) {
        const std::uint8_t granted[] = {1};
        connection_->write(mqtt::encode_suback(
            mqtt::Version::v5, mqtt::decode_subscribe(*frame, mqtt::Version::v5, failure)->packet_id, granted));
        ++subscriptions;
      }
      if (frame->type == mqtt::PacketType::puback)
        acknowledged_.push_back(mqtt::decode_acknowledgement(*frame, mqtt::Version::v5, failure)->packet_id);
      buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(frame->whole.size()));
    }
  }

  async::Scheduler& scheduler_;
  std::unique_ptr<net::Listener> listener_;
  std::shared_ptr<net::Connection> connection_;
  Bytes buffer_;
  std::vector<std::uint16_t> acknowledged_;
};

class CollectorTest : public repository::StoreFixture<> {
 protected:
  void SetUp() override {
    StoreFixture::SetUp();
    auto ours = bus::open_embedded_bus(folder_ + "/bus.db", metrics_);
    ASSERT_TRUE(ours.ok());
    bus_ = std::make_unique<FlakyBus>(std::move(*ours));
    const auto log = [](std::string_view name, std::int32_t partitions) {
      return bus::TopicSpec{std::string(name), partitions, bus::TopicKind::log, Millis(0)};
    };
    ASSERT_TRUE(bus_->ensure_topics({log(fleet::topic::devices, 2),
                                     log(fleet::topic::dead_letters, 1),
                                     {std::string(fleet::topic::gateways), 1, bus::TopicKind::table, Millis(0)}})
                    .ok());
    auto theirs = bus::open_embedded_bus(folder_ + "/theirs.db", metrics_);
    ASSERT_TRUE(theirs.ok());
    cluster_ = std::move(*theirs);
    ASSERT_TRUE(cluster_->ensure_topics({log("telemetry", 2), log("more", 1)}).ok());
    ASSERT_TRUE(change([](store::Transaction& tx) -> Status {
                  for (const std::string name : {"dev1", "dev2"}) {
                    const auto made = repository::create_thing(tx, name, "id-" + name, "", {}, instant_from_ms(1));
                    if (!made) return made.error();
                  }
                  return {};
                }).ok());
  }
  void TearDown() override {
    stop();
    loop_.stop();
    cluster_.reset();
    bus_.reset();
    StoreFixture::TearDown();
  }

  static SourceConfig source(const std::string& name, std::string_view rule) {
    SourceConfig config;
    config.name = name;
    config.format.thing = *collect::ThingRule::parse(rule);
    return config;
  }
  KafkaSourceConfig kafka(SourceConfig config) {
    return {std::move(config),
            [cluster = cluster_]() -> Result<std::shared_ptr<bus::Bus>> { return cluster; },
            {"telemetry", "more"},
            "fleetward",
            "collector-1"};
  }
  MqttSourceConfig mqtt(SourceConfig config, std::uint16_t port) {
    MqttSourceConfig out{std::move(config), {}};
    out.client.broker = {"127.0.0.1", port};
    out.client.session.client_id = "collector-1";
    out.client.session.filters = {"$share/fleetward/devices/+/metrics"};
    out.client.pause_min = Millis(10);
    return out;
  }
  void start(CollectorConfig config) {
    config.heartbeat_every = Millis(50);
    collector_ = std::make_unique<Collector>(std::move(config), *bus_, *store_, loop_, metrics_, random_);
    const Status started = collector_->start();
    ASSERT_TRUE(started.ok()) << started.error().message;
  }
  void stop() {
    if (collector_) collector_->stop(Millis(10'000));
    collector_.reset();
  }

  void append(bus::Bus& to, std::vector<bus::OutRecord> records) {
    std::promise<bool> done;
    to.append(std::move(records), [&done](const auto& result) { done.set_value(result.ok()); });
    ASSERT_TRUE(done.get_future().get());
  }
  void produce(const std::string& key, const std::string& value, const std::string& topic = "telemetry") {
    append(*cluster_, {{topic, key, value, {}, std::nullopt}});
  }
  std::vector<bus::Record> records(bus::Bus& of, std::string_view topic) {
    std::promise<std::vector<bus::Record>> read;
    scope_.spawn("read", read_all(of, std::string(topic), read));
    return read.get_future().get();
  }
  std::vector<bus::Record> devices() { return records(*bus_, fleet::topic::devices); }
  std::vector<fleet::DeadLetter> letters() {
    std::vector<fleet::DeadLetter> out;
    for (const bus::Record& record : records(*bus_, fleet::topic::dead_letters)) {
      const auto event = fleet::parse_cloud_event(*record.value);
      EXPECT_TRUE(event.ok()) << event.error().message;
      const auto letter = fleet::dead_letter_from_json(event->data);
      EXPECT_TRUE(letter.ok()) << letter.error().message;
      EXPECT_EQ(record.key, letter->source);
      EXPECT_EQ(event->id, letter->id);
      out.push_back(*letter);
    }
    return out;
  }
  std::int64_t committed(const std::string& topic) {
    std::promise<std::int64_t> read;
    scope_.spawn("committed", sum_committed(*cluster_, topic, read));
    return read.get_future().get();
  }
  std::uint64_t counted(const std::string& source, const std::string& result) {
    return metrics_.counter("fleetward_collector_messages_total", "", {{"source", source}, {"result", result}}).value();
  }
  static bool eventually(const std::function<bool()>& holds) {
    return async::testing_support::eventually(holds, patience);
  }

  async::LoopThread loop_{"collector"};
  async::Scope scope_{loop_, "test"};
  crypto::SystemRandom random_;
  std::unique_ptr<FlakyBus> bus_;
  std::shared_ptr<bus::Bus> cluster_;
  std::unique_ptr<Collector> collector_;

 private:
  async::Task<void> read_all(bus::Bus& of, std::string topic, std::promise<std::vector<bus::Record>>& out) {
    std::vector<bus::Record> all;
    auto reader = bus::read_all(of, loop_, std::move(topic));
    EXPECT_TRUE(reader.ok());
    while (!(*reader)->caught_up()) {
      auto some = co_await (*reader)->poll(1'000, Millis(100));
      EXPECT_TRUE(some.ok());
      for (bus::Record& record : *some) all.push_back(std::move(record));
    }
    out.set_value(std::move(all));
  }
  async::Task<void> sum_committed(bus::Bus& of, std::string topic, std::promise<std::int64_t>& out) {
    const auto positions = co_await of.committed(loop_, "fleetward", std::move(topic));
    std::int64_t sum = 0;
    EXPECT_TRUE(positions.ok());
    for (const bus::Position& p : *positions) sum += p.offset;
    out.set_value(sum);
  }
};

inline std::string header_of(const bus::Record& record, std::string_view name) {
  return std::string(bus::find_header(record.headers, name).value_or("-"));
}

}  // namespace fleetward::collector
