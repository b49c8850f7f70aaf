#include "bus/sqlite_storage.hpp"

#include <fmt/format.h>

#include <atomic>
#include <filesystem>
#include <mutex>
#include <set>

#include "bus/log_mark.hpp"
#include "bus/record_sum.hpp"
#include "bus/scratch_copy.hpp"
#include "bus/sqlite_cleaning.hpp"
#include "bus/sqlite_connection.hpp"
#include "core/fault.hpp"
#include "log/log.hpp"
#include "sqlite/damage.hpp"
#include "sqlite/sqlite.hpp"

namespace fleetward::bus {
namespace {

using sqlite::Database;
using sqlite::Statement;

// The pages of a larger file are not looked at before a start.
constexpr std::uint64_t checked_bytes_max = 256 << 20;
constexpr std::size_t damaged_told_max = 1'000;

constexpr std::string_view schema = R"(
CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, partitions INTEGER NOT NULL,
  kind INTEGER NOT NULL, retention_ms INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS ends(topic INTEGER NOT NULL, partition INTEGER NOT NULL, next_offset INTEGER NOT NULL,
  PRIMARY KEY(topic, partition)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS committed(consumer_group TEXT NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL,
  next_offset INTEGER NOT NULL, PRIMARY KEY(consumer_group, topic, partition)) WITHOUT ROWID;
INSERT OR IGNORE INTO meta VALUES('format', 2);
)";

std::string table_of(std::int64_t topic, std::int32_t partition) { return fmt::format("log_{}_{}", topic, partition); }

struct Topic {
  std::int64_t id = 0;
  TopicSpec spec;
};

class SqliteStorage final : public Storage {
 public:
  SqliteStorage(std::optional<sqlite::FileLock> lock, std::optional<LogMark> mark, std::unique_ptr<Connection> writer,
                std::unique_ptr<Connection> reader, std::unique_ptr<ScratchCopy> folder = nullptr)
      : folder_(std::move(folder)),
        lock_(std::move(lock)),
        mark_(std::move(mark)),
        writer_(std::move(writer)),
        reader_(std::move(reader)) {}

  Status load() {
    Connection& c = *reader_;
    if (const Status known = check_format(c.db()); !known) return known;
    auto s = c.statement("SELECT t.id, t.name, t.partitions, t.kind, t.retention_ms FROM topics t");
    if (!s) return s.error();
    for (;;) {
      const auto more = (*s)->step();
      if (!more) return more.error();
      if (!*more) break;
      Topic t{(*s)->integer(0),
              {(*s)->text(1), static_cast<std::int32_t>((*s)->integer(2)), static_cast<TopicKind>((*s)->integer(3)),
               Millis((*s)->integer(4))}};
      topics_.emplace(t.spec.name, std::move(t));
    }
    (*s)->reset();
    if (const Status loaded = load_ends(); !loaded) return loaded;
    return check_mark();
  }

  Status ensure_topic(const TopicSpec& spec) override {
    const std::lock_guard writing(writer_mutex_);
    {
      const std::lock_guard guard(mutex_);
      const auto found = topics_.find(spec.name);
      if (found != topics_.end()) return check_shape(found->second.spec, spec);
    }
    if (!writer_) return Error(ErrorCode::unsupported, "the bus file is open for reading only");
    std::int64_t id = 0;
    const Status made = writer_->in_transaction([&] { return make_tables(spec, id); });
    if (!made) return made.error().with_context("make topic " + spec.name);
    const std::lock_guard guard(mutex_);
    for (std::int32_t p = 0; p < spec.partitions; ++p) ends_[{spec.name, p}] = 0;
    topics_.emplace(spec.name, Topic{id, spec});
    return {};
  }

  Result<std::vector<TopicSpec>> topics() override {
    const std::lock_guard guard(mutex_);
    std::vector<TopicSpec> out;
    for (const auto& [name, topic] : topics_) out.push_back(topic.spec);
    return out;
  }

  Status write(std::span<PlacedRecord> records, std::span<const OffsetCommit> offsets, Instant now) override {
    if (!writer_) return Error(ErrorCode::unsupported, "the bus file is open for reading only");
    const std::lock_guard writing(writer_mutex_);
    if (mark_) {
      if (const Status forgotten = mark_->forget_other(); !forgotten) return forgotten;
    }
    Lanes lanes;
    const Status written = writer_->in_transaction([&] { return insert(records, offsets, now, lanes); });
    if (!written) return written;
    fault::crash_here("bus.after_commit");
    const std::lock_guard guard(mutex_);
    for (const auto& [where, lane] : lanes) ends_[{std::string(where.first), where.second}] = lane.end;
    if (mark_) mark_->add(static_cast<std::int64_t>(records.size()));
    return {};
  }

