#include "bus/salvage.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>
#include <optional>

#include "bus/log_mark.hpp"
#include "bus/record_sum.hpp"
#include "bus/scratch_copy.hpp"
#include "bus/sqlite_connection.hpp"
#include "bus/sqlite_storage.hpp"
#include "sqlite/damage.hpp"
#include "sqlite/raw_file.hpp"
#include "sqlite/sqlite.hpp"

namespace fleetward::bus {
namespace {

using sqlite::Database;
using sqlite::RawRow;
using sqlite::Statement;

constexpr std::int32_t partitions_max = 1024;
constexpr std::size_t rows_a_transaction = 5'000;
constexpr std::int64_t offset_max = std::int64_t{1} << 48;  // a next offset beyond it is damage

// What the damaged file still says of itself through SQLite; nothing of it is needed.
struct Told {
  std::map<std::string, std::int32_t> topics;                         // with their partitions
  std::map<std::pair<std::string, std::int32_t>, std::int64_t> ends;  // next offsets
  std::map<std::pair<std::string, std::string>, std::map<std::int32_t, std::int64_t>> committed;  // by group and topic
};

template <class Row>
Status each_row(Database& db, std::string_view sql, const Row& row) {
  auto statement = db.prepare(sql);
  if (!statement) return statement.error();
  for (;;) {
    const Result<bool> more = statement->step();
    if (!more) return more.error();
    if (!*more) return {};
    row(*statement);
  }
}

// Of a damaged file: what is read until it fails is good.
template <class Row>
void each_readable_row(Database& db, std::string_view sql, const Row& row) {
  static_cast<void>(each_row(db, sql, row));
}

// unavailable: there is no room for a scratch copy. Damage is no error, it only tells less.
Result<Told> read_told(const std::string& path) {
  Told told;
  auto copy = ScratchCopy::of(path);
  if (!copy) return copy.error();
  auto db = Database::open(*copy ? (*copy)->file() : path,
                           *copy ? Database::Mode::read_write_create : Database::Mode::immutable);
  if (!db) return told;
  each_readable_row(*db, "SELECT name, partitions FROM topics", [&told](const Statement& s) {
    const std::int64_t partitions = s.integer(1);
    if (partitions >= 1 && partitions <= partitions_max)
      told.topics.emplace(s.text(0), static_cast<std::int32_t>(partitions));
  });
  each_readable_row(*db, "SELECT t.name, e.partition, e.next_offset FROM ends e JOIN topics t ON t.id = e.topic",
                    [&told](const Statement& s) {
                      if (s.integer(2) <= offset_max)
                        told.ends[{s.text(0), static_cast<std::int32_t>(s.integer(1))}] = s.integer(2);
                    });
  each_readable_row(*db, "SELECT consumer_group, topic, partition, next_offset FROM committed",
                    [&told](const Statement& s) {
                      told.committed[{s.text(0), s.text(1)}][static_cast<std::int32_t>(s.integer(2))] = s.integer(3);
                    });
  return told;
}

struct Place {
  std::string topic;
  std::int32_t partition = 0;
  bool is_table = false;
  std::uint64_t seed = 0;
  std::string table;
  std::int64_t topic_id = 0;
};

// The partitions that the file says it has.
Status read_places(Database& db, std::vector<Place>& places) {
  return each_row(db, "SELECT id, name, partitions, kind FROM topics ORDER BY id", [&places](const Statement& s) {
    for (std::int32_t p = 0; p < s.integer(2); ++p) {
      places.push_back({s.text(1), p, s.integer(3) == static_cast<std::int64_t>(TopicKind::table),
                        partition_seed(s.text(1), p), fmt::format("log_{}_{}", s.integer(0), p), s.integer(0)});
    }
  });
}

struct RecordRow {
  std::int64_t append_ms = 0, sum = 0;
  std::string key, headers;
  std::optional<std::string> value;
};

std::optional<RecordRow> record_of(const RawRow& row) {
  if (row.columns.size() != 6 || row.columns[0].index() != 0) return std::nullopt;
  const auto* append_ms = std::get_if<std::int64_t>(&row.columns[1]);
  const auto* key = std::get_if<std::string>(&row.columns[2]);
  const auto* headers = std::get_if<std::string>(&row.columns[4]);
  const auto* sum = std::get_if<std::int64_t>(&row.columns[5]);
  if (append_ms == nullptr || key == nullptr || headers == nullptr || sum == nullptr) return std::nullopt;
  RecordRow out{*append_ms, *sum, *key, *headers, std::nullopt};
  if (const auto* value = std::get_if<std::string>(&row.columns[3])) out.value = *value;
  else if (row.columns[3].index() != 0) return std::nullopt;
  return out;
}

// The new file while it is being written.
class Target {
 public:
  static Result<Target> make(const std::string& path, const std::vector<TopicSpec>& topics) {
    {
      auto storage = open_sqlite_storage(path);
      if (!storage) return storage.error();
      for (const TopicSpec& spec : topics) {
        if (const Status made = (*storage)->ensure_topic(spec); !made) return made.error();
      }
    }
    auto db = Database::open(path, Database::Mode::read_write_create);
    if (!db) return db.error();
    Target target(std::move(*db));
    if (const Status read = read_places(target.db_, target.places); !read) return read.error();
    target.ends.resize(target.places.size());
    return target;
  }

