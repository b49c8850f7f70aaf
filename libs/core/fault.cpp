#include "core/fault.hpp"

#ifdef FLEETWARD_FAULT_POINTS

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>

#include "core/text.hpp"

namespace fleetward::fault {
namespace {

struct Points {
  std::mutex mutex;
  std::map<std::string, int, std::less<>> passages_left;  // until it fires; 0: fires
  std::atomic<bool> any{false};

  Points() {
    const char* armed = std::getenv("FLEETWARD_FAULT");
    if (armed == nullptr) return;
    for (const std::string_view item : split(armed, ',')) {
      const auto colon = item.find(':');
      const int nth = colon == std::string_view::npos ? 1 : std::atoi(std::string(item.substr(colon + 1)).c_str());
      passages_left.emplace(std::string(item.substr(0, colon)), nth - 1);
    }
    any = !passages_left.empty();
  }
};

Points& points() {
  static Points instance;
  return instance;
}

}  // namespace

bool is_armed(std::string_view name) {
  Points& p = points();
  if (!p.any) return false;
  const std::lock_guard lock(p.mutex);
  const auto found = p.passages_left.find(name);
  if (found == p.passages_left.end()) return false;
  if (found->second <= 0) return true;
  --found->second;
  return false;
}

std::vector<std::string> armed() {
  Points& p = points();
  if (!p.any) return {};
  const std::lock_guard lock(p.mutex);
  std::vector<std::string> names;
  for (const auto& [name, left] : p.passages_left) names.push_back(name);
  return names;
}

void arm(std::string_view name) {
  const std::lock_guard lock(points().mutex);
  points().passages_left.insert_or_assign(std::string(name), 0);
  points().any = true;
}

void disarm(std::string_view name) {
  const std::lock_guard lock(points().mutex);
  points().passages_left.erase(std::string(name));
  points().any = !points().passages_left.empty();
}

void crash_here(std::string_view name) {
  if (is_armed(name)) std::raise(SIGKILL);
}

}  // namespace fleetward::fault

#endif
