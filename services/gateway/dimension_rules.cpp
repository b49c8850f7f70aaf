#include "services/gateway/dimension_rules.hpp"

namespace fleetward::gateway {

bool DimensionRules::refresh() {
  const std::int64_t newest = rules_.newest_held();
  if (newest <= manifest_) return false;
  manifest_ = newest;
  std::vector<detect::DimensionUse> uses = detect::dimensions_in_use(rules_, newest);
  if (uses == uses_) return false;
  uses_ = uses;
  plan_ = DimensionPlan::make(std::move(uses));
  fleet::Counting counting{gateway_, start_number_, newest, {}};
  if (plan_) {
    for (const detect::DimensionUse& use : plan_->uses)
      counting.dimensions.push_back({use.dimension.name, use.dimension.version});
  }
  to_say_ = std::move(counting);
  return true;
}

}  // namespace fleetward::gateway
