// What the parts of a running gateway share. Private to the role; the gateway's thread.
#pragma once

#include <map>

#include "access/tables.hpp"
#include "bus/table_follower.hpp"
#include "fleet/gateway_events.hpp"
#include "fleet/profile.hpp"
#include "net/connection.hpp"
#include "pki/certificate.hpp"
#include "report/parser.hpp"
#include "services/gateway/appender.hpp"
#include "services/gateway/cloud_counters.hpp"
#include "services/gateway/dimension_rules.hpp"
#include "services/gateway/gateway.hpp"
#include "services/gateway/record_check.hpp"
#include "services/gateway/snapshot.hpp"

namespace fleetward::gateway {

class DeviceConnection;

struct Counters {
  explicit Counters(metrics::Registry& m);
  metrics::Counter& reports(std::string_view result);
  metrics::Counter& refused(std::string_view reason);
  metrics::Counter& throttled(std::string_view limit);

  metrics::Registry& registry;
  metrics::Counter& reports_accepted;
  metrics::Counter& sessions_cut;
  metrics::Counter& probes;
  metrics::Counter& takeovers;
  metrics::Counter& custom_metric_problems;
  metrics::Counter& wills_ignored;
  metrics::Counter& snapshot_failures;
  metrics::Counter& events_dropped;
  metrics::Counter& dimension_counts_dropped;
  metrics::Gauge& dimensions_left_out;
  metrics::Counter& accept_failures;
  metrics::Gauge& sessions;
  metrics::Gauge& handshakes;
  metrics::Gauge& authorities;
};

struct Gateway::State : std::enable_shared_from_this<Gateway::State> {
  State(GatewayConfig c, bus::Bus& b, async::Scheduler& s, metrics::Registry& m);

  // ---- enforcement.cpp
  // Whether the tables go by it (record_check.hpp).
  [[nodiscard]] bool accepts(const bus::Record& record);
  void tell_refused();
  void on_access(const bus::Record& record);
  void on_certificate(const bus::Record& record);
  void on_rules(const bus::Record& record);
  void enforce(const fleet::AccessRecord& record);
  void cut(std::shared_ptr<DeviceConnection> session, std::string_view words);
  // Told on the bus at once; of a block only after it is on our disk (flush_events).
  void say(fleet::EnforcementEvent event);
  void say_when_kept(fleet::EnforcementEvent event);
  void flush_events();
  void say_refused(const std::string& thing, const std::string& thing_id, std::string_view reason,
                   const std::string& certificate, int code, const std::string& address);

  void cut_for_certificate(std::shared_ptr<DeviceConnection> session, access::Admission admission);

  // ---- authorities.cpp
  void on_authority(const fleet::AuthorityRecord& authority);
  void go_by_authorities();
  Result<std::shared_ptr<const net::TlsContext>> make_tls(const net::TlsMaterial& own);
  void use_tls(net::TlsMaterial own, std::shared_ptr<const net::TlsContext> context);
  // The thing that it probes for; empty: it is no probe's.
  [[nodiscard]] std::string probed_by(const pki::CertificateInfo& leaf, ByteView leaf_der) const;

  // ---- cloud_metrics.cpp
  // A record for detectors with what all of them have in their headers.
  [[nodiscard]] bus::OutRecord device_record(fleet::RecordKind kind, std::string key, std::string value) const;
  void emit_urgent_metrics();
  void emit_due_metrics();
  void go_by_rules();
  void say_what_is_counted();
  void append_cloud_metrics(const std::string& thing, const std::string& thing_id, const fleet::CloudMetrics& delta);

  // ---- gateway.cpp
  void on_tables_read();
  void on_table_failed(const Error& error);
  void open_listener();
  void keep_snapshot();
  void make_followers();
  async::Task<void> beat();
  async::Task<void> tick();
  void heartbeat(bool stopping);
  void say_goodbye();
  bool give_up_snapshot();  // whether a goodbye may be said
  void last_words();
  void let_go();
  void relieve();  // reading goes on where it was stopped
  void count_read(std::size_t bytes);
  [[nodiscard]] bool is_throttled() const;
  void take(std::shared_ptr<net::Connection> connection);
  [[nodiscard]] bool overloaded() const { return appender->bytes_in_flight() > config.in_flight_bytes_max; }

  GatewayConfig config;
  bus::Bus& bus;
  async::Scheduler& scheduler;
  Counters counters;
  async::Scope scope;
  std::int64_t start_number;
  std::shared_ptr<Appender> appender;
  CloudCounters cloud;
  DimensionRules dimension_rules;
  RecordCheck check;
  ConnectionGuard guard;
  mqtt::TokenBucket all_messages, all_bytes;
  access::HoldTable holds;
  access::CertificateTable certificates;
  report::CustomMetricTable customs;
  std::int64_t newest_manifest = -1;
  report::ReportParser parser;
  std::unique_ptr<Snapshot> snapshot;  // nullptr: none is kept
  std::vector<fleet::EnforcementEvent> events_to_keep;
  Instant last_in_step{};
  bool bus_failing_at_read = false;
  std::unique_ptr<bus::TableFollower> access_follower, certificate_follower, rules_follower;
  net::TlsMaterial material;                 // of our own, which `tls` is made of
  std::vector<std::string> own_authorities;  // in PEM, one each
  bool trust_changed = false;                // authorities have changed since `tls` was made
  std::shared_ptr<const net::TlsContext> tls;
  std::unique_ptr<net::Listener> listener;
  std::map<std::uint64_t, std::shared_ptr<DeviceConnection>> connections;  // in the order in which they came
  std::uint64_t last_connection = 0;
  std::map<std::string, std::shared_ptr<DeviceConnection>> sessions;  // by thing
  std::map<std::string, Instant> last_refusal_said;                   // by thing: a storm is told once in a while
  std::int64_t events = 0;
  std::uint64_t refused_by_listener = 0;
  std::uint64_t bad_proxy_headers = 0;
  std::uint64_t accept_failures = 0;
  bool reading_paused = false;  // of some connection, for the bus or for the rates of all
  bool stopping = false;
  std::atomic<std::uint16_t> port{0};
  std::atomic<bool> listen_failed{false};  // the last try to; for readiness
};

}  // namespace fleetward::gateway
