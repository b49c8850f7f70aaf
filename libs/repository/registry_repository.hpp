// Things and thing groups: the only code that writes their tables. All functions run inside a store transaction; each
// change of a thing puts a RegistryFact onto topic `devices` in the same transaction, so that its detector sees it in
// order.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "fleet/device_records.hpp"
#include "repository/outbox.hpp"

namespace fleetward::repository {

using Attributes = std::map<std::string, std::string>;  // "firmware" is among them, where the operator keeps it

struct ThingRow {
  std::string name;
  std::string id;
  std::int64_t version = 1;  // of this row: groups do not raise it
  std::string thing_type;
  Attributes attributes;
  Instant created;
};

struct GroupRow {
  std::string name;
  std::string id;
  std::string parent;  // empty: none
  std::int64_t version = 1;
  std::string description;
  Instant created;
};

// The same thing again, with the same type and attributes, is no error (the row that is there is returned); otherwise
// already_exists. `id` is used when it is made.
Result<ThingRow> create_thing(store::Transaction& tx, const std::string& name, const std::string& id,
                              const std::string& thing_type, const Attributes& attributes, Instant now);
Result<std::optional<ThingRow>> find_thing(store::Transaction& tx, const std::string& name);
Result<ThingRow> get_thing(store::Transaction& tx, const std::string& name);  // not_found

struct ThingFilter {
  std::string group;  // members of it
  std::string thing_type;
  bool recursive = false;  // also members of the groups below it
};
// By name, those after `after`.
Result<std::vector<ThingRow>> list_things(store::Transaction& tx, const ThingFilter& filter, const std::string& after,
                                          std::int64_t limit);
// Detectors hear again how things are: the next `limit` by name after `after`. For a bus that lost what it was told.
// The last one's name; empty: there are no more.
Result<std::string> tell_things(store::Transaction& tx, const std::string& after, std::int64_t limit, Instant now);
// It is there. Its version rises.
Status update_thing(store::Transaction& tx, const std::string& name, const std::string& thing_type,
                    const Attributes& attributes, Instant now);
// Id and version stay behind; a thing made anew under the name has another id.
Status delete_thing(store::Transaction& tx, const std::string& name, Instant now);

Result<GroupRow> create_group(store::Transaction& tx, const std::string& name, const std::string& id,
                              const std::string& parent, const std::string& description, Instant now);
Result<std::optional<GroupRow>> find_group(store::Transaction& tx, const std::string& name);
Result<std::vector<GroupRow>> list_groups(store::Transaction& tx, const std::string& after, std::int64_t limit);
// Its things leave it. failed_precondition while a group is below it, a profile is attached to it, or it has more
// things than one transaction tells detectors of. A missing one is no error.
Status delete_group(store::Transaction& tx, const std::string& name, Instant now);
// Again is no error.
Status add_to_group(store::Transaction& tx, const std::string& group, const std::string& thing, Instant now);
Status remove_from_group(store::Transaction& tx, const std::string& group, const std::string& thing, Instant now);
Result<std::vector<std::string>> groups_of(store::Transaction& tx, const std::string& thing);  // direct
// With all ancestors, sorted: what profiles and caps go by.
Result<std::vector<std::string>> all_groups_of(store::Transaction& tx, const std::string& thing);
// Things of the group and of its descendants.
Result<std::int64_t> group_size(store::Transaction& tx, const std::string& group);

}  // namespace fleetward::repository
