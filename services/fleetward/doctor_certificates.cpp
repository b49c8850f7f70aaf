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

struct Shelf {
  std::string folder;
  [[nodiscard]] std::string text(const char* name) const { return read_file(folder + "/" + name).value_or(""); }
};

// `renewed` says by what; a certificate is told about when less than a sixth of its life is left.
void examine_expiry(const char* name, const std::string& pem, Instant now, const std::string& renewed,
                    Findings& findings) {
  const auto info = pki::read_certificate(pem);
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
    if (!pki::is_issued_by(shelf.text(name), issuing)) broken += fmt::format(" {}", name);
  }
  if (!broken.empty()) return findings.fail("chain", "not signed by its issuer:" + broken, advice);
  findings.ok("chain", "root, issuing, server, OCSP responder");
}

void examine_keys(const Shelf& shelf, Findings& findings) {
  net::TlsServerConfig tls;
  tls.certificate_chain_pem = shelf.text("server.crt");
  tls.private_key_pem = shelf.text("server.key");
  const auto server = net::TlsContext::for_server(tls);
  const std::string advice =
      "put back the key that belongs to it; for server.*: remove both files, run `fleetward init`";
  std::string wrong = server ? "" : " server.key";
  for (const char* name : {"issuing", "ocsp"}) {
    tls.certificate_chain_pem = shelf.text(fmt::format("{}.crt", name).c_str());
    tls.private_key_pem = shelf.text(fmt::format("{}.key", name).c_str());
    if (!net::TlsContext::for_server(tls)) wrong += fmt::format(" {}.key", name);
  }
  if (!wrong.empty()) return findings.fail("keys", "missing, or not of their certificate:" + wrong, advice);
  findings.ok("keys", "issuing, server and OCSP responder have theirs");
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
  const Shelf shelf{settings.installation.data_dir + "/pki"};
  if (shelf.text("root.crt").empty()) {
    return findings.fail("authority", shelf.folder + " holds none", "run `fleetward init` with the same settings");
  }
  examine_expiry("root.crt", shelf.text("root.crt"), now, "plan a new root: each device has to trust it", findings);
  examine_expiry("issuing.crt", shelf.text("issuing.crt"), now, "have the root sign a new issuing authority", findings);
  const std::string server = shelf.text("server.crt");
  examine_expiry("server.crt", server, now, "run `fleetward init`; a running server takes it by itself", findings);
  examine_expiry("ocsp.crt", shelf.text("ocsp.crt"), now,
                 "start the pki role, which renews it; or run `fleetward init`", findings);
  examine_chain(shelf, findings);
  examine_keys(shelf, findings);
  examine_names(settings, server, findings);
}

}  // namespace fleetward::program
