// A behavior and what was seen, in words: the same ones everywhere (violations, pages, console, command line).
//
// Pure. What comes from devices is made printable; lengths are bounded (fleet::to_human shows some items and counts
// the rest).
#pragma once

#include <string>

#include "fleet/cohort.hpp"
#include "fleet/profile.hpp"

namespace fleetward::detect {

// "listening TCP ports within 22, 8883"; "bytes out below 5000000 in 5 minutes"; with more than one datapoint to alarm
// also ", 3 datapoints in a row".
std::string describe_expected(const fleet::Behavior& behavior);
// Of a statistical one, with what it was compared with: "bytes out at most the fleet's p90, 12345 in 5 minutes, of 120
// devices (snapshot 5666667)".
std::string describe_expected(const fleet::Behavior& behavior, double threshold, const fleet::CohortSnapshot& snapshot);

// "48101"; "7340032 in 5 minutes"; "none".
std::string describe_seen(const fleet::Behavior& behavior, const fleet::MetricValue& value);

}  // namespace fleetward::detect
