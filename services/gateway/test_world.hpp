// A gateway with everything around it, for its tests: memory bus that can be made to fail, an authority, devices that
// speak MQTT over mutual TLS.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <future>

#include "bus/embedded_bus.hpp"
#include "fleet/cloud_event.hpp"
#include "fleet/topics.hpp"
#include "net/connection.hpp"
#include "pki/certificate.hpp"
#include "services/gateway/state.hpp"

namespace fleetward::gateway {

constexpr std::chrono::seconds patience{10};

inline bool eventually(const std::function<bool()>& is_so) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!is_so()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

// The bus behind it, but for what a test switches.
class FlakyBus final : public bus::Bus {
 public:
  explicit FlakyBus(std::unique_ptr<bus::Bus> inner) : inner_(std::move(inner)) {}

  Status ensure_topics(const std::vector<bus::TopicSpec>& topics) override { return inner_->ensure_topics(topics); }
  std::int32_t partition_count(std::string_view topic) const override { return inner_->partition_count(topic); }
  void append_batch(bus::Batch records, bus::AppendCallback done) override {
    const bool is_of_devices = records->front().topic == fleet::topic::devices;
    if (append_fails || (devices_fail && is_of_devices)) return done(Error(ErrorCode::unavailable, "the bus is away"));
    const std::lock_guard lock(mutex_);
    if (holding_) return held_.push_back({std::move(records), std::move(done)});
    inner_->append_batch(std::move(records), std::move(done));
  }
  Result<std::unique_ptr<bus::Consumer>> subscribe(async::Scheduler& s, bus::ConsumerOptions o) override {
    return inner_->subscribe(s, std::move(o));
  }
  Result<std::unique_ptr<bus::Reader>> read(async::Scheduler& s, std::string topic,
                                            std::vector<bus::Position> start) override {
    if (read_fails) return Error(ErrorCode::unavailable, "the bus is away");
    return inner_->read(s, std::move(topic), std::move(start));
  }
  async::Task<Result<std::vector<bus::PartitionRange>>> ranges(async::Scheduler& s, std::string topic) override {
    return inner_->ranges(s, std::move(topic));
  }
  async::Task<Result<std::vector<bus::Position>>> committed(async::Scheduler& s, std::string group,
                                                            std::string topic) override {
    return inner_->committed(s, std::move(group), std::move(topic));
  }

  // From now on appends wait until release(): nothing is durable meanwhile.
  void hold() {
    const std::lock_guard lock(mutex_);
    holding_ = true;
  }
  void release() {
    const std::lock_guard lock(mutex_);
    holding_ = false;
    for (auto& [records, done] : std::exchange(held_, {})) inner_->append_batch(std::move(records), std::move(done));
  }
  bool holds_any() {
    const std::lock_guard lock(mutex_);
    return !held_.empty();
  }
  std::atomic<bool> append_fails{false};
  std::atomic<bool> devices_fail{false};  // only what is appended to `devices`
  std::atomic<bool> read_fails{false};

 private:
  std::unique_ptr<bus::Bus> inner_;
  std::mutex mutex_;
  bool holding_ = false;
  std::vector<std::pair<bus::Batch, bus::AppendCallback>> held_;
};

struct Identity {
  std::string certificate_pem;
  std::string key_pem;
  std::string fingerprint;
};

class Authority {
 public:
  Authority() {
    const Instant now = std::chrono::time_point_cast<Millis>(std::chrono::system_clock::now());
    const auto root_key = *crypto::PrivateKey::generate();
    root_pem = *pki::make_root(root_key, "Test root", now, std::chrono::hours(24), random_);
    auto key = *crypto::PrivateKey::generate();
    const pki::Issuer root{root_key, root_pem};
    issuing_pem = *pki::make_issuing(root, key.public_key(), "Test issuing", now, std::chrono::hours(24), random_);
    issuer_.emplace(pki::Issuer{key, issuing_pem});
  }
  Identity make(pki::LeafRequest request) {
    const Instant now = std::chrono::time_point_cast<Millis>(std::chrono::system_clock::now());
    const auto key = *crypto::PrivateKey::generate();
    if (request.lifetime == Millis(0)) request.lifetime = std::chrono::hours(1);
    const std::string pem = *pki::issue(*issuer_, key.public_key(), request, now, random_);
    return {pem, key.to_pem(), pki::read_certificate(pem)->fingerprint};
  }
  Identity device(const std::string& thing) {
    return make({.purpose = pki::Purpose::device, .common_name = thing, .uris = {pki::thing_uri(thing)}});
  }
  Identity probe(const std::string& thing) {
    return make({.purpose = pki::Purpose::probe,
                 .common_name = thing,
                 .uris = {pki::probe_uri(thing)},
                 .lifetime = std::chrono::minutes(5)});
  }
  std::string root_pem, issuing_pem;

