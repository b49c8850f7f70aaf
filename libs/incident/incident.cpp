#include "incident/incident.hpp"

#include <map>

#include "core/text.hpp"
#include "crypto/digest.hpp"

namespace fleetward::incident {
namespace {

using fleet::ActionState;

std::string words(ActionState state) {
  switch (state) {
    case ActionState::proposed: return "waiting for the canary";
    case ActionState::awaiting_approval: return "awaiting approval";
    case ActionState::executing:
    case ActionState::verifying: return "being isolated";
    case ActionState::in_effect: return "off the network, verified";
    case ActionState::released: return "released";
    case ActionState::refused: return "refused";
    case ActionState::failed: return "FAILED: not proven to be off";
  }
  return "unknown";
}

}  // namespace

bool concerns_people(const fleet::Action& a) { return a.mode != "observe"; }
std::string entry_of(const fleet::Action& a) { return a.entry.empty() ? "by-hand" : a.entry; }
std::string incident_id(const std::string& entry, Instant start) { return crypto::id_from("incident", entry, std::to_string(to_ms(start))); }

bool is_over(const fleet::IncidentMember& m) {
  return m.state == ActionState::released || m.state == ActionState::refused || (m.level == fleet::HoldLevel::revoke && m.state == ActionState::in_effect);
}

bool fold(fleet::Incident& incident, const fleet::Action& a, Instant now) {
  const fleet::IncidentMember next{a.id, a.thing, a.level, a.state, a.reason, a.wait_reason};
  auto found = std::find_if(incident.members.begin(), incident.members.end(), [&](const auto& m) { return m.action == a.id; });
  if (found == incident.members.end()) {
    found = incident.members.insert(incident.members.end(), next);
  } else if (*found == next) {
    return false;
  }
  *found = next;
  // A thing whose revocation is proven needs no further release of its isolation.
  const auto done = [&](const fleet::IncidentMember& m) {
    return is_over(m) || std::any_of(incident.members.begin(), incident.members.end(), [&](const auto& other) {
             return other.thing == m.thing && other.level == fleet::HoldLevel::revoke && other.state == ActionState::in_effect;
           });
  };
  const bool over = std::all_of(incident.members.begin(), incident.members.end(), done);
  incident.closed = over ? now : Instant();
  incident.open = !over;
  ++incident.revision;
  return true;
}

PageText page_text(const fleet::Incident& incident) {
  std::map<std::string, std::size_t> by_state;
  std::set<std::string> things;
  for (const auto& m : incident.members) {
    ++by_state[words(m.state)];
    things.insert(m.thing);
  }
  PageText text;
  std::string counts;
  for (const auto& [state, n] : by_state) counts += fmt::format("{}{} {}", counts.empty() ? "" : ", ", n, state);
  text.summary = fmt::format("{} {} compromised by {}: {}", things.size(), things.size() == 1 ? "device looks" : "devices look", incident.entry, counts);
  text.description = fmt::format("Blast radius: {} {}.", things.size(), things.size() == 1 ? "device" : "devices");
  std::size_t shown = 0;
  for (const auto& m : incident.members) {
    if (++shown > members_shown) {
      text.description += fmt::format("\n… and {} more", incident.members.size() - members_shown);
      break;
    }
    text.description += fmt::format("\n{} ({}): {}. {}", m.thing, words(m.state), printable(m.reason, 400), printable(m.wait_reason, 200));
  }
  std::size_t commands = 0;
  for (const auto& m : incident.members) {
    if (commands >= members_shown) break;
    if (m.state == ActionState::awaiting_approval) {
      text.commands += fmt::format("fleetward actions approve {} --reason \"…\"\n", m.action);
      ++commands;
    } else if (m.state == ActionState::in_effect || m.state == ActionState::failed || m.state == ActionState::verifying) {
      text.commands += fmt::format("fleetward actions release {} --reason \"…\"\n", m.action);
      ++commands;
    }
  }
  return text;
}

}  // namespace fleetward::incident
