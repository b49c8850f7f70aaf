#include "services/fleetward/doctor_store.hpp"

#include <fmt/format.h>

#include "core/text.hpp"
#include "fleet/cloud_event.hpp"
#include "repository/migrations.hpp"

namespace fleetward::program {
namespace {

constexpr Millis outbox_late{30'000};

}  // namespace

void judge_schema(std::int64_t applied, Findings& findings) {
  const std::int64_t ours = repository::all_migrations().back().number;
  if (applied > ours) {
    findings.fail("schema", fmt::format("version {}, this program knows {}", applied, ours),
                  "use the newer program that wrote it");
  } else if (applied < ours) {
    findings.warn("schema", fmt::format("version {}, this program has {}", applied, ours),
                  "the next start brings it up to date: take a backup first");
  } else {
    findings.ok("schema", fmt::format("version {}", applied));
  }
}

void judge_outbox(std::int64_t rows, const std::string& oldest, bool is_running, Instant now, Findings& findings) {
  if (rows == 0) return findings.ok("outbox", "nothing waits");
  const auto event = fleet::parse_cloud_event(oldest);
  const Millis age = event ? now - event->time : Millis(0);
  const std::string found = fmt::format("{} decisions wait to be published, the oldest for {}", rows, to_human(age));
  if (is_running && age > outbox_late) {
    findings.fail("outbox", found, "gateways do not know of them: see the log for outbox_relay_failed");
  } else if (!is_running) {
    findings.warn("outbox", found, "start the server: it publishes them");
  } else {
    findings.ok("outbox", found);
  }
}

void judge_authority(const AuthorityFacts& facts, Instant now, Findings& findings) {
  const std::string name = "authority " + printable(facts.subject, 80);
  const std::string until = to_rfc3339(instant_from_ms(facts.not_after_ms)).substr(0, 10);
  constexpr Millis soon = std::chrono::hours(24 * 30);
  if (now >= instant_from_ms(facts.not_after_ms)) {
    findings.fail(name, "its certificate expired on " + until, "its devices are refused: register the renewed one");
  } else if (now + soon >= instant_from_ms(facts.not_after_ms)) {
    findings.warn(name, "its certificate expires on " + until,
                  "register the renewed one: fleetward authorities register");
  } else {
    findings.ok(name, "until " + until);
  }
  const std::string list = name + " CRL";
  const std::string error = printable(facts.crl_error);
  const Instant next_update = instant_from_ms(facts.crl_next_update_ms);
  const bool has_crl = !facts.crl_digest.empty() && facts.crl_next_update_ms != 0;
  if (facts.crl_source.empty()) {
    findings.warn(list, "none is read", "certificates that it revokes stay good here: fleetward authorities crl");
  } else if (has_crl && now >= next_update) {
    findings.fail(list, fmt::format("expired at {}{}", to_rfc3339(next_update), error.empty() ? "" : "; " + error),
                  "what was revoked since then is not known: have the authority publish a new one where it is read");
  } else if (!error.empty()) {
    findings.fail(list, error, "the last one stays in force: mend what it says; fleetward authorities list");
  } else if (!has_crl) {
    findings.warn(list, "was not read yet", "the role pki reads it: does it run?");
  } else {
    findings.ok(list, "in force until " + to_rfc3339(next_update));
  }
}

}  // namespace fleetward::program
