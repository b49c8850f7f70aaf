#include "simulation/action_oracle.hpp"

#include "crypto/digest.hpp"
#include "fleet/cloud_event.hpp"
#include "fleet/topics.hpp"
#include "fleet/violation.hpp"

namespace fleetward::simulation {
namespace {

constexpr Millis hour{3'600'000};

// The design's words: an hour's cap of min(day, max(5, 0.5 %)), a day's of max(5, 2 %), neither above max(1, 25 %).
std::int64_t hours_cap(std::int64_t size) {
  const std::int64_t ceiling = std::max<std::int64_t>(1, size / 4);
  const std::int64_t day = std::min(ceiling, std::max<std::int64_t>(5, size / 50));
  return std::min(day, std::max<std::int64_t>(5, size / 200));
}

bool is_revocation(const fleet::Action& a) { return a.level == fleet::HoldLevel::revoke; }

}  // namespace

void ActionOracle::on_commit() {
  const Status read = store_.now([this](store::Transaction& tx) -> Status {
    const auto rows = tx.query(
        "SELECT rowid, chain, position, event, hash FROM action_steps WHERE rowid > $1 ORDER BY rowid", {last_row_});
    if (!rows) return rows.error();
    for (const store::Row& row : *rows) take_step(row);
    return {};
  });
  if (!read) universe_.fail("the steps cannot be read: " + read.error().message);
}

void ActionOracle::take_step(const store::Row& row) {
  last_row_ = row.integer(0);
  Chain& chain = chains_[row.integer(1)];
  const std::string& text = row.text(3);
  const bool links =
      row.integer(2) == chain.position + 1 && row.text(4) == crypto::sha256_hex(chain.hash + "\n" + text);
  if (!links) universe_.fail(fmt::format("the hash chain {} breaks at {}", row.integer(1), row.integer(2)));
  chain = {row.integer(2), row.text(4)};
  const auto parsed = json::parse(text, {1 << 20, 64});
  const auto event = parsed ? fleet::action_event_from_json(*parsed) : Result<fleet::ActionEvent>(parsed.error());
  if (!event) return universe_.fail("an unreadable step of an action: " + event.error().message);
  universe_.note(fmt::format("step: {} {} of {} by {}: {}", event->step, event->action.id.substr(0, 6),
                             event->action.thing, event->actor, event->why));
  steps_.insert(event->id);
  const auto before = actions_.find(event->action.id);
  const bool was_over = before != actions_.end() && (before->second.state == fleet::ActionState::released ||
                                                     before->second.state == fleet::ActionState::refused);
  if (was_over && event->action.state != before->second.state)
    universe_.fail("an action that had ended goes on: " + event->action.id);
  if (event->step == "executing" && event->action.approved_by.empty() && event->action.requested_by == "responder")
    check_cap(*event);
  actions_[event->action.id] = event->action;
  if (on_step) on_step(*event);
}

void ActionOracle::check_cap(const fleet::ActionEvent& event) {
  std::vector<std::string> groups = event.action.groups;
  if (groups.empty()) groups.emplace_back("(no group)");
  for (const std::string& group : groups) {
    std::set<std::string> things{event.action.thing};
    for (const Acted& a : acted_) {
      if (a.group == group && a.at > event.time - hour) things.insert(a.thing);
    }
    acted_.push_back({event.time, group, event.action.thing});
    const auto size = group_sizes_.find(group);
    const std::int64_t cap = hours_cap(size == group_sizes_.end() ? 0 : size->second);
    if (static_cast<std::int64_t>(things.size()) > cap)
      universe_.fail(fmt::format("{} things of group {} were acted on within an hour by nobody's leave; the cap is {}",
                                 things.size(), group, cap));
  }
}

void ActionOracle::on_write(const Written& written) {
  for (const bus::Record& r : written.records) {
    if (r.topic != fleet::topic::actions && r.topic != fleet::topic::violations) continue;
    const auto event = fleet::parse_cloud_event(r.value.value_or(""));
    if (!event) {
      universe_.fail("an unreadable event on " + r.topic);
    } else if (r.topic == fleet::topic::actions) {
      steps_told_.insert(event->id);
    } else if (const auto violation = fleet::violation_event_from_json(event->data);
               violation && violation->type == fleet::ViolationEventType::in_alarm) {
      in_alarms_.insert(violation->violation_id);
    }
  }
}

void ActionOracle::at_rest() {
  for (const auto& [id, action] : actions_) check_rest(action);
  for (const std::string& step : steps_) {
    if (!steps_told_.contains(step)) universe_.fail("a step of an action is not on the bus: " + step);
  }
  check_violations();
  const Status read = store_.now([this](store::Transaction& tx) -> Status {
    const auto left = tx.query("SELECT count(*) FROM outbox");
    if (!left) return left.error();
    if (left->at(0).integer(0) != 0) universe_.fail(fmt::format("{} outbox rows are left", left->at(0).integer(0)));
    return {};
  });
  if (!read) universe_.fail("the outbox cannot be read");
}

void ActionOracle::check_rest(const fleet::Action& a) {
  using fleet::ActionState;
  const bool waits = a.state == ActionState::proposed || a.state == ActionState::awaiting_approval ||
                     a.state == ActionState::executing || a.state == ActionState::verifying;
  if (waits && a.wait_reason.empty())
    universe_.fail(fmt::format("action {} of {} is {} without a reason", a.id, a.thing, to_string(a.state)));
}

// Each alarm led to exactly one action: its own, or the open one that it joined.
void ActionOracle::check_violations() {
  std::map<std::string, int> actions_of;
  for (const auto& [id, a] : actions_) {
    if (is_revocation(a)) continue;  // the next step of another action, which names the same
    for (const std::string& violation : a.violations) ++actions_of[violation];
  }
  for (const std::string& violation : in_alarms_) {
    const int count = actions_of.contains(violation) ? actions_of.at(violation) : 0;
    if (count != 1) universe_.fail(fmt::format("violation {} led to {} actions", violation, count));
  }
}

}  // namespace fleetward::simulation
