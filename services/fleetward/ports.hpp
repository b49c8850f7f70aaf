// Whether the ports of the settings can be had, asked before anything depends on it, and who has one when not.
//
// Reads /proc for the name of the holder: what other users run stays unnamed, and the advice says how to find out.
// Blocking; main thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "services/fleetward/settings.hpp"

namespace fleetward::program {

struct ListenPlace {
  std::string_view section;  // of the settings: "gateway"
  std::string address;
  std::int64_t port = 0;
};

// Where these roles listen; ports that are taken freely (0) are left out.
std::vector<ListenPlace> listen_places(const Settings& settings, const std::vector<std::string>& roles);

// unavailable: another program has it (named where possible); failed_precondition: the address is not this machine's,
// or the port needs a right that this process lacks.
Status can_listen(const ListenPlace& place);

// All of them, tried again until `limit` has passed: a predecessor may still be going down. Every problem is told.
Status await_ports(const std::vector<ListenPlace>& places, Millis limit);

// "process 123 (mosquitto)"; empty when it cannot be seen.
std::string listener_of(std::int64_t port);

}  // namespace fleetward::program
