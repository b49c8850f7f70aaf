// Whether behaviors make sense for the metrics they name (reference sections 2 to 4.1), in Device Defender's words.
//
// Pure. Shape and single ranges were checked when the JSON was read (fleet/profile.hpp).
#pragma once

#include <string>
#include <vector>

#include "fleet/profile.hpp"

namespace fleetward::detect {

constexpr std::size_t value_elements_per_profile_max = 1000;

// What kind of criterion a behavior has. Learned ones are not evaluated by this engine yet; what was stored once is
// counted as not evaluated, and never raises.
enum class CriteriaKind { none, static_threshold, statistical, machine_learning };
CriteriaKind criteria_kind(const fleet::Behavior& behavior);

// "Behavior NAME is malformed. …", one for each problem; empty when it is good. `dimensions`: the names of those that
// there are.
std::vector<std::string> validate_behavior(const fleet::Behavior& behavior,
                                           const std::vector<fleet::CustomMetric>& custom_metrics,
                                           const std::vector<std::string>& dimensions = {});
// "Metric NAME to retain is malformed. …": of its dimension; the metric itself may be any.
std::vector<std::string> validate_retained(const fleet::MetricToRetain& metric,
                                           const std::vector<std::string>& dimensions);

// What the engine does not evaluate yet, "Behavior NAME is not supported yet. …": to store it would look like a watch
// that is none.
std::vector<std::string> unsupported_parts(const fleet::Behavior& behavior);

// Each behavior, that it is evaluated, and what holds between them: unique names, one kind (rules or ML) a profile,
// limits of the profile. For what is to be stored; what is stored is taken as it is.
std::vector<std::string> validate_behaviors(const std::vector<fleet::Behavior>& behaviors,
                                            const std::vector<fleet::CustomMetric>& custom_metrics,
                                            const std::vector<std::string>& dimensions = {});

}  // namespace fleetward::detect
