#include "repository/audit_repository.hpp"

namespace fleetward::repository {

Status write_audit(store::Transaction& tx, const AuditEntry& e) {
  const auto written = tx.execute(
      "INSERT INTO audit_log(at_ms, actor, operation, target, request_id, source) VALUES($1, $2, $3, $4, $5, $6)",
      {to_ms(e.at), e.actor, e.operation, e.target, e.request_id, e.source});
  return written.ok() ? Status() : Status(written.error());
}

}  // namespace fleetward::repository
