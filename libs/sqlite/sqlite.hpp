// SQLite behind values: a connection and prepared statements that answer with Result.
//
// A Database and its statements belong to one thread at a time. Errors: a full disk or an I/O error is unavailable (it
// may pass), a busy file unavailable, a damaged file corrupted, a violated uniqueness already_exists, another
// constraint failed_precondition; all else internal, since SQL is our own constant text.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/result.hpp"
#include "core/text.hpp"

struct sqlite3;
struct sqlite3_stmt;

namespace fleetward::sqlite {

enum class ColumnType { null, integer, real, text, blob };

class Statement {
 public:
  // Parameters count from 1, as in SQL's ?1; columns from 0. A named one ("$2") is asked for its number; 0: not there.
  [[nodiscard]] int parameter(const std::string& name) const;
  [[nodiscard]] int parameters() const;  // how many different ones the text has
  void bind_null(int parameter);
  void bind(int parameter, std::int64_t value);
  void bind(int parameter, double value);
  void bind(int parameter, std::string_view text);
  void bind_blob(int parameter, ByteView bytes);
  void bind_blob(int parameter, std::string_view bytes) { bind_blob(parameter, as_bytes(bytes)); }

  // True: a row is there. False: done.
  Result<bool> step();
  // Runs to the end and makes it ready for the next use.
  Status run();
  // Ready for the next use; parameters are forgotten.
  void reset();

  [[nodiscard]] int columns() const;
  [[nodiscard]] ColumnType type(int column) const;
  [[nodiscard]] std::int64_t integer(int column) const;
  [[nodiscard]] double real(int column) const;
  [[nodiscard]] std::string text(int column) const;
  [[nodiscard]] std::string blob(int column) const;

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* s) const;
  };
  explicit Statement(sqlite3_stmt* s) : statement_(s) {}
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

class Database {
 public:
  // immutable: nobody writes the file while it is open; no lock is taken and nothing appears beside it.
  enum class Mode { read_write_create, read_only, immutable };

  // WAL, synchronous=FULL (a commit is on the disk when it returns), foreign keys on, a busy time-out of 5 s. The other
  // modes change none of it.
  static Result<Database> open(const std::string& path, Mode mode);

  Status execute(std::string_view sql);  // one or several statements without parameters
  Result<Statement> prepare(std::string_view sql);
  [[nodiscard]] std::int64_t changes() const;

 private:
  struct Close {
    void operator()(sqlite3* db) const;
  };
  explicit Database(sqlite3* db) : db_(db) {}
  std::unique_ptr<sqlite3, Close> db_;
};

// An advisory lock on a file, held while the object lives: one process at a time.
class FileLock {
 public:
  // failed_precondition with the holder's process id when another process has it.
  static Result<FileLock> take(const std::string& path);
  FileLock(FileLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileLock& operator=(FileLock&& other) noexcept;
  ~FileLock();

 private:
  explicit FileLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace fleetward::sqlite
