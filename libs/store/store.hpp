// The SQL store: the truth for what people and the responder decide. One text for queries, two backends: SQLite for one
// process, PostgreSQL for several.
//
// Work runs in transactions on a thread of the store: `transact(scheduler, work)` hands a function over, and the task
// goes on on its own scheduler with the result. A transaction commits when the work returns a good result, else it is
// rolled back. Isolation is serialisable; a conflict is run again by the store, so work must be repeatable (no effects
// outside). Parameters are $1, $2, …; identifiers and SQL are our own constants, never text from outside.
//
// Threads: Store is thread-safe; a Transaction belongs to the work that it was given to.
// Limits: a query returns at most rows_max rows (resource_exhausted beyond), so lists page.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "async/scope.hpp"
#include "core/result.hpp"
#include "core/text.hpp"

namespace fleetward::store {

constexpr std::size_t rows_max = 100'000;

using Value = std::variant<std::monostate, std::int64_t, double, std::string, Bytes>;
using Params = std::vector<Value>;

class Row {
 public:
  explicit Row(std::vector<Value> values) : values_(std::move(values)) {}
  [[nodiscard]] bool is_null(std::size_t column) const;
  // Asking for another type than the column has is a bug and ends the process.
  [[nodiscard]] std::int64_t integer(std::size_t column) const;
  [[nodiscard]] double number(std::size_t column) const;  // an integer column is converted
  [[nodiscard]] const std::string& text(std::size_t column) const;
  [[nodiscard]] const Bytes& bytes(std::size_t column) const;
  [[nodiscard]] std::string text_or(std::size_t column, std::string_view other) const;  // other when null
  [[nodiscard]] std::int64_t integer_or(std::size_t column, std::int64_t other) const;

 private:
  std::vector<Value> values_;
};
using Rows = std::vector<Row>;

// Signs what a transaction tells others. Thread-safe.
class Signer {
 public:
  virtual ~Signer() = default;
  // What to put beside the message; empty: messages of that topic carry no signature. An error: it may not say that.
  [[nodiscard]] virtual Result<std::string> sign(std::string_view topic, std::string_view key, std::string_view version,
                                                 std::string_view value) const = 0;
};

class Transaction {
 public:
  virtual ~Transaction() = default;
  // Whoever made the store's wrapping may sign in it (repository/signing_store); nullptr: nothing is signed.
  [[nodiscard]] virtual const Signer* signer() const { return nullptr; }
  virtual Result<Rows> query(std::string_view sql, const Params& params = {}) = 0;
  // Rows that were changed. A violated uniqueness is already_exists, another constraint failed_precondition.
  // A statement that failed, query or not, ends the transaction: what follows fails, and it is not committed.
  virtual Result<std::int64_t> execute(std::string_view sql, const Params& params = {}) = 0;
  // Wakes the listeners of `channel` when, and only when, this transaction has committed.
  virtual void notify(std::string_view channel) = 0;
};

// A numbered step of the schema; `sql` may hold several statements, and says INTEGER PRIMARY KEY AUTOINCREMENT and BLOB
// for what each backend has its own words. Steps are never changed once released.
struct Migration {
  int number = 0;
  std::string_view name;
  std::string_view sql;
  std::string_view postgres_sql = {};  // in its place there, where the two cannot be the same
};

// Woken by Transaction::notify() of any process that shares the store. Lives on the scheduler it was made with.
class Listener {
 public:
  virtual ~Listener() = default;
  // True when woken since the last wait. Spurious wake-ups happen; so do missed ones across a reconnect: wait with a
  // limit and look.
  virtual async::Task<bool> wait(Millis limit) = 0;
  virtual void wake() = 0;  // thread-safe
};

class Store {
 public:
  virtual ~Store() = default;

  // Brings the schema up to date, under a lock; refuses a schema that is newer than it knows. Blocking. A role that may
  // not change the schema may call it too: it then only looks.
  virtual Status migrate(const std::vector<Migration>& migrations) = 0;

  virtual std::unique_ptr<Listener> listen(async::Scheduler& scheduler, std::string channel) = 0;

  // Why it does not serve: the server is not there; or since the last transaction that wrote, one has failed for the
  // disk's sake. Thread-safe.
  [[nodiscard]] virtual Status health() const { return {}; }

  // `work` on a store thread in one transaction; `done` with the result of the commit, on that thread.
  virtual void run(std::function<Status(Transaction&)> work, std::function<void(Status)> done) = 0;
};

// run() as a task that brings a value back.
template <class T>
async::Task<Result<T>> transact(Store& store, async::Scheduler& scheduler,
                                std::function<Result<T>(Transaction&)> work) {
  std::function<void(std::function<void(Result<T>)>)> start = [&store, &work](std::function<void(Result<T>)> done) {
    auto value = std::make_shared<std::optional<T>>();
    store.run(
        [value, work](Transaction& tx) -> Status {
          Result<T> result = work(tx);
          if (!result) return result.error();
          *value = std::move(*result);
          return {};
        },
        [value, done](Status status) {
          done(status.ok() ? Result<T>(std::move(**value)) : Result<T>(status.error()));
        });
  };
  Result<T> result = co_await async::from_callback<Result<T>>(scheduler, start);
  co_return result;
}

async::Task<Status> transact(Store& store, async::Scheduler& scheduler, std::function<Status(Transaction&)> work);

}  // namespace fleetward::store
