#include "services/fleetward/settings_collector.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "config/yaml.hpp"
#include "fleet/names.hpp"
#include "mqtt/topic.hpp"
#include "services/fleetward/files.hpp"

namespace fleetward::program {
namespace {

constexpr std::int64_t port_max = 65535;
constexpr std::size_t sources_max = 16;

bool is_this_machine(const std::string& host) {
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}

void describe_source(config::Section& s, SourceSettings& c) {
  s.text("name", c.name, "Name of the source, in counters and dead letters; not given to another one later", 64);
  s.text("thing", c.thing,
         "Whose report it is: topic PATTERN (levels {thing} and {format}), key, header NAME or field /PATH", 1024);
  s.choice("encoding", c.encoding, "Of reports, where neither topic nor content type says it", {"json", "cbor"});
  s.text("mapping", c.mapping, "YAML file that says which fields are which metrics; empty: Device Defender reports");
  s.boolean("vouched", c.vouched,
            "The source lets a device report for itself alone; else its violations lead to no action without a person");
  s.boolean("takes_unknown", c.takes_unknown,
            "Take reports of things that are not registered; else they are dead letters");
  s.check([&c]() -> Status {
    if (!fleet::is_valid_name(c.name)) return {ErrorCode::invalid_argument, "name is missing, or no name"};
    const auto format = source_format(c);
    return format ? Status() : Status(format.error());
  });
}

Status check_files(const MqttSourceSettings& c) {
  if (c.certificate_file.empty() != c.key_file.empty())
    return {ErrorCode::invalid_argument, "certificate_file and key_file go together: set both or neither"};
  if (c.user.empty() != c.password_file.empty())
    return {ErrorCode::invalid_argument, "user and password_file go together: set both or neither"};
  for (const auto& [name, path] :
       {std::pair("ca_file", &c.ca_file), std::pair("certificate_file", &c.certificate_file)}) {
    const Result<std::string> text = path->empty() ? std::string() : read_file(*path);
    if (!text) return text.error().with_context(name);
  }
  for (const auto& [name, path] : {std::pair("key_file", &c.key_file), std::pair("password_file", &c.password_file)}) {
    const Result<std::string> text = path->empty() ? std::string() : read_secret_file(*path);
    if (!text) return text.error().with_context(name);
  }
  return {};
}

Status check_mqtt(const MqttSourceSettings& c) {
  if (c.host.empty()) return {ErrorCode::invalid_argument, "host is missing"};
  if (!c.tls && !is_this_machine(c.host))
    return {ErrorCode::invalid_argument, "without tls only brokers on this machine are read (localhost)"};
  if (c.group.find_first_of("/+#") != std::string::npos) return {ErrorCode::invalid_argument, "group has a / + or #"};
  const auto rule = collect::ThingRule::parse(c.source.thing);
  if (rule && rule->from == collect::ThingRule::From::key)
    return {ErrorCode::invalid_argument, "thing: an MQTT message has no key"};
  if (c.filters.empty() && rule && !rule->topic)
    return {ErrorCode::invalid_argument, "filters is missing: thing has no topic's pattern to go by"};
  for (const std::string& filter : c.filters) {
    if (!mqtt::is_topic_filter(filter) || filter.starts_with("$share/"))
      return {ErrorCode::invalid_argument, fmt::format("filters: '{}' is no topic filter", printable(filter, 128))};
  }
  return check_files(c);
}

config::Section describe_mqtt(MqttSourceSettings& c) {
  config::Section s("mqtt", "An MQTT 5 broker whose messages are read, by a shared subscription");
  describe_source(s, c.source);
  s.text("host", c.host, "Its name or address", 255);
  s.integer("port", c.port, "Its port", 1, port_max);
  s.boolean("tls", c.tls, "TLS, with its name verified; without it to this machine only");
  s.text("ca_file", c.ca_file, "PEM file of the authorities to trust; empty: the system's");
  s.text("certificate_file", c.certificate_file, "PEM file of our own certificate, where it asks for one");
  s.text("key_file", c.key_file, "PEM file (0600) of its key");
  s.text("user", c.user, "User, where it asks for one", 255);
  s.text("password_file", c.password_file, "File (0600) with that user's password");
  s.text("client_id", c.client_id, "Client identifier, the same at each start; empty: instance and name", 128);
  s.text("group", c.group,
         "Name of the shared subscription: collectors with the same one share the messages; empty: not shared, for one "
         "collector alone",
         64);
  s.list("filters", c.filters, "Topic filters; empty: that of the pattern in thing", 16);
  s.integer("receive_maximum", c.receive_maximum, "Messages under way, not acknowledged yet", 1, 1'000);
  s.duration("session_expiry", c.session_expiry, "How long it is to keep what comes while we are away", Millis(1'000),
             Millis(std::int64_t{7} * 24 * 3'600'000));
  s.check([&c] { return check_mqtt(c); });
  return s;
}

config::Section describe_kafka(KafkaSourceSettings& c) {
  config::Section s("kafka", "Topics of a Kafka cluster that are read in a consumer group");
  describe_source(s, c.source);
  describe_kafka_connection(s, c.cluster);
  s.list("topics", c.topics, "Topics to read", 16);
  s.text("group", c.group, "Consumer group: collectors with the same one share the partitions", 128);
  s.check([&c]() -> Status {
    if (const Status good = check_kafka_connection(c.cluster); !good) return good;
    if (c.topics.empty()) return {ErrorCode::invalid_argument, "topics is missing"};
    if (c.group.empty()) return {ErrorCode::invalid_argument, "group is missing"};
    const auto options = kafka_options(c.cluster, "collector");
    return options ? Status() : Status(options.error());
  });
  return s;
}

}  // namespace

config::Section describe_collector(CollectorSettings& c) {
  config::Section s("collector", "Fleets that already publish elsewhere; the role runs where there is a source");
  s.text("instance", c.instance, "Name of this collector, the same at each start, and of no gateway", 64);
  s.records("mqtt", c.mqtt, "MQTT 5 brokers", sources_max, &describe_mqtt);
  s.records("kafka", c.kafka, "Kafka clusters", sources_max, &describe_kafka);
  s.check([&c]() -> Status {
    std::set<std::string> names;
    const auto is_new = [&names](const std::string& kind, const auto& sources) {
      return std::all_of(sources.begin(), sources.end(),
                         [&](const auto& one) { return names.insert(kind + one.source.name).second; });
    };
    if (is_new("mqtt/", c.mqtt) && is_new("kafka/", c.kafka)) return {};
    return {ErrorCode::invalid_argument, "two sources have the same name"};
  });
  return s;
}

Result<collect::SourceFormat> source_format(const SourceSettings& settings) {
  collect::SourceFormat format;
  auto rule = collect::ThingRule::parse(settings.thing);
  if (!rule) return rule.error().with_context("thing");
  format.thing = std::move(*rule);
  format.encoding = settings.encoding == "cbor" ? report::Encoding::cbor : report::Encoding::json;
  if (settings.mapping.empty()) return format;
  const auto document = config::read_yaml_file(settings.mapping);
  if (!document) return document.error().with_context("mapping");
  auto mapping = collect::Mapping::from_json(document->value);
  if (!mapping) return mapping.error().with_context(settings.mapping);
  format.mapping = std::move(*mapping);
  return format;
}

std::vector<std::string> subscriptions(const MqttSourceSettings& settings) {
  std::vector<std::string> filters = settings.filters;
  if (filters.empty()) {
    const auto rule = collect::ThingRule::parse(settings.source.thing);
    if (rule && rule->topic) filters.push_back(rule->topic->filter());
  }
  if (settings.group.empty()) return filters;
  for (std::string& filter : filters) filter = fmt::format("$share/{}/{}", settings.group, filter);
  return filters;
}

}  // namespace fleetward::program
