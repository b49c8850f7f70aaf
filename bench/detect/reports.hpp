// What the benchmarks of detection have in common: 1.2 KB reports as agents send them, and a static profile of 20
// behaviors that they keep to.
#pragma once

#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "report/report.hpp"

namespace fleetward::bench {

std::string_view static_behaviors();  // JSON
std::vector<fleet::CustomMetric> custom_metrics();
std::vector<std::string> make_reports(std::mt19937& random);  // 4,096 different ones
// The same, each changed so that it breaks some of the behaviors.
std::vector<std::string> make_breaking_reports(std::mt19937& random);
std::string device_name(std::size_t index);

}  // namespace fleetward::bench
