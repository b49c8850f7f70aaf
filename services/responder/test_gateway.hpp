// A gateway as the responder's tests need one: follows `access` and `certificates`, says on `enforcement` what it
// applied, answers probes over mutual TLS, gives signs of life when it is told to, and can be told to lie. Lives on its
// own loop; the switches may be set from any thread.
#pragma once

#include <atomic>
#include <future>

#include "access/tables.hpp"
#include "bus/table_follower.hpp"
#include "fleet/cloud_event.hpp"
#include "fleet/gateway_events.hpp"
#include "fleet/topics.hpp"
#include "mqtt/server_session.hpp"
#include "net/connection.hpp"
#include "services/responder/test_authority.hpp"

namespace fleetward::responder::testing_support {

class TestGateway {
 public:
  TestGateway(bus::Bus& bus, TestAuthority& authority, std::string name) : instance(std::move(name)), bus_(bus) {
    const auto [pem, key] = authority.make(
        {.purpose = pki::Purpose::server, .common_name = "gateway", .ip_addresses = {"127.0.0.1"}}, now());
    net::TlsServerConfig tls;
    tls.certificate_chain_pem = pem + authority.issuing_pem();
    tls.private_key_pem = key.to_pem();
    tls.client_ca_pem = authority.issuing_pem() + authority.root_pem;
    tls.require_client_certificate = true;
    tls_ = *net::TlsContext::for_server(tls);
    async::run_on(loop_, [this] {
      follow(access_, fleet::topic::access, &TestGateway::on_access);
      follow(certificates_, fleet::topic::certificates, &TestGateway::on_certificate);
    });
    open();
    scope_.spawn("access", access_->run(scope_));
    scope_.spawn("certificates", certificates_->run(scope_));
  }
  ~TestGateway() {
    scope_.request_stop();
    close();
    async::run_on(loop_, [this] {
      access_->wake();
      certificates_->wake();
    });
    scope_.join(Millis(10'000));
    loop_.stop();
  }

  // A sign of life that holds for that long, or has held until so long ago.
  fleet::GatewayHeartbeat beat(Millis lease = std::chrono::hours(1), bool fail_closed = false, bool stopping = false) {
    fleet::GatewayHeartbeat h;
    async::run_on(loop_, [&] { h = heartbeat(); });
    h.lease_end = h.time + lease;
    h.fail_closed = fail_closed;
    h.stopping = stopping;
    std::promise<bool> done;
    bus_.append({record(fleet::topic::gateways, instance, to_json(h), h.time)},
                [&done](const auto& result) { done.set_value(result.ok()); });
    EXPECT_TRUE(done.get_future().get());
    return h;
  }
  void open() {
    async::run_on(loop_, [this] {
      listener_ = *net::Listener::open(loop_, {"127.0.0.1", port_.load()}, tls_,
                                       [this](const auto& connection) { serve(connection); });
      port_ = listener_->port();
    });
  }
  // Nobody listens there any more.
  void close() {
    async::run_on(loop_, [this] {
      if (listener_) listener_->close();
      listener_.reset();
      for (const auto& p : std::exchange(peers_, {})) p->connection->abort();
    });
  }

  const std::string instance;
  std::int64_t start_number = 1;                  // set before beat()
  std::atomic<bool> lets_in{false};               // everybody, whatever is held
  std::atomic<bool> refuses_all{false};           // everybody, held or not
  std::atomic<bool> has_session{false};           // of the thing, still
  std::atomic<bool> is_deaf{false};               // to access records: does not apply them
  std::atomic<bool> is_mute{false};               // says nothing on `enforcement`
  std::atomic<bool> beats_on_certificate{false};  // a sign of life after each that was read
  std::atomic<std::int64_t> lets_in_below{0};     // lets in until a record of that version is there
  std::atomic<int> probes{0};                     // of things that are held
  std::atomic<int> free_probes{0};                // of others

 private:
  struct Peer final : mqtt::ServerSession::Handler {
    Peer(TestGateway& g, std::shared_ptr<net::Connection> c)
        : gateway(g), connection(std::move(c)), session(*this, {}, g.loop_.steady_now()) {}
    void on_connect(const mqtt::Connect& packet) override { gateway.answer(*this, std::string(packet.client_id)); }
    void on_publish(const mqtt::Publish&) override {}
    std::uint8_t on_subscribe(std::string_view, std::uint8_t) override { return 0; }
    void on_unsubscribe(std::string_view) override {}
    void on_end(const mqtt::Failure&, bool) override {}
    TestGateway& gateway;
    std::shared_ptr<net::Connection> connection;
    mqtt::ServerSession session;
  };

  static bus::OutRecord record(std::string_view topic, const std::string& key, json::Value data, Instant at) {
    const fleet::CloudEvent event{fmt::format("{}-{}", key, to_ms(at)), "/test", "t", key, at, std::move(data)};
    return {std::string(topic), key, to_json_text(event), {}, std::nullopt};
  }
  static std::int64_t next_of(const bus::TableFollower& follower) {
    return follower.next_offsets().empty() ? 0 : follower.next_offsets().begin()->second;
  }
  fleet::GatewayHeartbeat heartbeat() const {
    fleet::GatewayHeartbeat h;
    h.instance = instance;
    h.start_number = start_number;
    h.enforcing = true;
    h.probe_host = "127.0.0.1";
    h.probe_port = port_;
    h.access_next_offset = next_of(*access_);
    h.certificates_next_offset = next_of(*certificates_);
    h.time = now();
    h.lease_end = h.time + std::chrono::hours(1);
    return h;
  }
  void follow(std::unique_ptr<bus::TableFollower>& follower, std::string_view topic,
              void (TestGateway::*apply)(const json::Value&)) {
    bus::TableFollower::Callbacks callbacks;
    callbacks.record = [this, apply](const bus::Record& r) {
      if (is_deaf || !r.value) return;
      (this->*apply)(fleet::parse_cloud_event(*r.value)->data);
    };
    if (topic == fleet::topic::certificates)
      callbacks.batch_end = [this] {
        const fleet::GatewayHeartbeat h = heartbeat();
        if (beats_on_certificate)
          bus_.append({record(fleet::topic::gateways, instance, to_json(h), h.time)}, [](const auto&) {});
      };
    follower = std::make_unique<bus::TableFollower>(bus_, loop_, std::string(topic),
                                                    std::string(fleet::header::version), std::move(callbacks));
  }

  void on_access(const json::Value& data) {
    const auto applied = fleet::access_record_from_json(data);
    if (!holds_.apply(*applied) || is_mute) return;
    fleet::EnforcementEvent e;
    e.id = fmt::format("{}-{}-{}", instance, applied->thing, applied->version);
    e.thing = applied->thing;
    e.thing_id = applied->thing_id;
    e.gateway = instance;
    e.start_number = start_number;
    e.access_version = applied->version;
    e.level = access::strictest(*applied);
    e.sessions_left = has_session ? 1 : 0;
    e.time = now();
    bus_.append({record(fleet::topic::enforcement, e.thing, to_json(e), e.time)}, [](const auto&) {});
  }
  void on_certificate(const json::Value&) {}

  void serve(const std::shared_ptr<net::Connection>& connection) {
    const auto peer = std::make_shared<Peer>(*this, connection);
    peers_.insert(peer);
    net::Connection::Callbacks callbacks;
    callbacks.open = [](const net::TlsInfo&) {};
    callbacks.data = [this, peer](ByteView bytes) {
      peer->session.feed(bytes, loop_.steady_now());
      if (peer->session.has_output()) peer->connection->write(peer->session.take_output());
      if (peer->session.ended()) peer->connection->close();
    };
    callbacks.closed = [this, peer](const Error&) { peers_.erase(peer); };
    connection->set_callbacks(std::move(callbacks));
  }

  void answer(Peer& peer, const std::string& thing) {
    const fleet::AccessRecord* held = holds_.find(thing);
    const std::int64_t version = held == nullptr ? 0 : held->version;
    const bool is_out = access::keeps_out(holds_.level(thing));
    (is_out ? probes : free_probes) += 1;
    const std::vector<std::pair<std::string, std::string>> facts = {
        {"fleetward-gateway", instance},
        {"fleetward-sessions", has_session ? "1" : "0"},
        {"fleetward-access-version", std::to_string(version)}};
    const bool in = lets_in || version < lets_in_below || !is_out;
    if (refuses_all || !in) return peer.session.refuse(mqtt::reason::banned, facts);
    peer.session.accept(facts);
    peer.session.disconnect(mqtt::reason::success);
  }

  bus::Bus& bus_;
  async::LoopThread loop_{"gateway"};
  async::Scope scope_{loop_, "gateway"};
  std::shared_ptr<const net::TlsContext> tls_;
  std::unique_ptr<net::Listener> listener_;
  std::atomic<std::uint16_t> port_{0};
  access::HoldTable holds_;
  std::unique_ptr<bus::TableFollower> access_, certificates_;
  std::set<std::shared_ptr<Peer>> peers_;
};

}  // namespace fleetward::responder::testing_support
