// All settings of the program: a plain struct a section, and the description from which file, environment, flags,
// --check-config and the reference text come.
//
// Loaded once at the start, on the main thread; plain values afterwards.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "connect/webhook.hpp"
#include "core/result.hpp"
#include "fleet/names.hpp"
#include "respond/playbook.hpp"
#include "services/fleetward/command.hpp"
#include "services/fleetward/settings_backends.hpp"
#include "services/fleetward/settings_collector.hpp"

namespace fleetward::program {

struct InstallationSettings {
  std::string data_dir = "/var/lib/fleetward";
  std::string account = "000000000000";
  std::string region = "eu-central-1";
  std::string instance = "fleetward-1";
  std::vector<std::string> host_names = {"localhost", "127.0.0.1", "::1"};
  std::int64_t partitions = 4;
  Millis stop_limit{10'000};
};

struct LogSettings {
  std::string level = "info";
  std::string format = "text";
};

struct GatewaySettings {
  std::string address = "0.0.0.0";
  std::int64_t port = 8883;
  std::string public_host = "localhost";
  std::string instance = "gateway-1";
  std::string mode = "enforce";
  std::int64_t connections_max = 20'000;
  bool resumption = false;
  std::vector<std::string> proxy_from;
  // Rates a second, and how much of it at once. Per connection (device), per address, and of all together.
  std::int64_t connections_per_second = 1'000, connections_burst = 4'000, handshakes_max = 1'000;
  std::int64_t address_connections_per_second = 500, address_connections_burst = 2'000, address_handshakes_max = 256;
  std::int64_t address_failures_per_second = 5, address_failures_burst = 100;
  std::int64_t device_connections_per_second = 10, device_connections_burst = 100;
  std::int64_t device_messages_per_second = 100, device_messages_burst = 200;
  std::size_t device_bytes_per_second = 512 << 10, device_bytes_burst = 1 << 20;
  std::int64_t messages_per_second = 100'000, messages_burst = 200'000;
  std::size_t bytes_per_second = 64 << 20, bytes_burst = 128 << 20;
};

struct ApiSettings {
  std::string address = "127.0.0.1";
  std::int64_t port = 8443;
};

struct PkiSettings {
  std::string address = "127.0.0.1";
  std::int64_t port = 8080;
  std::string public_url = "http://127.0.0.1:8080";
  std::int64_t ocsp_per_second = 2'000;
  // CRLs of the operator's own authorities.
  std::string crl_folder;  // empty: crl in the data folder
  std::string crl_ca_file;
  bool crl_allow_private = false;
};

struct DetectorSettings {
  std::size_t state_bytes_max = std::size_t{4} << 30;
};

struct ResponderSettings {
  std::string mode = "observe";
  std::string playbook;
  std::string stop_file;  // empty: STOP in the data folder
  Millis verify_limit{30'000};
};

struct WebhookSettings {
  std::string url;
  std::string secret_file;
  std::string ca_file;
  bool allow_private = false;
};

struct NotifierSettings {
  std::vector<std::string> alertmanagers;
  std::string alertmanager_ca_file;
  std::vector<WebhookSettings> webhooks;
  std::string link_base;
};

struct OperationsSettings {
  std::string address = "127.0.0.1";
  std::int64_t port = 9464;
};

struct Settings {
  InstallationSettings installation;
  BusSettings bus;
  StoreSettings store;
  LogSettings log;
  GatewaySettings gateway;
  ApiSettings api;
  PkiSettings pki;
  DetectorSettings detector;
  ResponderSettings responder;
  NotifierSettings notifier;
  CollectorSettings collector;
  OperationsSettings operations;

  [[nodiscard]] fleet::Installation names() const { return {installation.account, installation.region}; }
};

// The description over `settings`, which must outlive it.
config::Config describe(Settings& settings);

// With its secrets read, and whom to trust.
Result<connect::WebhookConfig> webhook_config(const WebhookSettings& settings);

// The playbook of `path`; an empty path is an empty playbook.
Result<respond::Playbook> read_playbook(const std::string& path);

// JSON Schema of the settings' file; schemas/config/fleetward.schema.json is its text.
json::Value settings_schema();

// Fills `settings` from --config FILE, the environment and the --section.key flags of a command that takes settings.
Status load_settings(const Invocation& invocation, Settings& settings);

}  // namespace fleetward::program
