#include "incident/incident.hpp"

#include <map>
#include <set>

#include "core/text.hpp"
#include "crypto/digest.hpp"
#include "incident/governor_text.hpp"

namespace fleetward::incident {
namespace {

using fleet::ActionState;
using fleet::HoldLevel;
using fleet::IncidentMember;

constexpr std::size_t governor_reasons_shown = 3;

std::string_view done_to_it(HoldLevel level) {
  return level == HoldLevel::restrict ? "restricted" : level == HoldLevel::isolate ? "isolated" : "revoked";
}

bool is_waiting(const IncidentMember& m) {
  return m.state == ActionState::awaiting_approval || m.state == ActionState::proposed;
}

std::string words(const IncidentMember& m) {
  const std::string level = fmt::format("{}{}", done_to_it(m.level), m.certificate_only ? " (one certificate)" : "");
  switch (m.state) {
    case ActionState::proposed:
      return fmt::format("to be {}, waits", level);
    case ActionState::awaiting_approval:
      return fmt::format("to be {}, awaits approval", level);
    case ActionState::executing:
    case ActionState::verifying:
      return fmt::format("being {}", level);
    case ActionState::in_effect:
      return fmt::format("{}, verified", level);
    case ActionState::released:
      return "released";
    case ActionState::refused:
      return "action refused";
    case ActionState::failed:
      return fmt::format("FAILED: not proven to be {}", level);
  }
  return "unknown";
}

// What matters most to who is woken comes first.
int rank(const IncidentMember& m) {
  if (m.state == ActionState::failed) return 0;
  if (is_waiting(m)) return 1;
  return is_over(m) ? 3 : 2;
}

std::vector<IncidentMember> by_rank(const std::vector<IncidentMember>& members) {
  std::vector<IncidentMember> out = members;
  std::stable_sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return rank(a) < rank(b); });
  return out;
}

// What can hold a thing no more: its own end, the proof of a revocation, or a release that leaves only the
// revocation that was to come next waiting for a person.
bool all_are_over(const std::vector<IncidentMember>& members) {
  std::set<std::string_view> revoked;
  std::set<std::string_view> released;
  for (const IncidentMember& m : members) {
    const bool off = m.level == HoldLevel::revoke && m.state == ActionState::in_effect;
    if (off && !m.certificate_only) revoked.insert(m.thing);
    if (m.level != HoldLevel::revoke && m.state == ActionState::released) released.insert(m.thing);
  }
  return std::all_of(members.begin(), members.end(), [&](const IncidentMember& m) {
    return is_over(m) || revoked.contains(m.thing) ||
           (m.level == HoldLevel::revoke && is_waiting(m) && released.contains(m.thing));
  });
}

std::string shown(std::string_view text, std::size_t bytes_max) {
  return printable(text, bytes_max) + (text.size() > bytes_max ? " ..." : "");
}

// At most members_shown of one kind; `list` shows the others.
std::string commands_of(const std::vector<IncidentMember>& members, bool waiting) {
  std::string out;
  std::size_t told = 0;
  for (const IncidentMember& m : members) {
    if (is_over(m) || is_waiting(m) != waiting || ++told > members_shown) continue;
    out += waiting ? fmt::format("fleetward actions approve {} --reason \"...\"  # {} is {}\n", m.action, m.thing,
                                 done_to_it(m.level))
                   : fmt::format("fleetward actions release {} --reason \"...\"  # {}\n", m.action, m.thing);
  }
  if (told > members_shown)
    out += fmt::format("and {} more: fleetward actions list --state {}\n", told - members_shown,
                       waiting ? "awaiting_approval" : "in_effect");
  return out;
}