  // False when it is no record of ours, or of the state that is not taken over.
  bool take(const RawRow& row, const std::string& left_out) {
    if (!failed) return true;  // the rest is not asked any more
    const auto record = record_of(row);
    if (!record) return false;
    const Place* place = place_of(row.rowid, *record);
    if (place == nullptr) return false;
    std::int64_t& end = ends[static_cast<std::size_t>(place - places.data())];
    end = std::max(end, row.rowid + 1);
    if (place->topic != left_out) failed = insert(*place, row.rowid, *record);
    return true;
  }

  Status execute(std::string_view sql) { return db_.execute(sql); }
  Result<Statement> prepare(std::string_view sql) { return db_.prepare(sql); }
  Database& db() { return db_; }

  Status failed;  // bad once a write was
  std::vector<Place> places;
  std::vector<std::int64_t> ends;  // of each: after the last record that was found, taken or not

 private:
  explicit Target(Database db) : db_(std::move(db)) {}

  // Rows of a page are of one table: the last one is asked first.
  const Place* place_of(std::int64_t offset, const RecordRow& r) {
    const auto is_at = [&](const Place& place) {
      return record_sum(place.seed, offset, r.append_ms, r.key, r.value, r.headers) == r.sum;
    };
    if (last_ < places.size() && is_at(places[last_])) return &places[last_];
    const auto found = std::find_if(places.begin(), places.end(), is_at);
    if (found == places.end()) return nullptr;
    last_ = static_cast<std::size_t>(found - places.begin());
    return &*found;
  }

  Status insert(const Place& place, std::int64_t offset, const RecordRow& r) {
    if (rows_ % rows_a_transaction == 0) {
      if (rows_ > 0) {
        if (const Status done = db_.execute("COMMIT"); !done) return done;
      }
      if (const Status begun = db_.execute("BEGIN IMMEDIATE"); !begun) return begun;
    }
    ++rows_;
    auto found = inserts_.find(place.table);
    if (found == inserts_.end()) {
      auto made = db_.prepare(fmt::format("INSERT OR IGNORE INTO {} VALUES(?1, ?2, ?3, ?4, ?5, ?6)", place.table));
      if (!made) return made.error();
      found = inserts_.emplace(place.table, std::move(*made)).first;
    }
    Statement& s = found->second;
    s.bind(1, offset);
    s.bind(2, r.append_ms);
    s.bind_blob(3, r.key);
    if (r.value) s.bind_blob(4, *r.value);
    s.bind_blob(5, r.headers);
    s.bind(6, r.sum);
    return s.run();
  }

 public:
  Status end_rows() {
    inserts_.clear();
    return rows_ > 0 ? db_.execute("COMMIT") : Status();
  }

