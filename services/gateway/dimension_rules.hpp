// The rules that a gateway counts by: which dimensions its devices' traffic is held against, and what the detectors
// have to be told of that. Pure; the gateway's thread.
//
// A detector takes no traffic for zero only where the gateway has said that it counts; so this is said again whenever
// it changes, and not when rules change that ask for the same. Holds what topic `rules` has (detect::Rules).
#pragma once

#include <optional>

#include "services/gateway/dimension_counts.hpp"

namespace fleetward::gateway {

class DimensionRules {
 public:
  DimensionRules(std::string gateway, std::int64_t start_number)
      : gateway_(std::move(gateway)), start_number_(start_number) {}

  // A record of topic `rules`.
  Status add(std::string_view key, std::string_view value) { return rules_.add(key, value); }
  // Goes by the newest manifest that is held whole; true when another plan comes of it.
  bool refresh();
  [[nodiscard]] const std::shared_ptr<const DimensionPlan>& plan() const { return plan_; }
  // What no partition has been told yet, until said().
  [[nodiscard]] const std::optional<fleet::Counting>& to_say() const { return to_say_; }
  void said() { to_say_.reset(); }

 private:
  std::string gateway_;
  std::int64_t start_number_;
  detect::Rules rules_;
  std::int64_t manifest_ = 0;
  std::vector<detect::DimensionUse> uses_;
  std::shared_ptr<const DimensionPlan> plan_;
  std::optional<fleet::Counting> to_say_;
};

}  // namespace fleetward::gateway
