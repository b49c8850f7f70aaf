// The doctor's look at the data folder: space, speed, rights.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <sstream>

#include "services/fleetward/backends.hpp"
#include "services/fleetward/doctor.hpp"
#include "services/fleetward/files.hpp"
#include "services/fleetward/signing_keys.hpp"

namespace fleetward::program {
namespace {

constexpr std::uint64_t mib = 1 << 20;
constexpr int fsyncs = 20;
constexpr std::chrono::seconds fsync_limit{3};  // for all of them
constexpr double slow_ms = 20;                  // then a report waits noticeably for its acknowledgement
constexpr double too_slow_ms = 250;
constexpr int lock_lines_max = 100'000;

void examine_space(const std::string& folder, Findings& findings) {
  struct statvfs fs {};
  if (::statvfs(folder.c_str(), &fs) != 0) {
    return findings.fail("disk space", std::strerror(errno), "check that the data folder is mounted");
  }
  const std::uint64_t free_bytes = std::uint64_t{fs.f_bavail} * fs.f_frsize;
  const double percent =
      fs.f_blocks == 0 ? 0 : 100.0 * static_cast<double>(fs.f_bavail) / static_cast<double>(fs.f_blocks);
  const std::string found = fmt::format("{} MiB free ({:.0f} %)", free_bytes / mib, percent);
  const std::string advice = "make room: without it nothing is acknowledged (devices keep and repeat their reports)";
  if (free_bytes < 200 * mib) findings.fail("disk space", found, advice);
  else if (free_bytes < 2048 * mib || percent < 5) findings.warn("disk space", found, advice);
  else findings.ok("disk space", found);
  if (fs.f_files == 0) return;  // a file system without a fixed number
  const double files = 100.0 * static_cast<double>(fs.f_favail) / static_cast<double>(fs.f_files);
  if (files < 2)
    findings.warn("inodes", fmt::format("{:.1f} % free", files), "remove small files from this file system");
}

// The median of some writes that are made durable, as each batch of reports is; negative: the error number.
double fsync_ms(const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return -errno;
  const std::array<char, 4096> page{};
  std::vector<double> times;
  double failed = 0;
  const auto begun = std::chrono::steady_clock::now();
  for (int i = 0; i < fsyncs && std::chrono::steady_clock::now() - begun < fsync_limit; ++i) {
    const auto from = std::chrono::steady_clock::now();
    if (::write(fd, page.data(), page.size()) != static_cast<ssize_t>(page.size()) || ::fsync(fd) != 0) {
      failed = -errno;
      break;
    }
    times.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - from).count());
  }
  ::close(fd);
  ::unlink(path.c_str());
  if (failed < 0) return failed;
  std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2), times.end());
  return times[times.size() / 2];
}

void examine_fsync(const std::string& folder, Findings& findings) {
  const double ms = fsync_ms(fmt::format("{}/.doctor.{}", folder, ::getpid()));
  if (ms < 0) {
    const std::string why = std::strerror(static_cast<int>(-ms));
    return findings.fail("fsync", why, "run the doctor as the server's user; else mend the disk");
  }
  const std::string found = fmt::format("{:.1f} ms for 4 KiB (median)", ms);
  const std::string advice = "put the data folder on a local SSD: a report is acknowledged only when it is durable";
  if (ms > too_slow_ms) findings.fail("fsync", found, advice);
  else if (ms > slow_ms) findings.warn("fsync", found, advice);
  else findings.ok("fsync", found);
}

// True when it is there.
bool examine_secret(const std::string& path, bool is_needed, Findings& findings) {
  struct stat facts {};
  if (::stat(path.c_str(), &facts) != 0) {
    if (is_needed) findings.fail(path, std::strerror(errno), "run `fleetward init` with the same settings");
    return false;
  }
  if ((facts.st_mode & 077) != 0) {
    findings.fail(path, fmt::format("mode {:o}: others may read it", facts.st_mode & 07777),
                  fmt::format("chmod 600 {}; if others could log in here, replace what is in it", path));
  }
  return true;
}

