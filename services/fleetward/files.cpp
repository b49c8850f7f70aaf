#include "services/fleetward/files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "core/text.hpp"

namespace fleetward::program {
namespace {

constexpr std::size_t file_bytes_max = 1 << 20;

Error problem(const std::string& path, int code) {
  return {ErrorCode::unavailable, fmt::format("{}: {}", printable(path), std::strerror(code))};
}

Status write_all(int fd, std::string_view content, const std::string& path) {
  while (!content.empty()) {
    const ssize_t written = ::write(fd, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return problem(path, errno);
    content.remove_prefix(static_cast<std::size_t>(written));
  }
  if (fsync(fd) != 0) return problem(path, errno);
  return {};
}

// So that the new name is there after a crash, too.
Status sync_folder_of(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  const std::string folder = parent.empty() ? "." : parent;
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return problem(folder, errno);
  const int failed = fsync(fd) == 0 ? 0 : errno;
  close(fd);
  return failed == 0 || failed == EINVAL ? Status() : Status(problem(folder, failed));
}

}  // namespace

Status write_file(const std::string& path, std::string_view content, Secrecy secrecy) {
  const std::string beside = fmt::format("{}.new.{}", path, getpid());
  const mode_t mode = secrecy == Secrecy::secret ? 0600 : 0644;
  const int fd = open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
  if (fd < 0) return problem(beside, errno);
  Status written = write_all(fd, content, beside);
  if (close(fd) != 0 && written) written = problem(beside, errno);
  if (written && rename(beside.c_str(), path.c_str()) != 0) written = problem(path, errno);
  if (!written) {
    unlink(beside.c_str());
    return written;
  }
  return sync_folder_of(path);
}

Result<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return {ErrorCode::not_found, fmt::format("{}: cannot be read", printable(path))};
  std::string text(file_bytes_max + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > file_bytes_max) {
    return {ErrorCode::resource_exhausted, fmt::format("{}: larger than {} bytes", printable(path), file_bytes_max)};
  }
  return text;
}

Result<std::string> read_secret_file(const std::string& path) {
  struct stat facts {};
  if (stat(path.c_str(), &facts) == 0 && (facts.st_mode & 077) != 0) {
    return {ErrorCode::failed_precondition,
            fmt::format("{} can be read by others: chmod 600 {}", printable(path), printable(path))};
  }
  return read_file(path);
}

Result<std::string> read_authorities(const std::string& path) {
  if (!path.empty()) return read_file(path);
  // Debian and Alpine, Red Hat, SUSE, the BSDs.
  for (const char* place : {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
                            "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"}) {
    if (file_exists(place)) return read_file(place);
  }
  return {ErrorCode::not_found,
          "the system has no list of trusted authorities: install ca-certificates, or name a file"};
}

bool file_exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

Status make_folder(const std::string& path) {
  std::error_code failed;
  const bool made = std::filesystem::create_directories(path, failed);
  if (made && !failed) std::filesystem::permissions(path, std::filesystem::perms::owner_all, failed);
  if (failed) return {ErrorCode::unavailable, fmt::format("{}: {}", printable(path), failed.message())};
  return {};
}

}  // namespace fleetward::program
