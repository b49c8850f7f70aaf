#include "services/fleetward/ports.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include "core/text.hpp"

namespace fleetward::program {
namespace {

namespace fs = std::filesystem;

constexpr Millis try_every{200};
constexpr int lines_max = 100'000;  // of the kernel's table
constexpr std::string_view state_listening = "0A";

// bind() and listen() as the real listener does them; 0 or the error number.
int try_listen(int family, const sockaddr* at, socklen_t size) {
  const int fd = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno;
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  int failed = 0;
  if (::bind(fd, at, size) != 0 || ::listen(fd, 1) != 0) failed = errno;
  ::close(fd);
  return failed;
}

int try_listen(const ListenPlace& place) {
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(static_cast<std::uint16_t>(place.port));
  if (::inet_pton(AF_INET, place.address.c_str(), &v4.sin_addr) == 1) {
    return try_listen(AF_INET, reinterpret_cast<const sockaddr*>(&v4), sizeof v4);
  }
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(static_cast<std::uint16_t>(place.port));
  if (::inet_pton(AF_INET6, place.address.c_str(), &v6.sin6_addr) != 1) return EINVAL;
  return try_listen(AF_INET6, reinterpret_cast<const sockaddr*>(&v6), sizeof v6);
}

// Inodes of the sockets that listen on the port, from the kernel's table.
void collect_inodes(const char* table, std::int64_t port, std::set<std::string>& inodes) {
  std::ifstream file(table);
  std::string line;
  std::getline(file, line);  // headings
  for (int n = 0; n < lines_max && std::getline(file, line); ++n) {
    std::istringstream words(line);
    std::string slot, local, remote, state, word, inode;
    words >> slot >> local >> remote >> state;
    for (int i = 0; i < 5; ++i) words >> word;  // queues, timer, retransmits, user, time-out
    words >> inode;
    const std::size_t colon = local.rfind(':');
    if (state != state_listening || colon == std::string::npos) continue;
    std::int64_t number = 0;
    std::from_chars(local.data() + colon + 1, local.data() + local.size(), number, 16);
    if (number == port) inodes.insert("socket:[" + inode + "]");
  }
}

bool has_any_of(const fs::path& process, const std::set<std::string>& sockets) {
  std::error_code failed;
  for (fs::directory_iterator fd(process / "fd", failed), end; !failed && fd != end; fd.increment(failed)) {
    std::error_code unreadable;
    const fs::path target = fs::read_symlink(fd->path(), unreadable);
    if (!unreadable && sockets.contains(target.string())) return true;
  }
  return false;
}

Error problem_of(const ListenPlace& place, int failed) {
  const std::string at = place.address.find(':') == std::string::npos
                             ? fmt::format("{}:{}", place.address, place.port)
                             : fmt::format("[{}]:{}", place.address, place.port);
  const auto said = [&](ErrorCode code, const std::string& what) {
    return Error(code, fmt::format("{}.port: cannot listen on {}: {}", place.section, at, what));
  };
  if (failed == EADDRINUSE) {
    const std::string who = listener_of(place.port);
    return said(
        ErrorCode::unavailable,
        who.empty()
            ? fmt::format("another program has the port; `ss -ltnp 'sport = :{}'` (as root) shows which", place.port)
            : fmt::format("{} has the port: stop it, or choose another port", who));
  }
  if (failed == EADDRNOTAVAIL) {
    return said(ErrorCode::failed_precondition,
                fmt::format("the address is not this machine's; see `ip address`, and set {}.address", place.section));
  }
  if (failed == EACCES) {
    return said(ErrorCode::failed_precondition,
                "ports below 1024 need a right: AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit, or another port");
  }
  if (failed == EINVAL) return said(ErrorCode::invalid_argument, "the address is not an IP address");
  return said(ErrorCode::unavailable, std::strerror(failed));
}

}  // namespace

std::string listener_of(std::int64_t port) {
  std::set<std::string> sockets;
  collect_inodes("/proc/net/tcp", port, sockets);
  collect_inodes("/proc/net/tcp6", port, sockets);
  if (sockets.empty()) return {};
  std::error_code failed;
  for (fs::directory_iterator process("/proc", failed), end; !failed && process != end; process.increment(failed)) {
    const std::string pid = process->path().filename().string();
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    if (!has_any_of(process->path(), sockets)) continue;
    std::string name;
    std::ifstream(process->path() / "comm") >> name;
    return fmt::format("process {} ({})", pid, printable(name, 32));
  }
  return {};
}

std::vector<ListenPlace> listen_places(const Settings& s, const std::vector<std::string>& roles) {
  const std::vector<ListenPlace> all{{"gateway", s.gateway.address, s.gateway.port},
                                     {"api", s.api.address, s.api.port},
                                     {"pki", s.pki.address, s.pki.port},
                                     {"operations", s.operations.address, s.operations.port}};
  std::vector<ListenPlace> out;
  for (const ListenPlace& place : all) {
    const bool runs =
        place.section == "operations" || std::find(roles.begin(), roles.end(), place.section) != roles.end();
    if (runs && place.port != 0) out.push_back(place);
  }
  return out;
}

Status can_listen(const ListenPlace& place) {
  const int failed = try_listen(place);
  return failed == 0 ? Status() : Status(problem_of(place, failed));
}

Status await_ports(const std::vector<ListenPlace>& places, Millis limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (true) {
    std::string problems;
    ErrorCode code = ErrorCode::unavailable;
    for (const ListenPlace& place : places) {
      const Status free = can_listen(place);
      if (free) continue;
      if (free.error().code != ErrorCode::unavailable) code = free.error().code;
      problems += (problems.empty() ? "" : "\n") + free.error().message;
    }
    if (problems.empty()) return {};
    // Only a port that is taken may become free by itself.
    if (code != ErrorCode::unavailable || std::chrono::steady_clock::now() >= deadline) return {code, problems};
    std::this_thread::sleep_for(try_every);
  }
}

}  // namespace fleetward::program