// What keeps the governor from acting by itself, said once for all who wait for it: its own incident's page is held
// back while this one tells. The reason names the command that ends it.
std::string governor_lines(const std::vector<IncidentMember>& members) {
  std::map<std::string_view, std::size_t> waiting;
  for (const IncidentMember& m : members) {
    const bool by_governor = m.wait_reason.starts_with("brake: ") || m.wait_reason.starts_with("cap: ");
    if (by_governor && is_waiting(m)) ++waiting[m.wait_reason];
  }
  std::string out;
  std::size_t told = 0;
  for (const auto& [why, count] : waiting) {
    if (++told > governor_reasons_shown) break;
    out += fmt::format("{} wait{} for a person: {}\n", count, count == 1 ? "s" : "", shown(why, reason_bytes_max));
  }
  if (waiting.size() > governor_reasons_shown) out += "and more: fleetward governor show\n";
  return out;
}

}  // namespace

bool concerns_people(const fleet::Action& a) { return a.mode != "observe"; }
std::string entry_of(const fleet::Action& a) { return a.entry.empty() ? "by-hand" : a.entry; }

fleet::Incident open_incident(const fleet::ActionEvent& event) {
  const std::string entry = entry_of(event.action);
  return {crypto::id_from("incident", entry, event.id), entry, event.time, true, event.action.severity, 0, {}, {}, {}};
}

bool is_over(const IncidentMember& m) {
  return m.state == ActionState::released || m.state == ActionState::refused ||
         (m.level == HoldLevel::revoke && m.state == ActionState::in_effect);
}

bool fold(fleet::Incident& incident, const fleet::Action& a, Instant now) {
  const IncidentMember next{a.id,
                            a.thing,
                            a.level,
                            a.state,
                            a.reason.substr(0, reason_bytes_max),
                            a.wait_reason.substr(0, reason_bytes_max),
                            !a.certificates.empty()};
  auto found =
      std::find_if(incident.members.begin(), incident.members.end(), [&](const auto& m) { return m.action == a.id; });
  if (found == incident.members.end()) {
    incident.members.push_back(next);
  } else if (*found == next) {
    return false;
  } else {
    *found = next;
  }
  const bool over = all_are_over(incident.members);
  incident.closed = !over ? Instant() : incident.open ? now : incident.closed;
  incident.open = !over;
  ++incident.revision;
  return true;
}

PageText page_text(const fleet::Incident& incident) {
  if (incident.condition) return governor_text(*incident.condition, incident.open);
  std::map<std::string, std::size_t> by_state;
  std::set<std::string> things;
  for (const IncidentMember& m : incident.members) {
    ++by_state[words(m)];
    things.insert(m.thing);
  }
  std::string counts;
  for (const auto& [state, n] : by_state)
    counts += by_state.size() == 1 && n == 1 ? state : fmt::format("{}{} {}", counts.empty() ? "" : ", ", n, state);
  const std::string who =
      things.size() == 1 ? *things.begin() + " looks" : fmt::format("{} devices look", things.size());
  PageText text;
  text.summary = fmt::format("{} compromised: {}", who, counts);
  const std::vector<IncidentMember> members = by_rank(incident.members);
  text.commands = commands_of(members, true) + commands_of(members, false);
  text.description = fmt::format(
      "Why: {}\n", incident.members.empty() ? "" : shown(incident.members.front().reason, reason_bytes_max / 2));
  text.description += fmt::format("Blast radius: {} {} ({}), playbook entry {}\n", things.size(),
                                  things.size() == 1 ? "device" : "devices", counts, incident.entry);
  text.description += governor_lines(members);
  for (std::size_t i = 0; i < std::min(members.size(), members_shown); ++i) {
    const IncidentMember& m = members[i];
    text.description += fmt::format("{}: {}{}\n", m.thing, words(m),
                                    m.wait_reason.empty() ? "" : fmt::format(" ({})", shown(m.wait_reason, 200)));
  }
  if (members.size() > members_shown) text.description += fmt::format("and {} more\n", members.size() - members_shown);
  text.description += text.commands;
  return text;
}

}  // namespace fleetward::incident
