// Table of the audit log: who changed what through the API. Owner: audit_repository.
#pragma once

#include <string_view>

namespace fleetward::repository {

inline constexpr std::string_view schema_audit = R"(
CREATE TABLE audit_log(
  id INTEGER PRIMARY KEY AUTOINCREMENT, at_ms BIGINT NOT NULL, actor TEXT NOT NULL, operation TEXT NOT NULL, target TEXT NOT NULL,
  request_id TEXT NOT NULL, source TEXT NOT NULL);
)";

}  // namespace fleetward::repository
