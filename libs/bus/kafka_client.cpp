#include "bus/kafka_client.hpp"

#include <algorithm>
#include <array>

#include "log/log.hpp"

namespace fleetward::bus::kafka {
namespace {

constexpr std::array securities{std::pair{"tls", "ssl"}, std::pair{"sasl_tls", "sasl_ssl"},
                                std::pair{"plain", "plaintext"}, std::pair{"sasl_plain", "sasl_plaintext"}};
constexpr std::size_t headers_bytes_usual = 256;  // of a report by way of a gateway: in one allocation

bool is_one_of(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

std::string_view protocol_of(std::string_view security) {
  const auto* const found =
      std::find_if(securities.begin(), securities.end(), [&](const auto& s) { return security == s.first; });
  return found == securities.end() ? std::string_view() : found->second;
}

bool is_loopback(std::string_view address) {
  std::string_view host = address.substr(0, address.rfind(':'));
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  const bool is_dotted = host.find_first_not_of("0123456789.") == std::string_view::npos;
  return host == "localhost" || host == "::1" || (is_dotted && host.starts_with("127."));
}

// What librdkafka has to say goes to our log; from its threads.
void log_line(const rd_kafka_t* client, int level, const char* facility, const char* text) {
  const log::Level of_ours = level <= 4 ? log::Level::warn : log::Level::debug;
  log::write(of_ours, "kafka_client", {{"client", rd_kafka_name(client)}, {"facility", facility}, {"text", text}});
}

std::map<std::string, std::string> common_settings(const KafkaOptions& options) {
  std::map<std::string, std::string> out{
      {"bootstrap.servers", options.bootstrap},
      {"client.id", options.client_id},
      {"security.protocol", std::string(protocol_of(options.security))},
      {"socket.timeout.ms", std::to_string(options.request_limit.count())},
      {"socket.connection.setup.timeout.ms",
       std::to_string(std::max<std::int64_t>(options.request_limit.count(), 1000))},
      {"socket.nagle.disable", "true"},
      {"socket.keepalive.enable", "true"},
      {"reconnect.backoff.ms", "50"},
      {"reconnect.backoff.max.ms", "1000"},
      {"topic.metadata.refresh.interval.ms", "30000"},
      {"log.connection.close", "false"},
      {"message.max.bytes", std::to_string(record_bytes_max + record_overhead_max)},
  };
  const bool is_tls = options.security == "tls" || options.security == "sasl_tls";
  if (is_tls && !options.ca_file.empty()) out["ssl.ca.location"] = options.ca_file;
  if (is_tls && !options.certificate_file.empty()) {
    out["ssl.certificate.location"] = options.certificate_file;
    out["ssl.key.location"] = options.key_file;
  }
  if (options.security.starts_with("sasl")) {
    out["sasl.mechanism"] = options.sasl_mechanism;
    out["sasl.username"] = options.user;
    out["sasl.password"] = options.password;
  }
  return out;
}

ErrorCode code_of(rd_kafka_resp_err_t code) {
  switch (code) {
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
      return ErrorCode::not_found;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
      return ErrorCode::resource_exhausted;
    case RD_KAFKA_RESP_ERR__QUEUE_FULL:
    case RD_KAFKA_RESP_ERR_THROTTLING_QUOTA_EXCEEDED:
      return ErrorCode::throttled;
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR__SSL:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM:
      return ErrorCode::unauthenticated;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
      return ErrorCode::permission_denied;
    case RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID:
    case RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID:
      return ErrorCode::fenced;
    case RD_KAFKA_RESP_ERR_INVALID_CONFIG:
    case RD_KAFKA_RESP_ERR_INVALID_PARTITIONS:
    case RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
    case RD_KAFKA_RESP_ERR__INVALID_ARG:
      return ErrorCode::invalid_argument;
    default:
      // Brokers that come and go, coordinators that move, rebalances: all of them pass.
      return ErrorCode::unavailable;
  }
}

}  // namespace

bool are_loopback(std::string_view addresses) {
  while (!addresses.empty()) {
    const std::size_t end = std::min(addresses.find(','), addresses.size());
    if (!is_loopback(addresses.substr(0, end))) return false;
    addresses.remove_prefix(std::min(end + 1, addresses.size()));
  }
  return true;
}

Status check(const KafkaOptions& options) {
  std::string wrong;
  const auto note = [&](std::string_view text) { wrong += (wrong.empty() ? "" : "; ") + std::string(text); };
  if (options.bootstrap.empty()) note("bootstrap: give host:port of at least one broker");
  if (protocol_of(options.security).empty()) note("security: one of tls, sasl_tls, plain, sasl_plain");
  if (options.security.ends_with("plain") && !are_loopback(options.bootstrap)) {
    note("security: without TLS only brokers of this machine (loopback) are talked to; use tls or sasl_tls");
  }
  if (options.security.starts_with("sasl")) {
    if (!is_one_of(options.sasl_mechanism, {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"})) {
      note("sasl_mechanism: one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512");
    }
    if (options.user.empty() || options.password.empty()) note("user and password: SASL needs both");
  }
  if (options.certificate_file.empty() != options.key_file.empty()) {
    note("certificate_file and key_file: either both or none");
  }
  if (!is_one_of(options.compression, {"none", "gzip", "snappy", "lz4", "zstd"})) {
    note("compression: one of none, gzip, snappy, lz4, zstd");
  }
  if (options.replication < 1) note("replication: at least 1");
  if (options.request_limit < Millis(100) || options.transaction_limit < Millis(1000)) {
    note("request_limit: at least 0.1 s; transaction_limit: at least 1 s");
  }
  if (wrong.empty()) return {};
  return Error(ErrorCode::invalid_argument, "kafka: " + wrong);
}

Result<Client> make_client(rd_kafka_type_t type, const KafkaOptions& options, const ClientSettings& settings) {
  Configuration configuration(rd_kafka_conf_new());
  std::map<std::string, std::string> all = common_settings(options);
  for (const auto& [name, value] : settings.settings) all[name] = value;
  std::array<char, 512> text{};
  for (const auto& [name, value] : all) {
    if (rd_kafka_conf_set(configuration.get(), name.c_str(), value.c_str(), text.data(), text.size()) ==
        RD_KAFKA_CONF_OK) {
      continue;
    }
    // What it says may repeat the value.
    const std::string_view said = name == "sasl.password" ? "it cannot be used" : std::string_view(text.data());
    return Error(ErrorCode::invalid_argument, fmt::format("kafka: {}: {}", name, said));
  }
  rd_kafka_conf_set_log_cb(configuration.get(), log_line);
  rd_kafka_conf_set_opaque(configuration.get(), settings.opaque);
  if (settings.events != 0) rd_kafka_conf_set_events(configuration.get(), settings.events);
  if (settings.delivered != nullptr) rd_kafka_conf_set_dr_msg_cb(configuration.get(), settings.delivered);
  if (settings.failed != nullptr) rd_kafka_conf_set_error_cb(configuration.get(), settings.failed);
  Client client(rd_kafka_new(type, configuration.get(), text.data(), text.size()));
  if (!client) return Error(ErrorCode::invalid_argument, fmt::format("kafka: {}", text.data()));
  (void)configuration.release();  // the client's now
  return client;
}

Error to_error(rd_kafka_resp_err_t code, std::string_view what, std::string_view text) {
  return Error(code_of(code), fmt::format("kafka: {}: {}", what, text.empty() ? rd_kafka_err2str(code) : text));
}

Error to_error(const rd_kafka_error_t& failure, std::string_view what) {
  return to_error(rd_kafka_error_code(&failure), what, rd_kafka_error_string(&failure));
}

Partitions make_partitions(const std::string& topic, const std::vector<Position>& positions) {
  Partitions out(rd_kafka_topic_partition_list_new(static_cast<int>(positions.size())));
  for (const Position& p : positions) {
    rd_kafka_topic_partition_list_add(out.get(), topic.c_str(), p.partition)->offset = p.offset;
  }
  return out;
}

int to_int(Millis duration) {
  return static_cast<int>(std::clamp<std::int64_t>(duration.count(), 0, std::numeric_limits<int>::max()));
}

Record to_record(const rd_kafka_message_t& message) {
  Record out;
  out.topic = rd_kafka_topic_name(message.rkt);
  out.partition = message.partition;
  out.offset = message.offset;
  rd_kafka_timestamp_type_t type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
  out.append_time = instant_from_ms(rd_kafka_message_timestamp(&message, &type));
  out.key.assign(static_cast<const char*>(message.key), message.key_len);
  if (message.payload != nullptr) out.value.emplace(static_cast<const char*>(message.payload), message.len);
  rd_kafka_headers_t* headers = nullptr;
  if (rd_kafka_message_headers(&message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) return out;
  out.headers.reserve_more(headers_bytes_usual);
  const char* name = nullptr;
  const void* value = nullptr;
  std::size_t size = 0;
  for (std::size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &size) == 0; ++i) {
    out.headers.push_back({name, std::string_view(static_cast<const char*>(value), size)});
  }
  return out;
}

}  // namespace fleetward::bus::kafka
