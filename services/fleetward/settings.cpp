#include "services/fleetward/settings.hpp"

#include "config/yaml.hpp"
#include "http/message.hpp"
#include "net/address_range.hpp"
#include "services/fleetward/files.hpp"

namespace fleetward::program {
namespace {

constexpr std::int64_t port_max = 65535;

config::Section describe_installation(InstallationSettings& c) {
  config::Section s("fleetward", "The installation");
  s.text("data_dir", c.data_dir, "Folder of the log, the store, the authority's keys and the administrator's secrets");
  s.text("account", c.account, "Account number in every ARN: 12 digits", 12);
  s.text("region", c.region, "Region in every ARN", 64);
  s.text("instance", c.instance, "Name of this process among those of the installation, the same at each start", 64);
  s.list("host_names", c.host_names, "Names and addresses for which the server certificate is made", 64);
  s.integer("partitions", c.partitions, "Partitions of the device log; fixed once the installation exists", 1, 1024);
  s.duration("stop_limit", c.stop_limit, "How long each part may take to stop", Millis(100), Millis(600'000));
  s.check([&c]() -> Status {
    const bool digits = c.account.find_first_not_of("0123456789") == std::string::npos;
    if (c.account.size() == 12 && digits) return {};
    return {ErrorCode::invalid_argument, "account must be 12 digits"};
  });
  return s;
}

config::Section describe_log(LogSettings& c) {
  config::Section s("log", "Log lines on standard error");
  s.choice("level", c.level, "The least severe lines that are written", {"debug", "info", "warn", "error"});
  s.choice("format", c.format, "text for people, json for machines", {"text", "json"});
  return s;
}

constexpr std::int64_t rate_max = 1'000'000;
constexpr std::size_t byte_rate_max = std::size_t{16} << 30;

// Connections, from cheap to costly: what is over a limit is closed before its handshake, but for a device's own rate.
void describe_connection_limits(config::Section& s, GatewaySettings& c) {
  const auto count = [&s](const char* name, std::int64_t& target, const char* meaning) {
    s.integer(name, target, meaning, 1, rate_max);
  };
  count("connections_per_second", c.connections_per_second, "New connections a second in all; more are closed");
  count("connections_burst", c.connections_burst, "So many of them at once");
  count("handshakes_max", c.handshakes_max, "TLS handshakes under way at once; more are closed");
  count("address_connections_per_second", c.address_connections_per_second,
        "New connections a second from one address (IPv6: its /64)");
  count("address_connections_burst", c.address_connections_burst, "So many of them at once");
  count("address_handshakes_max", c.address_handshakes_max, "TLS handshakes under way at once from one address");
  count("address_failures_per_second", c.address_failures_per_second,
        "Failed handshakes a second from one address; beyond it the address is closed at once");
  count("address_failures_burst", c.address_failures_burst, "So many of them at once");
  count("device_connections_per_second", c.device_connections_per_second,
        "CONNECTs a second of one device; beyond it 0x9F (3.1.1: code 3)");
  count("device_connections_burst", c.device_connections_burst, "So many of them at once");
}

void describe_rates(config::Section& s, GatewaySettings& c) {
  s.integer("device_messages_per_second", c.device_messages_per_second,
            "Messages a second of one connection; beyond it DISCONNECT 0x96 (3.1.1: it is read more slowly)", 1,
            rate_max);
  s.integer("device_messages_burst", c.device_messages_burst, "So many of them at once", 1, rate_max);
  s.size("device_bytes_per_second", c.device_bytes_per_second,
         "Bytes a second of one connection; beyond it DISCONNECT 0x97 (3.1.1: it is read more slowly)", 1 << 10,
         byte_rate_max);
  s.size("device_bytes_burst", c.device_bytes_burst, "So many of them at once", 256 << 10, byte_rate_max);
  s.integer("messages_per_second", c.messages_per_second,
            "Messages a second of all connections; beyond it sockets are not read for a while", 1, rate_max);
  s.integer("messages_burst", c.messages_burst, "So many of them at once", 1, rate_max);
  s.size("bytes_per_second", c.bytes_per_second,
         "Bytes a second of all connections; beyond it sockets are not read for a while", 1 << 10, byte_rate_max);
  s.size("bytes_burst", c.bytes_burst, "So many of them at once", 256 << 10, byte_rate_max);
}

config::Section describe_gateway(GatewaySettings& c) {
  config::Section s("gateway", "Where devices connect");
  s.text("address", c.address, "Address to listen on for MQTT over TLS", 255);
  s.integer("port", c.port, "Port to listen on; 0 takes a free one", 0, port_max);
  s.text("public_host", c.public_host, "Name under which devices, and our own probes, reach it", 255);
  s.text("instance", c.instance, "Name of this gateway, the same at each start", 64);
  s.choice("mode", c.mode, "enforce holds and revocations, or only say what would have been done",
           {"observe", "enforce"});
  s.integer("connections_max", c.connections_max, "Connections at once; more are refused", 1, 1'000'000);
  s.boolean("resumption", c.resumption, "Let devices resume TLS sessions (tickets, PSK)");
  s.list("proxy_from", c.proxy_from,
         "Networks (10.0.0.0/8) of load balancers that begin each connection with a PROXY header, version 2", 64);
  s.check([&c]() -> Status {
    for (const std::string& network : c.proxy_from) {
      if (const auto parsed = net::AddressRange::parse(network); !parsed)
        return parsed.error().with_context("proxy_from");
    }
    return {};
  });
  describe_connection_limits(s, c);
  describe_rates(s, c);
  return s;
}

config::Section describe_api(ApiSettings& c) {
  config::Section s("api", "Control: the AWS IoT API subset and /v1, over HTTPS");
  s.text("address", c.address, "Address to listen on", 255);
  s.integer("port", c.port, "Port to listen on; 0 takes a free one", 0, port_max);
  return s;
}

config::Section describe_pki(PkiSettings& c) {
  config::Section s("pki", "The built-in authority: CRL, OCSP and its certificates, over plain HTTP");
  s.text("address", c.address, "Address to listen on", 255);
  s.integer("port", c.port, "Port to listen on; 0 takes a free one", 0, port_max);
  s.text("public_url", c.public_url, "Under which everybody reaches it; written into each certificate", 1024);
  s.integer("ocsp_per_second", c.ocsp_per_second, "OCSP answers signed a second; beyond it the answer is tryLater", 1,
            rate_max);
  s.text("crl_folder", c.crl_folder,
         "Folder of the CRL files of your own authorities (fleetward authorities); empty: crl in the data folder",
         4096);
  s.text("crl_ca_file", c.crl_ca_file,
         "PEM file of whom to trust where the address of such a CRL is https; empty: the system's", 4096);
  s.boolean("crl_allow_private", c.crl_allow_private, "The address of such a CRL may be one of a private network");
  s.check([&c]() -> Status {
    if (c.crl_ca_file.empty()) return {};
    const Result<std::string> trusted = read_file(c.crl_ca_file);
    return trusted ? Status() : Status(trusted.error().with_context("crl_ca_file"));
  });
  s.check([&c]() -> Status {
    if (c.public_url.starts_with("http://")) return {};
    return {ErrorCode::invalid_argument,
            "public_url must begin with http:// (RFC 5280: a CRL is signed, TLS would loop)"};
  });
  return s;
}

config::Section describe_detector(DetectorSettings& c) {
  config::Section s("detector", "What watches the devices");
  s.size("state_bytes_max", c.state_bytes_max,
         "Memory for the states of devices in this process, roughly; partitions that do not fit are left paused", 1024,
         std::size_t{1} << 40);
  return s;
}

config::Section describe_responder(ResponderSettings& c) {
  config::Section s("responder", "Actions against devices, from decision to proof");
  s.choice("mode", c.mode, "observe decides but holds nobody; enforce acts", {"observe", "enforce"});
  s.text("playbook", c.playbook, "YAML file that says which violation leads to which action; empty: none");
  s.text("stop_file", c.stop_file,
         "While this file exists nothing begins by itself, whatever else is down; empty: STOP in the data folder",
         4096);
  s.duration("verify_limit", c.verify_limit, "How long an action may take to be proven before it has failed",
             Millis(1'000), Millis(600'000));
  s.check([&c]() -> Status {
    const Result<respond::Playbook> playbook = read_playbook(c.playbook);
    if (!playbook) return playbook.error().with_context("playbook");
    return {};
  });
  return s;
}

config::Section describe_webhook(WebhookSettings& c) {
  config::Section s("webhook", "A receiver of signed messages (Standard Webhooks), one a change of an incident");
  s.text("url", c.url, "Where to post; https, unless allow_private is set. Shown in logs: secrets do not belong in it",
         2048);
  s.text("secret_file", c.secret_file,
         "File (0600) with whsec_ secrets, one a line; each signs, so that one can be changed");
  s.text("ca_file", c.ca_file, "PEM file of the authorities to trust; empty: the system's");
  s.boolean("allow_private", c.allow_private, "Its address may be one of a private network, and its URL plain http");
  s.check([&c]() -> Status {
    const Result<connect::WebhookConfig> config = webhook_config(c);
    if (!config) return config.error();
    const auto opened = connect::Webhook::open(*config);
    return opened.ok() ? Status() : Status(opened.error());
  });
  return s;
}

config::Section describe_notifier(NotifierSettings& c) {
  config::Section s("notifier", "Pages to people");
  s.list("alertmanagers", c.alertmanagers, "Base URLs of Alertmanager instances; each gets every page", 16);
  s.text("alertmanager_ca_file", c.alertmanager_ca_file,
         "PEM file of the authorities to trust where their address is https; empty: the system's");
  s.records("webhooks", c.webhooks, "Receivers of signed messages; each gets every change of an incident once", 16,
            &describe_webhook);
  s.text("link_base", c.link_base, "Base URL of the links in pages; empty: the API's own", 1024);
  s.check([&c]() -> Status {
    for (const std::string& url : c.alertmanagers) {
      if (const auto parsed = http::parse_url(url); !parsed) return parsed.error().with_context("alertmanagers");
    }
    if (c.alertmanager_ca_file.empty()) return {};
    const Result<std::string> trusted = read_file(c.alertmanager_ca_file);
    return trusted.ok() ? Status() : Status(trusted.error().with_context("alertmanager_ca_file"));
  });
  return s;
}

config::Section describe_operations(OperationsSettings& c) {
  config::Section s("operations", "Own health: /metrics, /livez and /readyz, over plain HTTP");
  s.text("address", c.address, "Address to listen on", 255);
  s.integer("port", c.port, "Port to listen on; 0 takes a free one", 0, port_max);
  return s;
}

}  // namespace

config::Config describe(Settings& settings) {
  config::Config config;
  config.add(describe_installation(settings.installation));
  config.add(describe_bus(settings.bus));
  config.add(describe_store(settings.store));
  config.add(describe_log(settings.log));
  config.add(describe_gateway(settings.gateway));
  config.add(describe_api(settings.api));
  config.add(describe_pki(settings.pki));
  config.add(describe_detector(settings.detector));
  config.add(describe_responder(settings.responder));
  config.add(describe_notifier(settings.notifier));
  config.add(describe_collector(settings.collector));
  config.add(describe_operations(settings.operations));
  return config;
}

Result<connect::WebhookConfig> webhook_config(const WebhookSettings& settings) {
  connect::WebhookConfig config{.url = settings.url, .allow_private = settings.allow_private};
  if (settings.url.empty()) return Error(ErrorCode::invalid_argument, "url is missing");
  if (settings.secret_file.empty()) return Error(ErrorCode::invalid_argument, "secret_file is missing");
  const Result<std::string> text = read_secret_file(settings.secret_file);
  if (!text) return text.error().with_context("secret_file");
  auto secrets = connect::read_webhook_secrets(*text);
  if (!secrets) return secrets.error().with_context("secret_file");
  config.secrets = std::move(*secrets);
  if (settings.url.starts_with("https://")) {
    const Result<std::string> trusted = read_authorities(settings.ca_file);
    if (!trusted) return trusted.error().with_context("ca_file");
    config.ca_pem = *trusted;
  }
  return config;
}

Result<respond::Playbook> read_playbook(const std::string& path) {
  if (path.empty()) return respond::Playbook();
  const Result<config::YamlDocument> document = config::read_yaml_file(path);
  if (!document) return document.error();
  auto playbook = respond::playbook_from_json(document->value);
  if (!playbook) return playbook.error().with_context(path);
  return playbook;
}

json::Value settings_schema() {
  Settings defaults;
  return describe(defaults).schema("https://fleetward.example/schemas/config/fleetward.schema.json",
                                   "Settings of fleetward");
}

Status load_settings(const Invocation& invocation, Settings& settings) {
  config::Config config = describe(settings);
  config::Sources sources;
  sources.file = invocation.option("config").value_or("");
  sources.flags = invocation.settings();
  for (const auto& [name, value] : invocation.all_environment()) sources.environment.emplace_back(name, value);
  return config.load(sources);
}

}  // namespace fleetward::program
