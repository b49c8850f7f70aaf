// Settings of the collector: operators' MQTT brokers and Kafka topics, and what their messages are.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "collect/translator.hpp"
#include "config/config.hpp"
#include "services/fleetward/settings_backends.hpp"

namespace fleetward::program {

// What the messages of a source are, whatever it is.
struct SourceSettings {
  std::string name;
  std::string thing;
  std::string encoding = "json";
  std::string mapping;  // path; empty: Device Defender reports
  bool vouched = false;
  bool takes_unknown = false;
};

struct MqttSourceSettings {
  SourceSettings source{.thing = "topic $aws/things/{thing}/defender/metrics/{format}"};
  std::string host;
  std::int64_t port = 8883;
  bool tls = true;
  std::string ca_file;
  std::string certificate_file;
  std::string key_file;
  std::string user;
  std::string password_file;
  std::string client_id;  // empty: the collector's instance and the source's name
  std::string group = "fleetward";
  std::vector<std::string> filters;  // empty: the pattern's
  std::int64_t receive_maximum = 200;
  Millis session_expiry{3'600'000};
};

struct KafkaSourceSettings {
  SourceSettings source{.thing = "key"};
  BusSettings cluster{.backend = "kafka"};
  std::vector<std::string> topics;
  std::string group = "fleetward";
};

struct CollectorSettings {
  std::string instance = "collector-1";
  std::vector<MqttSourceSettings> mqtt;
  std::vector<KafkaSourceSettings> kafka;

  [[nodiscard]] bool has_sources() const { return !mqtt.empty() || !kafka.empty(); }
};

// Over its argument, which must outlive the description.
config::Section describe_collector(CollectorSettings& settings);

// With its mapping read. invalid_argument tells every problem of it.
Result<collect::SourceFormat> source_format(const SourceSettings& settings);
// As brokers know them: $share/GROUP/FILTER, or the filter alone.
std::vector<std::string> subscriptions(const MqttSourceSettings& settings);

}  // namespace fleetward::program
