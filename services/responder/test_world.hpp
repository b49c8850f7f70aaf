// A responder with everything around it, for its tests: bus in memory, SQLite store and its relay, an authority and
// gateways that can be told to lie. Waits for events with a deadline; lives on the test's thread.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "bus/embedded_bus.hpp"
#include "repository/migrations.hpp"
#include "repository/outbox_relay.hpp"
#include "repository/registry_repository.hpp"
#include "services/responder/responder.hpp"
#include "services/responder/test_gateway.hpp"
#include "store/run_and_wait.hpp"
#include "store/sqlite_store.hpp"

namespace fleetward::responder {

using fleet::Action;
using fleet::ActionState;
using fleet::HoldLevel;
using testing_support::now;
using testing_support::TestAuthority;
using testing_support::TestGateway;

inline bool eventually(const std::function<bool()>& is_so) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!is_so()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

constexpr Millis short_limit{1'500};  // for tests of what is not proven

class ResponderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "responder-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    store_ = std::move(*store::open_sqlite_store((folder_ / "store.db").string(), metrics_));
    ASSERT_TRUE(store_->migrate(repository::all_migrations()).ok());
    std::vector<bus::TopicSpec> topics;
    for (const fleet::TopicInfo& t : fleet::all_topics)
      topics.push_back({std::string(t.name), 1, t.is_table ? bus::TopicKind::table : bus::TopicKind::log, Millis(0)});
    ASSERT_TRUE(bus_->ensure_topics(topics).ok());
    async::run_on(loop_,
                  [this] { relay_ = std::make_unique<repository::OutboxRelay>(*store_, *bus_, loop_, metrics_); });
    relay_->start();
    authority_ = std::make_unique<TestAuthority>(*store_, metrics_);
    respond::PlaybookEntry entry;
    entry.name = "isolate";
    entry.mode = respond::EntryMode::act;
    entry.lease = std::chrono::hours(1);
    config_.policy.playbook.entries = {entry};
    config_.policy.enforcing = true;
    config_.ca_pem = authority_->root_pem;
    config_.issuer_pem = authority_->issuing_pem();
    config_.pki_url = authority_->url();
    config_.look_again = std::chrono::hours(1);
    config_.look_every = Millis(50);
    config_.leases_every = Millis(50);
    enrol("free");  // what gateways are tested with
    enrol("cam");
    add_gateway("gw1");
  }
  void TearDown() override {
    stop();
    gateways_.clear();
    relay_->stop(Millis(10'000));
    relay_.reset();
    authority_.reset();
    store_.reset();
    bus_.reset();
    std::filesystem::remove_all(folder_);
  }

  void start() {
    responder_ = std::make_unique<Responder>(config_, *store_, *bus_, loop_, metrics_);
    ASSERT_TRUE(responder_->start().ok());
  }
  // And each gateway was tested, so that a short limit is spent on what the test is about.
  void start_and_settle() {
    start();
    ASSERT_TRUE(eventually([this] {
      return count("self_tests", {{"result", "passed"}}) + count("self_tests", {{"result", "failed"}}) >=
             gateways_.size();
    }));
  }
  void stop() {
    if (responder_) responder_->stop(Millis(15'000));
    responder_.reset();
  }
  TestGateway& add_gateway(const std::string& name) {
    gateways_.push_back(std::make_unique<TestGateway>(*bus_, *authority_, name));
    gateways_.back()->beat();
    return *gateways_.back();
  }
  TestGateway& gateway() { return *gateways_.front(); }

  template <class T>
  T in_store(std::function<Result<T>(store::Transaction&)> work) {
    auto result = store::run_and_wait<T>(*store_, work);
    EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().message);
    return result.ok() ? std::move(*result) : T{};
  }
  // The thing and its certificate, which was issued then and lives an hour from there.
  void enrol(const std::string& thing, Instant issued = now()) {
    const auto [pem, key] = authority_->make(
        {.purpose = pki::Purpose::device, .common_name = thing, .uris = {pki::thing_uri(thing)}}, issued);
    const repository::SigningRequest request{"request-" + thing + std::to_string(++serial_), false, thing,
                                             "id-" + thing, key.public_key().to_pem()};
    in_store<bool>([&, pem = pem](store::Transaction& tx) -> Result<bool> {
      if (const auto made = repository::create_thing(tx, thing, "id-" + thing, "", {}, now()); !made)
        return made.error();
      if (const Status asked = repository::ask_for_certificate(tx, request, now()); !asked) return asked.error();
      if (const Status done = repository::finish_signing(tx, request, pem, "issuer", now()); !done) return done.error();
      return true;
    });
  }
  Action act(const std::string& thing, HoldLevel level = HoldLevel::isolate, Millis lease = std::chrono::hours(1)) {
    return in_store<Action>([&](store::Transaction& tx) {
      return repository::act_by_hand(tx, thing, "id-" + thing, level, "a test", "ann", lease, now());
    });
  }
  void violate(const std::string& thing, int times = 1) {
    fleet::ViolationEvent v;
    v.violation_id = "violation-of-" + thing;
    v.thing = thing;
    v.thing_id = "id-" + thing;
    v.profile = "p";
    v.behavior.name = "ports";
    v.behavior.metric = "aws:listening-tcp-ports";
    v.expected = "22";
    v.seen = "48101";
    v.engine_version = "test";
    v.time = v.start_time = v.received = now();
    const fleet::CloudEvent event{fleet::event_id(v), "/test", "t", thing, v.time, to_json(v)};
    for (int i = 0; i < times; ++i) {
      std::promise<bool> done;
      bus_->append({{std::string(fleet::topic::violations), thing, to_json_text(event), {}, std::nullopt}},
                   [&done](const auto& result) { done.set_value(result.ok()); });
      ASSERT_TRUE(done.get_future().get());
    }
  }
  std::vector<Action> actions(const std::string& thing) {
    return in_store<std::vector<Action>>([&](store::Transaction& tx) {
      return repository::list_actions(tx, {thing, ""}, "", 100);
    });
  }
  Action action(const std::string& id) {
    return in_store<Action>([&](store::Transaction& tx) { return repository::get_action(tx, id); });
  }
  // The action, once it is so; what it is by the deadline otherwise.
  Action reached(const std::string& id, ActionState state) {
    eventually([&] { return action(id).state == state; });
    const Action a = action(id);
    EXPECT_EQ(a.state, state) << json::dump(to_json(a));
    return a;
  }
  std::vector<std::string> steps(const std::string& id) {
    const auto all = in_store<std::vector<repository::ActionStep>>(
        [&](store::Transaction& tx) { return repository::steps_of(tx, id); });
    std::vector<std::string> out;
    for (const auto& s : all) out.push_back(s.step);
    return out;
  }
  std::uint64_t count(const std::string& name, const metrics::Labels& labels = {}) {
    return metrics_.counter("fleetward_responder_" + name + "_total", "", labels).value();
  }
  // It is counted after it is written.
  bool counted(const std::string& name, std::uint64_t times) {
    return eventually([&] { return count(name) == times; });
  }
  static std::string words(const Action& a) { return json::dump(to_json(a)); }

  std::filesystem::path folder_;
  metrics::Registry metrics_;
  async::LoopThread bus_loop_{"bus"};
  async::LoopThread loop_{"responder"};
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<bus::Bus> bus_ = bus::make_memory_bus(bus_loop_, metrics_);
  std::unique_ptr<repository::OutboxRelay> relay_;
  std::unique_ptr<TestAuthority> authority_;
  std::vector<std::unique_ptr<TestGateway>> gateways_;
  ResponderConfig config_;
  std::unique_ptr<Responder> responder_;
  int serial_ = 0;
};

}  // namespace fleetward::responder
