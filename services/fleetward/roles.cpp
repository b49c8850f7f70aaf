// How each role's service is made from settings and parts: nothing but wiring.
#include <fmt/format.h>

#include "core/text.hpp"
#include "services/api/api.hpp"
#include "services/cohorts/cohorts.hpp"
#include "services/detector/detector.hpp"
#include "services/fleetward/collector_config.hpp"
#include "services/fleetward/files.hpp"
#include "services/fleetward/process.hpp"
#include "services/fleetward/server_tls.hpp"
#include "services/gateway/gateway.hpp"
#include "services/historian/historian.hpp"
#include "services/notifier/notifier.hpp"
#include "services/pki/authority_files.hpp"
#include "services/pki/crl_feeds.hpp"
#include "services/pki/pki_service.hpp"
#include "services/responder/responder.hpp"

namespace fleetward::program {
namespace {

// A service with start(), stop(limit) and ready() as a module that owns it.
template <class Service>
runtime::Module module_of(std::string name, std::shared_ptr<Service> service) {
  return {.name = std::move(name),
          .start = [service] { return service->start(); },
          .stop = [service](Millis limit) { service->stop(limit); },
          .ready = [service] { return service->ready(); }};
}

// A process takes part in each group under its own name.
const std::string& instance(const Parts& parts) { return parts.settings.installation.instance; }

std::string pki_folder(const Parts& parts) { return parts.settings.installation.data_dir + "/pki"; }

Error not_initialised(const Error& error) {
  return error.with_context("not initialised (run `fleetward init` with the same settings first)");
}

Result<std::string> pki_file(const Parts& parts, std::string_view name) {
  Result<std::string> text = pki_role::read_authority_file(pki_folder(parts), name);
  if (!text) return not_initialised(text.error());
  return text;
}

Result<net::TlsMaterial> tls_files(const Parts& parts, ClientTrust trust) {
  Result<net::TlsMaterial> material = read_server_tls(pki_folder(parts), trust);
  if (!material) return not_initialised(material.error());
  return material;
}

Result<pki_role::CrlFeedsConfig> feeds_config(const Parts& parts) {
  const PkiSettings& s = parts.settings.pki;
  pki_role::CrlFeedsConfig config;
  config.folder = s.crl_folder;
  config.allow_private = s.crl_allow_private;
  if (config.folder.empty()) {
    config.folder = parts.settings.installation.data_dir + "/crl";
    if (const Status made = make_folder(config.folder); !made) return made.error().with_context("pki.crl_folder");
  }
  // A machine without a list of its own trusts nobody; that is told when an address is https.
  const Result<std::string> trusted = read_authorities(s.crl_ca_file);
  if (trusted) config.ca_pem = *trusted;
  return config;
}

Result<runtime::Module> make_pki(const Parts& parts) {
  const PkiSettings& s = parts.settings.pki;
  pki_role::PkiConfig config;
  config.folder = pki_folder(parts);
  config.address = s.address;
  config.port = static_cast<std::uint16_t>(s.port);
  config.public_url = s.public_url;
  config.ocsp_per_second_max = static_cast<int>(s.ocsp_per_second);
  const auto service =
      std::make_shared<pki_role::PkiService>(std::move(config), *parts.store, parts.control_loop, parts.metrics);
  const Result<pki_role::CrlFeedsConfig> of_feeds = feeds_config(parts);
  if (!of_feeds) return of_feeds.error();
  const auto feeds = std::make_shared<pki_role::CrlFeeds>(*of_feeds, *parts.store, parts.metrics);
  return runtime::Module{.name = "pki",
                         .start = [service, feeds]() -> Status {
                           if (const Status started = service->start(); !started) return started;
                           return feeds->start();
                         },
                         .stop =
                             [service, feeds](Millis limit) {
                               feeds->stop(limit / 2);
                               service->stop(limit / 2);
                             },
                         .ready = [service] { return service->ready(); }};
}

Result<runtime::Module> make_cohorts(const Parts& parts) {
  cohorts::CohortsSettings settings;
  settings.member = instance(parts);
  return module_of(
      "cohorts", std::make_shared<cohorts::Cohorts>(std::move(settings), parts.bus, parts.control_loop, parts.metrics));
}

Result<runtime::Module> make_detector(const Parts& parts) {
  detector::DetectorSettings settings;
  settings.member = instance(parts);
  settings.state_bytes_max = parts.settings.detector.state_bytes_max;
  return module_of("detector", std::make_shared<detector::Detector>(std::move(settings), parts.bus, parts.detector_loop,
                                                                    parts.metrics, parts.random));
}

Result<runtime::Module> make_historian(const Parts& parts) {
  historian::HistorianSettings settings;
  settings.member = instance(parts);
  return module_of("historian", std::make_shared<historian::Historian>(std::move(settings), parts.bus, *parts.store,
                                                                       parts.control_loop, parts.metrics));
}

Result<runtime::Module> make_responder(const Parts& parts) {
  const ResponderSettings& s = parts.settings.responder;
  Result<respond::Playbook> playbook = read_playbook(s.playbook);
  if (!playbook) return playbook.error().with_context("responder.playbook");
  const Result<std::string> root = pki_file(parts, "root.crt");
  if (!root) return root.error();
  const Result<std::string> issuing = pki_file(parts, "issuing.crt");
  if (!issuing) return issuing.error();
  responder::ResponderConfig config;
  config.instance = instance(parts);
  config.policy = {.playbook = std::move(*playbook), .enforcing = s.mode == "enforce"};
  config.ca_pem = *root;
  config.issuer_pem = *issuing;
  config.pki_url = parts.settings.pki.public_url;
  config.stop_file = s.stop_file.empty() ? parts.settings.installation.data_dir + "/STOP" : s.stop_file;
  config.verify_limit = s.verify_limit;
  const auto service = std::make_shared<responder::Responder>(std::move(config), *parts.store, parts.bus,
                                                              parts.control_loop, parts.metrics);
  parts.hooks.set_playbook = [service](respond::Playbook changed) { service->set_playbook(std::move(changed)); };
  return module_of("responder", service);
}

bool is_https(const std::string& url) { return url.starts_with("https://"); }

Result<runtime::Module> make_notifier(const Parts& parts) {
  const NotifierSettings& s = parts.settings.notifier;
  const ApiSettings& api = parts.settings.api;
  notifier::NotifierConfig config;
  config.instance = instance(parts);
  config.alertmanagers = s.alertmanagers;
  if (std::any_of(s.alertmanagers.begin(), s.alertmanagers.end(), &is_https)) {
    const Result<std::string> trusted = read_authorities(s.alertmanager_ca_file);
    if (!trusted) return trusted.error().with_context("notifier.alertmanager_ca_file");
    config.alertmanager_ca_pem = *trusted;
  }
  for (const WebhookSettings& webhook : s.webhooks) {
    Result<connect::WebhookConfig> made = webhook_config(webhook);
    if (!made) return made.error().with_context("notifier.webhooks");
    config.webhooks.push_back(std::move(*made));
  }
  config.link_base = s.link_base;
  if (config.link_base.empty()) config.link_base = fmt::format("https://{}:{}/v1/incidents/", api.address, api.port);
  const auto service = std::make_shared<notifier::Notifier>(std::move(config), *parts.store, parts.bus,
                                                            parts.control_loop, parts.metrics);
  // It has no state in which it could not serve: what it cannot deliver it tries again, and counts.
  return runtime::Module{.name = "notifier",
                         .start = [service] { return service->start(); },
                         .stop = [service](Millis limit) { service->stop(limit); }};
}

constexpr std::size_t token_bytes_min = 32;

Result<auth::Credentials> read_credentials(const Parts& parts) {
  const std::string& folder = parts.settings.installation.data_dir;
  const Result<std::string> token = read_file(folder + "/admin-token");
  if (!token) return token.error();
  if (trim(*token).size() < token_bytes_min) {
    return Error(ErrorCode::failed_precondition,
                 "admin-token is too short to be a secret: remove it and run `fleetward init`");
  }
  const Result<std::string> key_text = read_file(folder + "/admin-aws.json");
  if (!key_text) return key_text.error();
  Result<auth::AccessKey> key = auth::access_key_from_json(*key_text);
  if (!key) return key.error().with_context("admin-aws.json");
  auth::Credentials credentials;
  credentials.add_token(trim(*token), auth::administrator());
  credentials.add_access_key(std::move(*key), auth::administrator());
  return credentials;
}

Result<runtime::Module> make_api(const Parts& parts) {
  const ApiSettings& s = parts.settings.api;
  Result<net::TlsMaterial> tls = tls_files(parts, ClientTrust::none);
  if (!tls) return tls.error();
  Result<auth::Credentials> credentials = read_credentials(parts);
  if (!credentials) return credentials.error().with_context("administrator's secrets (run `fleetward init`)");
  api::ApiConfig config;
  config.address = s.address;
  config.port = static_cast<std::uint16_t>(s.port);
  config.certificate_chain_pem = std::move(tls->certificate_chain_pem);
  config.private_key_pem = std::move(tls->private_key_pem);
  config.installation = parts.settings.names();
  config.mqtt_endpoint = parts.settings.gateway.public_host;
  for (const std::string_view name : {"issuing.crt", "root.crt"}) {
    const Result<std::string> authority = pki_file(parts, name);
    if (!authority) return authority.error();
    config.own_authorities_pem += *authority + "\n";
  }
  const auto service = std::make_shared<api::Api>(std::move(config), std::move(*credentials), *parts.store, parts.bus,
                                                  parts.control_loop, parts.metrics, parts.random);
  parts.hooks.set_tls.emplace_back([service](const net::TlsMaterial& changed) { return service->set_tls(changed); });
  return module_of("api", service);
}

void set_limits(gateway::GatewayConfig& config, const GatewaySettings& s) {
  const auto bytes = [](std::size_t n) { return static_cast<std::int64_t>(n); };
  config.connection_limits.connections = {s.connections_per_second, s.connections_burst};
  config.connection_limits.handshakes_max = static_cast<std::size_t>(s.handshakes_max);
  config.connection_limits.address_connections = {s.address_connections_per_second, s.address_connections_burst};
  config.connection_limits.address_handshakes_max = static_cast<std::size_t>(s.address_handshakes_max);
  config.connection_limits.address_failures = {s.address_failures_per_second, s.address_failures_burst};
  config.connection_limits.device_connections = {s.device_connections_per_second, s.device_connections_burst};
  config.session.messages = {s.device_messages_per_second, s.device_messages_burst};
  config.session.bytes = {bytes(s.device_bytes_per_second), bytes(s.device_bytes_burst)};
  config.messages = {s.messages_per_second, s.messages_burst};
  config.bytes = {bytes(s.bytes_per_second), bytes(s.bytes_burst)};
}

Result<runtime::Module> make_gateway(const Parts& parts) {
  Result<net::TlsMaterial> tls = tls_files(parts, ClientTrust::devices);
  if (!tls) return tls.error();
  const GatewaySettings& s = parts.settings.gateway;
  gateway::GatewayConfig config;
  config.instance = s.instance;
  config.address = s.address;
  config.port = static_cast<std::uint16_t>(s.port);
  config.probe_host = s.public_host;
  config.enforcing = s.mode == "enforce";
  config.certificate_chain_pem = std::move(tls->certificate_chain_pem);
  config.private_key_pem = std::move(tls->private_key_pem);
  config.client_ca_pem = std::move(tls->client_ca_pem);
  config.resumption = s.resumption;
  config.snapshot_folder = parts.settings.installation.data_dir + "/gateway";
  config.signers = parts.signers;
  config.connections_max = static_cast<std::size_t>(s.connections_max);
  // They were checked when they were loaded.
  for (const std::string& network : s.proxy_from) config.proxy_from.push_back(*net::AddressRange::parse(network));
  set_limits(config, s);
  const auto service =
      std::make_shared<gateway::Gateway>(std::move(config), parts.bus, parts.gateway_loop, parts.metrics);
  parts.hooks.set_signers.emplace_back([service](SharedSigners changed) { service->set_signers(std::move(changed)); });
  parts.hooks.set_tls.emplace_back([service](const net::TlsMaterial& changed) { return service->set_tls(changed); });
  return module_of("gateway", service);
}

Result<runtime::Module> make_collector(const Parts& parts) {
  auto config = collector_config(parts.settings, parts.metrics);
  if (!config) return config.error();
  return module_of("collector",
                   std::make_shared<collector::Collector>(std::move(*config), parts.bus, *parts.store,
                                                          parts.control_loop, parts.metrics, parts.random));
}

}  // namespace

const std::vector<Role>& all_roles() {
  // The order of start. The gateway is last: devices connect when all else works.
  static const std::vector<Role> roles{
      {"pki", true, make_pki},           {"historian", true, make_historian},
      {"notifier", true, make_notifier}, {"responder", true, make_responder},
      {"cohorts", false, make_cohorts},  {"detector", false, make_detector},
      {"api", true, make_api},           {"collector", true, make_collector},
      {"gateway", false, make_gateway},
  };
  return roles;
}

std::vector<std::string> roles_for(const Settings& settings) {
  std::vector<std::string> names;
  for (const Role& role : all_roles()) {
    const bool is_idle = role.name == "collector" && !settings.collector.has_sources();
    if (!is_idle) names.emplace_back(role.name);
  }
  return names;
}

}  // namespace fleetward::program