  Result<std::vector<Record>> read(const std::string& topic, std::int32_t partition, std::int64_t from,
                                   std::size_t records_max, std::size_t bytes_max) override {
    const auto t = find(topic);
    if (!t) return t.error();
    const std::lock_guard guard(reader_mutex_);
    auto s = reader_->statement(
        fmt::format("SELECT offset, append_ms, key, value, headers, sum FROM {} WHERE offset >= ?1 ORDER BY offset",
                    table_of(t->id, partition)));
    if (!s) return s.error();
    (*s)->bind(1, from);
    const ResetLater reset{**s};
    std::vector<Record> out;
    std::size_t bytes = 0;
    const std::uint64_t seed = partition_seed(topic, partition);
    while (out.size() < records_max && (out.empty() || bytes < bytes_max)) {
      const auto row = (*s)->step();
      if (!row) return row.error();
      if (!*row) break;
      Record r{topic, partition, (*s)->integer(0), instant_from_ms((*s)->integer(1)), (*s)->blob(2), std::nullopt, {}};
      if ((*s)->type(3) != sqlite::ColumnType::null) r.value = (*s)->blob(3);
      const std::string encoded = (*s)->blob(4);
      if (record_sum(seed, r.offset, to_ms(r.append_time), r.key, r.value, encoded) != (*s)->integer(5)) {
        tell_damaged(topic, partition, r.offset);
        continue;
      }
      auto headers = Headers::decode(encoded);
      if (!headers) return headers.error();
      r.headers = std::move(*headers);
      bytes += r.key.size() + (r.value ? r.value->size() : 0);
      out.push_back(std::move(r));
    }
    return out;
  }

  [[nodiscard]] std::uint64_t damaged_records() const override { return damaged_; }

  Result<PartitionBounds> bounds(const std::string& topic, std::int32_t partition) override {
    const auto t = find(topic);
    if (!t) return t.error();
    PartitionBounds out;
    {
      const std::lock_guard guard(mutex_);
      out.end = ends_[{topic, partition}];
    }
    const std::lock_guard guard(reader_mutex_);
    auto s = reader_->statement(fmt::format("SELECT min(offset) FROM {}", table_of(t->id, partition)));
    if (!s) return s.error();
    const auto row = (*s)->step();
    if (!row) return row.error();
    out.begin = (*s)->type(0) == sqlite::ColumnType::null ? out.end : (*s)->integer(0);
    (*s)->reset();
    return out;
  }

  Result<std::optional<std::int64_t>> committed(const std::string& group, const std::string& topic,
                                                std::int32_t partition) override {
    const std::lock_guard guard(reader_mutex_);
    auto s =
        reader_->statement("SELECT next_offset FROM committed WHERE consumer_group=?1 AND topic=?2 AND partition=?3");
    if (!s) return s.error();
    (*s)->bind(1, std::string_view(group));
    (*s)->bind(2, std::string_view(topic));
    (*s)->bind(3, std::int64_t{partition});
    const auto row = (*s)->step();
    if (!row) return row.error();
    const auto out = *row ? std::optional((*s)->integer(0)) : std::nullopt;
    (*s)->reset();
    return out;
  }

  Result<CleanStep> clean(const TopicSpec& spec, std::int32_t partition, Instant now, Millis keep,
                          std::size_t rows_max) override {
    const auto t = find(spec.name);
    if (!t) return t.error();
    const std::lock_guard writing(writer_mutex_);
    const std::string table = table_of(t->id, partition);
    if (spec.kind == TopicKind::table) return compact(*writer_, table, compacted_[table], now - keep, rows_max);
    if (spec.retention <= Millis(0)) return CleanStep{};
    return expire(*writer_, table, now - spec.retention, rows_max);
  }

 private:
  using Ends = std::map<std::pair<std::string, std::int32_t>, std::int64_t>;

  // A partition that a transaction writes to: looked up once, since records come by the thousand.
  struct Lane {
    std::int64_t topic_id = 0;
    std::uint64_t seed = 0;
    std::int64_t end = 0;
    Statement* insert = nullptr;
  };
  using Lanes = std::map<std::pair<std::string_view, std::int32_t>, Lane>;  // names are the records'

