// Incidents of the governor: what holds automatic action back.
#include "core/text.hpp"
#include "crypto/digest.hpp"
#include "incident/governor_text.hpp"
#include "incident/incident.hpp"

namespace fleetward::incident {
namespace {

using fleet::GovernorCondition;
using fleet::GovernorKind;

constexpr std::size_t shown_max = 300;
constexpr std::string_view held_back_meaning = "Nothing begins by itself meanwhile: a person has to approve.";
constexpr std::string_view forged_meaning =
    "No gateway went by it, and the true record was written again. Find out who can write to the topic: see to its "
    "access rules and its writers' credentials. It is told again when it goes on after a day.";

// The path of INSTANCE:PATH.
std::string_view after_colon(std::string_view text) {
  const std::size_t colon = text.find(':');
  return colon == std::string_view::npos ? text : text.substr(colon + 1);
}

std::string shown(std::string_view text) { return printable(text, shown_max); }

}  // namespace

PageText governor_text(const GovernorCondition& c, bool open) {
  const std::string since = to_rfc3339(c.since);
  const std::string subject = shown(c.subject);
  PageText text;
  switch (c.kind) {
    case GovernorKind::stop_switch:
      text.summary = fmt::format("enforcement is stopped by {} since {}", shown(c.actor), since);
      text.commands = "fleetward governor resume --reason \"...\"\n";
      break;
    case GovernorKind::stop_file:
      text.summary = fmt::format("enforcement is stopped by the file {} since {}", subject, since);
      text.commands = fmt::format("rm {}  # where {} runs\n", shown(after_colon(c.subject)),
                                  shown(c.subject.substr(0, c.subject.find(':'))));
      break;
    case GovernorKind::brake:
      text.summary = fmt::format("the brake is on for {} since {}: its actions ask", subject, since);
      text.commands = fmt::format("fleetward governor release-brake {} --reason \"...\"\n", subject);
      break;
    case GovernorKind::cap:
      text.summary = fmt::format("the cap of group {} is used up since {}: its actions ask", subject, since);
      text.commands = "fleetward governor show\nfleetward actions list --state awaiting_approval\n";
      break;
    case GovernorKind::canary:
      text.summary = fmt::format("the first action of {} failed", subject);
      break;
    case GovernorKind::forged_record:
      text.summary = fmt::format("somebody forges records on {}: met at {}", subject, since);
      break;
  }
  if (!open) text.commands.clear();
  const std::string_view meaning = c.kind == GovernorKind::forged_record ? forged_meaning : held_back_meaning;
  text.description = fmt::format("{}: {}\n{}\n{}{}", open ? "Why" : "It is over. It was", shown(c.why), meaning,
                                 text.commands.empty() ? "" : "resume with:\n", text.commands);
  return text;
}

bool concerns_people(const fleet::GovernorEvent& event) { return event.condition.kind != GovernorKind::canary; }

std::string incident_of(const GovernorCondition& c) {
  return crypto::id_from("incident", "governor", to_string(c.kind), c.subject, std::to_string(to_ms(c.since)));
}

fleet::Incident open_incident(const fleet::GovernorEvent& event) {
  const GovernorCondition& c = event.condition;
  // No playbook entry has a slash in its name.
  const std::string entry = fmt::format("governor/{}", to_string(c.kind));
  const std::string severity = c.kind == GovernorKind::cap ? "error" : "critical";
  return {incident_of(c), entry, c.since, true, severity, 1, {}, {}, c};
}

bool close(fleet::Incident& incident, Instant now) {
  if (!incident.open) return false;
  incident.open = false;
  incident.closed = now;
  ++incident.revision;
  return true;
}

}  // namespace fleetward::incident
