// Proof: is the thing really off? An open action is examined until everything agrees or its time is over; a proven one
// is looked at again, and what has drifted is put in force again.
#include "core/fault.hpp"
#include "crypto/key.hpp"
#include "crypto/random.hpp"
#include "log/log.hpp"
#include "pki/certificate.hpp"
#include "repository/signing_client.hpp"
#include "services/responder/state.hpp"

namespace fleetward::responder {
namespace {

using fleet::Action;
using fleet::ActionState;

constexpr Millis try_again{250};
constexpr Millis sign_limit{5'000};

bool is_open(const Action& action) {
  return action.state == ActionState::verifying || action.state == ActionState::executing;
}

// Not so when a clock was set meanwhile: such a certificate is refused for its time, which says nothing of the thing.
bool is_of_now(const ProbeIdentity& identity, Instant now) {
  const auto info = pki::read_certificate(identity.certificate_pem);
  return info.ok() && info->not_before <= now && now < info->not_after;
}

}  // namespace

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

async::Task<Result<Action>> Responder::State::current(std::string id) {
  std::function<Result<Action>(store::Transaction&)> read = [id](store::Transaction& tx) {
    return repository::get_action(tx, id);
  };
  Result<Action> action = co_await store::transact<Action>(store, scheduler, read);
  co_return action;
}

async::Task<void> Responder::State::conclude(std::string id, std::string fault, Findings findings) {
  const Instant now = scheduler.now();
  const std::shared_ptr<const repository::Policy> by = policy;
  const std::vector<fleet::Evidence> evidence = evidence_of(findings);
  std::function<Result<Action>(store::Transaction&)> write = [&](store::Transaction& tx) {
    return fault.empty() ? repository::mark_verified(tx, id, evidence, *by, now)
                         : repository::mark_failed(tx, id, fault, evidence, now);
  };
  const Result<Action> written = co_await store::transact<Action>(store, scheduler, write);
  if (!written) {
    log::error("conclusion_failed", {{"action", id}, {"error", written.error().message}});
    co_return;  // it is still open and will be examined again
  }
  const ActionState expected = fault.empty() ? ActionState::in_effect : ActionState::failed;
  if (written->state != expected) co_return;  // released meanwhile
  (fault.empty() ? verified : failed).add();
  const auto& watch = written->stopwatch;
  if (fault.empty() && watch.verified == now && watch.enforced > watch.received)
    time_to_cut.observe(std::chrono::duration<double>(watch.enforced - watch.received).count());
  if (fault.empty()) log::info("action_verified", {{"action", id}, {"thing", written->thing}});
  else log::error("action_failed", {{"action", id}, {"thing", written->thing}, {"why", fault}});
}

// It stays as it is until a gateway returns or is declared gone; the reason is for people.
async::Task<void> Responder::State::put_off(std::string id, std::string why) {
  const Instant now = scheduler.now();
  std::function<Result<bool>(store::Transaction&)> write = [&](store::Transaction& tx) {
    return repository::mark_waiting(tx, id, why, now);
  };
  const Result<bool> changed = co_await store::transact<bool>(store, scheduler, write);
  if (!changed) log::error("waiting_not_noted", {{"action", id}, {"error", changed.error().message}});
  if (!changed || !*changed) co_return;
  put_off_total.add();
  log::warn("action_waits", {{"action", id}, {"for", why}});
}

// One look. True: there is no more to do. "In force" is said by a gateway first, where there is one that could: until
// then a refusal could be of something else.
async::Task<bool> Responder::State::verify_once(Action action, ProbeIdentity identity, Attempt& attempt) {
  const std::vector<Gateways::Known> known = gateways.known(scheduler.now());
  const bool some_live = std::any_of(
      known.begin(), known.end(), [](const Gateways::Known& k) { return k.standing == fleet::GatewayStanding::live; });
  if (action.state == ActionState::executing && action.certificates.empty() && (some_live || known.empty()))
    co_return false;
  // Once known it stays: what is published after it is none of this action's.
  const bool asks_end = !action.certificates.empty() && attempt.certificates_end == 0;
  if (asks_end) attempt.certificates_end = co_await end_of_certificates(action);
  attempt.findings = co_await examine(action, std::move(identity), attempt.certificates_end);
  attempt.fault = fault_in(attempt.findings);
  if (attempt.fault.empty()) {
    co_await conclude(action.id, attempt.fault, attempt.findings);
    co_return true;
  }
  const std::string silence = gateways.silence(scheduler.now());
  const bool may_come_yet = first_of(attempt.findings, Weight::late) != nullptr;
  if (!only_waits(attempt.findings) || may_come_yet || silence.empty()) co_return false;
  co_await put_off(action.id, silence);
  co_return true;
}

async::Task<void> Responder::State::verify(Action action) {
  fault::crash_here("responder.before_verify");
  const auto deadline = scheduler.steady_now() + config.verify_limit;
  const bool probes = action.certificates.empty();
  Result<ProbeIdentity> identity = ProbeIdentity();
  Attempt attempt;
  bool is_done = false;
  while (!is_done && !scope.stopping()) {
    const bool is_good = identity.ok() && (!probes || is_of_now(*identity, scheduler.now()));
    if (!is_good) identity = co_await probe_identity(action.thing);
    if (!identity) attempt.fault = identity.error().message;
    const Result<Action> now = co_await current(action.id);
    is_done = now.ok() && !is_open(*now);  // released meanwhile
    if (!is_done && identity.ok() && now.ok()) is_done = co_await verify_once(*now, *identity, attempt);
    if (is_done || scheduler.steady_now() >= deadline) break;
    co_await scope.sleep(try_again);
  }
  // What only lacks a heartbeat that may be on its way begins anew.
  const bool is_over = !is_done && !scope.stopping() && !only_waits(attempt.findings);
  if (is_over) co_await conclude(action.id, attempt.fault, attempt.findings);
  under_way.erase(action.id);
}

// Only what is seen to be otherwise counts as drift: a peer that cannot be reached says nothing of the thing.
async::Task<void> Responder::State::look_again(Action action) {
  Result<ProbeIdentity> identity = ProbeIdentity();
  if (action.certificates.empty()) identity = co_await probe_identity(action.thing);
  Findings findings;
  if (identity.ok()) findings = co_await examine(action, *identity, 0);
  looked.add();
  const Finding* otherwise = first_of(findings, Weight::contrary);
  if (otherwise != nullptr && !scope.stopping()) {
    const std::string why = fmt::format("{}: {}", otherwise->evidence.where, otherwise->evidence.text);
    const Instant now = scheduler.now();
    const std::vector<fleet::Evidence> evidence = evidence_of(findings);
    std::function<Result<Action>(store::Transaction&)> write = [&](store::Transaction& tx) {
      return repository::mark_drifted(tx, action.id, why, evidence, now);
    };
    const Result<Action> written = co_await store::transact<Action>(store, scheduler, write);
    if (!written) log::error("drift_not_noted", {{"action", action.id}, {"error", written.error().message}});
    const bool is_drift = written.ok() && (is_open(*written) || written->state == ActionState::failed);
    if (is_drift) {
      drifted.add();
      if (written->state == ActionState::failed) failed.add();
      log::error("action_drifted", {{"action", action.id}, {"thing", action.thing}, {"why", why}});
    }
  }
  looking.erase(action.id);
}

}  // namespace fleetward::responder
