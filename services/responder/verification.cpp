// Proof: is the thing really off? Each open action is examined from outside until everything agrees or its time is
// over.
#include "core/fault.hpp"
#include "crypto/key.hpp"
#include "crypto/random.hpp"
#include "log/log.hpp"
#include "repository/signing_client.hpp"
#include "services/responder/state.hpp"

namespace fleetward::responder {
namespace {

using fleet::Action;
using fleet::ActionState;
using fleet::Evidence;

constexpr std::int64_t open_actions_max = 500;
constexpr std::size_t verifications_max = 32;
constexpr Millis look_every{1'000};
constexpr Millis try_again{250};
constexpr Millis probe_limit{3'000};
constexpr Millis sign_limit{5'000};

// The first thing that speaks against it; empty: all is good.
std::string fault_in(const std::vector<Evidence>& evidence) {
  for (const Evidence& e : evidence) {
    if (!e.good) return fmt::format("{}: {}", e.where, e.text);
  }
  return evidence.empty() ? "nothing could be examined" : "";
}

}  // namespace

async::Task<void> Responder::State::watch_actions() {
  while (!scope.stopping()) {
    const std::shared_ptr<const repository::Policy> by = policy;
    const Instant now = scheduler.now();
    std::function<Result<std::vector<Action>>(store::Transaction&)> read =
        [by, now](store::Transaction& tx) -> Result<std::vector<Action>> {
      if (const Status s = repository::reconsider_waiting(tx, *by, now); !s) return s.error();
      return repository::actions_in(tx, {ActionState::executing, ActionState::verifying, ActionState::in_effect},
                                    open_actions_max);
    };
    const Result<std::vector<Action>> open = co_await store::transact<std::vector<Action>>(store, scheduler, read);
    if (!open) log::error("actions_read_failed", {{"error", open.error().message}});
    for (std::size_t i = 0; open.ok() && i < open->size() && under_way.size() < verifications_max; ++i) {
      const Action& action = (*open)[i];
      if (under_way.contains(action.id)) continue;
      if (action.state == ActionState::in_effect) {
        const auto last = looked_at.try_emplace(action.id, action.stopwatch.verified).first;
        if (now - last->second < config.look_again) continue;
        last->second = now;
        under_way.insert(action.id);
        scope.spawn("look_again", look_again(action));
      } else {
        under_way.insert(action.id);
        scope.spawn("verify", verify(action));
      }
    }
    co_await wake->wait(look_every);
  }
}

async::Task<Result<ProbeIdentity>> Responder::State::probe_identity(std::string thing) {
  const auto key = crypto::PrivateKey::generate();
  if (!key) co_return key.error();
  crypto::SystemRandom random;
  repository::SigningRequest request;
  request.id = random.hex(16);
  request.probe = true;
  request.thing = std::move(thing);
  request.public_key_pem = key->public_key().to_pem();
  const Result<std::string> pem = co_await repository::sign(store, scheduler, std::move(request), sign_limit);
  if (!pem) co_return pem.error().with_context("probe certificate");
  co_return ProbeIdentity{*pem, key->to_pem()};
}

async::Task<std::vector<Evidence>> Responder::State::examine(Action action, ProbeIdentity identity) {
  std::vector<Evidence> evidence;
  if (!gateways_follower->caught_up())
    evidence.push_back({scheduler.now(), "gateways", "bus", false, "the gateways are not known yet"});
  for (const fleet::GatewayHeartbeat& gateway : known_gateways()) {
    Evidence seen = co_await probe_gateway(scheduler, gateway, identity, config.ca_pem, action.thing, action.level,
                                           action.access_version, probe_limit);
    evidence.push_back(std::move(seen));
  }
  if (action.level != fleet::HoldLevel::revoke) co_return evidence;
  const std::string thing = action.thing;
  std::function<Result<std::vector<repository::CertificateRow>>(store::Transaction&)> read =
      [thing](store::Transaction& tx) { return repository::certificates_of(tx, thing); };
  const auto rows = co_await store::transact<std::vector<repository::CertificateRow>>(store, scheduler, read);
  std::vector<std::string> pems;
  for (std::size_t i = 0; rows.ok() && i < rows->size(); ++i) pems.push_back((*rows)[i].pem);
  if (pems.empty())
    evidence.push_back({scheduler.now(), "certificates", "store", false, "the thing's certificates could not be read"});
  Evidence crl =
      co_await look_at_crl(scheduler, config.pki_url + "/crl/issuing.crl", config.issuer_pem, pems, probe_limit);
  evidence.push_back(std::move(crl));
  for (const std::string& pem : pems) {
    Evidence ocsp = co_await ask_ocsp(scheduler, config.pki_url + "/ocsp", config.issuer_pem, pem, probe_limit);
    evidence.push_back(std::move(ocsp));
  }
  co_return evidence;
}

async::Task<Result<Action>> Responder::State::current(std::string id) {
  std::function<Result<Action>(store::Transaction&)> read = [id](store::Transaction& tx) {
    return repository::get_action(tx, id);
  };
  Result<Action> action = co_await store::transact<Action>(store, scheduler, read);
  co_return action;
}

async::Task<void> Responder::State::conclude(std::string id, std::string fault, std::vector<Evidence> evidence) {
  const Instant now = scheduler.now();
  const std::shared_ptr<const repository::Policy> by = policy;
  std::function<Result<Action>(store::Transaction&)> write = [&](store::Transaction& tx) {
    return fault.empty() ? repository::mark_verified(tx, id, evidence, *by, now)
                         : repository::mark_failed(tx, id, fault, evidence, now);
  };
  const Result<Action> written = co_await store::transact<Action>(store, scheduler, write);
  if (!written) {
    log::error("conclusion_failed", {{"action", id}, {"error", written.error().message}});
    co_return;  // it is still open and will be examined again
  }
  (fault.empty() ? verified : failed).add();
  const auto& watch = written->stopwatch;
  if (fault.empty() && watch.enforced > watch.received)
    time_to_cut.observe(std::chrono::duration<double>(watch.enforced - watch.received).count());
  if (fault.empty()) log::info("action_verified", {{"action", id}, {"thing", written->thing}});
  else log::error("action_failed", {{"action", id}, {"thing", written->thing}, {"why", fault}});
}

async::Task<void> Responder::State::verify(Action action) {
  fault::crash_here("responder.before_verify");
  const auto deadline = scheduler.steady_now() + config.verify_limit;
  Result<ProbeIdentity> identity = co_await probe_identity(action.thing);
  std::vector<Evidence> evidence;
  std::string fault = "no gateway has said that the hold is in force";
  while (!scope.stopping()) {
    if (!identity) identity = co_await probe_identity(action.thing);
    if (!identity) fault = identity.error().message;
    const Result<Action> now = co_await current(action.id);
    const bool open = now.ok() && (now->state == ActionState::verifying || now->state == ActionState::executing);
    if (now.ok() && !open) {
      under_way.erase(action.id);
      co_return;  // released meanwhile
    }
    // "In force" is said by a gateway first: until then a refusal could be of something else.
    if (identity.ok() && now.ok() && now->state == ActionState::verifying) {
      evidence = co_await examine(*now, *identity);
      fault = fault_in(evidence);
      if (fault.empty()) break;
    }
    if (scheduler.steady_now() >= deadline) break;
    co_await scope.sleep(try_again);
  }
  if (!scope.stopping() || fault.empty()) co_await conclude(action.id, fault, std::move(evidence));
  under_way.erase(action.id);
}

// Only what is seen to be otherwise counts as drift: a peer that cannot be reached says nothing of the thing.
async::Task<void> Responder::State::look_again(Action action) {
  const Result<ProbeIdentity> identity = co_await probe_identity(action.thing);
  std::vector<Evidence> evidence;
  if (identity.ok()) evidence = co_await examine(action, *identity);
  const auto otherwise = std::find_if(evidence.begin(), evidence.end(), contradicts);
  if (otherwise != evidence.end() && !scope.stopping()) {
    drifted.add();
    const std::string fault = fmt::format("no longer in effect: {}: {}", otherwise->where, otherwise->text);
    co_await conclude(action.id, fault, std::move(evidence));
  }
  under_way.erase(action.id);
}

}  // namespace fleetward::responder
