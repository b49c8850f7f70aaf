// salvage: what is whole of a log that is damaged, in place of it.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "bus/salvage.hpp"
#include "core/text.hpp"
#include "fleet/topics.hpp"
#include "services/detector/detector.hpp"
#include "services/fleetward/backends.hpp"
#include "services/fleetward/commands.hpp"
#include "services/fleetward/doctor.hpp"
#include "services/fleetward/files.hpp"
#include "services/fleetward/lost_half.hpp"
#include "sqlite/sqlite.hpp"
#include "sqlite/wal.hpp"

namespace fleetward::program {
namespace {

Instant wall_clock() { return std::chrono::time_point_cast<Millis>(std::chrono::system_clock::now()); }

Status make_durable(const std::string& folder) {
  for (const char* name : {"/bus.db", ""}) {
    const int fd = ::open((folder + name).c_str(), O_RDONLY | O_CLOEXEC);
    const bool done = fd >= 0 && ::fsync(fd) == 0;
    const int why = errno;
    if (fd >= 0) ::close(fd);
    if (!done) return Error(ErrorCode::unavailable, folder + name + ": " + std::strerror(why));
  }
  return {};
}

// A name beside it that is free: DATA_DIR/bus.damaged-20261124T082622Z.
std::string aside(const std::string& folder) {
  std::string when;
  for (const char c : to_rfc3339(wall_clock()).substr(0, 19)) {
    if (c != '-' && c != ':') when += c;
  }
  std::string name = fmt::format("{}.damaged-{}Z", folder, when);
  for (int n = 2; file_exists(name); ++n) name = fmt::format("{}.damaged-{}Z-{}", folder, when, n);
  return name;
}

// In one step, so that there is always a log in its place; then the damaged one gets its name.
Status exchange(const std::string& whole, const std::string& damaged, const std::string& name) {
  if (::renameat2(AT_FDCWD, whole.c_str(), AT_FDCWD, damaged.c_str(), RENAME_EXCHANGE) != 0)
    return Error(ErrorCode::unavailable, fmt::format("exchange {} and {}: {}", whole, damaged, std::strerror(errno)));
  if (::rename(whole.c_str(), name.c_str()) != 0)
    return Error(ErrorCode::unavailable, fmt::format("rename {}: {}", whole, std::strerror(errno)));
  return {};
}

void print(Invocation& invocation, const bus::Salvage& salvage) {
  for (const bus::SalvagedPartition& p : salvage.partitions) {
    if (p.lost == 0) continue;
    std::string holes;
    for (const auto& [first, last] : p.holes) {
      holes +=
          (holes.empty() ? "" : ", ") + (first == last ? std::to_string(first) : fmt::format("{}-{}", first, last));
    }
    if (p.holes.size() == bus::holes_max) holes += ", ...";
    invocation.out << fmt::format("lost: {} records of {}, partition {}, at offsets {}\n", p.lost, p.topic, p.partition,
                                  holes);
  }
  if (salvage.acknowledged_past_end > 0)
    invocation.out << fmt::format("lost: {} records at the end, of any topic\n", salvage.acknowledged_past_end);
  invocation.out << fmt::format("kept: {} records\n", salvage.kept);
}

Status salvage_into(Invocation& invocation, const Settings& settings) {
  const std::string folder = settings.installation.data_dir + "/bus";
  std::error_code failed;
  const std::string whole = folder + ".salvaged";
  std::filesystem::remove_all(whole, failed);  // of a try that did not come to its end
  auto salvaged = bus::salvage_log(bus_path(settings.installation.data_dir), whole + "/bus.db",
                                   {.topics = topic_specs(settings.installation.partitions),
                                    .state_topic = std::string(fleet::topic::detector_state),
                                    .state_group = detector::DetectorSettings().group});
  if (!salvaged) return salvaged.error();
  if (const Status durable = make_durable(whole); !durable) return durable;
  // Before the exchange: a second try would find a log that is whole, and would not do it.
  metrics::Registry unseen;
  auto store = open_store(settings, unseen);
  const Status told = store ? tell_things_again(**store, wall_clock()) : Status(store.error());
  if (!told) return told.error().with_context("store");
  const std::string name = aside(folder);
  if (const Status exchanged = exchange(whole, folder, name); !exchanged) return exchanged;
  print(invocation, *salvaged);
  invocation.out << fmt::format(
      "The damaged log is kept as {}.\nAt the next start detectors make what they know of each device again out of the "
      "log, and things are published again from the store.\n",
      name);
  return {};
}

Status salvage_log(Invocation& invocation, const Settings& settings) {
  const std::string path = bus_path(settings.installation.data_dir);
  if (!file_exists(path))
    return Error(ErrorCode::not_found, path + " is not there: put DATA_DIR/bus back from a backup");
  auto lock = sqlite::FileLock::take(path + ".lock");
  if (!lock) return lock.error();
  const Status whole = bus::examine_log(path);
  if (whole) {
    invocation.out << "The log is whole: nothing is to be done.\n";
    return {};
  }
  if (whole.error().code == ErrorCode::unsupported) return whole;
  invocation.out << fmt::format("The log is damaged: {}.\n", whole.error().message);
  return salvage_into(invocation, settings);
}

// Of the store only a write-ahead log that is damaged in its midst: what is before that can be taken in, knowingly.
Status salvage_store(Invocation& invocation, const InstallationSettings& settings) {
  const std::string path = store_path(settings.data_dir);
  const Result<sqlite::Wal> wal = sqlite::read_wal(path);
  if (!wal) return wal.error();
  if (!wal->is_damaged()) return {};
  auto lock = sqlite::FileLock::take(path + ".lock");
  if (!lock) return lock.error();
  const std::string folder = settings.data_dir + "/store";
  const std::string name = aside(folder);
  std::error_code failed;
  std::filesystem::copy(folder, name, std::filesystem::copy_options::recursive, failed);
  if (failed) return Error(ErrorCode::unavailable, fmt::format("copy {}: {}", folder, failed.message()));
  auto db = sqlite::Database::open(path, sqlite::Database::Mode::read_write_create);
  if (!db) return db.error();
  if (const Status taken = db->execute("PRAGMA wal_checkpoint(TRUNCATE)"); !taken) return taken;
  invocation.out << fmt::format(
      "The store's write-ahead log was damaged: what was decided in {} transactions is lost. The damaged store is kept "
      "as {}.\n",
      wal->commits_after, name);
  return {};
}

ExitCode run_salvage(Invocation& invocation) {
  Settings settings;
  if (const Status loaded = load_settings(invocation, settings); !loaded)
    return invocation.fail(loaded.error().with_context("configuration"));
  if (const auto data_dir = invocation.option("data-dir")) settings.installation.data_dir = *data_dir;
  if (const auto holder = server_on(settings.installation.data_dir)) {
    return invocation.fail(
        {ErrorCode::failed_precondition, fmt::format("process {} runs on this data folder: stop it first", *holder)});
  }
  umask(077);  // as the server does: nobody else may read what is made here
  if (const Status done = salvage_store(invocation, settings.installation); !done) return invocation.fail(done.error());
  if (const Status done = salvage_log(invocation, settings); !done) return invocation.fail(done.error());
  return ExitCode::ok;
}

}  // namespace

Command salvage_command() {
  return {
      .name = "salvage",
      .summary = "Keeps what is whole of a damaged log, and says what is lost; the server is stopped meanwhile",
      .detail =
          "Reads every page of DATA_DIR/bus/bus.db and its write-ahead log, takes over each record that is what was\n"
          "written, and puts the new log in the place of the old one, which is kept beside it. A log that is whole\n"
          "is left alone, so it may be run again. A backup that is newer than the damage is better: nothing is lost\n"
          "then. Of the store only a damaged write-ahead log is mended; else put DATA_DIR/store back from a backup.\n"
          "example: fleetward salvage --config fleetward.yaml",
      .options = {{"config", "FILE", "YAML file of settings, the same as for run"},
                  {"data-dir", "DIR", "short for --fleetward.data_dir"}},
      .takes_settings = true,
      .run = run_salvage};
}

}  // namespace fleetward::program
