// Whom the gateway trusts for devices' certificates: our own authorities from its settings, and those of the operator's
// own that are ACTIVE in the table. The TLS context is made anew of both and swapped whole.
#include "fleet/cloud_event.hpp"
#include "log/log.hpp"
#include "pki/certificate.hpp"
#include "services/gateway/device_connection.hpp"

namespace fleetward::gateway {

// Sessions of its certificates end with it; handshakes under way are judged when they are done.
void Gateway::State::on_authority(const fleet::AuthorityRecord& authority) {
  if (!certificates.apply(authority)) return;
  if (snapshot) snapshot->append(authority);
  trust_changed = true;
  if (authority.status == fleet::AuthorityStatus::active) return;
  std::vector<std::shared_ptr<DeviceConnection>> theirs;
  for (const auto& [thing, session] : sessions) {
    const fleet::CertificateRecord* certificate = certificates.find(session->fingerprint());
    if (certificate != nullptr && certificate->registered && certificate->issuer == authority.fingerprint)
      theirs.push_back(session);
  }
  for (const auto& session : theirs) cut_for_certificate(session, access::Admission::authority_inactive);
}

Result<std::shared_ptr<const net::TlsContext>> Gateway::State::make_tls(const net::TlsMaterial& own) {
  net::TlsServerConfig server;
  server.certificate_chain_pem = own.certificate_chain_pem;
  server.private_key_pem = own.private_key_pem;
  server.client_ca_pem = own.client_ca_pem;
  std::size_t trusted = 0;
  for (const auto& [fingerprint, authority] : certificates.authorities()) {
    if (authority.status != fleet::AuthorityStatus::active) continue;
    const auto info = pki::read_certificate(authority.certificate_pem);
    if (!info || info->fingerprint != fingerprint) {
      log::error("authority_not_trusted", {{"authority", fingerprint}, {"error", "its record does not hold it"}});
      continue;
    }
    server.client_ca_pem += "\n" + authority.certificate_pem;
    ++trusted;
  }
  server.require_client_certificate = true;
  server.resumption = config.resumption;
  // What device SDKs offer on port 443, and MQTT's own name. Who offers neither is refused (RFC 7301 section 3.2); who
  // offers nothing is served.
  server.alpn = {"x-amzn-mqtt-ca", "mqtt"};
  auto context = net::TlsContext::for_server(server);
  if (!context) return context.error().with_context("gateway TLS");
  counters.authorities.set(static_cast<double>(trusted));
  return context;
}

void Gateway::State::use_tls(net::TlsMaterial own, std::shared_ptr<const net::TlsContext> context) {
  own_authorities.clear();
  for (const std::string_view pem : pki::certificates_in(own.client_ca_pem)) own_authorities.emplace_back(pem);
  material = std::move(own);
  tls = std::move(context);
  if (listener) listener->set_tls(tls);
}

// After each batch of table records. Tickets of the context of before are not taken up.
void Gateway::State::go_by_authorities() {
  if (!std::exchange(trust_changed, false)) return;
  auto context = make_tls(material);
  // What is in force stays; certificates of an authority that is not ACTIVE are refused by the table all the same.
  if (!context) return log::error("authorities_not_in_force", {{"error", context.error().message}});
  use_tls(material, std::move(*context));
}

// A probe is taken for one by what its certificate says: only our own authority may say that.
std::string Gateway::State::probed_by(const pki::CertificateInfo& leaf, ByteView leaf_der) const {
  std::string thing = pki::probe_thing(leaf);
  if (thing.empty()) return thing;
  const std::string pem = pki::pem_of_der(leaf_der);
  const bool is_ours = std::any_of(own_authorities.begin(), own_authorities.end(),
                                   [&pem](const std::string& authority) { return pki::is_issued_by(pem, authority); });
  return is_ours ? thing : std::string();
}

}  // namespace fleetward::gateway
