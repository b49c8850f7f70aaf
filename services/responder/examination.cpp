// What the world says of an action: each gateway, and what is served as CRL and OCSP. Never our own tables.
#include "fleet/topics.hpp"
#include "repository/certificate_repository.hpp"
#include "services/responder/state.hpp"

namespace fleetward::responder {
namespace {

using fleet::Action;
using fleet::GatewayStanding;
using repository::CertificateRow;

constexpr Millis probe_limit{3'000};

// What can be said of a gateway without asking it; unknown: it is to be asked.
Finding from_afar(const Gateways::Known& known, Instant now) {
  const fleet::GatewayHeartbeat& h = known.heartbeat;
  switch (known.standing) {
    case GatewayStanding::closed:
      return finding(now, "gateway", h.instance, Weight::proof,
                     fmt::format("silent: it admits nobody since its lease ended, {}", to_rfc3339(h.lease_end)));
    case GatewayStanding::gone:
      return finding(now, "gateway", h.instance, Weight::proof,
                     fmt::format("declared gone by {}: {}", known.gone->actor, known.gone->why));
    case GatewayStanding::late:
      return finding(now, "gateway", h.instance, Weight::late, "its lease is over: it may be heard of yet");
    case GatewayStanding::silent:
      return finding(now, "gateway", h.instance, Weight::waiting,
                     fmt::format("silent since {}: it may go on without the record", to_rfc3339(h.lease_end)));
    case GatewayStanding::live:
    case GatewayStanding::stopped:
      break;
  }
  return finding(now, "gateway", h.instance, Weight::unknown, "");
}

}  // namespace

// A revocation of some certificates alone is no hold: there a gateway proves itself by having read their records.
async::Task<Finding> Responder::State::examine_gateway(Gateways::Known known, Action action, ProbeIdentity identity,
                                                       std::int64_t certificates_end) {
  const fleet::GatewayHeartbeat& h = known.heartbeat;
  if (known.standing != GatewayStanding::live) co_return from_afar(known, scheduler.now());
  if (!action.certificates.empty()) {
    const bool applied = certificates_end > 0 && h.certificates_next_offset >= certificates_end;
    co_return finding(
        scheduler.now(), "gateway", h.instance, applied ? Weight::proof : Weight::unknown,
        applied ? "has applied the certificate's record" : "has not applied the certificate's record yet");
  }
  Finding seen = co_await probe_gateway(scheduler, h, std::move(identity), config.ca_pem, action.thing, action.level,
                                        action.access_version, probe_limit);
  const std::string distrust = gateways.distrust(h);
  if (seen.weight == Weight::proof && action.level >= fleet::HoldLevel::isolate && !distrust.empty())
    co_return finding(scheduler.now(), "probe", h.instance, Weight::unknown, distrust);
  co_return seen;
}

async::Task<Findings> Responder::State::examine(Action action, ProbeIdentity identity, std::int64_t certificates_end) {
  Findings findings;
  if (!gateways_follower->caught_up())
    findings.push_back(finding(scheduler.now(), "gateways", "bus", Weight::unknown, "the gateways are not known yet"));
  if (gateways.is_full())
    findings.push_back(finding(scheduler.now(), "gateways", "bus", Weight::unknown,
                               "there are more gateways than can be known: give instances stable names"));
  for (const Gateways::Known& known : gateways.known(scheduler.now())) {
    Finding seen = co_await examine_gateway(known, action, identity, certificates_end);
    findings.push_back(std::move(seen));
  }
  if (action.level != fleet::HoldLevel::revoke || findings.empty()) co_return findings;
  Findings revocation = co_await examine_revocation(action);
  findings.insert(findings.end(), revocation.begin(), revocation.end());
  co_return findings;
}

async::Task<Findings> Responder::State::examine_revocation(Action action) {
  std::function<Result<std::vector<CertificateRow>>(store::Transaction&)> read =
      [action](store::Transaction& tx) -> Result<std::vector<CertificateRow>> {
    if (action.certificates.empty()) return repository::certificates_of(tx, action.thing);
    std::vector<CertificateRow> out;
    for (const std::string& id : action.certificates) {
      auto row = repository::find_certificate(tx, id);
      if (!row) return row.error();
      if (!*row) return Error(ErrorCode::not_found, "a certificate is not there any more");
      out.push_back(std::move(**row));
    }
    return out;
  };
  const auto rows = co_await store::transact<std::vector<CertificateRow>>(store, scheduler, read);
  Findings findings;
  const Instant now = scheduler.now();
  if (!rows || rows->empty()) {
    findings.push_back(finding(now, "certificates", "store", Weight::unknown,
                               rows.ok() ? "the thing has no certificate that could be revoked"
                                         : "the certificates could not be read: " + rows.error().message));
    co_return findings;
  }
  // An expired one leaves the CRL (RFC 5280 section 3.3), and nobody accepts it any more.
  std::vector<RevokedCertificate> in_force;
  for (const CertificateRow& row : *rows) {
    if (row.not_after <= now) {
      findings.push_back(finding(now, "certificates", row.serial, Weight::proof,
                                 fmt::format("expired at {}: nobody accepts it", to_rfc3339(row.not_after))));
    } else if (row.registered) {
      // Its own authority alone can put it into a CRL; what is ours to prove is what gateways do.
      findings.push_back(
          finding(now, "certificates", row.serial, Weight::proof,
                  "of another's authority: the gateways refuse it; for others it is revoked only there"));
    } else {
      in_force.push_back({row.pem, row.serial});
    }
  }
  if (in_force.empty()) co_return findings;
  Finding crl =
      co_await look_at_crl(scheduler, config.pki_url + "/crl/issuing.crl", config.issuer_pem, in_force, probe_limit);
  findings.push_back(std::move(crl));
  for (const RevokedCertificate& certificate : in_force) {
    Finding ocsp = co_await ask_ocsp(scheduler, config.pki_url + "/ocsp", config.issuer_pem, certificate, probe_limit);
    findings.push_back(std::move(ocsp));
  }
  co_return findings;
}

// The offset from which on a gateway has read the records of the action's certificates; 0: they are not all published.
async::Task<std::int64_t> Responder::State::end_of_certificates(Action action) {
  std::function<Result<bool>(store::Transaction&)> read = [action](store::Transaction& tx) -> Result<bool> {
    for (const std::string& id : action.certificates) {
      const auto waits = repository::is_unpublished(tx, fleet::topic::certificates, id);
      if (!waits || *waits) return waits;
    }
    return false;
  };
  const Result<bool> unpublished = co_await store::transact<bool>(store, scheduler, read);
  if (!unpublished || *unpublished) co_return 0;
  const auto ranges = co_await bus.ranges(scheduler, std::string(fleet::topic::certificates));
  co_return ranges.ok() && !ranges->empty() ? ranges->front().end : 0;
}

}  // namespace fleetward::responder
