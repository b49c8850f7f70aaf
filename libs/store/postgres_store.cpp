#include "store/postgres_store.hpp"

#include <pthread.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "log/log.hpp"
#include "store/channels.hpp"
#include "store/postgres_address.hpp"
#include "store/postgres_listening.hpp"
#include "store/postgres_migrate.hpp"
#include "store/postgres_session.hpp"
#include "store/run_and_wait.hpp"

namespace fleetward::store {
namespace {

constexpr std::chrono::hours tend_every{6};
constexpr Millis stop_limit{2'000};  // for the transactions that are under way

struct Job {
  std::function<Status(Transaction&)> work;
  std::function<void(Status)> done;
};

// Transactions that wait for a thread. Thread-safe.
class Queue {
 public:
  explicit Queue(std::size_t work_max) : work_max_(work_max) {}

  // The job comes back when it is not taken: why.
  Status push(Job& job) {
    {
      const std::lock_guard lock(mutex_);
      if (is_closed_) return Error(ErrorCode::cancelled, "the store is closing");
      if (waiting_ >= work_max_) return Error(ErrorCode::throttled, "the store has too much waiting; retry later");
      ++waiting_;
      jobs_.push_back(std::move(job));
    }
    changed_.notify_one();
    return {};
  }

  // Waits for one; none: the queue is closed and empty.
  std::optional<Job> pop() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return is_closed_ || !jobs_.empty(); });
    if (jobs_.empty()) return std::nullopt;
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    return job;
  }

  void finished_one() {
    const std::lock_guard lock(mutex_);
    --waiting_;
  }

  void close() {
    {
      const std::lock_guard lock(mutex_);
      is_closed_ = true;
    }
    changed_.notify_all();
  }

 private:
  const std::size_t work_max_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  std::size_t waiting_ = 0;  // those that run among them
  bool is_closed_ = false;
};

class PostgresStore final : public Store {
 public:
  PostgresStore(PostgresOptions options, metrics::Registry& metrics)
      : options_(std::move(options)),
        metrics_(metrics),
        channels_(std::make_shared<Channels>()),
        health_(options_.connect_limit),
        listening_(options_, watch_, health_, channels_),
        queue_(options_.work_max) {}

  ~PostgresStore() override {
    health_.stop();
    watch_.hurry(stop_limit);
    queue_.close();
    for (std::thread& thread : threads_) thread.join();
  }

  Status start(metrics::Registry& registry) {
    auto first = PostgresConnection::open(options_, watch_);
    if (!first) return first.error();
    if (const Status fits = check_database(**first); !fits) return fits;
    for (std::int64_t i = 0; i < options_.connections; ++i) {
      auto session = std::make_unique<PostgresSession>(options_, watch_, health_, registry);
      if (i == 0) session->adopt(std::move(*first));
      threads_.emplace_back([this, s = std::move(session)] { serve(*s); });
      pthread_setname_np(threads_.back().native_handle(), fmt::format("store-{}", i).substr(0, 15).c_str());
    }
    return {};
  }

  Status migrate(const std::vector<Migration>& migrations) override {
    auto connection = PostgresConnection::open(options_, watch_);
    if (!connection) return connection.error();
    if (const Status done = store::migrate(**connection, migrations); !done) return done;
    note_tended(run_and_wait<void>(*this, tend_schema));
    return {};
  }

  std::unique_ptr<Listener> listen(async::Scheduler& scheduler, std::string channel) override {
    auto listener = make_listener(channels_, scheduler, channel);
    listening_.want(channel);
    return listener;
  }

  [[nodiscard]] Status health() const override { return health_.health(); }

  void run(std::function<Status(Transaction&)> work, std::function<void(Status)> done) override {
    Job job{std::move(work), std::move(done)};
    const Status taken = queue_.push(job);
    if (taken.ok()) return;
    if (taken.error().code == ErrorCode::throttled) metrics_.throttled.add();
    job.done(taken);
  }

 private:
  // What still waits when the store closes is told so: its caller may wait for it.
  void serve(PostgresSession& session) {
    while (auto job = queue_.pop()) {
      const Status status =
          health_.is_stopping() ? Status(Error(ErrorCode::cancelled, "the store is closing")) : session.run(job->work);
      queue_.finished_one();
      job->done(status);
      if (is_time_to_tend()) note_tended(session.run(tend_schema));
    }
  }

  // One of the threads says so, every tend_every; where nothing is done nothing grows.
  bool is_time_to_tend() {
    const std::int64_t now = std::chrono::steady_clock::now().time_since_epoch().count();
    std::int64_t last = tended_.load();
    return now - last > std::chrono::nanoseconds(tend_every).count() && tended_.compare_exchange_strong(last, now);
  }

  static void note_tended(const Status& done) {
    if (!done) log::warn("store_not_tended", {{"error", done.error().message}});
  }

  const PostgresOptions options_;
  StoreMetrics metrics_;
  std::shared_ptr<Channels> channels_;
  PostgresHealth health_;
  PostgresWatch watch_;
  PostgresListening listening_;
  Queue queue_;
  std::atomic<std::int64_t> tended_{std::chrono::steady_clock::now().time_since_epoch().count()};
  std::vector<std::thread> threads_;
};

}  // namespace

Result<std::unique_ptr<Store>> open_postgres_store(PostgresOptions options, metrics::Registry& metrics) {
  if (const auto sound = connection_string(options); !sound) return sound.error();
  auto store = std::make_unique<PostgresStore>(std::move(options), metrics);
  if (const Status started = store->start(metrics); !started) return started.error();
  return std::unique_ptr<Store>(std::move(store));
}

}  // namespace fleetward::store
