#include "services/fleetward/collector_config.hpp"

#include "core/text.hpp"
#include "services/fleetward/files.hpp"

namespace fleetward::program {
namespace {

Result<collector::SourceConfig> source_config(const SourceSettings& s) {
  auto format = source_format(s);
  if (!format) return format.error();
  collector::SourceConfig config;
  config.name = s.name;
  config.format = std::move(*format);
  config.vouched = s.vouched;
  config.takes_unknown = s.takes_unknown;
  return config;
}

Result<std::shared_ptr<const net::TlsContext>> client_tls(const MqttSourceSettings& s) {
  net::TlsClientConfig tls;
  tls.server_name = s.host;
  const Result<std::string> trusted = read_authorities(s.ca_file);
  if (!trusted) return trusted.error().with_context("ca_file");
  tls.ca_pem = *trusted;
  if (!s.certificate_file.empty()) {
    Result<std::string> chain = read_file(s.certificate_file);
    if (!chain) return chain.error().with_context("certificate_file");
    Result<std::string> key = read_secret_file(s.key_file);
    if (!key) return key.error().with_context("key_file");
    tls.certificate_chain_pem = std::move(*chain);
    tls.private_key_pem = std::move(*key);
  }
  return net::TlsContext::for_client(tls);
}

Result<collector::MqttSourceConfig> mqtt_config(const MqttSourceSettings& s, const std::string& instance) {
  auto source = source_config(s.source);
  if (!source) return source.error();
  collector::MqttSourceConfig config{std::move(*source), {}};
  config.client.broker = {s.host, static_cast<std::uint16_t>(s.port)};
  if (s.tls) {
    auto tls = client_tls(s);
    if (!tls) return tls.error();
    config.client.tls = std::move(*tls);
  }
  mqtt::ClientOptions& session = config.client.session;
  session.client_id = s.client_id.empty() ? instance + "-" + s.source.name : s.client_id;
  if (!s.user.empty()) {
    const Result<std::string> password = read_secret_file(s.password_file);
    if (!password) return password.error().with_context("password_file");
    session.username = s.user;
    session.password = std::string(trim(*password));
  }
  session.filters = subscriptions(s);
  session.receive_maximum = static_cast<std::uint16_t>(s.receive_maximum);
  // What a crash can leave written and not acknowledged comes again: few of each device, which remembers its last ones.
  config.source.limits.batch_messages_max = static_cast<std::size_t>(s.receive_maximum);
  session.session_expiry_seconds = static_cast<std::uint32_t>(s.session_expiry.count() / 1'000);
  return config;
}

Result<collector::KafkaSourceConfig> kafka_config(const KafkaSourceSettings& s, const std::string& instance,
                                                  metrics::Registry& metrics) {
  auto source = source_config(s.source);
  if (!source) return source.error();
  auto options = kafka_options(s.cluster, instance);
  if (!options) return options.error();
  collector::KafkaSourceConfig config;
  config.source = std::move(*source);
  config.open = [options = std::move(*options), &metrics]() -> Result<std::shared_ptr<bus::Bus>> {
    auto opened = bus::open_kafka_bus(options, metrics);
    if (!opened) return opened.error();
    return std::shared_ptr<bus::Bus>(std::move(*opened));
  };
  config.topics = s.topics;
  config.group = s.group;
  config.member = instance;
  return config;
}

}  // namespace

Result<collector::CollectorConfig> collector_config(const Settings& settings, metrics::Registry& metrics) {
  const CollectorSettings& s = settings.collector;
  if (!s.has_sources())
    return Error(ErrorCode::failed_precondition, "no source is configured: set collector.mqtt or collector.kafka");
  collector::CollectorConfig config;
  config.instance = s.instance;
  for (const MqttSourceSettings& one : s.mqtt) {
    auto made = mqtt_config(one, s.instance);
    if (!made) return made.error().with_context("collector.mqtt " + one.source.name);
    config.mqtt.push_back(std::move(*made));
  }
  for (const KafkaSourceSettings& one : s.kafka) {
    auto made = kafka_config(one, s.instance, metrics);
    if (!made) return made.error().with_context("collector.kafka " + one.source.name);
    config.kafka.push_back(std::move(*made));
  }
  return config;
}

}  // namespace fleetward::program
