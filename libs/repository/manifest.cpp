#include "repository/manifest.hpp"

#include "fleet/topics.hpp"
#include "repository/dimension_repository.hpp"
#include "repository/profile_repository.hpp"

namespace fleetward::repository {

namespace {
constexpr std::int64_t all_rows = 10'000;
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
  const auto number = tx.query(
      "INSERT INTO manifest(one, number) VALUES(1, 1) ON CONFLICT(one) DO UPDATE SET number = manifest.number + 1 "
      "RETURNING number");
  if (!number) return number.error();
  manifest.number = number->at(0).integer(0);
  return publish_rule(tx, fleet::manifest_key(manifest.number), fleet::event_type::manifest, to_json(manifest), now);
}

Status ensure_manifest(store::Transaction& tx, Instant now) {
  const auto rows = tx.query("SELECT number FROM manifest");
  if (!rows) return rows.error();
  return rows->empty() ? publish_manifest(tx, now) : Status();
}

}  // namespace fleetward::repository
