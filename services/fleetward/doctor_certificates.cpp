// The doctor's look at the authority's files.
#include <fmt/format.h>

#include "crypto/key.hpp"
#include "net/tls.hpp"
#include "pki/certificate.hpp"
#include "services/fleetward/doctor.hpp"
#include "services/fleetward/files.hpp"

namespace fleetward::program {
namespace {

constexpr Millis day = std::chrono::hours(24);

// Files of the authority. A role that is a process of its own has some of them: what is not there it does not need.
struct Shelf {
  std::string folder;
  bool has_all = true;
  [[nodiscard]] std::string text(const std::string& name) const { return read_file(folder + "/" + name).value_or(""); }
  [[nodiscard]] bool should_have(const std::string& name) const { return has_all || file_exists(folder + "/" + name); }
};

// `renewed` says by what; a certificate is told about when less than a sixth of its life is left.
void examine_expiry(const Shelf& shelf, const char* name, Instant now, const std::string& renewed, Findings& findings) {
  if (!shelf.should_have(name)) return;
  const auto info = pki::read_certificate(shelf.text(name));
  if (!info) return findings.fail(name, "cannot be read: " + info.error().message, "run `fleetward init`");
  const std::string until = to_rfc3339(info->not_after).substr(0, 10);
  if (now < info->not_before) {
    return findings.fail(name, "is not valid yet: from " + to_rfc3339(info->not_before), "set this machine's clock");
  }
  if (now >= info->not_after) return findings.fail(name, "expired on " + until, renewed);
  const Millis left = info->not_after - now;
  const std::string found = fmt::format("until {} ({} days)", until, left / day);
  if (left < (info->not_after - info->not_before) / 6) return findings.warn(name, found, renewed);
  findings.ok(name, found);
}

void examine_chain(const Shelf& shelf, Findings& findings) {
  const std::string root = shelf.text("root.crt");
  const std::string issuing = shelf.text("issuing.crt");
  const std::string advice =
      "files of two authorities are mixed: put back the pki folder of a backup, whole (devices trust its root)";
  std::string broken;
  if (!pki::is_issued_by(issuing, root)) broken += " issuing.crt";
  for (const char* name : {"server.crt", "ocsp.crt"}) {
    if (!shelf.should_have(name)) continue;
    if (!pki::is_issued_by(shelf.text(name), issuing)) broken += fmt::format(" {}", name);
  }
  if (!broken.empty()) return findings.fail("chain", "not signed by its issuer:" + broken, advice);
  findings.ok("chain", shelf.has_all ? "root, issuing, server, OCSP responder" : "all that are here");
}

void examine_keys(const Shelf& shelf, Findings& findings) {
  net::TlsServerConfig tls;
  tls.certificate_chain_pem = shelf.text("server.crt");
  tls.private_key_pem = shelf.text("server.key");
  const auto server = net::TlsContext::for_server(tls);
  const std::string advice =
      "put back the key that belongs to it; for server.*: remove both files, run `fleetward init`";
  std::string wrong = server || !shelf.should_have("server.key") ? "" : " server.key";
  for (const std::string name : {"issuing", "ocsp"}) {
    if (!shelf.should_have(name + ".key")) continue;
    tls.certificate_chain_pem = shelf.text(name + ".crt");
    tls.private_key_pem = shelf.text(name + ".key");
    if (!net::TlsContext::for_server(tls)) wrong += fmt::format(" {}.key", name);
  }
  if (!wrong.empty()) return findings.fail("keys", "missing, or not of their certificate:" + wrong, advice);
  findings.ok("keys", shelf.has_all ? "issuing, server and OCSP responder have theirs" : "those that are here fit");
}

void examine_names(const Settings& settings, const std::string& server, Findings& findings) {
  std::string missing;
  std::vector<std::string> names = settings.installation.host_names;
  names.push_back(settings.gateway.public_host);
  for (const std::string& name : names) {
    if (pki::is_certificate_for(server, name)) continue;
    if (missing.find(name) == std::string::npos) missing += (missing.empty() ? "" : ", ") + name;
  }
  if (missing.empty()) return findings.ok("server names", "public_host and all of host_names");
  findings.fail("server names", "the server's certificate is not for " + missing,
                "add the names to fleetward.host_names and run `fleetward init`; a running server takes it by itself");
}

}  // namespace

void examine_certificates(const Settings& settings, Instant now, Findings& findings) {
  findings.begin("certificates");
  const Shelf shelf{settings.installation.data_dir + "/pki", settings.bus.is_embedded()};
  if (!shelf.should_have("root.crt")) {
    return findings.ok("authority", "not here: only a detector, cohorts, historian, notifier or collector can run");
  }
  if (shelf.text("root.crt").empty()) {
    return findings.fail("authority", shelf.folder + " holds none", "run `fleetward init` with the same settings");
  }
  examine_expiry(shelf, "root.crt", now, "plan a new root: each device has to trust it", findings);
  examine_expiry(shelf, "issuing.crt", now, "have the root sign a new issuing authority", findings);
  examine_expiry(shelf, "server.crt", now, "run `fleetward init`; a running server takes it by itself", findings);
  examine_expiry(shelf, "ocsp.crt", now, "start the pki role, which renews it; or run `fleetward init`", findings);
  examine_chain(shelf, findings);
  examine_keys(shelf, findings);
  if (shelf.should_have("server.crt")) examine_names(settings, shelf.text("server.crt"), findings);
}

}  // namespace fleetward::program