 private:
  crypto::SystemRandom random_;
  std::optional<pki::Issuer> issuer_;
};

struct Packet {
  mqtt::PacketType type{};
  std::uint8_t flags = 0;
  Bytes body;
  mqtt::Frame frame() const { return {type, flags, body, body}; }
};

// A device's side of a connection; its methods are for the test's thread and wait with a deadline.
class Client {
 public:
  Client(async::Scheduler& loop, std::uint16_t port, const std::string& root_pem, const Identity& who,
         mqtt::Version version)
      : loop_(loop), version_(version), state_(std::make_shared<State>()) {
    const auto tls = *net::TlsContext::for_client({root_pem, who.certificate_pem, who.key_pem, "127.0.0.1", {}});
    async::run_on(loop_, [&] {
      net::Connection::Callbacks callbacks;
      callbacks.open = [s = state_](const net::TlsInfo&) { s->is_open = true; };
      callbacks.data = [s = state_](ByteView bytes) { s->take(bytes); };
      callbacks.closed = [s = state_](const Error&) { s->is_closed = true; };
      connection_ = net::connect(loop_, {"127.0.0.1", port}, tls, std::move(callbacks));
    });
  }
  ~Client() {
    async::run_on(loop_, [this] { connection_->abort(); });
    async::run_on(loop_, [this] { connection_.reset(); });
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool opened() const {
    return eventually([&] { return state_->is_open || state_->is_closed; }) && state_->is_open;
  }
  void send(std::string bytes) {
    async::run_on(loop_, [&] { connection_->write(bytes); });
  }
  std::optional<Packet> next() const {
    std::optional<Packet> out;
    eventually([&] { return (out = state_->pop()).has_value() || (state_->is_closed && state_->is_empty()); });
    return out;
  }
  // The next packet, which must be of that type.
  Packet expect(mqtt::PacketType type) const {
    const auto packet = next();
    EXPECT_TRUE(packet.has_value()) << "the connection was closed";
    if (!packet) return {};
    EXPECT_EQ(packet->type, type);
    return *packet;
  }
  // Closed by the gateway, without another word.
  bool is_closed_silently() const {
    return eventually([&] { return state_->is_closed.load(); }) && state_->is_empty();
  }
  // CONNECT and the code of its answer; -1 when there was none.
  int connect(const std::string& client_id) {
    if (!opened()) return -1;
    send(mqtt::encode_connect({version_, client_id, 60, true}));
    const auto packet = next();
    mqtt::Failure failure;
    if (!packet || packet->type != mqtt::PacketType::connack) return -1;
    const auto answer = mqtt::decode_connack(packet->frame(), version_, failure);
    facts.clear();
    if (!answer) return -1;
    for (const auto& p : answer->properties.user) facts[std::string(p.name)] = std::string(p.value);
    return answer->code;
  }
  int subscribe(const std::string& filter) {
    send(mqtt::encode_subscribe(version_, 9, filter, 1));
    const Packet answer = expect(mqtt::PacketType::suback);
    return answer.body.empty() ? -1 : answer.body.back();
  }
  void publish(const std::string& topic, const std::string& payload, std::uint16_t id, std::uint8_t qos = 1) {
    send(mqtt::encode_publish(version_, topic, payload, qos, id));
  }
  // True when the session answers and nothing else came before.
  bool is_alive() {
    send(mqtt::encode_pingreq());
    const auto packet = next();
    return packet && packet->type == mqtt::PacketType::pingresp;
  }
  // The reason of the DISCONNECT that ended it in 5; a bare close in 3.1.1.
  void expect_cut(std::uint8_t reason_code) {
    if (version_ == mqtt::Version::v5) {
      const Packet packet = expect(mqtt::PacketType::disconnect);
      EXPECT_EQ(packet.body.empty() ? mqtt::reason::success : packet.body[0], reason_code);
    }
    EXPECT_TRUE(is_closed_silently());
  }

  std::map<std::string, std::string> facts;  // user properties of the CONNACK

 private:
  struct State {
    std::mutex mutex;
    Bytes buffer;
    std::deque<Packet> packets;
    std::atomic<bool> is_open{false}, is_closed{false};

    void take(ByteView bytes) {
      const std::lock_guard lock(mutex);
      buffer.insert(buffer.end(), bytes.begin(), bytes.end());
      mqtt::Failure failure;
      while (const auto frame = mqtt::next_frame(buffer, 1 << 20, failure)) {
        packets.push_back({frame->type, frame->flags, Bytes(frame->body.begin(), frame->body.end())});
        buffer.erase(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(frame->whole.size()));
      }
    }
    std::optional<Packet> pop() {
      const std::lock_guard lock(mutex);
      if (packets.empty()) return std::nullopt;
      Packet first = std::move(packets.front());
      packets.pop_front();
      return first;
    }
    bool is_empty() {
      const std::lock_guard lock(mutex);
      return packets.empty();
    }
  };

  async::Scheduler& loop_;
  mqtt::Version version_;
  std::shared_ptr<State> state_;
  std::shared_ptr<net::Connection> connection_;
};

class GatewayTest : public ::testing::TestWithParam<mqtt::Version> {
 protected:
  void SetUp() override {
    std::vector<bus::TopicSpec> topics;
    for (const fleet::TopicInfo& t : fleet::all_topics) {
      topics.push_back({std::string(t.name), 1, t.is_table ? bus::TopicKind::table : bus::TopicKind::log, Millis(0)});
    }
    ASSERT_TRUE(bus_.ensure_topics(topics).ok());
    const Identity server =
        authority_.make({.purpose = pki::Purpose::server, .common_name = "gateway", .ip_addresses = {"127.0.0.1"}});
    config_.address = "127.0.0.1";
    config_.port = 0;
    config_.instance = "gw";
    // Rates have tests of their own; here all come from one address, and often.
    ConnectionLimits& limits = config_.connection_limits;
    limits.connections = limits.address_connections = limits.address_failures = limits.device_connections = {};
    config_.certificate_chain_pem = server.certificate_pem + authority_.issuing_pem;
    config_.private_key_pem = server.key_pem;
    config_.client_ca_pem = authority_.issuing_pem + authority_.root_pem;
    auto signers = std::make_shared<access::Signers>();
    ASSERT_TRUE(signers->add("responder", responder_key_.public_key()).ok());
    ASSERT_TRUE(signers->add("pki", pki_key_.public_key()).ok());
    config_.signers = std::move(signers);
    dev1_ = enrol("dev1");
    dev2_ = enrol("dev2");
  }
  void TearDown() override {
    bus_.release();
    bus_.append_fails = bus_.devices_fail = false;
    if (gateway_) gateway_->stop(Millis(6000));
    gateway_.reset();
  }

