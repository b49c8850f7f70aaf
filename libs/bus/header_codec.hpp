// Headers of a record as one blob: (u32 length, bytes) of name and value each, little endian. Pure.
#pragma once

#include <string>
#include <string_view>

#include "bus/record.hpp"
#include "core/result.hpp"

namespace fleetward::bus {

std::string encode_headers(const Headers& headers);

// corrupted: the lengths do not fit the bytes.
Result<Headers> decode_headers(std::string_view bytes);

}  // namespace fleetward::bus
