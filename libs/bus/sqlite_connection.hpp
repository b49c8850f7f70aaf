// One connection to a bus file, with its prepared statements by text. One thread at a time; private to the library.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "sqlite/sqlite.hpp"

namespace fleetward::bus {

constexpr std::int64_t format_version = 2;  // of the file

// unsupported: the file's tables are those of another version.
inline Status check_format(sqlite::Database& db) {
  auto format = db.prepare("SELECT value FROM meta WHERE name='format'");
  if (!format) return format.error();
  const auto row = format->step();
  if (!row) return row.error();
  if (*row && format->integer(0) == format_version) return {};
  return Error(ErrorCode::unsupported, "the bus file has a format of another version of fleetward");
}

class Connection {
 public:
  explicit Connection(sqlite::Database db) : db_(std::move(db)) {}

  Result<sqlite::Statement*> statement(const std::string& sql) {
    auto found = statements_.find(sql);
    if (found == statements_.end()) {
      auto made = db_.prepare(sql);
      if (!made) return made.error();
      found = statements_.emplace(sql, std::move(*made)).first;
    }
    found->second.reset();
    return &found->second;
  }
  sqlite::Database& db() { return db_; }

  // All of `work` or nothing.
  template <class Work>
  Status in_transaction(const Work& work) {
    if (const Status begun = db_.execute("BEGIN IMMEDIATE"); !begun) return begun;
    Status done = work();
    if (done.ok()) done = db_.execute("COMMIT");
    if (done.ok()) return done;
    const Status undone = db_.execute("ROLLBACK");  // fails when SQLite has rolled back by itself
    if (!undone && undone.error().code != ErrorCode::internal) return undone;
    return done;
  }

 private:
  sqlite::Database db_;
  std::map<std::string, sqlite::Statement> statements_;
};

// A statement that is not reset holds its snapshot, and the write-ahead log could not be emptied.
struct ResetLater {
  sqlite::Statement& statement;
  ~ResetLater() { statement.reset(); }
};

}  // namespace fleetward::bus
