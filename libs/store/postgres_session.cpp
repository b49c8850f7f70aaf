#include "store/postgres_session.hpp"

#include "log/log.hpp"

namespace fleetward::store {
namespace {

constexpr int attempts_max = 50;
constexpr Millis pause_min{2};
constexpr Millis pause_max{250};

class PostgresTransaction final : public Transaction {
 public:
  explicit PostgresTransaction(PostgresConnection& connection) : connection_(connection) {}

  Result<Rows> query(std::string_view sql, const Params& params) override { return connection_.query(sql, params); }
  Result<std::int64_t> execute(std::string_view sql, const Params& params) override {
    return connection_.execute(sql, params);
  }
  void notify(std::string_view channel) override { channels_.emplace(channel); }
  [[nodiscard]] const std::set<std::string>& channels() const { return channels_; }

 private:
  PostgresConnection& connection_;
  std::set<std::string> channels_;
};

}  // namespace

PostgresSession::PostgresSession(const PostgresOptions& options, PostgresWatch& watch, PostgresHealth& health,
                                 metrics::Registry& metrics)
    : options_(options),
      watch_(watch),
      health_(health),
      metrics_(metrics),
      reruns_(metrics.counter("fleetward_store_reruns_total",
                              "Transactions run again: they had lost to another one, or their connection.")),
      connects_(metrics.counter("fleetward_store_connects_total", "Connections to the store that were made.")),
      random_(std::random_device()()) {}

Status PostgresSession::run(const std::function<Status(Transaction&)>& work) {
  const auto begun = std::chrono::steady_clock::now();
  pause_ = pause_min;
  for (int attempts = 1;; ++attempts) {
    const Status status = attempt(work);
    if (status.ok()) {
      metrics_.commits.add();
      return {};
    }
    if (!may_try_again(attempts, begun)) {
      metrics_.rollbacks.add();
      return status;
    }
    reruns_.add();
    if (fate_ != Fate::doubtful) health_.pause(next_pause());
  }
}

bool PostgresSession::may_try_again(int attempts, std::chrono::steady_clock::time_point begun) const {
  if (attempts >= attempts_max || health_.is_stopping()) return false;
  if (fate_ == Fate::doubtful) return attempts == 1;
  if (fate_ == Fate::lost) {
    const auto spent = std::chrono::steady_clock::now() - begun;
    return spent < options_.connect_limit && health_.patience_left() > Millis(0);
  }
  return fate_ == Fate::again;
}

// Grows, and differs among those that lost to one another.
Millis PostgresSession::next_pause() {
  const Millis pause(std::uniform_int_distribution<std::int64_t>(1, pause_.count())(random_));
  pause_ = std::min(pause_ * 2, pause_max);
  return pause;
}

Status PostgresSession::connect() {
  if (connection_ && !connection_->is_lost()) return {};
  connection_.reset();
  if (const Status now = health_.may_connect(); !now) return now;
  auto opened = PostgresConnection::open(options_, watch_);
  if (!opened) {
    health_.unreachable(opened.error());
    return opened.error();
  }
  health_.connected();
  connects_.add();
  connection_ = std::move(*opened);
  return {};
}

Status PostgresSession::attempt(const std::function<Status(Transaction&)>& work) {
  fate_ = Fate::lost;
  if (const Status there = connect(); !there) return there;
  PostgresTransaction transaction(*connection_);
  Status status = connection_->begin();
  if (status.ok()) status = work(transaction);
  const bool has_failed = connection_->fate() != Fate::none;
  if (status.ok()) status = connection_->commit(transaction.channels());
  else connection_->roll_back();
  fate_ = connection_->fate();
  const bool is_over = fate_ == Fate::none || fate_ == Fate::settled;
  if (is_over)
    health_.note(has_failed ? connection_->failure() : Status(), connection_->may_have_written() && status.ok());
  return status;
}

}  // namespace fleetward::store
