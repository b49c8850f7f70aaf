#include "services/fleetward/tls_watch.hpp"

#include <fmt/format.h>

#include "log/log.hpp"
#include "pki/certificate.hpp"

namespace fleetward::program {
namespace {

constexpr Millis warn_every = std::chrono::hours(24);

std::string changes_of(const net::TlsMaterial& before, const net::TlsMaterial& after) {
  std::string out;
  const auto tell = [&out](const std::string& text) { out += (out.empty() ? "" : "; ") + text; };
  if (before.certificate_chain_pem != after.certificate_chain_pem) {
    const auto leaf = pki::read_certificate(after.certificate_chain_pem);
    tell(leaf ? fmt::format("certificate {} until {}", leaf->serial, to_rfc3339(leaf->not_after)) : "certificate");
  }
  if (before.private_key_pem != after.private_key_pem) tell("key");
  if (before.client_ca_pem != after.client_ca_pem) tell("authorities of devices");
  return out;
}

}  // namespace

TlsWatch::TlsWatch(std::string folder, ClientTrust trust, Apply apply)
    : folder_(std::move(folder)),
      trust_(trust),
      apply_(std::move(apply)),
      files_(folder_.empty() ? std::vector<std::string>() : server_tls_files(folder_, trust_)) {
  if (folder_.empty()) return;
  // What cannot be read is the start's to tell.
  if (auto material = read_server_tls(folder_, trust_)) put_in_force(std::move(*material));
}

void TlsWatch::put_in_force(net::TlsMaterial material) {
  in_force_ = std::move(material);
  warned_.reset();
  const auto leaf = pki::read_certificate(in_force_.certificate_chain_pem);
  not_after_ = leaf ? std::optional(leaf->not_after) : std::nullopt;
  if (leaf) not_before_ = leaf->not_before;
}

void TlsWatch::look(Instant now) {
  if (folder_.empty()) return;
  if (files_.has_changed()) read(now, false);
  warn_of_expiry(now);
}

void TlsWatch::reload(Instant now) {
  if (!folder_.empty()) read(now, true);
}

void TlsWatch::read(Instant now, bool asked) {
  files_.mark_read();
  auto material = load_server_tls(folder_, trust_, now);
  const std::string changes = material ? changes_of(in_force_, *material) : "";
  Status taken = material ? Status() : Status(material.error());
  if (!changes.empty()) taken = apply_(*material);
  const bool was_stale = std::exchange(stale_, !taken);
  if (!taken) {
    told_ = taken.error().message;
    return log::error("server_certificate_refused",
                      {{"folder", folder_}, {"error", told_}, {"in_force", "the one that was read before"}});
  }
  told_ = changes.empty() ? "none" : changes;
  if (!changes.empty() || asked || was_stale)
    log::info("server_certificate_reloaded", {{"folder", folder_}, {"changes", told_}});
  if (!changes.empty()) put_in_force(std::move(*material));
}

// When less than a sixth of its life is left: it could have been renewed since a third was.
void TlsWatch::warn_of_expiry(Instant now) {
  if (!not_after_ || *not_after_ - now >= (*not_after_ - not_before_) / 6) return;
  if (warned_ && now - *warned_ < warn_every) return;
  warned_ = now;
  log::warn("server_certificate_expires",
            {{"at", to_rfc3339(*not_after_)}, {"renewed_by", "`fleetward init`; it is taken without a new start"}});
}

}  // namespace fleetward::program
