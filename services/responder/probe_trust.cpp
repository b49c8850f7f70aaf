// The test of the probe itself: a gateway that refuses everybody would prove every action. So each is probed for a
// thing that is free, at first sight and every few minutes, beside the verifications and never in their way.
#include "log/log.hpp"
#include "repository/gateway_repository.hpp"
#include "services/responder/state.hpp"

namespace fleetward::responder {
namespace {

constexpr Millis test_limit{3'000};
constexpr Millis retry{1'000};
constexpr Millis look_for_due{500};

}  // namespace

async::Task<Result<std::string>> Responder::State::thing_to_test_with() {
  std::function<Result<std::string>(store::Transaction&)> read = repository::free_thing;
  Result<std::string> thing = co_await store::transact<std::string>(store, scheduler, read);
  co_return thing;
}

async::Task<void> Responder::State::test_gateway(fleet::GatewayHeartbeat gateway, std::string thing,
                                                 ProbeIdentity identity) {
  std::optional<std::string> fault;
  fault = co_await probe_for_free_thing(scheduler, gateway, std::move(identity), config.ca_pem, thing, test_limit);
  // The thing may have been put on hold meanwhile: then its refusal is right, and says nothing.
  const Result<std::string> still_free = co_await thing_to_test_with();
  if (!fault->empty() && (!still_free || *still_free != thing)) fault.reset();
  const std::string_view result = !fault ? "unclear" : fault->empty() ? "passed" : "failed";
  registry
      .counter("fleetward_responder_self_tests_total", "Probes of gateways for a thing that is free.",
               {{"result", std::string(result)}})
      .add();
  if (fault && !fault->empty()) log::error("self_test_failed", {{"gateway", gateway.instance}, {"why", *fault}});
  gateways.note_test(gateway, fault, scheduler.now());
}

async::Task<void> Responder::State::test_gateways() {
  while (!scope.stopping()) {
    const std::vector<fleet::GatewayHeartbeat> due = gateways.take_due(scheduler.now(), config.self_test_every, retry);
    if (!due.empty()) {
      const Result<std::string> thing = co_await thing_to_test_with();
      Result<ProbeIdentity> identity = thing.ok() ? Result<ProbeIdentity>(ProbeIdentity{}) : thing.error();
      if (thing.ok()) identity = co_await probe_identity(*thing);
      for (const fleet::GatewayHeartbeat& gateway : due) {
        if (identity.ok()) scope.spawn("self_test", test_gateway(gateway, *thing, *identity));
        else gateways.note_test(gateway, std::nullopt, scheduler.now());
      }
      if (!identity) log::warn("self_test_not_possible", {{"error", identity.error().message}});
    }
    co_await test_wake.wait(look_for_due);
  }
}

}  // namespace fleetward::responder
