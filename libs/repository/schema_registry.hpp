// Tables of things, groups, profiles and custom metrics. Owners: registry_repository, profile_repository.
#pragma once

#include <string_view>

namespace fleetward::repository {

inline constexpr std::string_view schema_registry = R"(
CREATE TABLE things(
  name TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, version BIGINT NOT NULL, thing_type TEXT NOT NULL, attributes TEXT NOT NULL,
  created_ms BIGINT NOT NULL);
CREATE TABLE deleted_things(id TEXT PRIMARY KEY, name TEXT NOT NULL, version BIGINT NOT NULL, deleted_ms BIGINT NOT NULL);
CREATE TABLE thing_groups(
  name TEXT PRIMARY KEY, id TEXT NOT NULL, parent TEXT REFERENCES thing_groups(name), version BIGINT NOT NULL, description TEXT NOT NULL,
  created_ms BIGINT NOT NULL);
CREATE TABLE thing_group_members(
  group_name TEXT NOT NULL REFERENCES thing_groups(name), thing TEXT NOT NULL REFERENCES things(name), PRIMARY KEY(group_name, thing));
CREATE INDEX thing_group_members_thing ON thing_group_members(thing);
CREATE TABLE profiles(
  name TEXT PRIMARY KEY, version BIGINT NOT NULL, body TEXT NOT NULL, deleted BIGINT NOT NULL, created_ms BIGINT NOT NULL,
  modified_ms BIGINT NOT NULL);
CREATE TABLE profile_targets(profile TEXT NOT NULL REFERENCES profiles(name), target TEXT NOT NULL, PRIMARY KEY(profile, target));
CREATE TABLE custom_metrics(
  name TEXT PRIMARY KEY, type TEXT NOT NULL, display_name TEXT NOT NULL, created_ms BIGINT NOT NULL, modified_ms BIGINT NOT NULL);
CREATE TABLE manifest(one INTEGER PRIMARY KEY CHECK(one = 1), number BIGINT NOT NULL);
)";

}  // namespace fleetward::repository
