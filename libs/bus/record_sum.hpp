// A sum over a record and its place, kept beside it: what reads it later knows whether it is what was written.
//
// Against accidents of disk and memory, not against people. Pure. Part of the file's format: a change needs a new one.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace fleetward::bus {

// Of a partition; the same on every machine.
std::uint64_t partition_seed(std::string_view topic, std::int32_t partition);

std::int64_t record_sum(std::uint64_t seed, std::int64_t offset, std::int64_t append_ms, std::string_view key,
                        std::optional<std::string_view> value, std::string_view headers);

}  // namespace fleetward::bus
