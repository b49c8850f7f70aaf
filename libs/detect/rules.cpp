#include "detect/rules.hpp"

#include <algorithm>

#include "core/text.hpp"
#include "detect/metric.hpp"
#include "fleet/cloud_event.hpp"

namespace fleetward::detect {

Status Rules::add(std::string_view key, std::string_view value) {
  using Add = Status (Rules::*)(std::string_view, const json::Value&);
  const Add add = key.starts_with("manifest/")    ? &Rules::add_manifest
                  : key.starts_with("profile/")   ? &Rules::add_profile
                  : key.starts_with("dimension/") ? &Rules::add_dimension
                                                  : nullptr;
  if (add == nullptr) return {};
  const auto event = fleet::parse_cloud_event(value);
  const Status added = event ? (this->*add)(key, event->data) : Status(event.error());
  return added.ok() ? Status() : Status(added.error().with_context(printable(key, 160)));
}

Status Rules::add_manifest(std::string_view key, const json::Value& data) {
  auto manifest = fleet::manifest_from_json(data);
  if (!manifest) return manifest.error();
  if (fleet::manifest_key(manifest->number) != key) return Error(ErrorCode::corrupted, "holds another manifest");
  manifests_.try_emplace(manifest->number, std::move(*manifest));
  return {};
}

Status Rules::add_profile(std::string_view key, const json::Value& data) {
  auto profile = fleet::profile_from_json(data, "profile");
  if (!profile) return profile.error();
  if (fleet::profile_key(profile->name, profile->version) != key) {
    return Error(ErrorCode::corrupted, "holds another profile");
  }
  const std::pair id(profile->name, profile->version);
  profiles_.try_emplace(id, std::make_shared<const fleet::SecurityProfile>(std::move(*profile)));
  return {};
}

Status Rules::add_dimension(std::string_view key, const json::Value& data) {
  auto dimension = fleet::dimension_from_json(data);
  if (!dimension) return dimension.error();
  if (fleet::dimension_key(dimension->name, dimension->version) != key) {
    return Error(ErrorCode::corrupted, "holds another dimension");
  }
  const fleet::DimensionVersion id{dimension->name, dimension->version};
  dimensions_.try_emplace(id, std::move(*dimension));
  return {};
}

const fleet::Manifest* Rules::manifest(std::int64_t number) const {
  static const fleet::Manifest empty;
  if (number == 0) return &empty;
  const auto at = manifests_.find(number);
  return at == manifests_.end() ? nullptr : &at->second;
}

std::shared_ptr<const fleet::SecurityProfile> Rules::profile(const std::string& name, std::int64_t version) const {
  const auto at = profiles_.find({name, version});
  return at == profiles_.end() ? nullptr : at->second;
}

const fleet::Dimension* Rules::dimension(const fleet::DimensionVersion& version) const {
  const auto at = dimensions_.find(version);
  return at == dimensions_.end() ? nullptr : &at->second;
}

bool Rules::holds(std::int64_t number) const {
  const fleet::Manifest* m = manifest(number);
  return m != nullptr &&
         std::all_of(m->profiles.begin(), m->profiles.end(),
                     [&](const auto& e) {
                       return profiles_.contains({e.profile, e.version});
                     }) &&
         std::all_of(m->dimensions.begin(), m->dimensions.end(),
                     [&](const auto& d) { return dimensions_.contains(d); });
}

std::int64_t Rules::newest_held() const {
  for (auto at = manifests_.rbegin(); at != manifests_.rend(); ++at) {
    if (holds(at->first)) return at->first;
  }
  return 0;
}

std::vector<DimensionUse> dimensions_in_use(const Rules& rules, std::int64_t number) {
  if (!rules.holds(number)) return {};
  const fleet::Manifest& manifest = *rules.manifest(number);
  std::map<std::string, DimensionUse> uses;
  const auto note = [&](const std::optional<fleet::MetricDimension>& wanted, const std::string& metric) {
    const std::int64_t version = wanted ? manifest.dimension_version(wanted->name) : 0;
    const MetricInfo* known = find_metric(metric);
    if (version == 0 || known == nullptr || !has_dimension(known->metric)) return;
    DimensionUse& use = uses[wanted->name];
    use.dimension = *rules.dimension({wanted->name, version});
    (wanted->negated ? use.not_in : use.in).insert(metric);
  };
  for (const fleet::Manifest::Entry& entry : manifest.profiles) {
    const auto profile = rules.profile(entry.profile, entry.version);
    for (const fleet::Behavior& b : profile->behaviors) note(b.dimension, b.metric);
    for (const fleet::MetricToRetain& m : profile->additional_metrics_to_retain) note(m.dimension, m.metric);
  }
  std::vector<DimensionUse> out;
  for (auto& [name, use] : uses) out.push_back(std::move(use));
  return out;
}

}  // namespace fleetward::detect
