#include "store/postgres_connection.hpp"

#include <map>
#include <optional>
#include <pqxx/pqxx>

#include "store/postgres_address.hpp"
#include "store/postgres_failure.hpp"
#include "store/postgres_text.hpp"

namespace fleetward::store {
namespace {

constexpr std::size_t statements_max = 500;  // SQL texts are our own constants: few, times which values are null
constexpr Millis answer_margin{1'000};       // past the server's own time-out, which tells more

class Notes final : public pqxx::notification_receiver {
 public:
  Notes(pqxx::connection_base& connection, const std::string& name, std::set<std::string>& out)
      : notification_receiver(connection, name), out_(out) {}
  void operator()(const std::string& /*payload*/, int /*backend*/) override { out_.insert(channel()); }

 private:
  std::set<std::string>& out_;
};

Result<Rows> rows_of(const pqxx::result& result) {
  if (result.size() > rows_max)
    return Error(ErrorCode::resource_exhausted, "a query has more rows than are read at once");
  Rows rows;
  rows.reserve(result.size());
  for (const pqxx::row& row : result) {
    std::vector<Value> values;
    values.reserve(row.size());
    for (const pqxx::field& field : row) {
      if (field.is_null()) {
        values.emplace_back(std::monostate());
        continue;
      }
      Result<Value> value = from_postgres(field.type(), {field.c_str(), field.size()});
      if (!value) return value.error();
      values.push_back(std::move(*value));
    }
    rows.emplace_back(std::move(values));
  }
  return rows;
}

}  // namespace

struct PostgresConnection::State {
  State(const std::string& text, std::string server, PostgresWatch& w, Millis limit)
      : connection(text), quiet(connection), name(std::move(server)), watch(w), answer_limit(limit) {
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wdeprecated-declarations"
    connection.inhibit_reactivation(true);  // a transaction must not go on over another connection
#pragma clang diagnostic pop
  }

  // Runs `call`; what it throws becomes the transaction's failure.
  template <class Call>
  Status guarded(const Call& call, bool is_commit = false) {
    if (failure) return failure->error;
    try {
      const PostgresWatch::Guard guard(watch, connection.sock(), answer_limit);
      call();
      return {};
    } catch (const std::exception& thrown) {
      failure = judge(thrown, connection.is_open());
    }
    if (failure->fate == Fate::lost) {
      is_lost = true;
      failure->error = failure->error.with_context("the store at " + name);
      if (is_commit && may_have_written) failure = unclear_commit(name);
    }
    return failure->error;
  }

  Error fail(const Error& error) {
    failure = Failure{error, Fate::settled};
    return error;
  }

  Result<pqxx::result> run(std::string_view sql, const Params& params) {
    if (failure) return failure->error;
    const Result<PostgresStatement> statement = to_postgres(sql, params);
    if (!statement) return fail(statement.error());
    may_have_written |= statement->may_write;
    std::optional<pqxx::result> out;
    const Status done = guarded([&] {
      out =
          transaction->exec_prepared(prepared(statement->text), pqxx::prepare::make_dynamic_params(statement->values));
    });
    if (!done) return done.error().with_context(sql.substr(0, 80));
    return std::move(*out);
  }

  const std::string& prepared(const std::string& text) {
    const auto found = statements.find(text);
    if (found != statements.end()) return found->second;
    const std::string id = fmt::format("s{}", ++statement_number);
    connection.prepare(id, text);
    return statements.emplace(text, id).first->second;
  }

  void forget_statements() {
    for (const auto& [text, id] : statements) connection.unprepare(id);
    statements.clear();
  }

