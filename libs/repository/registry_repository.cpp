#include "repository/registry_repository.hpp"

#include "fleet/names.hpp"
#include "fleet/topics.hpp"
#include "repository/changed.hpp"

namespace fleetward::repository {
namespace {

constexpr std::size_t group_depth_max = 7;
constexpr std::int64_t members_told_max = 1'000;  // in one transaction
constexpr std::string_view thing_columns = "name, id, version, thing_type, attributes, created_ms";
constexpr std::string_view group_columns = "name, id, parent, version, description, created_ms";

ThingRow thing_of(const store::Row& r) {
  ThingRow t{r.text(0), r.text(1), r.integer(2), r.text(3), {}, instant_from_ms(r.integer(5))};
  const auto attributes = json::parse(r.text(4));
  if (attributes) {
    for (const auto& [name, value] : attributes->items()) t.attributes[name] = value.get<std::string>();
  }
  return t;
}

GroupRow group_of(const store::Row& r) {
  return {r.text(0), r.text(1), r.text_or(2, ""), r.integer(3), r.text(4), instant_from_ms(r.integer(5))};
}

// Detectors take the facts of a name in the order of their versions, whichever thing has it: theirs is the record's,
// which also rises with a group and goes on when the thing is made anew, not that of the registry's row.
Status publish_fact(store::Transaction& tx, const ThingRow& thing, bool deleted, Instant now) {
  const auto version = next_version(tx, fleet::topic::devices, thing.name);
  if (!version) return version.error();
  fleet::RegistryFact fact{thing.name, thing.id, *version, deleted, thing.thing_type, {}, {}};
  const auto firmware = thing.attributes.find("firmware");
  if (firmware != thing.attributes.end()) fact.firmware = firmware->second.substr(0, 128);
  if (!deleted) {
    auto groups = all_groups_of(tx, thing.name);
    if (!groups) return groups.error();
    fact.groups = std::move(*groups);
  }
  const fleet::CloudEvent event{fmt::format("registry.{}.{}", thing.id, *version),
                                "/fleetward/registry",
                                std::string(fleet::event_type::registry),
                                thing.name,
                                now,
                                to_json(fact)};
  return publish(tx, {std::string(fleet::topic::devices),
                      *version,
                      event,
                      {{std::string(fleet::header::kind), std::string(to_string(fleet::RecordKind::registry))},
                       {std::string(fleet::header::received_ms), std::to_string(to_ms(now))},
                       {std::string(fleet::header::source), "registry"},
                       {std::string(fleet::header::thing_id), thing.id}}});
}

// Its detector hears how the thing is now.
Status tell(store::Transaction& tx, const std::string& thing, Instant now) {
  const auto row = get_thing(tx, thing);
  if (!row) return row.error();
  return publish_fact(tx, *row, false, now);
}

json::Value to_json(const Attributes& attributes) {
  json::Value out = json::Value::object();
  for (const auto& [name, value] : attributes) out[name] = value;
  return out;
}

}  // namespace

Result<ThingRow> create_thing(store::Transaction& tx, const std::string& name, const std::string& id,
                              const std::string& thing_type, const Attributes& attributes, Instant now) {
  const auto existing = find_thing(tx, name);
  if (!existing) return existing.error();
  if (*existing) {
    if ((**existing).thing_type == thing_type && (**existing).attributes == attributes) return **existing;
    return Error(ErrorCode::already_exists, fmt::format("thing {} exists with another type or other attributes", name));
  }
  const Status made = done(tx.execute(
      "INSERT INTO things(name, id, version, thing_type, attributes, created_ms) VALUES($1, $2, 1, $3, $4, $5)",
      {name, id, thing_type, json::dump(to_json(attributes)), to_ms(now)}));
  if (!made) return made.error();
  const auto row = get_thing(tx, name);
  if (!row) return row.error();
  if (const Status told = publish_fact(tx, *row, false, now); !told) return told.error();
  return row;
}

Result<std::optional<ThingRow>> find_thing(store::Transaction& tx, const std::string& name) {
  const auto rows = tx.query(fmt::format("SELECT {} FROM things WHERE name=$1", thing_columns), {name});
  if (!rows) return rows.error();
  return rows->empty() ? std::optional<ThingRow>() : thing_of(rows->at(0));
}

Result<ThingRow> get_thing(store::Transaction& tx, const std::string& name) {
  auto found = find_thing(tx, name);
  if (!found) return found.error();
  if (!*found) return Error(ErrorCode::not_found, fmt::format("Thing {} cannot be found.", name));
  return std::move(**found);
}

Result<std::vector<ThingRow>> list_things(store::Transaction& tx, const ThingFilter& filter, const std::string& after,
                                          std::int64_t limit) {
  const std::string_view members =
      filter.recursive ? "WITH RECURSIVE down(name) AS (SELECT $2 UNION SELECT g.name FROM thing_groups g JOIN down ON "
                         "g.parent = down.name) SELECT m.thing FROM thing_group_members m JOIN down ON m.group_name = "
                         "down.name"
                       : "SELECT thing FROM thing_group_members WHERE group_name = $2";
  const auto rows = tx.query(fmt::format("SELECT {} FROM things WHERE name > $1 AND ($2 = '' OR name IN ({})) "
                                         "AND ($3 = '' OR thing_type = $3) ORDER BY name LIMIT $4",
                                         thing_columns, members),
                             {after, filter.group, filter.thing_type, limit});
  if (!rows) return rows.error();
  std::vector<ThingRow> out;
  for (const store::Row& r : *rows) out.push_back(thing_of(r));
  return out;
}

Result<std::string> tell_things(store::Transaction& tx, const std::string& after, std::int64_t limit, Instant now) {
  const auto things = list_things(tx, {}, after, limit);
  if (!things) return things.error();
  for (const ThingRow& thing : *things) {
    if (const Status told = publish_fact(tx, thing, false, now); !told) return told.error();
  }
  return things->empty() ? std::string() : things->back().name;
}

Status update_thing(store::Transaction& tx, const std::string& name, const std::string& thing_type,
                    const Attributes& attributes, Instant now) {
  const auto changed = tx.execute("UPDATE things SET version = version + 1, thing_type=$2, attributes=$3 WHERE name=$1",
                                  {name, thing_type, json::dump(to_json(attributes))});
  if (!changed) return changed.error();
  return tell(tx, name, now);
}

Status delete_thing(store::Transaction& tx, const std::string& name, Instant now) {
  auto row = get_thing(tx, name);
  if (!row) return row.error();
  ++row->version;
  for (const Status& step : {done(tx.execute("DELETE FROM thing_group_members WHERE thing=$1", {name})),
                             done(tx.execute("DELETE FROM things WHERE name=$1", {name})),
                             done(tx.execute("INSERT INTO deleted_things VALUES($1, $2, $3, $4)",
                                             {row->id, name, row->version, to_ms(now)}))}) {
    if (!step) return step;
  }
  return publish_fact(tx, *row, true, now);
}

Result<GroupRow> create_group(store::Transaction& tx, const std::string& name, const std::string& id,
                              const std::string& parent, const std::string& description, Instant now) {
  const auto existing = find_group(tx, name);
  if (!existing) return existing.error();
  if (*existing) {
    if ((**existing).parent == parent && (**existing).description == description) return **existing;
    return Error(ErrorCode::already_exists,
                 fmt::format("thing group {} exists with another parent or description", name));
  }
  std::size_t depth = 1;
  for (std::string up = parent; !up.empty(); ++depth) {
    const auto above = find_group(tx, up);
    if (!above) return above.error();
    if (!*above) return Error(ErrorCode::not_found, fmt::format("thing group {} cannot be found.", up));
    if (depth >= group_depth_max) return Error(ErrorCode::invalid_argument, "thing groups are nested too deep");
    up = (**above).parent;
  }
  const Status made = done(tx.execute(
      "INSERT INTO thing_groups(name, id, parent, version, description, created_ms) VALUES($1, $2, $3, 1, $4, $5)",
      {name, id, parent.empty() ? store::Value() : store::Value(parent), description, to_ms(now)}));
  if (!made) return made.error();
  return GroupRow{name, id, parent, 1, description, now};
}

Result<std::optional<GroupRow>> find_group(store::Transaction& tx, const std::string& name) {
  const auto rows = tx.query(fmt::format("SELECT {} FROM thing_groups WHERE name=$1", group_columns), {name});
  if (!rows) return rows.error();
  return rows->empty() ? std::optional<GroupRow>() : group_of(rows->at(0));
}

Result<std::vector<GroupRow>> list_groups(store::Transaction& tx, const std::string& after, std::int64_t limit) {
  const auto rows = tx.query(
      fmt::format("SELECT {} FROM thing_groups WHERE name > $1 ORDER BY name LIMIT $2", group_columns), {after, limit});
  if (!rows) return rows.error();
  std::vector<GroupRow> out;
  for (const store::Row& r : *rows) out.push_back(group_of(r));
  return out;
}

Status delete_group(store::Transaction& tx, const std::string& name, Instant now) {
  const auto child = tx.query("SELECT name FROM thing_groups WHERE parent=$1 ORDER BY name LIMIT 1", {name});
  if (!child) return child.error();
  if (!child->empty())
    return Error(ErrorCode::failed_precondition,
                 fmt::format("Thing group {} has group {} below it: delete that first.", name, child->at(0).text(0)));
  const auto profile = tx.query("SELECT profile FROM profile_targets WHERE target=$1 ORDER BY profile LIMIT 1",
                                {to_text(fleet::Target{fleet::Target::Kind::thing_group, name})});
  if (!profile) return profile.error();
  if (!profile->empty())
    return Error(ErrorCode::failed_precondition,
                 fmt::format("Security profile {} is attached to thing group {}: detach it first.",
                             profile->at(0).text(0), name));
  const auto members =
      tx.query("SELECT thing FROM thing_group_members WHERE group_name=$1 LIMIT $2", {name, members_told_max + 1});
  if (!members) return members.error();
  if (static_cast<std::int64_t>(members->size()) > members_told_max)
    return Error(ErrorCode::failed_precondition,
                 fmt::format("Thing group {} has more than {} things: remove some first.", name, members_told_max));
  for (const Status& step : {done(tx.execute("DELETE FROM thing_group_members WHERE group_name=$1", {name})),
                             done(tx.execute("DELETE FROM thing_groups WHERE name=$1", {name}))}) {
    if (!step) return step;
  }
  for (const store::Row& member : *members) {
    if (const Status told = tell(tx, member.text(0), now); !told) return told;
  }
  return {};
}

Status add_to_group(store::Transaction& tx, const std::string& group, const std::string& thing, Instant now) {
  const auto g = find_group(tx, group);
  if (!g) return g.error();
  if (!*g) return Error(ErrorCode::not_found, fmt::format("thing group {} cannot be found.", group));
  if (const auto t = get_thing(tx, thing); !t) return t.error();
  const auto added =
      tx.execute("INSERT INTO thing_group_members VALUES($1, $2) ON CONFLICT DO NOTHING", {group, thing});
  if (!added) return added.error();
  return *added == 0 ? Status() : tell(tx, thing, now);
}

Status remove_from_group(store::Transaction& tx, const std::string& group, const std::string& thing, Instant now) {
  if (const auto t = get_thing(tx, thing); !t) return t.error();
  const auto removed = tx.execute("DELETE FROM thing_group_members WHERE group_name=$1 AND thing=$2", {group, thing});
  if (!removed) return removed.error();
  return *removed == 0 ? Status() : tell(tx, thing, now);
}

Result<std::vector<std::string>> groups_of(store::Transaction& tx, const std::string& thing) {
  const auto rows = tx.query("SELECT group_name FROM thing_group_members WHERE thing=$1 ORDER BY group_name", {thing});
  if (!rows) return rows.error();
  std::vector<std::string> out;
  for (const store::Row& r : *rows) out.push_back(r.text(0));
  return out;
}

Result<std::vector<std::string>> all_groups_of(store::Transaction& tx, const std::string& thing) {
  const auto rows = tx.query(
      "WITH RECURSIVE up(name) AS (SELECT group_name FROM thing_group_members WHERE thing=$1 UNION "
      "SELECT g.parent FROM thing_groups g JOIN up ON g.name = up.name WHERE g.parent IS NOT NULL) SELECT name FROM up "
      "ORDER BY name",
      {thing});
  if (!rows) return rows.error();
  std::vector<std::string> out;
  for (const store::Row& r : *rows) out.push_back(r.text(0));
  return out;
}

Result<std::int64_t> group_size(store::Transaction& tx, const std::string& group) {
  const auto rows = tx.query(
      "WITH RECURSIVE down(name) AS (SELECT $1 UNION SELECT g.name FROM thing_groups g JOIN down ON g.parent = "
      "down.name) "
      "SELECT count(DISTINCT m.thing) FROM thing_group_members m JOIN down ON m.group_name = down.name",
      {group});
  if (!rows) return rows.error();
  return rows->at(0).integer(0);
}

}  // namespace fleetward::repository
