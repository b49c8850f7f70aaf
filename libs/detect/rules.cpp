#include "detect/rules.hpp"

#include <algorithm>

#include "core/text.hpp"
#include "fleet/cloud_event.hpp"

namespace fleetward::detect {

Status Rules::add(std::string_view key, std::string_view value) {
  const bool is_manifest = key.starts_with("manifest/");
  if (!is_manifest && !key.starts_with("profile/")) return {};
  const auto event = fleet::parse_cloud_event(value);
  if (!event) return event.error().with_context(printable(key, 160));
  if (is_manifest) {
    auto manifest = fleet::manifest_from_json(event->data);
    if (!manifest) return manifest.error().with_context(printable(key, 160));
    if (fleet::manifest_key(manifest->number) != key) {
      return Error(ErrorCode::corrupted, printable(key, 160) + " holds another manifest");
    }
    manifests_.try_emplace(manifest->number, std::move(*manifest));
    return {};
  }
  auto profile = fleet::profile_from_json(event->data, "profile");
  if (!profile) return profile.error().with_context(printable(key, 160));
  if (fleet::profile_key(profile->name, profile->version) != key) {
    return Error(ErrorCode::corrupted, printable(key, 160) + " holds another profile");
  }
  const std::pair id(profile->name, profile->version);
  profiles_.try_emplace(id, std::make_shared<const fleet::SecurityProfile>(std::move(*profile)));
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

bool Rules::holds(std::int64_t number) const {
  const fleet::Manifest* m = manifest(number);
  return m != nullptr && std::all_of(m->profiles.begin(), m->profiles.end(), [&](const fleet::Manifest::Entry& e) {
           return profiles_.contains({e.profile, e.version});
         });
}

std::int64_t Rules::newest_held() const {
  for (auto at = manifests_.rbegin(); at != manifests_.rend(); ++at) {
    if (holds(at->first)) return at->first;
  }
  return 0;
}

}  // namespace fleetward::detect
