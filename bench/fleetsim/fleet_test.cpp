// The fleet against a small server over real TLS: acknowledged, cut, refused, sent again.
#include "fleet.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <future>
#include <map>
#include <set>
#include <sstream>

#include "mqtt/server_session.hpp"

namespace fleetsim {
namespace {

using fleetward::ByteView;
using fleetward::Error;
using fleetward::json::Value;
namespace fs = std::filesystem;
namespace async = fleetward::async;
namespace net = fleetward::net;
namespace mqtt = fleetward::mqtt;

std::string read(const fs::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// A folder with an authority, a server certificate and devices, made by the openssl program.
class Folder {
 public:
  explicit Folder(const std::vector<std::string>& things)
      : root_(testing::TempDir() + fmt::format("fleetsim_{}", getpid())) {
    fs::remove_all(root_);
    fs::create_directories(root_ / "devices");
    shell(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=ca -days 2 -keyout ca.key "
        "-out ca.crt -addext basicConstraints=critical,CA:TRUE");
    std::ofstream(root_ / "names") << "subjectAltName=DNS:localhost\n";
    issue("server", "server");
    for (const std::string& thing : things) issue(thing, "devices/" + thing);
  }
  ~Folder() { fs::remove_all(root_); }
  [[nodiscard]] fs::path path(const std::string& name) const { return root_ / name; }

 private:
  void shell(const std::string& command) {
    const std::string whole = fmt::format("cd '{}' && {} >/dev/null 2>&1", root_.string(), command);
    ASSERT_EQ(std::system(whole.c_str()), 0) << command;
  }
  void issue(const std::string& name, const std::string& folder) {
    fs::create_directories(root_ / folder);
    shell(fmt::format(
        "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={0} -keyout {1}/key.pem "
        "-out req && openssl x509 -req -in req -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names "
        "-out {1}/cert.pem",
        name, folder));
  }
  fs::path root_;
};

// What the small server does with a thing.
struct Behavior {
  bool refuse = false;                // CONNACK with banned
  std::size_t cut_after = 1'000'000;  // that many reports of it, the last not acknowledged: DISCONNECT 0x98
};

struct Received {
  std::string thing;
  std::string payload;
  bool dup = false;
  mqtt::Version version = mqtt::Version::v311;
};

class Server {
 public:
  explicit Server(const Folder& folder) : loop_("server") {
    auto tls = net::TlsContext::for_server({.certificate_chain_pem = read(folder.path("server/cert.pem")),
                                            .private_key_pem = read(folder.path("server/key.pem")),
                                            .client_ca_pem = read(folder.path("ca.crt")),
                                            .require_client_certificate = true});
    EXPECT_TRUE(tls.ok());
    async::run_on(loop_, [&] {
      auto opened =
          net::Listener::open(loop_, {"127.0.0.1", 0}, *tls,
                              [this](std::shared_ptr<net::Connection> connection) { accept(std::move(connection)); });
      EXPECT_TRUE(opened.ok());
      listener_ = std::move(*opened);
    });
  }
  ~Server() {
    async::run_on(loop_, [&] {
      for (const auto& client : clients_) {
        client->connection->set_callbacks({});
        client->connection->abort();
      }
      clients_.clear();
      listener_.reset();
    });
    loop_.stop();
  }

  [[nodiscard]] std::uint16_t port() const { return listener_->port(); }
  void set(const std::string& thing, Behavior behavior) {
    async::run_on(loop_, [&] { behaviors_[thing] = behavior; });
  }
  std::vector<Received> received() {
    std::vector<Received> copy;
    async::run_on(loop_, [&] { copy = received_; });
    return copy;
  }

 private:
  struct Client final : mqtt::ServerSession::Handler {
    Client(Server& s, std::shared_ptr<net::Connection> c)
        : server(s), connection(std::move(c)), session(*this, {}, s.loop_.steady_now()) {}
    void on_connect(const mqtt::Connect& packet) override {
      thing = packet.client_id;
      if (server.behaviors_[thing].refuse) {
        session.refuse(mqtt::reason::banned);
      } else {
        session.accept();
      }
    }
    void on_publish(const mqtt::Publish& packet) override {
      server.received_.push_back(
          {thing, std::string(fleetward::as_text(packet.payload)), packet.dup, session.version()});
      Behavior& behavior = server.behaviors_[thing];
      if (++server.counts_[thing] == behavior.cut_after) {
        session.disconnect(mqtt::reason::administrative_action);
      } else {
        session.acknowledge(packet.packet_id);
        session.publish(fmt::format("$aws/things/{}/defender/metrics/json/accepted", thing), "{}");
      }
    }
    std::uint8_t on_subscribe(std::string_view, std::uint8_t) override { return 0; }
    void on_unsubscribe(std::string_view) override {}
    void on_end(const mqtt::Failure&, bool) override {}

    Server& server;
    std::shared_ptr<net::Connection> connection;
    mqtt::ServerSession session;
    std::string thing;
  };

  void accept(std::shared_ptr<net::Connection> connection) {
    clients_.push_back(std::make_unique<Client>(*this, std::move(connection)));
    Client* client = clients_.back().get();
    client->connection->set_callbacks({.open = [](const net::TlsInfo&) {},
                                       .data =
                                           [this, client](ByteView bytes) {
                                             client->session.feed(bytes, loop_.steady_now());
                                             if (client->session.has_output()) {
                                               client->connection->write(client->session.take_output());
                                             }
                                             if (client->session.ended()) client->connection->close();
                                           },
                                       .closed = [](const Error&) {}});
  }

  async::LoopThread loop_;
  std::unique_ptr<net::Listener> listener_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::map<std::string, Behavior> behaviors_;
  std::map<std::string, std::size_t> counts_;
  std::vector<Received> received_;
};

class FleetTest : public testing::Test {
 protected:
  FleetTest() : folder_({"cam-1", "cam-2"}), server_(folder_), loop_("fleet") {}

  void start(std::vector<std::string> attacked = {}) {
    Options options{.host = "localhost",
                    .port = server_.port(),
                    .ca_file = folder_.path("ca.crt").string(),
                    .devices_dir = folder_.path("devices").string(),
                    .interval = Millis(50),
                    .backoff_min = Millis(50),
                    .backoff_max = Millis(100),
                    .attacked = std::move(attacked)};
    Outputs outputs;
    outputs.acked = std::make_unique<std::ofstream>(folder_.path("acked"));
    outputs.events_file = std::make_unique<std::ofstream>(folder_.path("events"));
    outputs.events = outputs.events_file.get();
    auto loaded = Fleet::load(loop_, options, std::move(outputs));
    ASSERT_TRUE(loaded.ok()) << loaded.error().message;
    fleet_ = std::move(*loaded);
    async::run_on(loop_, [&] { fleet_->start(); });
  }

  void TearDown() override {
    async::run_on(loop_, [&] {
      if (fleet_ != nullptr) fleet_->flush();
      fleet_.reset();
    });
    loop_.stop();
  }

  // Until `done`, at most ten seconds.
  static bool wait(const std::function<bool()>& done) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!done()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      usleep(5'000);
    }
    return true;
  }

  std::vector<Value> lines(const std::string& file) {
    // On the fleet's thread: so nothing is written while it is read.
    std::string content;
    async::run_on(loop_, [&] {
      fleet_->flush();
      content = read(folder_.path(file));
    });
    std::vector<Value> all;
    std::istringstream text(content);
    for (std::string line; std::getline(text, line);) all.push_back(*fleetward::json::parse(line));
    return all;
  }

  bool has_event(const std::string& event, const std::string& thing, const std::string& member = "",
                 const Value& value = {}) {
    for (const Value& line : lines("events")) {
      if (line.value("event", "") == event && line.value("thing", "") == thing &&
          (member.empty() || line.value(member, Value("none")) == value))
        return true;
    }
    return false;
  }

  Folder folder_;
  Server server_;
  async::LoopThread loop_;
  std::unique_ptr<Fleet> fleet_;
};

TEST_F(FleetTest, WhatIsWrittenAsAcknowledgedWasReceivedAndBothVersionsSpeak) {
  start({"cam-2"});
  ASSERT_TRUE(wait([&] { return lines("acked").size() >= 10; }));
  const std::vector<Value> acked = lines("acked");
  std::set<mqtt::Version> versions;
  std::multiset<std::pair<std::string, std::int64_t>> received;
  bool infected = false;
  for (const Received& one : server_.received()) {
    versions.insert(one.version);
    const Value report = *fleetward::json::parse(one.payload);
    const Value& header = report.contains("header") ? report["header"] : report["hed"];
    received.emplace(one.thing,
                     (header.contains("report_id") ? header["report_id"] : header["rid"]).get<std::int64_t>());
    infected = infected || one.payload.find("48101") != std::string::npos;
    if (one.thing == "cam-1") EXPECT_EQ(one.payload.find("48101"), std::string::npos);
  }
  EXPECT_EQ(versions.size(), 2U);
  EXPECT_TRUE(infected);
  for (const Value& line : acked) {
    EXPECT_EQ(received.count({line["thing"].get<std::string>(), line["report_id"].get<std::int64_t>()}), 1U);
  }
  EXPECT_TRUE(has_event("infected", "cam-2"));
  EXPECT_TRUE(wait([&] { return fleet_->counters().accepted > 0; }));
}

TEST_F(FleetTest, ACutIsToldAndTheUnacknowledgedReportComesAgainWithDup) {
  server_.set("cam-1", {.cut_after = 3});  // 3.1.1: no reason code
  server_.set("cam-2", {.cut_after = 2});  // 5
  start();
  ASSERT_TRUE(wait([&] {
    return has_event("disconnected", "cam-1", "reason_code", Value()) &&
           has_event("disconnected", "cam-2", "reason_code", 0x98);
  }));
  ASSERT_TRUE(wait([&] { return has_event("reconnected", "cam-1") && has_event("reconnected", "cam-2"); }));
  for (const std::string thing : {"cam-1", "cam-2"}) {
    std::vector<Received> of_thing;
    ASSERT_TRUE(wait([&] {
      of_thing.clear();
      for (const Received& one : server_.received()) {
        if (one.thing == thing) of_thing.push_back(one);
      }
      return of_thing.size() >= 5;
    }));
    const std::size_t cut = thing == "cam-1" ? 2 : 1;
    EXPECT_FALSE(of_thing[cut].dup);
    EXPECT_TRUE(of_thing[cut + 1].dup);
    EXPECT_EQ(of_thing[cut].payload, of_thing[cut + 1].payload);
    EXPECT_FALSE(of_thing[cut + 2].dup);
  }
}

TEST_F(FleetTest, ARefusalIsToldByItsCodeAndTriedAgain) {
  server_.set("cam-1", {.refuse = true});
  server_.set("cam-2", {.refuse = true});
  start();
  EXPECT_TRUE(
      wait([&] { return has_event("refused", "cam-1", "code", 5) && has_event("refused", "cam-2", "code", 0x8A); }));
  EXPECT_TRUE(wait([&] { return fleet_->counters().refused >= 4; }));
  EXPECT_EQ(fleet_->counters().sent, 0U);
  EXPECT_TRUE(lines("acked").empty());
}

TEST(FleetLoad, MissingThingsAreTold) {
  async::LoopThread loop("fleet");
  std::ostringstream events;
  Outputs outputs;
  outputs.events = &events;
  const auto loaded = Fleet::load(loop, {.ca_file = "/nowhere", .devices_dir = "/nowhere"}, std::move(outputs));
  ASSERT_FALSE(loaded.ok());
  EXPECT_THAT(loaded.error().message, testing::HasSubstr("/nowhere"));
}

}  // namespace
}  // namespace fleetsim