  pqxx::connection connection;
  pqxx::quiet_errorhandler quiet;
  std::string name;
  PostgresWatch& watch;
  Millis answer_limit;
  std::map<std::string, std::string> statements;
  std::uint64_t statement_number = 0;
  std::optional<pqxx::work> transaction;
  std::optional<Failure> failure;
  bool may_have_written = false;
  bool is_lost = false;
  std::set<std::string> notified;
  std::map<std::string, Notes> notes;
};

PostgresConnection::PostgresConnection(std::unique_ptr<State> state) : state_(std::move(state)) {}

PostgresConnection::~PostgresConnection() {
  // The guard is for the words of farewell.
  const PostgresWatch::Guard guard(state_->watch, state_->connection.sock(), state_->answer_limit);
  state_->transaction.reset();
  state_->notes.clear();
}

Result<std::unique_ptr<PostgresConnection>> PostgresConnection::open(const PostgresOptions& options,
                                                                     PostgresWatch& watch) {
  const Result<std::string> text = connection_string(options);
  if (!text) return text.error();
  try {
    auto state = std::make_unique<State>(*text, name_of(options), watch, options.statement_limit + answer_margin);
    return std::unique_ptr<PostgresConnection>(new PostgresConnection(std::move(state)));
  } catch (const std::exception& failed) {
    return connect_failure(options, failed.what());
  }
}

Status PostgresConnection::begin() {
  State& s = *state_;
  const bool has_old_plans = s.failure && s.failure->error.code == ErrorCode::unsupported;
  s.failure.reset();
  s.may_have_written = false;
  return s.guarded([&s, has_old_plans] {
    if (has_old_plans || s.statements.size() >= statements_max) s.forget_statements();
    s.transaction.emplace(s.connection);
  });
}

Result<Rows> PostgresConnection::query(std::string_view sql, const Params& params) {
  const Result<pqxx::result> result = state_->run(sql, params);
  if (!result) return result.error();
  auto rows = rows_of(*result);
  if (!rows) return state_->fail(rows.error());
  return rows;
}

Result<std::int64_t> PostgresConnection::execute(std::string_view sql, const Params& params) {
  const Result<pqxx::result> result = state_->run(sql, params);
  if (!result) return result.error();
  return static_cast<std::int64_t>(result->affected_rows());
}

Status PostgresConnection::execute_script(const std::string& sql) {
  state_->may_have_written = true;
  return state_->guarded([&] { state_->transaction->exec(sql); });
}

Status PostgresConnection::commit(const std::set<std::string>& channels) {
  State& s = *state_;
  if (!channels.empty()) {
    (void)s.guarded([&] {  // what goes wrong fails the commit; all in one way to the server and back
      std::string all;
      for (const std::string& channel : channels) all += "NOTIFY " + s.transaction->quote_name(channel) + ";";
      s.transaction->exec(all);
    });
  }
  const Status done = s.guarded([&s] { s.transaction->commit(); }, true);
  if (done.ok()) s.transaction.reset();
  else roll_back();
  return done;
}

void PostgresConnection::roll_back() {
  // The guard is for the ROLLBACK that the transaction sends as it goes.
  const PostgresWatch::Guard guard(state_->watch, state_->connection.sock(), state_->answer_limit);
  state_->transaction.reset();
  if (!state_->connection.is_open()) state_->is_lost = true;
}

Status PostgresConnection::failure() const { return state_->failure ? Status(state_->failure->error) : Status(); }
bool PostgresConnection::may_have_written() const { return state_->may_have_written; }
Fate PostgresConnection::fate() const { return state_->failure ? state_->failure->fate : Fate::none; }
bool PostgresConnection::is_lost() const { return state_->is_lost; }
void PostgresConnection::set_answer_limit(Millis limit) { state_->answer_limit = limit; }

Status PostgresConnection::listen(const std::string& channel) {
  State& s = *state_;
  return s.guarded([&] {
    if (!s.notes.contains(channel)) s.notes.try_emplace(channel, s.connection, channel, s.notified);
    s.connection.get_notifs();  // what came with the answer: nothing more is seen on the socket for it
  });
}

bool PostgresConnection::has_notifications() const { return !state_->notified.empty(); }

int PostgresConnection::socket() const { return state_->connection.sock(); }

Result<std::set<std::string>> PostgresConnection::take_notifications() {
  State& s = *state_;
  const Status got = s.guarded([&s] { s.connection.get_notifs(); });
  if (!got) return got.error();
  return std::exchange(s.notified, {});
}

}  // namespace fleetward::store
