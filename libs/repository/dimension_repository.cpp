#include "repository/dimension_repository.hpp"

#include "repository/manifest.hpp"
#include "repository/profile_repository.hpp"

namespace fleetward::repository {
namespace {

Result<DimensionRow> row_of(const store::Row& r) {
  const auto body = json::parse(r.text(0));
  if (!body) return body.error();
  auto dimension = fleet::dimension_from_json(*body);
  if (!dimension) return dimension.error();
  return DimensionRow{std::move(*dimension), instant_from_ms(r.integer(1)), instant_from_ms(r.integer(2))};
}

// The next version, and the manifest by which it holds. The token stays that of the creation.
Result<DimensionRow> write_dimension(store::Transaction& tx, fleet::Dimension dimension, const std::string& token,
                                     Instant now) {
  if (const Status good = fleet::check_topic_filters(dimension.topic_filters); !good) return good.error();
  const auto last = tx.query("SELECT version FROM dimensions WHERE name=$1", {dimension.name});
  if (!last) return last.error();
  const auto next = first_unsaid(tx, last->empty() ? 1 : last->at(0).integer(0) + 1,
                                 [&](std::int64_t version) { return fleet::dimension_key(dimension.name, version); });
  if (!next) return next.error();
  dimension.version = *next;
  const auto written = tx.execute(
      "INSERT INTO dimensions(name, version, body, token, deleted, created_ms, modified_ms) VALUES($1, $2, $3, $4, 0, "
      "$5, $5) ON CONFLICT(name) DO UPDATE SET version=excluded.version, body=excluded.body, "
      "token=CASE WHEN dimensions.deleted = 1 THEN excluded.token ELSE dimensions.token END, "
      "created_ms=CASE WHEN dimensions.deleted = 1 THEN excluded.created_ms ELSE dimensions.created_ms END, "
      "modified_ms=excluded.modified_ms, deleted=0",
      {dimension.name, dimension.version, json::dump(to_json(dimension)), token, to_ms(now)});
  if (!written) return written.error();
  const Status told = publish_rule(tx, fleet::dimension_key(dimension.name, dimension.version),
                                   fleet::event_type::dimension, to_json(dimension), now);
  if (!told) return told.error();
  if (const Status held = publish_manifest(tx, now); !held) return held.error();
  return get_dimension(tx, dimension.name);
}

Status check_room(store::Transaction& tx) {
  const auto rows = tx.query("SELECT count(*) FROM dimensions WHERE deleted = 0");
  if (!rows) return rows.error();
  if (rows->at(0).integer(0) < static_cast<std::int64_t>(fleet::dimensions_max)) return {};
  return Error(ErrorCode::resource_exhausted, fmt::format("there are at most {} dimensions", fleet::dimensions_max));
}

}  // namespace

Result<std::optional<DimensionRow>> find_dimension(store::Transaction& tx, const std::string& name) {
  const auto rows =
      tx.query("SELECT body, created_ms, modified_ms FROM dimensions WHERE name=$1 AND deleted = 0", {name});
  if (!rows) return rows.error();
  if (rows->empty()) return std::optional<DimensionRow>();
  auto row = row_of(rows->at(0));
  if (!row) return row.error();
  return std::optional(std::move(*row));
}

Result<DimensionRow> get_dimension(store::Transaction& tx, const std::string& name) {
  auto found = find_dimension(tx, name);
  if (!found) return found.error();
  if (!*found) return Error(ErrorCode::not_found, fmt::format("Dimension {} cannot be found.", name));
  return std::move(**found);
}

Result<DimensionRow> create_dimension(store::Transaction& tx, fleet::Dimension dimension, const std::string& token,
                                      Instant now) {
  const auto tokens = tx.query("SELECT name FROM dimensions WHERE token=$1 AND deleted = 0", {token});
  if (!tokens) return tokens.error();
  auto existing = find_dimension(tx, dimension.name);
  if (!existing) return existing.error();
  const bool is_again = !tokens->empty() && tokens->at(0).text(0) == dimension.name;
  if (*existing) {
    if (is_again && (**existing).dimension.topic_filters == dimension.topic_filters) return std::move(**existing);
    return Error(ErrorCode::already_exists, fmt::format("Dimension {} already exists.", dimension.name));
  }
  if (!tokens->empty()) {
    return Error(ErrorCode::already_exists,
                 fmt::format("Dimension {} was created with this clientRequestToken.", tokens->at(0).text(0)));
  }
  if (const Status room = check_room(tx); !room) return room.error();
  return write_dimension(tx, std::move(dimension), token, now);
}

Result<DimensionRow> update_dimension(store::Transaction& tx, const std::string& name,
                                      std::vector<std::string> topic_filters, Instant now) {
  auto existing = get_dimension(tx, name);
  if (!existing || existing->dimension.topic_filters == topic_filters) return existing;
  return write_dimension(tx, {name, 0, std::move(topic_filters)}, "", now);
}

Result<DimensionRow> put_dimension(store::Transaction& tx, fleet::Dimension dimension, Instant now) {
  const auto existing = find_dimension(tx, dimension.name);
  if (!existing) return existing.error();
  if (*existing) return update_dimension(tx, dimension.name, std::move(dimension.topic_filters), now);
  if (const Status room = check_room(tx); !room) return room.error();
  return write_dimension(tx, std::move(dimension), "", now);
}

Result<std::vector<DimensionRow>> list_dimensions(store::Transaction& tx, const std::string& after,
                                                  std::int64_t limit) {
  const auto rows = tx.query(
      "SELECT body, created_ms, modified_ms FROM dimensions WHERE name > $1 AND deleted = 0 ORDER BY name LIMIT $2",
      {after, limit});
  if (!rows) return rows.error();
  std::vector<DimensionRow> out;
  for (const store::Row& r : *rows) {
    auto row = row_of(r);
    if (!row) return row.error();
    out.push_back(std::move(*row));
  }
  return out;
}

Status delete_dimension(store::Transaction& tx, const std::string& name, Instant now) {
  if (const Status unused = check_unused(tx, "Dimension", "", name); !unused) return unused;
  const auto gone = tx.execute("UPDATE dimensions SET deleted=1 WHERE name=$1 AND deleted = 0", {name});
  if (!gone) return gone.error();
  return *gone == 0 ? Status() : publish_manifest(tx, now);
}

}  // namespace fleetward::repository