 private:
  Database db_;
  std::map<std::string, Statement> inserts_;
  std::size_t rows_ = 0;
  std::size_t last_ = 0;
};

void note_hole(SalvagedPartition& out, std::int64_t first, std::int64_t next) {
  if (next <= first) return;
  out.lost += next - first;
  if (out.holes.size() < holes_max) out.holes.emplace_back(first, next - 1);
}

// What was kept of a partition, and what is missing; and its next offset.
Result<SalvagedPartition> account(Target& target, const Place& place, const Told& told, std::int64_t& found_end) {
  SalvagedPartition out{place.topic, place.partition, 0, 0, {}};
  std::int64_t next = -1;
  {
    auto s = target.prepare(fmt::format("SELECT offset FROM {} ORDER BY offset", place.table));
    if (!s) return s.error();
    for (;;) {
      const Result<bool> more = s->step();
      if (!more) return more.error();
      if (!*more) break;
      ++out.kept;
      if (next >= 0 && !place.is_table) note_hole(out, next, s->integer(0));
      next = s->integer(0) + 1;
    }
  }
  next = std::max(next, found_end);
  const auto end = told.ends.find({place.topic, place.partition});
  if (end != told.ends.end() && end->second > next) {
    if (!place.is_table) note_hole(out, next, end->second);
    next = end->second;
  }
  found_end = next;
  return out;
}

// Past all that may have been acknowledged: where the file was cut short, nobody knows in which partition.
Status set_ends(Target& target, std::int64_t past_end) {
  for (std::size_t i = 0; i < target.places.size(); ++i) {
    const Place& place = target.places[i];
    const Status set = target.execute(fmt::format("UPDATE ends SET next_offset={} WHERE topic={} AND partition={}",
                                                  target.ends[i] + past_end, place.topic_id, place.partition));
    if (!set) return set;
  }
  return {};
}

Status take_over_committed(Target& target, const Told& told, const SalvageOptions& options) {
  auto s = target.prepare(
      "INSERT OR REPLACE INTO committed SELECT ?1, ?2, ?3, ?4 FROM ends e JOIN topics t ON t.id = e.topic WHERE t.name "
      "= "
      "?2 AND e.partition = ?3 AND e.next_offset >= ?4 AND ?4 >= 0");
  if (!s) return s.error();
  for (const auto& [of, offsets] : told.committed) {
    if (of.first == options.state_group) continue;
    for (const auto& [partition, offset] : offsets) {
      s->bind(1, std::string_view(of.first));
      s->bind(2, std::string_view(of.second));
      s->bind(3, std::int64_t{partition});
      s->bind(4, offset);
      if (const Status done = s->run(); !done) return done;
    }
  }
  return {};
}

std::vector<TopicSpec> topics_of(const Told& told, const SalvageOptions& options) {
  std::vector<TopicSpec> out = options.topics;
  for (TopicSpec& spec : out) {
    const auto there = told.topics.find(spec.name);
    if (there != told.topics.end()) spec.partitions = there->second;
  }
  return out;
}

Result<bool> has_tables(Database& db) {
  std::int64_t tables = 0;
  const Status read =
      each_row(db, "SELECT count(*) FROM sqlite_schema", [&tables](const Statement& s) { tables = s.integer(0); });
  if (!read) return read.error();
  return tables > 0;
}

Status examine_records(Database& db) {
  std::vector<Place> places;
  if (const Status read = read_places(db, places); !read) return read;
  std::int64_t damaged = 0;
  std::string first;
  for (const Place& place : places) {
    const std::string sql = fmt::format("SELECT offset, append_ms, key, value, headers, sum FROM {}", place.table);
    const Status read = each_row(db, sql, [&](const Statement& s) {
      std::optional<std::string> value;
      if (s.type(3) != sqlite::ColumnType::null) value = s.blob(3);
      if (record_sum(place.seed, s.integer(0), s.integer(1), s.blob(2), value, s.blob(4)) == s.integer(5)) return;
      if (damaged++ == 0) first = fmt::format("{}/{} at offset {}", place.topic, place.partition, s.integer(0));
    });
    if (!read) return read.error().with_context(fmt::format("{}/{}", printable(place.topic), place.partition));
  }
  if (damaged == 0) return {};
  return Error(ErrorCode::corrupted,
               fmt::format("{} records are not what was written, the first in {}", damaged, printable(first)));
}

}  // namespace

Status examine_log(const std::string& path, bool is_being_written) {
  constexpr std::uint64_t all = std::numeric_limits<std::uint64_t>::max();
  const Status whole = is_being_written ? Status() : sqlite::check_whole(path, all);
  if (!whole) return whole;
  auto db = Database::open(path, Database::Mode::read_only);
  if (!db) return db.error();
  const Result<bool> begun = has_tables(*db);
  if (!begun) return begun.error();
  if (!*begun) return {};
  if (const Status known = check_format(*db); !known) return known;
  std::int64_t ends = 0;
  const Status read = each_row(*db, "SELECT next_offset FROM ends", [&ends](const Statement& s) {
    ends += std::clamp<std::int64_t>(s.integer(0), 0, offset_max);
  });
  if (!read) return read;
  if (!is_being_written) {
    if (const Status reached = check_log_mark(read_log_mark(path + ".mark"), ends); !reached) return reached;
  }
  return examine_records(*db);
}

Result<Salvage> salvage_log(const std::string& from, const std::string& to, const SalvageOptions& options) {
  const Result<Told> read = read_told(from);
  if (!read) return read.error();
  const Told& told = *read;
  auto raw = sqlite::RawFile::open(from);
  if (!raw) return raw.error();
  auto target = Target::make(to, topics_of(told, options));
  if (!target) return target.error();
  raw->for_each_row([&](const RawRow& row) { return target->take(row, options.state_topic); });
  if (!target->failed) return target->failed.error();
  if (const Status ended = target->end_rows(); !ended) return ended.error();
  Salvage out;
  for (std::size_t i = 0; i < target->places.size(); ++i) {
    const Place& place = target->places[i];
    auto partition = account(*target, place, told, target->ends[i]);
    if (!partition) return partition.error();
    if (place.topic == options.state_topic) continue;
    out.kept += partition->kept;
    out.lost += partition->lost;
    if (partition->kept > 0 || partition->lost > 0) out.partitions.push_back(std::move(*partition));
  }
  const std::int64_t total = std::accumulate(target->ends.begin(), target->ends.end(), std::int64_t{0});
  out.acknowledged_past_end = std::max<std::int64_t>(read_log_mark(from + ".mark") - total, 0);
  if (const Status set = set_ends(*target, out.acknowledged_past_end); !set) return set.error();
  if (const Status taken = take_over_committed(*target, told, options); !taken) return taken.error();
  if (const Status whole = target->execute("PRAGMA wal_checkpoint(TRUNCATE)"); !whole) return whole.error();
  return out;
}

}  // namespace fleetward::bus
