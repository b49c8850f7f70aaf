#include "repository/incident_changes.hpp"

#include "repository/effects.hpp"
#include "repository/incident_repository.hpp"

namespace fleetward::repository {
namespace {

constexpr std::string_view receivers = "incident-receivers";

}  // namespace

Result<Instant> receiver_since(store::Transaction& tx, const std::string& receiver, Instant now) {
  if (const auto first = first_time(tx, receivers, receiver, now); !first) return first.error();
  const auto rows =
      tx.query("SELECT at_ms FROM effects WHERE consumer=$1 AND id=$2", {std::string(receivers), receiver});
  if (!rows) return rows.error();
  return rows->empty() ? now : instant_from_ms(rows->at(0).integer(0));
}

Result<std::vector<fleet::Incident>> due_changes(store::Transaction& tx, const std::string& receiver, Instant since,
                                                 Instant now, std::int64_t limit) {
  const auto rows = tx.query(
      fmt::format("SELECT i.id FROM incidents i LEFT JOIN incident_pages p ON p.incident = i.id AND p.receiver = $1 "
                  "WHERE (p.revision < i.revision OR (p.revision IS NULL AND (i.is_open = 1 OR i.closed_ms >= $2))) "
                  "AND {} ORDER BY i.window_ms, i.id LIMIT $3",
                  detail::may_be_told("$4")),
      {receiver, to_ms(since), limit, to_ms(now - governor_page_after)});
  if (!rows) return rows.error();
  std::vector<fleet::Incident> out;
  for (const store::Row& row : *rows) {
    auto incident = get_incident(tx, row.text(0));
    if (!incident) return incident.error();
    out.push_back(std::move(*incident));
  }
  return out;
}

}  // namespace fleetward::repository
