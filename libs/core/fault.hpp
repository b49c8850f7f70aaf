// Fault points: named places at which a test makes the program die or misbehave, to prove that the rest copes.
//
// Compiled in only with FLEETWARD_FAULT_POINTS (presets dev, asan, tsan), never in a release build. Armed by the
// environment variable FLEETWARD_FAULT, a comma-separated list of NAME or NAME:N (from the N-th passage on, 1 the
// first). Crash points end the process by SIGKILL, as kill -9 would.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fleetward::fault {

#ifdef FLEETWARD_FAULT_POINTS
// True when the named point is armed and its passage has come. Thread-safe.
bool is_armed(std::string_view name);
// What is armed, by name: to be told at the start, since such a process is not to be trusted.
std::vector<std::string> armed();
// Armed by a test in its own process: from now on until disarm(). The simulation plants bugs with it.
void arm(std::string_view name);
void disarm(std::string_view name);
// Kills the process, without any clean-up, when the named point is armed.
void crash_here(std::string_view name);
#else
inline bool is_armed(std::string_view) { return false; }
inline std::vector<std::string> armed() { return {}; }
inline void crash_here(std::string_view) {}
#endif

}  // namespace fleetward::fault