void examine_written_by_others(const std::string& path, Findings& findings) {
  struct stat facts {};
  if (path.empty() || ::stat(path.c_str(), &facts) != 0) return;
  if ((facts.st_mode & 022) == 0) return;
  findings.warn(path, fmt::format("mode {:o}: others may change it", facts.st_mode & 07777),
                fmt::format("chmod go-w {}: who writes it decides what is done to devices", path));
}

}  // namespace

std::string_view to_string(Health health) {
  return health == Health::ok ? "ok" : health == Health::warn ? "warn" : "fail";
}

void Findings::ok(std::string check, std::string found) {
  all.push_back({area, std::move(check), Health::ok, std::move(found), {}});
}
void Findings::warn(std::string check, std::string found, std::string advice) {
  all.push_back({area, std::move(check), Health::warn, std::move(found), std::move(advice)});
}
void Findings::fail(std::string check, std::string found, std::string advice) {
  all.push_back({area, std::move(check), Health::fail, std::move(found), std::move(advice)});
}

std::optional<std::int64_t> server_on(const std::string& data_dir) {
  struct stat lock {};
  if (::stat((bus_path(data_dir) + ".lock").c_str(), &lock) != 0) return std::nullopt;
  const std::string file = fmt::format("{:02x}:{:02x}:{}", major(lock.st_dev), minor(lock.st_dev), lock.st_ino);
  std::ifstream locks("/proc/locks");
  std::string line;
  for (int n = 0; n < lock_lines_max && std::getline(locks, line); ++n) {
    std::istringstream words(line);
    std::string number, kind, manner, mode, inode;
    std::int64_t pid = 0;
    words >> number >> kind >> manner >> mode >> pid >> inode;
    if (kind == "FLOCK" && inode == file) return pid;
  }
  return std::nullopt;
}

void examine_disk(const Settings& settings, Findings& findings) {
  const std::string& folder = settings.installation.data_dir;
  findings.begin("disk");
  if (!file_exists(folder)) {
    return findings.fail("data folder", folder + " is not there", "run `fleetward init` with the same settings");
  }
  examine_space(folder, findings);
  examine_fsync(folder, findings);
}

void examine_secrets(const Settings& settings, const std::string& config_file, Findings& findings) {
  const std::string& folder = settings.installation.data_dir;
  findings.begin("rights");
  const std::size_t before = findings.all.size();
  std::size_t seen = 0;
  const bool is_one_process = settings.bus.is_embedded();  // else each has only what its role needs
  for (const char* name : {"/admin-token", "/admin-aws.json", "/pki/issuing.key", "/pki/ocsp.key", "/pki/server.key"}) {
    seen += examine_secret(folder + name, is_one_process, findings) ? 1U : 0U;
  }
  seen += examine_secret(folder + "/pki/root.key", false, findings) ? 1U : 0U;  // may have been moved away
  for (const std::string_view role : access::signing_roles)
    seen += examine_secret(signing_key_path(folder, role), false, findings) ? 1U : 0U;  // only where the role runs
  for (const std::string& path : {settings.bus.password_file, settings.store.password_file}) {
    if (!path.empty()) seen += examine_secret(path, true, findings) ? 1U : 0U;
  }
  for (const WebhookSettings& webhook : settings.notifier.webhooks) {
    seen += examine_secret(webhook.secret_file, true, findings) ? 1U : 0U;
  }
  struct stat facts {};
  if (::stat(folder.c_str(), &facts) == 0 && (facts.st_mode & 077) != 0) {
    findings.warn(folder, fmt::format("mode {:o}: others may look into it", facts.st_mode & 07777),
                  "chmod 700 " + folder);
  }
  examine_written_by_others(config_file, findings);
  examine_written_by_others(signers_path(folder), findings);
  examine_written_by_others(settings.responder.playbook, findings);
  if (findings.all.size() == before)
    findings.ok("secrets", fmt::format("{} files, readable by their owner alone", seen));
}

}  // namespace fleetward::program
