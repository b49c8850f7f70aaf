#include "services/pki/authority_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace fleetward::pki_role {
namespace {

constexpr Millis root_lifetime = std::chrono::hours(24 * 365 * 20);
constexpr Millis issuing_lifetime = std::chrono::hours(24 * 365 * 10);
constexpr Millis server_lifetime = std::chrono::hours(24 * 90);
constexpr Millis responder_lifetime = std::chrono::hours(24 * 30);

Error io_error(std::string_view what, const std::string& path) {
  return Error(ErrorCode::unavailable, fmt::format("{} {}: {}", what, path, std::strerror(errno)));
}

bool is_address(const std::string& name) {
  return name.find(':') != std::string::npos || name.find_first_not_of("0123456789.") == std::string::npos;
}

bool needs_renewal(const std::string& pem, Instant now) {
  const auto info = pki::read_certificate(pem);
  // Not valid yet: it was made while the clock was ahead.
  return !info || now < info->not_before || now > info->not_after - (info->not_after - info->not_before) / 3;
}

class Bootstrap {
 public:
  Bootstrap(std::string folder, Instant now, crypto::Random& random)
      : folder_(std::move(folder)), now_(now), random_(random) {}

  Status run(const std::vector<std::string>& host_names) {
    std::error_code failed;
    std::filesystem::create_directories(folder_, failed);
    if (failed) return Error(ErrorCode::unavailable, fmt::format("make the folder {}: {}", folder_, failed.message()));
    if (::chmod(folder_.c_str(), 0700) != 0) return io_error("close to others", folder_);
    if (const Status made = root(); !made) return made;
    if (const Status made = issuing(); !made) return made;
    if (const Status made = responder(); !made) return made;
    return leaf("server", server_request(host_names), true, host_names);
  }

  Status responder() { return leaf("ocsp", responder_request(), false, {}); }

 private:
  [[nodiscard]] std::string path(std::string_view name) const { return fmt::format("{}/{}", folder_, name); }
  [[nodiscard]] bool has(std::string_view name) const { return std::filesystem::exists(path(name)); }

  // The key of an authority that exists: a new one would sign what nobody trusts.
  Result<crypto::PrivateKey> existing_key(std::string_view name) {
    const auto pem = read_authority_file(folder_, name, true);
    if (!pem && pem.error().code == ErrorCode::not_found)
      return Error(ErrorCode::failed_precondition,
                   fmt::format("{} is missing while its certificate is there: bring it back", path(name)));
    if (!pem) return pem.error();
    auto key = crypto::PrivateKey::from_pem(*pem);
    return key.ok() ? key : Result<crypto::PrivateKey>(key.error().with_context(path(name)));
  }

  Result<crypto::PrivateKey> key(std::string_view name) {
    if (has(name)) return existing_key(name);
    const auto made = crypto::PrivateKey::generate();
    if (!made) return made.error();
    if (const Status written = write_file(path(name), made->to_pem(), true); !written) return written.error();
    return made;
  }

  Status root() {
    if (has("root.crt")) return {};
    const auto k = key("root.key");
    if (!k) return k.error();
    const auto pem = pki::make_root(*k, "Fleetward root", now_, root_lifetime, random_);
    if (!pem) return pem.error();
    return write_file(path("root.crt"), *pem, false);
  }

  Status issuing() {
    if (has("issuing.crt")) return {};
    const auto root_key = existing_key("root.key");
    if (!root_key) return root_key.error();
    const auto root_pem = read_authority_file(folder_, "root.crt");
    if (!root_pem) return root_pem.error();
    const auto k = key("issuing.key");
    if (!k) return k.error();
    const auto pem = pki::make_issuing({*root_key, *root_pem}, k->public_key(), "Fleetward issuing", now_,
                                       issuing_lifetime, random_);
    if (!pem) return pem.error();
    return write_file(path("issuing.crt"), *pem, false);
  }

  static pki::LeafRequest responder_request() {
    pki::LeafRequest r;
    r.purpose = pki::Purpose::responder;
    r.common_name = "Fleetward OCSP";
    r.lifetime = responder_lifetime;
    return r;
  }

