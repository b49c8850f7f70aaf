#include "simulation/process_store.hpp"

#include "core/fault.hpp"
#include "repository/signing_store.hpp"
#include "simulation/forger.hpp"
#include "store/sqlite_store.hpp"

namespace fleetward::simulation {
namespace {

Error away() { return {ErrorCode::unavailable, "the store cannot be reached"}; }

struct Deferred {
  std::string sql;
  store::Params params;
};

// The production transaction, but for wake-ups that get lost and bugs that a test has planted.
class SimTransaction final : public store::Transaction {
 public:
  SimTransaction(store::Transaction& inner, Choice& choice, std::int64_t notify_lost)
      : inner_(inner), choice_(choice), notify_lost_(notify_lost) {}

  const store::Signer* signer() const override { return inner_.signer(); }
  Result<store::Rows> query(std::string_view sql, const store::Params& params) override {
    return inner_.query(sql, params);
  }
  Result<std::int64_t> execute(std::string_view sql, const store::Params& params) override {
    // The cap is counted in a transaction of its own, after the decision's.
    if (sql.starts_with("INSERT INTO governor_acted") && fault::is_armed("simulation.cap_outside")) {
      later.push_back({std::string(sql), params});
      return 1;
    }
    return inner_.execute(sql, params);
  }
  void notify(std::string_view channel) override {
    if (!choice_.one_in(notify_lost_)) inner_.notify(channel);
  }

  std::vector<Deferred> later;

 private:
  store::Transaction& inner_;
  Choice& choice_;
  std::int64_t notify_lost_;
};

}  // namespace

class SharedStore::AtOnce final : public async::Scheduler {
 public:
  explicit AtOnce(Universe& universe) : universe_(universe) {}
  async::Executor executor() override { return {}; }
  void post(std::function<void()> work) override { work(); }
  async::TimerId call_after(Millis, std::function<void()>) override { return async::no_timer; }
  void cancel(async::TimerId) override {}
  [[nodiscard]] Instant now() const override { return universe_.now(); }
  [[nodiscard]] std::chrono::nanoseconds steady_now() const override { return universe_.elapsed(); }

 private:
  Universe& universe_;
};

SharedStore::SharedStore(Universe& universe) : universe_(universe), at_once_(std::make_unique<AtOnce>(universe)) {
  auto opened = store::open_memory_store(*at_once_, metrics_);
  if (!opened) std::abort();
  store_ = repository::sign_in(std::move(*opened), deciding_signer());
}

Status SharedStore::now(const std::function<Status(store::Transaction&)>& work) {
  Status result;
  store_->run(work, [&result](const Status& status) { result = status; });
  return result;
}

void ProcessStore::run(std::function<Status(store::Transaction&)> work, std::function<void(Status)> done) {
  loop_.call_after(late(), [this, work = std::move(work), done = std::move(done)] { arrive(work, done); });
}

// On the process's loop, so that a dead one does nothing any more; its transaction is one step.
void ProcessStore::arrive(const std::function<Status(store::Transaction&)>& work, std::function<void(Status)> done) {
  Choice& choice = shared_.universe().choice();
  const bool refused = shared_.universe().now() < away_until || choice.one_in(faults_.refused);
  Status status = away();
  std::vector<Deferred> later;
  if (!refused) {
    status = shared_.now([&](store::Transaction& tx) {
      SimTransaction transaction(tx, choice, faults_.notify_lost);
      Status worked = work(transaction);
      later = std::move(transaction.later);
      return worked;
    });
    if (status.ok() && shared_.on_commit) shared_.on_commit();
    if (status.ok() && choice.one_in(faults_.unsaid)) status = away();
  }
  if (!later.empty() && !refused) {
    loop_.call_after(choice.millis(1, 2'000), [this, later] {
      const Status counted = shared_.now([&later](store::Transaction& tx) -> Status {
        for (const Deferred& d : later) {
          if (const auto ran = tx.execute(d.sql, d.params); !ran) return ran.error();
        }
        return {};
      });
      if (!counted) shared_.universe().fail("a deferred statement failed");
    });
  }
  loop_.call_after(late(), [done = std::move(done), status] { done(status); });
}

}  // namespace fleetward::simulation
