// How long a report waits to be evaluated, all the time: each report changes its device from good to bad or back, so
// each must bring one event on topic violations.
#pragma once

#include <string>

#include "bus/bus.hpp"

namespace fleetward::bench {

struct PulseOptions {
  std::string prefix;  // of the devices' names: another one for each run
  std::size_t devices = 1'000;
  std::int64_t per_second = 1'000;
  Millis duration{10'000};
  Millis patience{90'000};  // for the last events
};

struct Pulse {
  std::int64_t reports = 0;
  std::int64_t events = 0;             // different ones
  std::int64_t doubled = 0;            // by their id
  std::vector<std::int64_t> waits_ms;  // report sent to event on the topic, by the broker's clock
};

// Blocking. Prints a line when it begins.
Result<Pulse> run_pulse(bus::Bus& bus, const PulseOptions& options);

}  // namespace fleetward::bench
