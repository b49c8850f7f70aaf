#include "store/sqlite_store.hpp"

#include <filesystem>
#include <mutex>
#include <set>

#include "log/log.hpp"
#include "sqlite/damage.hpp"
#include "sqlite/sqlite.hpp"
#include "store/channels.hpp"
#include "store/store_metrics.hpp"

namespace fleetward::store {
namespace {

using sqlite::Database;
using sqlite::Statement;

constexpr std::uint64_t checked_bytes_max = 256
                                            << 20;  // of a file over this its pages are not looked at before a start
constexpr std::size_t statements_max = 500;         // SQL texts are our own constants: far fewer

// The connection and its prepared statements. On the store's thread only.
class Session {
 public:
  explicit Session(Database db) : db_(std::move(db)) {}

  Database& db() { return db_; }

  Result<Statement*> prepared(std::string_view sql, const Params& params) {
    auto found = statements_.find(sql);
    if (found == statements_.end()) {
      if (statements_.size() >= statements_max) statements_.clear();
      auto made = db_.prepare(sql);
      if (!made) return made.error().with_context(sql.substr(0, 80));
      found = statements_.emplace(std::string(sql), std::move(*made)).first;
    }
    Statement& statement = found->second;
    statement.reset();
    if (static_cast<std::size_t>(statement.parameters()) > params.size()) {
      return Error(ErrorCode::internal, "fewer values than parameters: " + std::string(sql.substr(0, 80)));
    }
    for (std::size_t i = 0; i < params.size(); ++i)
      bind(statement, statement.parameter(fmt::format("${}", i + 1)), params[i]);
    return &statement;
  }

 private:
  static void bind(Statement& statement, int parameter, const Value& value) {
    if (parameter == 0) return;  // given but not used by this text
    if (const auto* n = std::get_if<std::int64_t>(&value)) statement.bind(parameter, *n);
    else if (const auto* d = std::get_if<double>(&value)) statement.bind(parameter, *d);
    else if (const auto* t = std::get_if<std::string>(&value)) statement.bind(parameter, std::string_view(*t));
    else if (const auto* b = std::get_if<Bytes>(&value)) statement.bind_blob(parameter, ByteView(*b));
    else statement.bind_null(parameter);
  }

  Database db_;
  std::map<std::string, Statement, std::less<>> statements_;
};

Row row_of(const Statement& s) {
  std::vector<Value> values;
  const int columns = s.columns();
  values.reserve(static_cast<std::size_t>(columns));
  for (int c = 0; c < columns; ++c) {
    switch (s.type(c)) {
      case sqlite::ColumnType::integer:
        values.emplace_back(s.integer(c));
        break;
      case sqlite::ColumnType::real:
        values.emplace_back(s.real(c));
        break;
      case sqlite::ColumnType::text:
        values.emplace_back(s.text(c));
        break;
      case sqlite::ColumnType::blob:
        values.emplace_back(to_bytes(s.blob(c)));
        break;
      case sqlite::ColumnType::null:
        values.emplace_back(std::monostate());
        break;
    }
  }
  return Row(std::move(values));
}

class SqliteTransaction final : public Transaction {
 public:
  explicit SqliteTransaction(Session& session) : session_(session) {}

  Result<Rows> query(std::string_view sql, const Params& params) override {
    if (!failure_) return failure_.error();
    auto statement = session_.prepared(sql, params);
    if (!statement) return failed(statement.error());
    Rows rows;
    for (;;) {
      const Result<bool> more = (*statement)->step();
      if (!more) return failed(more.error());
      if (!*more) break;
      if (rows.size() >= rows_max) {
        (*statement)->reset();
        return failed(Error(ErrorCode::resource_exhausted, "a query has more rows than are read at once"));
      }
      rows.push_back(row_of(**statement));
    }
    (*statement)->reset();
    return rows;
  }

  Result<std::int64_t> execute(std::string_view sql, const Params& params) override {
    if (!failure_) return failure_.error();
    auto statement = session_.prepared(sql, params);
    if (!statement) return failed(statement.error());
    if (const Status done = (*statement)->run(); !done) return failed(done.error());
    has_written_ = true;
    return session_.db().changes();
  }

  void notify(std::string_view channel) override { channels_.emplace(channel); }
  [[nodiscard]] const std::set<std::string>& channels() const { return channels_; }
  [[nodiscard]] bool has_written() const { return has_written_; }
  [[nodiscard]] const Status& failure() const { return failure_; }

 private:
  Error failed(const Error& error) {
    failure_ = error;
    return error;
  }

  Session& session_;
  Status failure_;  // of the first statement that failed
  bool has_written_ = false;
  std::set<std::string> channels_;
};

class SqliteStore final : public Store {
 public:
  SqliteStore(Database db, async::Scheduler& thread, metrics::Registry& metrics, std::size_t work_max)
      : session_(std::move(db)),
        channels_(std::make_shared<Channels>()),
        work_max_(work_max),
        metrics_(metrics),
        thread_(thread) {}

  Status migrate(const std::vector<Migration>& migrations) override {
    Status result;
    async::run_on(thread_, [&] { result = migrate_now(migrations); });
    return result;
  }

  std::unique_ptr<Listener> listen(async::Scheduler& scheduler, std::string channel) override {
    return make_listener(channels_, scheduler, std::move(channel));
  }

  [[nodiscard]] Status health() const override {
    const std::lock_guard lock(health_mutex_);
    return health_;
  }

