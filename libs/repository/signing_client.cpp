#include "repository/signing_client.hpp"

namespace fleetward::repository {

async::Task<Result<std::string>> sign(store::Store& store, async::Scheduler& scheduler, SigningRequest request,
                                      Millis limit) {
  const std::unique_ptr<store::Listener> answered = store.listen(scheduler, std::string(signed_channel));
  const Instant now = scheduler.now();
  std::function<Status(store::Transaction&)> ask = [request, now](store::Transaction& tx) {
    return ask_for_certificate(tx, request, now);
  };
  const Status asked = co_await store::transact(store, scheduler, ask);
  if (!asked) co_return asked.error();
  const auto deadline = scheduler.steady_now() + limit;
  const std::string id = request.id;
  while (scheduler.steady_now() < deadline) {
    co_await answered->wait(Millis(500));
    std::function<Result<SigningOutcome>(store::Transaction&)> look = [id](store::Transaction& tx) {
      return signing_outcome(tx, id);
    };
    const Result<SigningOutcome> outcome = co_await store::transact<SigningOutcome>(store, scheduler, look);
    if (!outcome) co_return outcome.error();
    if (outcome->open) continue;
    if (!outcome->error.empty()) co_return Error(ErrorCode::invalid_argument, outcome->error);
    co_return outcome->certificate_pem;
  }
  co_return Error(ErrorCode::deadline_exceeded,
                  "the certificate authority did not answer in time; is the pki role running?");
}

}  // namespace fleetward::repository
