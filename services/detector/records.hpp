// Between bus records and what the engine reads and gives.
//
// Pure; views in the result live as long as the record.
#pragma once

#include "bus/record.hpp"
#include "detect/engine.hpp"

namespace fleetward::detector {

detect::InputRecord to_input(const bus::Record& record);

// The CloudEvents text of a violation: the same bytes live and in a replay.
std::string violation_text(const fleet::ViolationEvent& event);
bus::OutRecord to_record(const fleet::ViolationEvent& event);

// Its id names cohort, partition and pane: a repeat is told apart by it.
bus::OutRecord sample_record(const fleet::CohortSample& sample);

// What the owner of a partition says on topic devices. `now` is its own clock.
bus::OutRecord owner_record(fleet::RecordKind kind, std::int32_t partition, const json::Value& value, Instant now);

}  // namespace fleetward::detector
