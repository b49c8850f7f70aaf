// The doctor's look at the collector's sources: brokers that answer, over TLS where that is set, and topics that are
// there. No CONNECT is sent: it would take the session of a collector that runs.
#include <fmt/format.h>

#include <future>

#include "net/connection.hpp"
#include "services/fleetward/collector_config.hpp"
#include "services/fleetward/doctor.hpp"

namespace fleetward::program {
namespace {

constexpr Millis answer_limit{5'000};

// Whether a connection can be made, with the TLS handshake done.
Status reach(const connect::MqttClientConfig& config) {
  async::LoopThread loop("doctor");
  auto done = std::make_shared<std::promise<Status>>();
  auto told = std::make_shared<bool>(false);
  const auto say = [done, told](const Status& status) {
    if (!std::exchange(*told, true)) done->set_value(status);
  };
  std::shared_ptr<net::Connection> connection;
  async::run_on(loop, [&] {
    net::Connection::Callbacks callbacks;
    callbacks.open = [say](const net::TlsInfo&) { say({}); };
    callbacks.data = [](ByteView) {};
    callbacks.closed = [say](const Error& e) { say(e); };
    net::ConnectionOptions options;
    options.handshake_timeout = answer_limit;
    connection = net::connect(loop, config.broker, config.tls, std::move(callbacks), options);
  });
  const Status reached = done->get_future().get();
  async::run_on(loop, [&] {
    connection->set_callbacks({});
    connection->abort();
    connection.reset();
  });
  loop.stop();
  return reached;
}

void examine_mqtt(const collector::MqttSourceConfig& source, Findings& findings) {
  const std::string check = "mqtt/" + source.source.name;
  const std::string at = net::to_string(source.client.broker);
  const Status reached = reach(source.client);
  if (reached) return findings.ok(check, at + " answers");
  findings.fail(check, fmt::format("{}: {}", at, reached.error().message),
                "see to the broker, or to host, port, tls and ca_file of the source");
}

void examine_kafka(const collector::KafkaSourceConfig& source, Findings& findings) {
  const std::string check = "kafka/" + source.source.name;
  const auto cluster = source.open();
  if (!cluster) {
    return findings.fail(check, cluster.error().message,
                         "see to the cluster, or to bootstrap and security of the source");
  }
  for (const std::string& topic : source.topics) {
    const std::int32_t partitions = (*cluster)->partition_count(topic);
    if (partitions > 0) findings.ok(check, fmt::format("{} has {} partitions", topic, partitions));
    else findings.fail(check, topic + " is not there", "make the topic, or mend topics of the source");
  }
}

}  // namespace

void examine_collector(const Settings& settings, Findings& findings) {
  if (!settings.collector.has_sources()) return;
  findings.begin("collector");
  metrics::Registry metrics;
  const auto config = collector_config(settings, metrics);
  if (!config) return findings.fail("sources", config.error().message, "mend it: the collector does not start");
  for (const collector::MqttSourceConfig& source : config->mqtt) examine_mqtt(source, findings);
  for (const collector::KafkaSourceConfig& source : config->kafka) examine_kafka(source, findings);
}

}  // namespace fleetward::program