  Result<Lane*> lane_of(Lanes& lanes, const PlacedRecord& placed) {
    const auto found = lanes.find({placed.record->topic, placed.partition});
    if (found != lanes.end()) return &found->second;
    const auto t = find(placed.record->topic);
    if (!t) return t.error();
    auto s = writer_->statement(
        fmt::format("INSERT INTO {} VALUES(?1, ?2, ?3, ?4, ?5, ?6)", table_of(t->id, placed.partition)));
    if (!s) return s.error();
    const std::lock_guard guard(mutex_);
    const Lane lane{t->id, partition_seed(placed.record->topic, placed.partition),
                    ends_[{placed.record->topic, placed.partition}], *s};
    return &lanes.emplace(std::pair(std::string_view(placed.record->topic), placed.partition), lane).first->second;
  }

  static Status check_shape(TopicSpec& have, const TopicSpec& want) {
    if (have.kind != want.kind) {
      return Error(ErrorCode::failed_precondition,
                   "topic " + want.name + " exists, but a log as a table or the reverse");
    }
    if (have.partitions != want.partitions) {
      return Error(
          ErrorCode::failed_precondition,
          fmt::format("topic {} has {} partitions, the configuration wants {}: the number is fixed at installation",
                      want.name, have.partitions, want.partitions));
    }
    have.retention = want.retention;
    return {};
  }

  Status make_tables(const TopicSpec& spec, std::int64_t& id) {
    auto s = writer_->statement(
        "INSERT INTO topics(name, partitions, kind, retention_ms) VALUES(?1, ?2, ?3, ?4) RETURNING id");
    if (!s) return s.error();
    (*s)->bind(1, std::string_view(spec.name));
    (*s)->bind(2, std::int64_t{spec.partitions});
    (*s)->bind(3, static_cast<std::int64_t>(spec.kind));
    (*s)->bind(4, std::int64_t{spec.retention.count()});
    const auto row = (*s)->step();
    if (!row) return row.error();
    id = (*s)->integer(0);
    (*s)->reset();
    for (std::int32_t p = 0; p < spec.partitions; ++p) {
      std::string sql = fmt::format(
          "CREATE TABLE {0}(offset INTEGER PRIMARY KEY, append_ms INTEGER NOT NULL, key BLOB NOT NULL, value BLOB, "
          "headers BLOB NOT NULL, sum INTEGER NOT NULL); INSERT INTO ends VALUES({1}, {2}, 0);",
          table_of(id, p), id, p);
      if (spec.kind == TopicKind::table)
        sql += fmt::format("CREATE INDEX {0}_key ON {0}(key, offset);", table_of(id, p));
      if (const Status made = writer_->db().execute(sql); !made) return made;
    }
    return {};
  }

  Status load_ends() {
    for (const auto& [name, topic] : topics_) {
      for (std::int32_t p = 0; p < topic.spec.partitions; ++p) {
        auto s = reader_->statement("SELECT next_offset FROM ends WHERE topic=?1 AND partition=?2");
        if (!s) return s.error();
        (*s)->bind(1, topic.id);
        (*s)->bind(2, std::int64_t{p});
        const auto row = (*s)->step();
        if (!row) return row.error();
        ends_[{name, p}] = *row ? (*s)->integer(0) : 0;
        (*s)->reset();
      }
    }
    return {};
  }

  Status check_mark() {
    std::int64_t records = 0;
    for (const auto& [where, end] : ends_) records += end;
    if (!mark_) return {};
    mark_->begin(records);
    return check_log_mark(mark_->noted(), records);
  }

  // Each once, while there is room to remember it. By readers, who hold reader_mutex_.
  void tell_damaged(const std::string& topic, std::int32_t partition, std::int64_t offset) {
    if (damaged_known_.size() >= damaged_told_max || !damaged_known_.emplace(topic, partition, offset).second) return;
    ++damaged_;
    log::error("record_damaged", {{"topic", topic},
                                  {"partition", partition},
                                  {"offset", offset},
                                  {"advice", "it was left out; stop the server and run fleetward salvage"}});
  }

