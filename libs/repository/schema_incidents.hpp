// Tables of incidents and their pages. Owner: incident_repository.
#pragma once

#include <string_view>

namespace fleetward::repository {

inline constexpr std::string_view schema_incidents = R"(
CREATE TABLE incidents(
  id TEXT PRIMARY KEY, entry TEXT NOT NULL, window_ms BIGINT NOT NULL, is_open BIGINT NOT NULL, severity TEXT NOT NULL,
  revision BIGINT NOT NULL, closed_ms BIGINT NOT NULL);
CREATE INDEX incidents_open ON incidents(entry, window_ms);
CREATE TABLE incident_members(
  incident TEXT NOT NULL REFERENCES incidents(id), action TEXT NOT NULL UNIQUE, thing TEXT NOT NULL, level TEXT NOT NULL,
  state TEXT NOT NULL, reason TEXT NOT NULL, wait_reason TEXT NOT NULL, position BIGINT NOT NULL, PRIMARY KEY(incident, action));
CREATE TABLE incident_pages(
  incident TEXT NOT NULL REFERENCES incidents(id), receiver TEXT NOT NULL, revision BIGINT NOT NULL, sent_ms BIGINT NOT NULL,
  resolved BIGINT NOT NULL, PRIMARY KEY(incident, receiver));
)";

}  // namespace fleetward::repository