  // While the bus takes nothing: its goodbye is heard by nobody, so it may go by its snapshot when it comes back.
  void stop_unheard() {
    bus_.append_fails = bus_.read_fails = true;
    auto& retries = metrics_.counter("fleetward_gateway_append_retries_total", "");
    EXPECT_TRUE(eventually([&] { return retries.value() > 0; }));
    gateway_->stop(Millis(1000));
    gateway_.reset();
    bus_.append_fails = false;
  }
  void start() {
    gateway_ = std::make_unique<Gateway>(config_, bus_, gateway_loop_, metrics_);
    ASSERT_TRUE(gateway_->start().ok());
    ASSERT_TRUE(eventually([&] { return gateway_->ready().ok(); }));
  }
  std::unique_ptr<Client> client(const Identity& who) { return client(who, GetParam()); }
  std::unique_ptr<Client> client(const Identity& who, mqtt::Version version) {
    return std::make_unique<Client>(client_loop_, gateway_->port(), authority_.root_pem, who, version);
  }

  void append(std::string_view topic, const std::string& key, const json::Value& data, std::int64_t version) {
    const fleet::CloudEvent event{fmt::format("{}-{}", key, version), "/test", "t", key, Instant{}, data};
    const std::string value = fleet::to_json_text(event);
    bus::Headers headers{{fleet::header::version, std::to_string(version)}};
    if (access::is_signed_topic(topic)) {
      const auto signature = responder_key_.sign({topic, key, std::to_string(version), value});
      headers.push_back({fleet::header::signature, *signature});
    }
    append_record({std::string(topic), key, value, std::move(headers), std::nullopt});
  }
  void append_record(bus::OutRecord record) {
    std::promise<bool> done;
    bus_.append({std::move(record)}, [&done](const auto& result) { done.set_value(result.ok()); });
    ASSERT_TRUE(done.get_future().get());
  }
  fleet::CertificateRecord certificate_record(const Identity& who, const std::string& thing,
                                              fleet::CertificateStatus status, std::int64_t version) {
    fleet::CertificateRecord r;
    r.fingerprint = who.fingerprint;
    r.thing = thing;
    r.thing_id = "id-" + thing;
    r.issuer = pki::read_certificate(authority_.issuing_pem)->fingerprint;
    r.serial = "01";
    r.status = status;
    r.not_after = std::chrono::time_point_cast<Millis>(std::chrono::system_clock::now()) + std::chrono::hours(1);
    r.version = version;
    return r;
  }
  void set_certificate(const Identity& who, const std::string& thing, fleet::CertificateStatus status,
                       std::int64_t version) {
    append(fleet::topic::certificates, who.fingerprint, to_json(certificate_record(who, thing, status, version)),
           version);
  }
  Identity enrol(const std::string& thing) {
    const Identity who = authority_.device(thing);
    set_certificate(who, thing, fleet::CertificateStatus::active, 1);
    return who;
  }
  void hold(const std::string& thing, std::optional<fleet::HoldLevel> level, std::int64_t version) {
    fleet::AccessRecord r;
    r.thing = thing;
    r.thing_id = "id-" + thing;
    r.version = version;
    if (level) r.holds.push_back({"action-1", *level, "test", "responder", Instant{}, Instant{}});
    append(fleet::topic::access, thing, to_json(r), version);
  }

