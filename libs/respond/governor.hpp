// The governor: whether an action may begin by itself, or asks, or waits (design section 8). Pure.
//
// For each group of the thing: a day's cap of max(5, 2 %), an hour's of min(day, max(5, 0.5 %)), neither above max(1,
// 25 %) of the group; every group must allow. Windows roll and count distinct things that were acted on automatically;
// a release gives nothing back.
#pragma once

#include <string>
#include <vector>

#include "core/time.hpp"

namespace fleetward::respond {

struct Caps {
  std::int64_t day = 0;
  std::int64_t hour = 0;
};
Caps caps_for(std::int64_t group_size);

constexpr std::int64_t brake_things = 10;  // for one behavior
constexpr Millis brake_window{60'000};
constexpr Millis hour_window{3'600'000};
constexpr Millis day_window{86'400'000};

struct GroupUse {
  std::string name;
  std::int64_t size = 0;
  std::int64_t acted_hour = 0;  // distinct things, this one not among them
  std::int64_t acted_day = 0;
};

// Nothing more may begin by itself in the group.
bool is_exhausted(const GroupUse& use);

enum class Canary { none_yet, waiting, proven, failed };

struct Question {
  std::vector<GroupUse> groups;  // a thing without groups has one of its own kind: all such things
  std::string behavior;          // by its name, as its brake is let go
  std::int64_t behavior_things =
      0;                  // distinct things that fell to the same behavior within brake_window, this one included
  bool brake_on = false;  // it was tripped before and not let go
  Canary canary = Canary::none_yet;
  bool protected_thing = false;
  bool stop_switch = false;
};

enum class Verdict {
  act,
  ask,   // a person may exceed it
  wait,  // for the canary; asked again later
};
struct Answer {
  Verdict verdict = Verdict::ask;
  std::string why;  // for ask and wait
  bool trips_brake = false;
  bool exhausts_cap = false;
  std::string group;  // whose cap that is
};
Answer ask_governor(const Question& question);

}  // namespace fleetward::respond
