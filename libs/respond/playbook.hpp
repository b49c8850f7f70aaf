// The playbook: which violation leads to which action. Pure.
//
//   entries:
//     - name: isolate-infected
//       match: {profile: cameras, behavior: "known-*", group: "*"}
//       level: isolate        # restrict, isolate, revoke
//       mode: act             # act, ask, observe
//       then: revoke          # proposed for approval once the isolation is proven
//       severity: critical    # critical, error, warning
//       lease_minutes: 1440
//   protected: {things: ["gw-*"], groups: [life-safety]}
//
// The first entry that matches counts. Patterns are globs with '*'.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fleet/access.hpp"
#include "fleet/violation.hpp"

namespace fleetward::respond {

enum class EntryMode { act, ask, observe };

struct PlaybookEntry {
  std::string name;
  std::string profile = "*";
  std::string behavior = "*";
  std::string metric = "*";
  std::string thing_type = "*";
  std::string group = "*";  // any of the thing's groups
  fleet::HoldLevel level = fleet::HoldLevel::isolate;
  EntryMode mode = EntryMode::ask;
  bool then_revoke = false;
  std::string severity = "critical";
  Millis lease = std::chrono::hours(24);
};

struct Playbook {
  std::vector<PlaybookEntry> entries;
  std::vector<std::string> protected_things;  // globs
  std::vector<std::string> protected_groups;
};

constexpr std::size_t playbook_entries_max = 500;

// All problems at once; unknown keys are problems.
Result<Playbook> playbook_from_json(const json::Value& value);

bool glob_matches(std::string_view pattern, std::string_view text);
const PlaybookEntry* find_entry(const Playbook& playbook, const fleet::ViolationEvent& violation);
// The entry of that name; null when there is none (any more).
const PlaybookEntry* entry_named(const Playbook& playbook, std::string_view name);
bool is_protected(const Playbook& playbook, std::string_view thing, const std::vector<std::string>& groups);

}  // namespace fleetward::respond
