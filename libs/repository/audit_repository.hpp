// The audit log: one row a change, in the transaction of the change.
#pragma once

#include <string>

#include "core/time.hpp"
#include "store/store.hpp"

namespace fleetward::repository {

struct AuditEntry {
  Instant at;
  std::string actor;
  std::string operation;
  std::string target;  // the path that was called
  std::string request_id;
  std::string source;  // address of the caller
};
Status write_audit(store::Transaction& tx, const AuditEntry& entry);

}  // namespace fleetward::repository
