// The rules that a detector holds: immutable versions of profiles and dimensions, and the manifests that say which hold
// together.
//
// Filled from topic `rules` (or from a copied bus file, for a replay), read by engines, or by a gateway, of the same
// thread. Grows with the number of versions that people have made, which the topic's compaction bounds.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "fleet/profile.hpp"

namespace fleetward::detect {

class Rules {
 public:
  // A record of topic `rules`. Keys of other kinds are not ours and are ignored. A version that is held already is
  // kept.
  Status add(std::string_view key, std::string_view value);

  [[nodiscard]] const fleet::Manifest* manifest(std::int64_t number) const;
  [[nodiscard]] std::shared_ptr<const fleet::SecurityProfile> profile(const std::string& name,
                                                                      std::int64_t version) const;
  [[nodiscard]] const fleet::Dimension* dimension(const fleet::DimensionVersion& version) const;
  // Whether the manifest and each profile and dimension that it names are here. Manifest 0 is the empty one: always
  // held.
  [[nodiscard]] bool holds(std::int64_t manifest) const;
  // The highest manifest that is held whole; 0 when there is none.
  [[nodiscard]] std::int64_t newest_held() const;

 private:
  Status add_profile(std::string_view key, const json::Value& data);
  Status add_dimension(std::string_view key, const json::Value& data);
  Status add_manifest(std::string_view key, const json::Value& data);

  std::map<std::int64_t, fleet::Manifest> manifests_;
  std::map<std::pair<std::string, std::int64_t>, std::shared_ptr<const fleet::SecurityProfile>> profiles_;
  std::map<fleet::DimensionVersion, fleet::Dimension> dimensions_;
};

// A dimension that rules in force look through: the metrics (Device Defender's names) that are wanted of the traffic
// on its topics, and of the rest.
struct DimensionUse {
  fleet::Dimension dimension;
  std::set<std::string> in, not_in;
  friend bool operator==(const DimensionUse&, const DimensionUse&) = default;
};
// Of the behaviors and metrics to retain of all profiles of the manifest, by name. A manifest that is not held whole
// gives none.
std::vector<DimensionUse> dimensions_in_use(const Rules& rules, std::int64_t manifest);

}  // namespace fleetward::detect
