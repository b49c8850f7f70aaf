#include "repository/profile_repository.hpp"

#include "repository/changed.hpp"
#include "repository/manifest.hpp"
#include "repository/registry_repository.hpp"

namespace fleetward::repository {
namespace {

constexpr std::int64_t all_rows = 10'000;

Result<ProfileRow> row_of(const store::Row& r) {
  const auto body = json::parse(r.text(0));
  if (!body) return body.error();
  auto profile = fleet::profile_from_json(*body, "");
  if (!profile) return profile.error();
  profile->version = r.integer(1);
  return ProfileRow{std::move(*profile), instant_from_ms(r.integer(2)), instant_from_ms(r.integer(3))};
}

Status publish_profile(store::Transaction& tx, const fleet::SecurityProfile& profile, Instant now) {
  return publish_rule(tx, fleet::profile_key(profile.name, profile.version), fleet::event_type::profile,
                      to_json(profile), now);
}

// Equal but for the version.
bool same(fleet::SecurityProfile a, fleet::SecurityProfile b) {
  a.version = b.version = 0;
  return a == b;
}

// Writes the profile's next version; no manifest.
Result<ProfileRow> write_profile(store::Transaction& tx, fleet::SecurityProfile profile, Instant now) {
  const auto last = tx.query("SELECT version FROM profiles WHERE name=$1", {profile.name});
  if (!last) return last.error();
  // A name that was deleted goes on counting: versions are immutable, and kept records may name an old one.
  const auto next = first_unsaid(tx, last->empty() ? 1 : last->at(0).integer(0) + 1,
                                 [&](std::int64_t version) { return fleet::profile_key(profile.name, version); });
  if (!next) return next.error();
  profile.version = *next;
  const Status written = done(tx.execute(
      "INSERT INTO profiles(name, version, body, deleted, created_ms, modified_ms) VALUES($1, $2, $3, 0, $4, $4) ON "
      "CONFLICT(name) DO UPDATE SET "
      "version=excluded.version, body=excluded.body, modified_ms=excluded.modified_ms, "
      "created_ms=CASE WHEN profiles.deleted = 1 THEN excluded.created_ms ELSE profiles.created_ms END, deleted=0",
      {profile.name, profile.version, json::dump(to_json(profile)), to_ms(now)}));
  if (!written) return written.error();
  if (const Status told = publish_profile(tx, profile, now); !told) return told.error();
  return get_profile(tx, profile.name);
}

Status write_target(store::Transaction& tx, const std::string& name, const fleet::Target& target, bool& changed) {
  if (target.kind == fleet::Target::Kind::thing_group) {
    const auto group = find_group(tx, target.group);
    if (!group) return group.error();
    if (!*group) return Error(ErrorCode::not_found, fmt::format("thing group {} cannot be found.", target.group));
  }
  const std::string text = to_text(target);
  const auto others = tx.query("SELECT count(*) FROM profile_targets WHERE target=$1 AND profile<>$2", {text, name});
  if (!others) return others.error();
  if (others->at(0).integer(0) >= static_cast<std::int64_t>(profiles_per_target_max)) {
    return Error(ErrorCode::resource_exhausted,
                 fmt::format("at most {} profiles may be attached to {}", profiles_per_target_max, text));
  }
  const auto added = tx.execute("INSERT INTO profile_targets VALUES($1, $2) ON CONFLICT DO NOTHING", {name, text});
  if (!added) return added.error();
  changed = changed || *added == 1;
  return {};
}

}  // namespace

bool uses(const fleet::SecurityProfile& profile, const std::string& metric, const std::string& dimension) {
  const auto is_of = [&](const auto& item) {
    return (metric.empty() || item.metric == metric) &&
           (dimension.empty() || (item.dimension && item.dimension->name == dimension));
  };
  const auto& retained = profile.additional_metrics_to_retain;
  return std::any_of(profile.behaviors.begin(), profile.behaviors.end(), is_of) ||
         (metric.empty() && std::any_of(retained.begin(), retained.end(), is_of));
}

Status check_unused(store::Transaction& tx, std::string_view what, const std::string& metric,
                    const std::string& dimension) {
  const auto profiles = list_profiles(tx, "", all_rows);
  if (!profiles) return profiles.error();
  for (const ProfileRow& row : *profiles) {
    if (!uses(row.profile, metric, dimension)) continue;
    return Error(ErrorCode::failed_precondition, fmt::format("{} {} is used by security profile {}.", what,
                                                             metric.empty() ? dimension : metric, row.profile.name));
  }
  return {};
}

Result<std::vector<fleet::Manifest::Entry>> attached_profiles(store::Transaction& tx) {
  const auto profiles = tx.query("SELECT name, version FROM profiles WHERE deleted = 0 ORDER BY name");
  if (!profiles) return profiles.error();
  std::vector<fleet::Manifest::Entry> out;
  for (const store::Row& r : *profiles) {
    auto targets = targets_of(tx, r.text(0));
    if (!targets) return targets.error();
    if (!targets->empty()) out.push_back({r.text(0), r.integer(1), std::move(*targets)});
  }
  return out;
}

Result<std::optional<ProfileRow>> find_profile(store::Transaction& tx, const std::string& name) {
  const auto rows =
      tx.query("SELECT body, version, created_ms, modified_ms FROM profiles WHERE name=$1 AND deleted = 0", {name});
  if (!rows) return rows.error();
  if (rows->empty()) return std::optional<ProfileRow>();
  auto row = row_of(rows->at(0));
  if (!row) return row.error();
  return std::optional(std::move(*row));
}

Result<ProfileRow> get_profile(store::Transaction& tx, const std::string& name) {
  auto found = find_profile(tx, name);
  if (!found) return found.error();
  if (!*found) return Error(ErrorCode::not_found, fmt::format("Security profile {} cannot be found.", name));
  return std::move(**found);
}

Result<ProfileRow> create_profile(store::Transaction& tx, fleet::SecurityProfile profile, Instant now) {
  auto existing = find_profile(tx, profile.name);
  if (!existing) return existing.error();
  if (*existing) {
    if (same((**existing).profile, profile)) return std::move(**existing);
    return Error(ErrorCode::already_exists, fmt::format("Security profile {} already exists.", profile.name));
  }
  return write_profile(tx, std::move(profile), now);
}

Result<ProfileRow> update_profile(store::Transaction& tx, fleet::SecurityProfile profile,
                                  std::optional<std::int64_t> expected_version, Instant now) {
  auto existing = get_profile(tx, profile.name);
  if (!existing) return existing.error();
  if (expected_version && *expected_version != existing->profile.version) {
    return Error(ErrorCode::conflict,
                 fmt::format("expected version {}, it is {}", *expected_version, existing->profile.version));
  }
  if (same(existing->profile, profile)) return existing;
  auto row = write_profile(tx, std::move(profile), now);
  if (!row) return row.error();
  if (const Status told = publish_manifest(tx, now); !told) return told.error();
  return row;
}

Status delete_profile(store::Transaction& tx, const std::string& name, std::optional<std::int64_t> expected_version,
                      Instant now) {
  const auto existing = find_profile(tx, name);
  if (!existing) return existing.error();
  if (!*existing) return {};  // idempotent, as the service it is like
  if (expected_version && *expected_version != (**existing).profile.version)
    return Error(ErrorCode::conflict, "the profile has another version");
  for (const Status& step : {done(tx.execute("DELETE FROM profile_targets WHERE profile=$1", {name})),
                             done(tx.execute("UPDATE profiles SET deleted=1 WHERE name=$1", {name}))}) {
    if (!step) return step;
  }
  return publish_manifest(tx, now);
}

Result<std::vector<ProfileRow>> list_profiles(store::Transaction& tx, const std::string& after, std::int64_t limit) {
  const auto rows = tx.query(
      "SELECT body, version, created_ms, modified_ms FROM profiles WHERE name > $1 AND deleted = 0 ORDER BY name LIMIT "
      "$2",
      {after, limit});
  if (!rows) return rows.error();
  std::vector<ProfileRow> out;
  for (const store::Row& r : *rows) {
    auto row = row_of(r);
    if (!row) return row.error();
    out.push_back(std::move(*row));
  }
  return out;
}

Status attach_profile(store::Transaction& tx, const std::string& name, const fleet::Target& target, Instant now) {
  if (const auto profile = get_profile(tx, name); !profile) return profile.error();
  bool changed = false;
  if (const Status written = write_target(tx, name, target, changed); !written) return written;
  return changed ? publish_manifest(tx, now) : Status();
}

Status detach_profile(store::Transaction& tx, const std::string& name, const fleet::Target& target, Instant now) {
  if (const auto profile = get_profile(tx, name); !profile) return profile.error();
  const auto removed =
      tx.execute("DELETE FROM profile_targets WHERE profile=$1 AND target=$2", {name, to_text(target)});
  if (!removed) return removed.error();
  return *removed == 0 ? Status() : publish_manifest(tx, now);
}

Result<std::vector<fleet::Target>> targets_of(store::Transaction& tx, const std::string& name) {
  const auto rows = tx.query("SELECT target FROM profile_targets WHERE profile=$1 ORDER BY target", {name});
  if (!rows) return rows.error();
  std::vector<fleet::Target> out;
  for (const store::Row& r : *rows) {
    auto target = fleet::parse_target(r.text(0));
    if (!target) return target.error();
    out.push_back(std::move(*target));
  }
  return out;
}

Result<std::vector<Attachment>> attached_to(store::Transaction& tx, const fleet::Target& target, bool recursive,
                                            const std::optional<Attachment>& after, std::int64_t limit) {
  const auto rows = tx.query(
      "WITH RECURSIVE wanted(target) AS (SELECT $1 UNION SELECT $2 || g.name FROM thing_groups g JOIN wanted ON "
      "$2 || g.parent = wanted.target WHERE $3 = 1) SELECT target, profile FROM profile_targets WHERE target IN "
      "(SELECT "
      "target FROM wanted) AND (target > $4 OR (target = $4 AND profile > $5)) ORDER BY target, profile LIMIT $6",
      {to_text(target), to_text(fleet::Target{fleet::Target::Kind::thing_group, ""}), std::int64_t{recursive ? 1 : 0},
       after ? to_text(after->target) : std::string(), after ? after->profile : std::string(), limit});
  if (!rows) return rows.error();
  std::vector<Attachment> out;
  for (const store::Row& r : *rows) {
    auto on = fleet::parse_target(r.text(0));
    if (!on) return on.error();
    out.push_back({std::move(*on), r.text(1)});
  }
  return out;
}

Result<ProfileRow> apply_profile(store::Transaction& tx, fleet::SecurityProfile profile,
                                 const std::vector<fleet::Target>& targets, Instant now) {
  auto existing = find_profile(tx, profile.name);
  if (!existing) return existing.error();
  bool changed = !*existing || !same((**existing).profile, profile);
  auto row = changed ? write_profile(tx, profile, now) : Result<ProfileRow>(std::move(**existing));
  if (!row) return row.error();
  auto before = targets_of(tx, profile.name);
  if (!before) return before.error();
  for (const fleet::Target& old : *before) {
    if (std::find(targets.begin(), targets.end(), old) != targets.end()) continue;
    if (const Status gone = done(
            tx.execute("DELETE FROM profile_targets WHERE profile=$1 AND target=$2", {profile.name, to_text(old)}));
        !gone)
      return gone.error();
    changed = true;
  }
  for (const fleet::Target& target : targets) {
    if (const Status written = write_target(tx, profile.name, target, changed); !written) return written.error();
  }
  if (changed) {
    if (const Status told = publish_manifest(tx, now); !told) return told.error();
  }
  return row;
}

Result<std::optional<CustomMetricRow>> find_custom_metric(store::Transaction& tx, const std::string& name) {
  const auto rows =
      tx.query("SELECT type, display_name, created_ms, modified_ms FROM custom_metrics WHERE name=$1", {name});
  if (!rows) return rows.error();
  if (rows->empty()) return std::optional<CustomMetricRow>();
  const store::Row& r = rows->at(0);
  const auto type = fleet::parse_custom_metric_type(r.text(0));
  if (!type) return type.error();
  return std::optional(
      CustomMetricRow{{name, *type, r.text(1)}, instant_from_ms(r.integer(2)), instant_from_ms(r.integer(3))});
}

Result<CustomMetricRow> create_custom_metric(store::Transaction& tx, const fleet::CustomMetric& metric, Instant now) {
  auto existing = find_custom_metric(tx, metric.name);
  if (!existing) return existing.error();
  if (*existing) {
    if ((**existing).metric == metric) return std::move(**existing);
    return Error(ErrorCode::already_exists, fmt::format("Custom metric {} already exists.", metric.name));
  }
  const Status made =
      done(tx.execute("INSERT INTO custom_metrics VALUES($1, $2, $3, $4, $4)",
                      {metric.name, std::string(to_string(metric.type)), metric.display_name, to_ms(now)}));
  if (!made) return made.error();
  if (const Status told = publish_manifest(tx, now); !told) return told.error();
  return CustomMetricRow{metric, now, now};
}

Result<std::vector<CustomMetricRow>> list_custom_metrics(store::Transaction& tx, const std::string& after,
                                                         std::int64_t limit) {
  const auto rows = tx.query("SELECT name FROM custom_metrics WHERE name > $1 ORDER BY name LIMIT $2", {after, limit});
  if (!rows) return rows.error();
  std::vector<CustomMetricRow> out;
  for (const store::Row& r : *rows) {
    auto row = find_custom_metric(tx, r.text(0));
    if (!row) return row.error();
    out.push_back(std::move(**row));
  }
  return out;
}

Status delete_custom_metric(store::Transaction& tx, const std::string& name, Instant now) {
  if (const Status unused = check_unused(tx, "Custom metric", name, ""); !unused) return unused;
  const auto gone = tx.execute("DELETE FROM custom_metrics WHERE name=$1", {name});
  if (!gone) return gone.error();
  return *gone == 0 ? Status() : publish_manifest(tx, now);
}

}  // namespace fleetward::repository
