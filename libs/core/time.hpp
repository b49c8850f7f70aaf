// Instants as the wire formats have them: milliseconds since the Unix epoch, UTC.
//
// Pure code never reads a clock: it is handed an Instant. Who reads the clock is async::Clock.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "core/result.hpp"

namespace fleetward {

using Millis = std::chrono::milliseconds;
using Instant = std::chrono::time_point<std::chrono::system_clock, Millis>;

constexpr Instant instant_from_ms(std::int64_t ms) { return Instant(Millis(ms)); }
constexpr std::int64_t to_ms(Instant t) { return t.time_since_epoch().count(); }

// Whether `span` has passed since then by the wall clock; also when that was set back: what is done every so often
// would else not be done until it has come so far again.
constexpr bool has_passed(Instant since, Instant now, Millis span) { return now - since >= span || now < since; }

// RFC 3339 in UTC with milliseconds: 2026-11-24T08:26:22.123Z. Any year from 0000 to 9999.
std::string to_rfc3339(Instant t);

// Accepts what to_rfc3339 writes, with fraction of 0 to 9 digits (cut to milliseconds) and any numeric offset.
Result<Instant> parse_rfc3339(std::string_view text);

// For people: "412 ms", "3.2 s", "4 min 10 s", "2 h 5 min", "3 d 4 h".
std::string to_human(Millis duration);

}  // namespace fleetward