  async::Task<void> read_whole(std::string topic, std::promise<std::vector<bus::Record>>& out) {
    std::vector<bus::Record> all;
    auto reader = bus::read_all(bus_, client_loop_, std::move(topic));
    while (reader && !(*reader)->caught_up()) {
      auto some = co_await (*reader)->poll(1000, Millis(0));
      if (!some) break;
      all.insert(all.end(), some->begin(), some->end());
    }
    if (reader) reader->reset();
    out.set_value(std::move(all));
  }
  std::vector<bus::Record> records(std::string_view topic) {
    std::promise<std::vector<bus::Record>> out;
    async::Scope scope(client_loop_, "read");
    scope.spawn("read", read_whole(std::string(topic), out));
    auto all = out.get_future().get();
    EXPECT_TRUE(scope.join(Millis(5000)));
    return all;
  }
  std::vector<bus::Record> reports() {
    auto all = records(fleet::topic::devices);
    std::erase_if(all, [](const bus::Record& r) { return bus::find_header(r.headers, "fw-kind") != "report"; });
    return all;
  }
  // A cloud-side metric of the thing, summed over all deltas so far.
  double cloud_sum(const std::string& thing, const std::string& metric) {
    double sum = 0;
    std::int64_t sequence = 0;
    for (const bus::Record& r : records(fleet::topic::devices)) {
      if (r.key != thing || bus::find_header(r.headers, "fw-kind") == "report") continue;
      const auto delta = fleet::cloud_metrics_from_json(*json::parse(*r.value));
      EXPECT_TRUE(delta.ok());
      EXPECT_GT(delta->sequence, sequence);
      sequence = delta->sequence;
      if (delta->metrics.contains(metric)) sum += delta->metrics.at(metric).sum;
    }
    return sum;
  }
  // Table records that the gateway says it did not go by.
  std::vector<fleet::RefusedRecord> refused() {
    std::vector<fleet::RefusedRecord> out;
    for (const bus::Record& r : records(fleet::topic::enforcement)) {
      const auto event = fleet::parse_cloud_event(*r.value);
      if (event->type != fleet::event_type::refused_record) continue;
      const auto parsed = fleet::refused_record_from_json(event->data);
      EXPECT_TRUE(parsed.ok());
      out.push_back(*parsed);
    }
    return out;
  }
  std::vector<fleet::EnforcementEvent> events() {
    std::vector<fleet::EnforcementEvent> out;
    for (const bus::Record& r : records(fleet::topic::enforcement)) {
      const auto event = fleet::parse_cloud_event(*r.value);
      if (event->type == fleet::event_type::refused_record) continue;
      const auto parsed = fleet::enforcement_event_from_json(event->data);
      EXPECT_TRUE(parsed.ok());
      out.push_back(*parsed);
    }
    return out;
  }
  std::optional<fleet::EnforcementEvent> event_of(fleet::EnforcementKind kind) {
    std::optional<fleet::EnforcementEvent> found;
    eventually([&] {
      for (const auto& e : events()) {
        if (e.kind == kind) found = e;
      }
      return found.has_value();
    });
    return found;
  }
  static std::string report_topic(const std::string& thing) {
    return fmt::format("$aws/things/{}/defender/metrics/json", thing);
  }
  static std::string report(int id) {
    return fmt::format(R"({{"header":{{"report_id":{},"version":"1.0"}},"metrics":{{"listening_tcp_ports":{{)"
                       R"("ports":[{{"port":22}}],"total":1}}}}}})",
                       id);
  }
  int banned() const { return GetParam() == mqtt::Version::v5 ? mqtt::reason::banned : 5; }
  int not_authorized() const { return GetParam() == mqtt::Version::v5 ? mqtt::reason::not_authorized : 5; }

  metrics::Registry metrics_;
  Counters counters_{metrics_};
  async::LoopThread bus_loop_{"bus"};
  async::LoopThread gateway_loop_{"gateway"};
  async::LoopThread client_loop_{"clients"};
  FlakyBus bus_{bus::make_memory_bus(bus_loop_, metrics_)};
  Authority authority_;
  const access::RecordKey responder_key_{*crypto::PrivateKey::generate()};  // by which append() signs
  const access::RecordKey pki_key_{*crypto::PrivateKey::generate()};
  GatewayConfig config_;
  Identity dev1_, dev2_;
  std::unique_ptr<Gateway> gateway_;
};

// With a folder of its own, in which the gateway keeps its tables.
class SnapshotOfGatewayTest : public GatewayTest {
 protected:
  void SetUp() override {
    GatewayTest::SetUp();
    folder_ = std::filesystem::temp_directory_path() / fmt::format("fw_gateway_{}_{}", ::getpid(), counter_++);
    config_.snapshot_folder = folder_.string();
  }
  void TearDown() override {
    GatewayTest::TearDown();
    std::filesystem::remove_all(folder_);
  }
  std::filesystem::path folder_;
  static inline int counter_ = 0;
};

}  // namespace fleetward::gateway