  void run(std::function<Status(Transaction&)> work, std::function<void(Status)> done) override {
    if (waiting_.fetch_add(1) >= work_max_) {
      waiting_.fetch_sub(1);
      metrics_.throttled.add();
      done(Error(ErrorCode::throttled, "the store has too much waiting; retry later"));
      return;
    }
    thread_.post([this, work = std::move(work), done = std::move(done)] {
      const Status status = run_now(work);
      waiting_.fetch_sub(1);
      done(status);
    });
  }

 private:
  Status run_now(const std::function<Status(Transaction&)>& work) {
    if (const Status begun = session_.db().execute("BEGIN IMMEDIATE"); !begun) {
      note(begun, false);
      return begun;
    }
    SqliteTransaction transaction(session_);
    Status status = work(transaction);
    if (status.ok()) status = transaction.failure();
    if (status.ok()) status = session_.db().execute("COMMIT");
    note(status, transaction.has_written());
    if (!status) {
      metrics_.rollbacks.add();
      // After a failure of the disk SQLite may have rolled back by itself: then there is nothing left to undo.
      const Status undone = session_.db().execute("ROLLBACK");
      if (!undone) log::warn("store_rollback", {{"error", undone.error().message}, {"cause", status.error().message}});
      return status;
    }
    metrics_.commits.add();
    channels_->notify(transaction.channels());
    return {};
  }

  // Damage stays until the next start; a full disk, until a transaction has written again.
  void note(const Status& status, bool has_written) {
    const std::lock_guard lock(health_mutex_);
    const bool is_damaged = !health_ && health_.error().code == ErrorCode::corrupted;
    if (is_damaged) return;
    if (status.ok() && has_written) health_ = {};
    const bool concerns_file =
        !status && (status.error().code == ErrorCode::unavailable || status.error().code == ErrorCode::corrupted);
    if (concerns_file) health_ = status;
  }

  Status migrate_now(const std::vector<Migration>& migrations) {
    Status made = session_.db().execute(
        "CREATE TABLE IF NOT EXISTS migrations(number INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at TEXT NOT "
        "NULL)");
    if (!made) return made;
    std::set<std::int64_t> applied;
    {
      SqliteTransaction reading(session_);
      const auto rows = reading.query("SELECT number FROM migrations", {});
      if (!rows) return rows.error();
      for (const Row& row : *rows) applied.insert(row.integer(0));
    }
    std::set<std::int64_t> known;
    for (const Migration& m : migrations) known.insert(m.number);
    for (const std::int64_t number : applied) {
      if (!known.contains(number)) {
        return Error(
            ErrorCode::failed_precondition,
            fmt::format("the store has schema step {}, which this version does not know: use a newer fleetward",
                        number));
      }
    }
    for (const Migration& m : migrations) {
      if (applied.contains(m.number)) continue;
      const Status done = run_now([&m, this](Transaction& tx) -> Status {
        if (const Status ran = session_.db().execute(m.sql); !ran) return ran.error().with_context(m.name);
        const auto noted = tx.execute("INSERT INTO migrations VALUES($1, $2, datetime('now'))",
                                      {std::int64_t{m.number}, std::string(m.name)});
        return noted.ok() ? Status() : Status(noted.error());
      });
      if (!done) return done;
    }
    return {};
  }

  Session session_;
  std::shared_ptr<Channels> channels_;
  std::size_t work_max_;
  std::atomic<std::size_t> waiting_{0};
  mutable std::mutex health_mutex_;
  Status health_;
  StoreMetrics metrics_;
  async::Scheduler& thread_;
};

// Owns the file's lock and the thread, which stops before what runs on it goes.
class FileStore final : public Store {
 public:
  FileStore(sqlite::FileLock lock, Database db, metrics::Registry& metrics, std::size_t work_max)
      : lock_(std::move(lock)), thread_("store"), store_(std::move(db), thread_, metrics, work_max) {}
  ~FileStore() override { thread_.stop(); }

  Status migrate(const std::vector<Migration>& migrations) override { return store_.migrate(migrations); }
  std::unique_ptr<Listener> listen(async::Scheduler& scheduler, std::string channel) override {
    return store_.listen(scheduler, std::move(channel));
  }
  [[nodiscard]] Status health() const override { return store_.health(); }
  void run(std::function<Status(Transaction&)> work, std::function<void(Status)> done) override {
    store_.run(std::move(work), std::move(done));
  }

 private:
  sqlite::FileLock lock_;
  async::LoopThread thread_;
  SqliteStore store_;
};

}  // namespace

Result<std::unique_ptr<Store>> open_memory_store(async::Scheduler& scheduler, metrics::Registry& metrics,
                                                 std::size_t work_max) {
  auto db = Database::open(":memory:", Database::Mode::read_write_create);
  if (!db) return db.error();
  return std::unique_ptr<Store>(std::make_unique<SqliteStore>(std::move(*db), scheduler, metrics, work_max));
}

Result<std::unique_ptr<Store>> open_sqlite_store(const std::string& path, metrics::Registry& metrics,
                                                 std::size_t work_max) {
  std::error_code failed;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), failed);
  if (failed) return Error(ErrorCode::unavailable, fmt::format("make the folder of {}: {}", path, failed.message()));
  auto lock = sqlite::FileLock::take(path + ".lock");
  if (!lock) return lock.error();
  if (const Status whole = sqlite::check_whole(path, checked_bytes_max); !whole)
    return whole.error().with_context(path);
  auto db = Database::open(path, Database::Mode::read_write_create);
  if (!db) return db.error();
  return std::unique_ptr<Store>(std::make_unique<FileStore>(std::move(*lock), std::move(*db), metrics, work_max));
}

}  // namespace fleetward::store
