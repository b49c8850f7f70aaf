// What the doctor makes of facts of the store, the same for a file and for PostgreSQL.
#pragma once

#include "services/fleetward/doctor.hpp"

namespace fleetward::program {

struct AuthorityFacts {
  std::string subject;
  std::int64_t not_after_ms = 0;
  std::string crl_source;
  std::int64_t crl_next_update_ms = 0;
  std::string crl_error, crl_digest;
};

void judge_schema(std::int64_t applied, Findings& findings);
// `oldest`: the first row's value.
void judge_outbox(std::int64_t rows, const std::string& oldest, bool is_running, Instant now, Findings& findings);
// What was read last of each authority's list, by this installation's pki role.
void judge_authority(const AuthorityFacts& facts, Instant now, Findings& findings);

}  // namespace fleetward::program
