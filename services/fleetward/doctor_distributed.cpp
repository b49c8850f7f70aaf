// The doctor's look at Kafka and PostgreSQL, with the credentials of the settings: what they may see is what is told.
#include <fmt/format.h>

#include "bus/kafka_report.hpp"
#include "core/text.hpp"
#include "services/fleetward/backends.hpp"
#include "services/fleetward/doctor_store.hpp"
#include "services/fleetward/files.hpp"
#include "store/run_and_wait.hpp"

namespace fleetward::program {
namespace {

constexpr Millis ask_limit{5'000};
constexpr Millis clock_warn{1'000};
constexpr Millis clock_fail{30'000};
constexpr std::int64_t authorities_max = 1'000;
constexpr std::int32_t copies_wanted = 3;  // with fewer one lost disk is lost data, or one lost broker an outage

void examine_topic(const bus::TopicSpec& spec, const bus::KafkaTopicFacts& facts, Findings& findings) {
  if (facts.partitions != spec.partitions) {
    const bool is_of_devices = spec.partitions != 1;
    findings.fail(spec.name, fmt::format("has {} partitions and needs {}", facts.partitions, spec.partitions),
                  is_of_devices ? "set fleetward.partitions to the count of fleetward.devices: it is fixed once the "
                                  "installation exists; a topic that differs from that one has to be made anew"
                                : "it has to be made anew with one partition: its order is one");
  }
  for (const std::string& wrong : bus::wrong_settings(spec, facts)) {
    findings.fail(spec.name, wrong, "set it so: kafka-configs.sh --alter --topic " + spec.name);
  }
  if (facts.without_leader > 0) {
    findings.fail(spec.name, fmt::format("{} partitions have no leader", facts.without_leader),
                  "they take nothing: bring the brokers back that hold them");
  } else if (facts.not_in_sync > 0) {
    findings.warn(spec.name, fmt::format("copies of {} partitions are missing or behind", facts.not_in_sync),
                  "see to the brokers: until they are back, one more that goes is an outage");
  }
}

void examine_copies(const bus::KafkaFacts& facts, Findings& findings) {
  std::int32_t least = copies_wanted;
  for (const auto& [name, topic] : facts.topics) least = std::min(least, topic.copies);
  if (facts.topics.empty()) return;
  if (least >= copies_wanted) return findings.ok("copies", fmt::format("at least {} of each topic", least));
  findings.warn("copies", fmt::format("only {} of some topics", least),
                "three brokers and bus.replication 3 before `fleetward init`; of topics that are there: "
                "kafka-reassign-partitions.sh");
}

void examine_postgres_itself(store::Store& store, Findings& findings) {
  struct Facts {
    std::int64_t is_standby = 0, standbys = 0, now_ms = 0;
    std::string version;
  };
  const auto before = std::chrono::system_clock::now();
  const auto facts = store::run_and_wait<Facts>(store, [](store::Transaction& tx) -> Result<Facts> {
    const auto rows = tx.query(
        "SELECT CAST(CASE WHEN pg_is_in_recovery() THEN 1 ELSE 0 END AS BIGINT), (SELECT count(*) FROM "
        "pg_stat_replication), CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT), "
        "current_setting('server_version')");
    if (!rows) return rows.error();
    const store::Row& r = rows->at(0);
    return Facts{r.integer(0), r.integer(1), r.integer(2), r.text(3)};
  });
  const auto after = std::chrono::system_clock::now();
  if (!facts) return findings.fail("PostgreSQL", printable(facts.error().message), "see to the server");
  if (facts->is_standby != 0) {
    return findings.fail("PostgreSQL", "is a standby: it takes no changes", "set store.host to the primary");
  }
  findings.ok("PostgreSQL", "version " + printable(facts->version, 64));
  if (facts->standbys > 0) {
    findings.ok("standbys", fmt::format("{} are connected", facts->standbys));
  } else {
    findings.warn("standbys", "none is connected",
                  "what people decide is on one server: have a standby, or backups that you have restored once");
  }
  const auto ours = std::chrono::time_point_cast<Millis>(before + (after - before) / 2);
  const Millis skew = ours - instant_from_ms(facts->now_ms);
  const std::string found = fmt::format("{} ms from PostgreSQL's", skew.count());
  const std::string advice = "one of both clocks is wrong: set up time synchronisation (chrony) on both";
  if (std::chrono::abs(skew) > clock_fail) findings.fail("clock", found, advice);
  else if (std::chrono::abs(skew) > clock_warn) findings.warn("clock", found, advice);
  else findings.ok("clock", found);
}

// False: what is in it cannot be told.
bool examine_postgres_schema(store::Store& store, Findings& findings) {
  const auto applied = store::run_and_wait<std::int64_t>(store, [](store::Transaction& tx) -> Result<std::int64_t> {
    const auto there = tx.query("SELECT count(*) FROM pg_tables WHERE tablename='migrations'");
    if (!there) return there.error();
    if (there->at(0).integer(0) == 0) return -1;
    const auto rows = tx.query("SELECT max(number) FROM migrations");
    if (!rows) return rows.error();
    return rows->at(0).integer_or(0, 0);
  });
  if (!applied) {
    findings.fail("schema", printable(applied.error().message),
                  "run deploy/postgres/roles.sql again as the owner: it grants each role what it needs");
    return false;
  }
  if (*applied < 0) {
    findings.fail("schema", "there are no tables", "run `fleetward init` as the owner of the database");
    return false;
  }
  judge_schema(*applied, findings);
  return true;
}

void examine_postgres_outbox(store::Store& store, Instant now, Findings& findings) {
  using Waiting = std::pair<std::int64_t, std::string>;
  const auto waiting = store::run_and_wait<Waiting>(store, [](store::Transaction& tx) -> Result<Waiting> {
    const auto count = tx.query("SELECT count(*) FROM outbox");
    if (!count) return count.error();
    const auto oldest = tx.query("SELECT value FROM outbox ORDER BY id LIMIT 1");
    if (!oldest) return oldest.error();
    return Waiting(count->at(0).integer(0), oldest->empty() ? "" : oldest->at(0).text(0));
  });
  if (!waiting) return findings.fail("outbox", printable(waiting.error().message), "see to the server, or its grants");
  // Some role with a store runs, here or elsewhere, where an installation is in use.
  judge_outbox(waiting->first, waiting->second, true, now, findings);
}

void examine_postgres_authorities(store::Store& store, Instant now, Findings& findings) {
  const auto rows = store::run_and_wait<store::Rows>(store, [](store::Transaction& tx) {
    return tx.query(
        fmt::format("SELECT subject, not_after_ms, crl_source, crl_next_update_ms, crl_error, crl_digest FROM "
                    "authorities WHERE status='ACTIVE' ORDER BY created_ms LIMIT {}",
                    authorities_max));
  });
  if (!rows && rows.error().code == ErrorCode::permission_denied) return;  // of this role's concern it is not
  if (!rows) return findings.fail("authorities", printable(rows.error().message), "see to the server");
  for (const store::Row& r : *rows) {
    judge_authority({r.text(0), r.integer(1), r.text_or(2, ""), r.integer_or(3, 0), r.text_or(4, ""), r.text_or(5, "")},
                    now, findings);
  }
}

}  // namespace

void examine_kafka(const Settings& settings, Findings& findings) {
  findings.begin("kafka");
  auto options = kafka_options(settings.bus, settings.installation.instance);
  if (!options) return findings.fail("settings", options.error().message, "mend section bus");
  options->request_limit = ask_limit;
  const std::vector<bus::TopicSpec> specs = topic_specs(settings.installation.partitions);
  const auto facts = bus::look_at_kafka(*options, specs);
  if (!facts) {
    const bool is_refused = facts.error().code == ErrorCode::unauthenticated;
    return findings.fail("brokers", printable(facts.error().message, 1024),
                         is_refused ? "mend bus.user, bus.password_file, bus.sasl_mechanism, or the user at the brokers"
                                    : "see to the brokers, or to bus.bootstrap, bus.security and bus.ca_file");
  }
  findings.ok("brokers", fmt::format("{} answer", facts->brokers));
  std::string missing;
  const std::size_t before = findings.all.size();
  for (const bus::TopicSpec& spec : specs) {
    const auto at = facts->topics.find(spec.name);
    if (at == facts->topics.end()) missing += (missing.empty() ? "" : ", ") + spec.name;
    else examine_topic(spec, at->second, findings);
  }
  if (!missing.empty()) {
    findings.fail("topics", missing + ": not there, or not to be seen by " + settings.bus.user,
                  "run `fleetward init` under an administrator's user, and deploy/kafka/acls.sh");
  } else if (findings.all.size() == before) {
    findings.ok("topics", fmt::format("{}, {} partitions of devices", specs.size(), settings.installation.partitions));
  }
  examine_copies(*facts, findings);
}

void examine_postgres(const Settings& settings, Instant now, Findings& findings) {
  findings.begin("postgres");
  auto options = postgres_options(settings.store);
  if (!options) return findings.fail("settings", options.error().message, "mend section store");
  options->connections = 1;
  options->connect_limit = ask_limit;
  metrics::Registry unseen;
  const auto store = store::open_postgres_store(std::move(*options), unseen);
  if (!store) {
    return findings.fail("connection", printable(store.error().message, 1024),
                         "see to the server, or to section store: host, port, user, password_file, ca_file");
  }
  findings.ok("connection",
              fmt::format("{}:{}, database {}, as {}{}", settings.store.host, settings.store.port,
                          settings.store.database, settings.store.user, settings.store.tls ? ", over TLS" : ""));
  examine_postgres_itself(**store, findings);
  if (!examine_postgres_schema(**store, findings)) return;
  examine_postgres_outbox(**store, now, findings);
  examine_postgres_authorities(**store, now, findings);
}

void examine_backends(const Settings& settings, bool is_running, Instant now, Findings& findings) {
  const bool has_store_file = settings.store.is_embedded() && file_exists(store_path(settings.installation.data_dir));
  if (settings.bus.is_embedded() || has_store_file) examine_files(settings, is_running, now, findings);
  if (!settings.bus.is_embedded()) examine_kafka(settings, findings);
  if (!settings.store.is_embedded()) return examine_postgres(settings, now, findings);
  if (settings.bus.is_embedded() || has_store_file) return;
  findings.begin("postgres");
  findings.ok("store", "not named in these settings: a gateway, a detector and cohorts need none");
}

}  // namespace fleetward::program
