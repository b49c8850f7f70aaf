// The doctor's look at log and store in the data folder: read beside a running server, never written.
#include <fmt/format.h>
#include <sys/stat.h>

#include "bus/salvage.hpp"
#include "core/text.hpp"
#include "fleet/topics.hpp"
#include "services/fleetward/backends.hpp"
#include "services/fleetward/doctor_store.hpp"
#include "services/fleetward/files.hpp"
#include "sqlite/sqlite.hpp"

namespace fleetward::program {
namespace {

using sqlite::Database;

constexpr std::int64_t whole_check_bytes_max = std::int64_t{2} << 30;  // beyond it a check would take minutes

std::int64_t size_of(const std::string& path) {
  struct stat facts {};
  return ::stat(path.c_str(), &facts) == 0 ? static_cast<std::int64_t>(facts.st_size) : 0;
}

// One number, or one text, of one row; an empty result is none.
Result<std::optional<std::int64_t>> number(Database& db, std::string_view sql) {
  auto statement = db.prepare(sql);
  if (!statement) return statement.error();
  const Result<bool> row = statement->step();
  if (!row) return row.error();
  if (!*row || statement->type(0) == sqlite::ColumnType::null) return std::optional<std::int64_t>();
  return std::optional(statement->integer(0));
}

Result<std::string> text(Database& db, std::string_view sql) {
  auto statement = db.prepare(sql);
  if (!statement) return statement.error();
  const Result<bool> row = statement->step();
  if (!row) return row.error();
  return *row ? statement->text(0) : std::string();
}

const char* restore_advice(std::string_view what) {
  return what == "store"
             ? "stop the server and put DATA_DIR/store back from a backup; keep the damaged file"
             : "stop the server and put DATA_DIR/bus back from a backup; or `fleetward salvage` keeps what is whole";
}

// Opened, and whole. Nothing when it is not: then it was told.
std::optional<Database> open_whole(const std::string& what, const std::string& path, bool is_running,
                                   Findings& findings) {
  if (!file_exists(path)) {
    findings.warn(what, path + " is not there", "the first start makes it; if there was one, put back its backup");
    return std::nullopt;
  }
  auto db = Database::open(path, Database::Mode::read_only);
  const auto readable = db ? text(*db, "SELECT count(*) FROM sqlite_schema") : Result<std::string>(db.error());
  if (!readable) {
    const bool was_killed = !is_running && size_of(path + "-wal") > 0;
    if (was_killed && readable.error().code != ErrorCode::corrupted) {
      findings.warn(what, "has a write-ahead log of a server that was killed: " + readable.error().message,
                    "start the server: it takes it in; or run the doctor as the server's user");
    } else {
      findings.fail(what, "cannot be read: " + readable.error().message, restore_advice(what));
    }
    return std::nullopt;
  }
  if (size_of(path) > whole_check_bytes_max) {
    findings.ok(what, "readable; too large to be checked page by page here");
    return std::move(*db);
  }
  const auto verdict = text(*db, "PRAGMA integrity_check(1)");
  if (!verdict || *verdict != "ok") {
    findings.fail(what, "is damaged: " + printable(verdict ? *verdict : verdict.error().message), restore_advice(what));
    return std::nullopt;
  }
  findings.ok(what, fmt::format("whole, {} KiB", size_of(path) / 1024));
  return std::move(*db);
}

// Each record against its sum, and the end against what was acknowledged. Beside a running server the end moves.
void examine_records(const std::string& path, bool is_running, Findings& findings) {
  if (size_of(path) > whole_check_bytes_max) return;
  const Status whole = bus::examine_log(path, is_running);
  if (whole) return findings.ok("records", "each is what was written");
  findings.fail("records", printable(whole.error().message), restore_advice("log"));
}

void examine_schema(Database& store, Findings& findings) {
  const auto applied = number(store, "SELECT max(number) FROM migrations");
  if (!applied) return findings.fail("schema", applied.error().message, "start the server: it makes the tables");
  judge_schema(applied->value_or(0), findings);
}

void examine_outbox(Database& store, bool is_running, Instant now, Findings& findings) {
  const auto waiting = number(store, "SELECT count(*) FROM outbox");
  const auto oldest = text(store, "SELECT value FROM outbox ORDER BY id LIMIT 1");
  if (!waiting || !oldest) return;  // no such table yet: the schema's finding says so
  judge_outbox(waiting->value_or(0), *oldest, is_running, now, findings);
}

void examine_authorities(Database& store, Instant now, Findings& findings) {
  auto rows = store.prepare(
      "SELECT subject, not_after_ms, crl_source, crl_next_update_ms, crl_error, crl_digest FROM authorities WHERE "
      "status='ACTIVE' ORDER BY created_ms");
  if (!rows) return;  // no such table yet: the schema's finding says so
  while (true) {
    const Result<bool> more = rows->step();
    if (!more) return findings.fail("authorities", more.error().message, restore_advice("store"));
    if (!*more) return;
    judge_authority({rows->text(0), rows->integer(1), rows->text(2), rows->integer(3), rows->text(4), rows->text(5)},
                    now, findings);
  }
}

void examine_topics(Database& bus, const Settings& settings, Findings& findings) {
  const auto partitions =
      number(bus, fmt::format("SELECT partitions FROM topics WHERE name='{}'", fleet::topic::devices));
  if (!partitions || !*partitions) {
    return findings.warn("topics", "the log has none yet", "the first start makes them");
  }
  if (**partitions == settings.installation.partitions) {
    return findings.ok("topics", fmt::format("{} partitions of devices", **partitions));
  }
  findings.fail(
      "topics",
      fmt::format("the log has {} partitions, the settings say {}", **partitions, settings.installation.partitions),
      fmt::format("set fleetward.partitions to {}: it is fixed once the installation exists", **partitions));
}

// 0 without a file, and in one that has no such table yet: `table` is what `sql` reads.
Result<std::int64_t> count(Database* db, std::string_view table, std::string_view sql) {
  if (db == nullptr) return 0;
  const auto tables = number(*db, fmt::format("SELECT count(*) FROM sqlite_schema WHERE name='{}'", table));
  if (!tables) return tables.error();
  if (tables->value_or(0) == 0) return 0;
  const auto counted = number(*db, sql);
  if (!counted) return counted.error();
  return counted->value_or(0);
}

// Each is null where there is no file.
void examine_pair(Database* store, Database* bus, Findings& findings) {
  const auto said = count(store, "outbox_latest", "SELECT count(*) FROM outbox_latest");
  const auto left =
      count(store, "outbox",
            "SELECT EXISTS (SELECT 1 FROM outbox_latest WHERE (topic, key, version) NOT IN (SELECT topic, key, version "
            "FROM outbox))");
  const auto decisions = count(
      bus, "ends",
      fmt::format("SELECT sum(e.next_offset) FROM ends e JOIN topics t ON t.id = e.topic WHERE t.name IN ('{}', '{}', "
                  "'{}')",
                  fleet::topic::access, fleet::topic::certificates, fleet::topic::rules));
  const auto records = count(bus, "ends", "SELECT sum(next_offset) FROM ends");
  if (!said || !left || !decisions || !records) return;
  if (*left > 0 && *records == 0) {
    findings.fail("store and log", "the log is empty, the store is not: bus.db was lost",
                  "put DATA_DIR/bus back from a backup; or, knowingly, start once with --accept-empty-log: reports, "
                  "violations not yet decided on and what detectors knew of each device are then gone");
  }
  if (*said == 0 && *decisions > 0) {
    findings.fail("store and log", "the store is empty, the log is not: store.db was lost",
                  "put DATA_DIR/store back from a backup; or, knowingly, start once with --accept-empty-store");
  }
}

}  // namespace

void examine_files(const Settings& settings, bool is_running, Instant now, Findings& findings) {
  const std::string& folder = settings.installation.data_dir;
  findings.begin("storage");
  const bool has_log = settings.bus.is_embedded();
  std::optional<Database> store;
  if (settings.store.is_embedded()) store = open_whole("store", store_path(folder), is_running, findings);
  if (store) {
    examine_schema(*store, findings);
    examine_outbox(*store, is_running, now, findings);
    examine_authorities(*store, now, findings);
  }
  std::optional<Database> bus;
  if (has_log) bus = open_whole("log", bus_path(folder), is_running, findings);
  if (bus) examine_records(bus_path(folder), is_running, findings);
  if (bus) examine_topics(*bus, settings, findings);
  if (!has_log || !settings.store.is_embedded()) return;
  // What is there but cannot be read says nothing of the other.
  if ((store || !file_exists(store_path(folder))) && (bus || !file_exists(bus_path(folder)))) {
    examine_pair(store ? &*store : nullptr, bus ? &*bus : nullptr, findings);
  }
}

}  // namespace fleetward::program
