#include "repository/manifest.hpp"

#include "fleet/topics.hpp"
#include "repository/dimension_repository.hpp"
#include "repository/profile_repository.hpp"

namespace fleetward::repository {

namespace {
constexpr std::int64_t all_rows = 10'000;

Result<std::int64_t> next_number(store::Transaction& tx) {
  const auto last = tx.query("SELECT number FROM manifest");
  if (!last) return last.error();
  const auto next = first_unsaid(tx, last->empty() ? 1 : last->at(0).integer(0) + 1, fleet::manifest_key);
  if (!next) return next.error();
  const auto written = tx.execute(
      "INSERT INTO manifest(one, number) VALUES(1, $1) ON CONFLICT(one) DO UPDATE SET number = excluded.number",
      {*next});
  if (!written) return written.error();
  return *next;
}

}  // namespace

Result<std::int64_t> first_unsaid(store::Transaction& tx, std::int64_t number,
                                  const std::function<std::string(std::int64_t)>& key_of) {
  while (true) {
    const auto version = next_version(tx, fleet::topic::rules, key_of(number));
    if (!version) return version.error();
    if (*version == 1) return number;
    ++number;
  }
}

Status publish_rule(store::Transaction& tx, const std::string& key, std::string_view type, json::Value data,
                    Instant now) {
  const fleet::CloudEvent event{key, "/fleetward/registry", std::string(type), key, now, std::move(data)};
  return publish(tx, {std::string(fleet::topic::rules), 1, event, {}});
}

Status publish_manifest(store::Transaction& tx, Instant now) {
  fleet::Manifest manifest;
  auto profiles = attached_profiles(tx);
  if (!profiles) return profiles.error();
  manifest.profiles = std::move(*profiles);
  const auto metrics = list_custom_metrics(tx, "", all_rows);
  if (!metrics) return metrics.error();
  for (const CustomMetricRow& m : *metrics) manifest.custom_metrics.push_back(m.metric);
  const auto dimensions = list_dimensions(tx, "", all_rows);
  if (!dimensions) return dimensions.error();
  for (const DimensionRow& d : *dimensions) manifest.dimensions.push_back({d.dimension.name, d.dimension.version});
  const auto number = next_number(tx);
  if (!number) return number.error();
  manifest.number = *number;
  return publish_rule(tx, fleet::manifest_key(manifest.number), fleet::event_type::manifest, to_json(manifest), now);
}

Status ensure_manifest(store::Transaction& tx, Instant now) {
  const auto rows = tx.query("SELECT number FROM manifest");
  if (!rows) return rows.error();
  return rows->empty() ? publish_manifest(tx, now) : Status();
}

}  // namespace fleetward::repository
