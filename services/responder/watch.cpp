// Which actions are looked at, and when: new ones at once, what is open until it is decided, what is proven and what
// waits for a silent gateway once in a while, all in turn.
#include "log/log.hpp"
#include "repository/gateway_repository.hpp"
#include "services/responder/state.hpp"

namespace fleetward::responder {
namespace {

using fleet::Action;
using fleet::ActionState;

constexpr std::int64_t executing_max = 500;  // read at a time; the oldest
constexpr std::int64_t verifying_batch = 200;
constexpr std::int64_t looks_batch = 50;
constexpr std::size_t verifications_max = 32;  // at once
constexpr std::size_t waiting_max = 8;         // of these, for such as wait for silent gateways anyway
constexpr std::size_t looks_max = 8;

}  // namespace

async::Task<Result<Responder::State::Work>> Responder::State::read_work() {
  const std::shared_ptr<const repository::Policy> by = policy_now();
  const Instant now = scheduler.now();
  if (verifying_walk.after.empty()) {
    meets_waiting = has_passed(waiting_met, now, config.look_again);
    if (meets_waiting) waiting_met = now;
  }
  const bool look = looking.size() < looks_max && proven_walk.is_due(now, config.look_again);
  const std::string verifying_after = verifying_walk.after;
  const std::string proven_after = proven_walk.after;
  std::function<Result<Work>(store::Transaction&)> read = [=](store::Transaction& tx) -> Result<Work> {
    if (const Status s = repository::reconsider_waiting(tx, *by, now); !s) return s.error();
    auto gone = repository::gone_gateways(tx);
    auto executing = repository::actions_in(tx, {ActionState::executing}, executing_max);
    auto verifying = repository::actions_after(tx, ActionState::verifying, verifying_after, verifying_batch);
    auto proven = repository::actions_after(tx, ActionState::in_effect, proven_after, look ? looks_batch : 0);
    if (!gone) return gone.error();
    for (const auto* some : {&executing, &verifying, &proven}) {
      if (!*some) return some->error();
    }
    return Work{std::move(*executing), std::move(*verifying), std::move(*proven), std::move(*gone)};
  };
  Result<Work> work = co_await store::transact<Work>(store, scheduler, read);
  if (look && work.ok() && work->in_effect.empty()) proven_walk.ended();
  co_return work;
}

// It waits for silent gateways, and the same ones are silent still.
bool Responder::State::waits_on(const Action& action) const {
  return !action.wait_reason.empty() && action.wait_reason == gateways.silence(scheduler.now());
}

void Responder::State::begin_verifications(const Work& work) {
  const auto begin = [this](const Action& action) {
    if (under_way.contains(action.id)) return true;
    if (under_way.size() >= (waits_on(action) ? waiting_max : verifications_max)) return false;
    under_way.insert(action.id);
    scope.spawn("verify", verify(action));
    return true;
  };
  for (const Action& action : work.executing) {
    if (!begin(action)) break;
  }
  for (const Action& action : work.verifying) {
    const bool is_met = meets_waiting || !waits_on(action);
    if (is_met && !begin(action)) return;  // the walk goes on from here
    verifying_walk.met(action.id);
  }
  if (static_cast<std::int64_t>(work.verifying.size()) < verifying_batch) verifying_walk.ended();
}

void Responder::State::begin_looks(const std::vector<Action>& in_effect) {
  for (const Action& action : in_effect) {
    if (looking.size() >= looks_max) return;
    proven_walk.met(action.id);
    if (!looking.insert(action.id).second) continue;
    scope.spawn("look_again", look_again(action));
  }
}

void Responder::State::count_gateways() {
  const auto counts = gateways.count(scheduler.now());
  for (const auto standing :
       {fleet::GatewayStanding::live, fleet::GatewayStanding::late, fleet::GatewayStanding::closed,
        fleet::GatewayStanding::silent, fleet::GatewayStanding::gone}) {
    const auto found = counts.find(standing);
    registry
        .gauge("fleetward_responder_gateways", "Gateways that have not said goodbye, by how they stand.",
               {{"standing", std::string(to_string(standing))}})
        .set(found == counts.end() ? 0.0 : static_cast<double>(found->second));
  }
}

async::Task<void> Responder::State::watch_actions() {
  while (!scope.stopping()) {
    Result<Work> work = co_await read_work();
    if (!work) log::error("actions_read_failed", {{"error", work.error().message}});
    if (work.ok() && !scope.stopping()) {
      gateways.set_gone(std::move(work->gone));
      begin_verifications(*work);
      begin_looks(work->in_effect);
    }
    count_gateways();
    co_await wake->wait(config.look_every);
  }
}

}  // namespace fleetward::responder