  Status insert(std::span<PlacedRecord> records, std::span<const OffsetCommit> offsets, Instant now, Lanes& lanes) {
    for (PlacedRecord& placed : records) {
      const OutRecord& r = *placed.record;
      const auto lane = lane_of(lanes, placed);
      if (!lane) return lane.error();
      placed.offset = (*lane)->end++;
      Statement& s = *(*lane)->insert;
      s.bind(1, placed.offset);
      s.bind(2, to_ms(now));
      s.bind_blob(3, r.key);
      if (r.value) s.bind_blob(4, *r.value);
      s.bind_blob(5, r.headers.encoded());
      s.bind(6, record_sum((*lane)->seed, placed.offset, to_ms(now), r.key, r.value, r.headers.encoded()));
      if (const Status done = s.run(); !done) return done;
    }
    for (const auto& [where, lane] : lanes) {
      auto s = writer_->statement(
          "INSERT INTO ends VALUES(?1, ?2, ?3) ON CONFLICT DO UPDATE SET next_offset=excluded.next_offset");
      if (!s) return s.error();
      (*s)->bind(1, lane.topic_id);
      (*s)->bind(2, std::int64_t{where.second});
      (*s)->bind(3, lane.end);
      if (const Status done = (*s)->run(); !done) return done;
    }
    for (const OffsetCommit& o : offsets) {
      auto s = writer_->statement(
          "INSERT INTO committed VALUES(?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET next_offset=excluded.next_offset");
      if (!s) return s.error();
      (*s)->bind(1, std::string_view(o.group));
      (*s)->bind(2, std::string_view(o.topic));
      (*s)->bind(3, std::int64_t{o.partition});
      (*s)->bind(4, o.next_offset);
      if (const Status done = (*s)->run(); !done) return done;
    }
    return {};
  }

  Result<Topic> find(const std::string& topic) {
    const std::lock_guard guard(mutex_);
    const auto found = topics_.find(topic);
    if (found == topics_.end()) return Error(ErrorCode::not_found, "there is no topic " + topic);
    return found->second;
  }

  std::unique_ptr<ScratchCopy> folder_;
  std::optional<sqlite::FileLock> lock_;
  std::optional<LogMark> mark_;  // the writer's; a copy has none
  std::mutex writer_mutex_;      // before mutex_; the bus's writer, and whoever makes topics
  std::unique_ptr<Connection> writer_;
  std::map<std::string, std::int64_t> compacted_;  // by table: where the next step of compaction goes on
  std::mutex reader_mutex_;
  std::unique_ptr<Connection> reader_;
  std::set<std::tuple<std::string, std::int32_t, std::int64_t>> damaged_known_;
  std::atomic<std::uint64_t> damaged_{0};
  std::mutex mutex_;  // topics_, ends_
  std::map<std::string, Topic> topics_;
  Ends ends_;
};

Result<std::unique_ptr<Connection>> connect(const std::string& path, Database::Mode mode) {
  auto db = Database::open(path, mode);
  if (!db) return db.error();
  return std::make_unique<Connection>(std::move(*db));
}

}  // namespace

Result<std::unique_ptr<Storage>> open_sqlite_storage(const std::string& path) {
  std::error_code failed;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), failed);
  if (failed) return Error(ErrorCode::unavailable, fmt::format("make the folder of {}: {}", path, failed.message()));
  auto lock = sqlite::FileLock::take(path + ".lock");
  if (!lock) return lock.error();
  if (const Status whole = sqlite::check_whole(path, checked_bytes_max); !whole)
    return whole.error().with_context(path);
  auto mark = LogMark::open(path + ".mark");
  if (!mark) return mark.error();
  auto writer = connect(path, Database::Mode::read_write_create);
  if (!writer) return writer.error();
  if (const Status made = (*writer)->db().execute(schema); !made) return made.error().with_context(path);
  auto reader = connect(path, Database::Mode::read_only);
  if (!reader) return reader.error();
  auto storage =
      std::make_unique<SqliteStorage>(std::move(*lock), std::move(*mark), std::move(*writer), std::move(*reader));
  if (const Status loaded = storage->load(); !loaded) return loaded.error().with_context(path);
  return std::unique_ptr<Storage>(std::move(storage));
}

Result<std::unique_ptr<Storage>> open_sqlite_storage_read_only(const std::string& path) {
  auto folder = ScratchCopy::of(path);
  if (!folder) return folder.error();
  auto reader = connect(*folder ? (*folder)->file() : path,
                        *folder ? Database::Mode::read_write_create : Database::Mode::immutable);
  if (!reader) return reader.error();
  auto storage =
      std::make_unique<SqliteStorage>(std::nullopt, std::nullopt, nullptr, std::move(*reader), std::move(*folder));
  if (const Status loaded = storage->load(); !loaded) return loaded.error().with_context(path);
  return std::unique_ptr<Storage>(std::move(storage));
}

}  // namespace fleetward::bus