  static pki::LeafRequest server_request(const std::vector<std::string>& host_names) {
    pki::LeafRequest r;
    r.purpose = pki::Purpose::server;
    r.common_name = host_names.empty() ? "localhost" : host_names.front();
    for (const std::string& name : host_names) (is_address(name) ? r.ip_addresses : r.dns_names).push_back(name);
    r.lifetime = server_lifetime;
    return r;
  }

  Status leaf(std::string_view name, const pki::LeafRequest& request, bool with_chain,
              const std::vector<std::string>& names) {
    const std::string file = fmt::format("{}.crt", name);
    const std::string names_file = fmt::format("{}.names", name);
    const std::string names_text = fmt::format("{}\n", fmt::join(names, "\n"));
    if (has(file) && has(fmt::format("{}.key", name))) {
      const auto pem = read_authority_file(folder_, file);
      const bool same_names = names.empty() || read_authority_file(folder_, names_file).value_or("") == names_text;
      if (pem && same_names && !needs_renewal(*pem, now_)) return {};
    }
    const auto issuing_key = existing_key("issuing.key");
    if (!issuing_key) return issuing_key.error();
    const auto issuing_pem = read_authority_file(folder_, "issuing.crt");
    if (!issuing_pem) return issuing_pem.error();
    const auto k = key(fmt::format("{}.key", name));
    if (!k) return k.error();
    const auto pem = pki::issue({*issuing_key, *issuing_pem}, k->public_key(), request, now_, random_);
    if (!pem) return pem.error();
    if (!names.empty()) {
      if (const Status written = write_file(path(names_file), names_text, false); !written) return written;
    }
    return write_file(path(file), with_chain ? *pem + *issuing_pem : *pem, false);
  }

  std::string folder_;
  Instant now_;
  crypto::Random& random_;
};

}  // namespace

Status write_file(const std::string& path, std::string_view text, bool secret) {
  const std::string beside = path + ".new";
  const int fd = ::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, secret ? 0600 : 0644);
  if (fd < 0) return io_error("write", beside);
  bool good = ::fchmod(fd, secret ? 0600 : 0644) == 0;  // whatever a file left behind by a crash had
  for (std::string_view rest = text; good && !rest.empty();) {
    const ssize_t n = ::write(fd, rest.data(), rest.size());
    good = n > 0;
    if (good) rest.remove_prefix(static_cast<std::size_t>(n));
  }
  good = good && ::fsync(fd) == 0;
  ::close(fd);
  if (!good || ::rename(beside.c_str(), path.c_str()) != 0) return io_error("write", path);
  const std::string folder = std::filesystem::path(path).parent_path().string();
  const int folder_fd = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool kept = folder_fd >= 0 && ::fsync(folder_fd) == 0;  // the rename, too, survives a crash
  if (folder_fd >= 0) ::close(folder_fd);
  return kept ? Status() : Status(io_error("sync", folder));
}

Result<std::string> read_authority_file(const std::string& folder, std::string_view name, bool secret) {
  const std::string path = fmt::format("{}/{}", folder, name);
  struct stat facts {};
  if (::stat(path.c_str(), &facts) != 0) {
    return Error(ErrorCode::not_found, fmt::format("{}: {}; run `fleetward init` first", path, std::strerror(errno)));
  }
  if (secret && (facts.st_mode & 077) != 0) {
    return Error(ErrorCode::failed_precondition, fmt::format("{} can be read by others: chmod 600 {}", path, path));
  }
  std::ifstream in(path, std::ios::binary);
  std::string text(std::istreambuf_iterator<char>(in), {});
  if (!in.good() && !in.eof()) return io_error("read", path);
  return text;
}

Status bootstrap_authority(const std::string& folder, const std::vector<std::string>& host_names, Instant now,
                           crypto::Random& random) {
  return Bootstrap(folder, now, random).run(host_names);
}

Status renew_responder(const std::string& folder, Instant now, crypto::Random& random) {
  return Bootstrap(folder, now, random).responder();
}

}  // namespace fleetward::pki_role
