// The rules that a detector holds: immutable versions of profiles, and the manifests that say which hold together.
//
// Filled from topic `rules` (or from a copied bus file, for a replay), read by engines of the same thread. Grows with
// the number of versions that people have made, which the topic's compaction bounds.
#pragma once

#include <map>
#include <memory>
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
  // Whether the manifest and each profile that it names are here. Manifest 0 is the empty one: always held.
  [[nodiscard]] bool holds(std::int64_t manifest) const;
  // The highest manifest that is held whole; 0 when there is none.
  [[nodiscard]] std::int64_t newest_held() const;

 private:
  std::map<std::int64_t, fleet::Manifest> manifests_;
  std::map<std::pair<std::string, std::int64_t>, std::shared_ptr<const fleet::SecurityProfile>> profiles_;
};

}  // namespace fleetward::detect
