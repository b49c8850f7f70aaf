#include "respond/governor.hpp"

#include <algorithm>

namespace fleetward::respond {
namespace {

// A part of the group in whole things, rounded down.
std::int64_t part(std::int64_t size, std::int64_t per_mille) { return size * per_mille / 1000; }

}  // namespace

Caps caps_for(std::int64_t size) {
  const std::int64_t ceiling = std::max<std::int64_t>(1, part(size, 250));
  const std::int64_t day = std::min(ceiling, std::max<std::int64_t>(5, part(size, 20)));
  const std::int64_t hour = std::min(day, std::max<std::int64_t>(5, part(size, 5)));
  return {day, hour};
}

bool is_exhausted(const GroupUse& use) {
  const Caps caps = caps_for(use.size);
  return use.acted_hour >= caps.hour || use.acted_day >= caps.day;
}

Answer ask_governor(const Question& q) {
  if (q.stop_switch) return {Verdict::ask, "the stop switch is on", false, false, {}};
  if (q.protected_thing) return {Verdict::ask, "the thing is protected", false, false, {}};
  if (q.brake_on || q.behavior_things >= brake_things) {
    return {Verdict::ask,
            fmt::format("brake: {} things or more fell to {} within a minute; it is on until: fleetward governor "
                        "release-brake {} --reason \"...\"",
                        brake_things, q.behavior, q.behavior),
            !q.brake_on,
            false,
            {}};
  }
  for (const GroupUse& g : q.groups) {
    if (!is_exhausted(g)) continue;
    const Caps caps = caps_for(g.size);
    if (g.acted_hour >= caps.hour)
      return {Verdict::ask,
              fmt::format("cap: {} things of group {} were acted on in the last hour, allowed are {}", g.acted_hour,
                          g.name, caps.hour),
              false, true, g.name};
    return {Verdict::ask,
            fmt::format("cap: {} things of group {} were acted on in the last day, allowed are {}", g.acted_day, g.name,
                        caps.day),
            false, true, g.name};
  }
  if (q.canary == Canary::waiting)
    return {Verdict::wait, "canary: the rule's first action is not verified yet", false, false, {}};
  if (q.canary == Canary::failed) return {Verdict::ask, "canary: the rule's first action failed", false, false, {}};
  return {Verdict::act, {}, false, false, {}};
}

}  // namespace fleetward::respond
