#include "sqlite/sqlite.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <unistd.h>

#include <cstring>

namespace fleetward::sqlite {
namespace {

Error error_of(sqlite3* db, int code) {
  const std::string message = db != nullptr ? sqlite3_errmsg(db) : sqlite3_errstr(code);
  switch (code & 0xff) {
    case SQLITE_FULL:
      return Error(ErrorCode::unavailable, "the disk is full: " + message);
    case SQLITE_IOERR:
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_CANTOPEN:
      return Error(ErrorCode::unavailable, message);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return Error(ErrorCode::corrupted, message + ": the file is damaged, `fleetward doctor` says what to do");
    case SQLITE_CONSTRAINT: {
      const bool unique = code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY;
      return Error(unique ? ErrorCode::already_exists : ErrorCode::failed_precondition, message);
    }
    default:
      return Error(ErrorCode::internal, fmt::format("SQLite error {}: {}", code, message));
  }
}

}  // namespace

// ---- Statement

void Statement::Finalize::operator()(sqlite3_stmt* s) const { sqlite3_finalize(s); }
int Statement::parameter(const std::string& name) const {
  return sqlite3_bind_parameter_index(statement_.get(), name.c_str());
}
int Statement::parameters() const { return sqlite3_bind_parameter_count(statement_.get()); }
void Statement::bind_null(int p) { sqlite3_bind_null(statement_.get(), p); }
void Statement::bind(int p, std::int64_t value) { sqlite3_bind_int64(statement_.get(), p, value); }
void Statement::bind(int p, double value) { sqlite3_bind_double(statement_.get(), p, value); }
void Statement::bind(int p, std::string_view text) {
  // SQLITE_TRANSIENT (its macro is an old-style cast): SQLite copies, so the caller's text may go.
  sqlite3_bind_text64(statement_.get(), p, text.data() == nullptr ? "" : text.data(), text.size(),
                      reinterpret_cast<sqlite3_destructor_type>(-1), SQLITE_UTF8);
}
void Statement::bind_blob(int p, ByteView bytes) {
  static constexpr std::uint8_t nothing = 0;
  sqlite3_bind_blob64(statement_.get(), p, bytes.empty() ? &nothing : bytes.data(), bytes.size(),
                      reinterpret_cast<sqlite3_destructor_type>(-1));
}

Result<bool> Statement::step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  sqlite3* db = sqlite3_db_handle(statement_.get());
  const Error error = error_of(db, sqlite3_extended_errcode(db));
  sqlite3_reset(statement_.get());
  return error;
}

Status Statement::run() {
  for (;;) {
    const Result<bool> row = step();
    if (!row) {
      reset();
      return row.error();
    }
    if (!*row) break;
  }
  reset();
  return {};
}

void Statement::reset() {
  sqlite3_reset(statement_.get());
  sqlite3_clear_bindings(statement_.get());
}

int Statement::columns() const { return sqlite3_column_count(statement_.get()); }

ColumnType Statement::type(int column) const {
  switch (sqlite3_column_type(statement_.get(), column)) {
    case SQLITE_INTEGER:
      return ColumnType::integer;
    case SQLITE_FLOAT:
      return ColumnType::real;
    case SQLITE_TEXT:
      return ColumnType::text;
    case SQLITE_BLOB:
      return ColumnType::blob;
    default:
      return ColumnType::null;
  }
}

std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(statement_.get(), column); }
double Statement::real(int column) const { return sqlite3_column_double(statement_.get(), column); }
std::string Statement::text(int column) const { return blob(column); }
std::string Statement::blob(int column) const {
  const void* data = sqlite3_column_blob(statement_.get(), column);
  const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column));
  return data == nullptr ? std::string() : std::string(static_cast<const char*>(data), size);
}

// ---- Database

void Database::Close::operator()(sqlite3* db) const { sqlite3_close_v2(db); }

Result<Database> Database::open(const std::string& path, Mode mode) {
  const bool writes = mode == Mode::read_write_create;
  const int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_URI |
                    (writes ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY);
  const std::string uri = "file:" + percent_encode(path, true) + (mode == Mode::immutable ? "?immutable=1" : "");
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(uri.c_str(), &raw, flags, nullptr);
  Database db(raw);
  if (code != SQLITE_OK) return error_of(raw, code).with_context("open " + path);
  sqlite3_busy_timeout(raw, 5'000);
  const std::string_view settings =
      !writes ? "PRAGMA query_only=ON" : "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON";
  if (const Status set = db.execute(settings); !set) return set.error().with_context("open " + path);
  return db;
}

Status Database::execute(std::string_view sql) {
  const int code = sqlite3_exec(db_.get(), std::string(sql).c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return error_of(db_.get(), sqlite3_extended_errcode(db_.get()));
  return {};
}

Result<Statement> Database::prepare(std::string_view sql) {
  sqlite3_stmt* raw = nullptr;
  const int code =
      sqlite3_prepare_v3(db_.get(), sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &raw, nullptr);
  if (code != SQLITE_OK) return error_of(db_.get(), sqlite3_extended_errcode(db_.get()));
  return Statement(raw);
}

std::int64_t Database::changes() const { return sqlite3_changes64(db_.get()); }

// ---- FileLock

Result<FileLock> FileLock::take(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return Error(ErrorCode::unavailable, fmt::format("open {}: {}", path, std::strerror(errno)));
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    char holder[32] = {};
    const ssize_t n = ::read(fd, holder, sizeof(holder) - 1);
    ::close(fd);
    return Error(ErrorCode::failed_precondition,
                 fmt::format("{} is held by process {}: only one fleetward may use this data folder at a time", path,
                             n > 0 ? trim(holder) : "unknown"));
  }
  const std::string pid = fmt::format("{}\n", ::getpid());
  if (::ftruncate(fd, 0) != 0 || ::write(fd, pid.data(), pid.size()) < 0) {
    ::close(fd);
    return Error(ErrorCode::unavailable, fmt::format("write {}: {}", path, std::strerror(errno)));
  }
  return FileLock(fd);
}

FileLock& FileLock::operator=(FileLock&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

FileLock::~FileLock() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace fleetward::sqlite
