#include "services/detector/state_room.hpp"

#include <algorithm>
#include <numeric>

namespace fleetward::detector {

bool has_room(std::size_t bytes, std::size_t held_bytes, std::size_t bytes_max) {
  return held_bytes < bytes_max && bytes <= bytes_max - held_bytes;
}

std::optional<std::int32_t> next_to_take(const std::vector<PartitionBytes>& waiting, std::size_t held_bytes,
                                         std::size_t bytes_max) {
  const auto at = std::find_if(waiting.begin(), waiting.end(),
                               [&](const PartitionBytes& p) { return has_room(p.bytes, held_bytes, bytes_max); });
  return at == waiting.end() ? std::nullopt : std::optional(at->partition);
}

std::optional<std::int32_t> next_to_leave(const std::vector<PartitionBytes>& held, std::size_t bytes_max) {
  const std::size_t all = std::accumulate(held.begin(), held.end(), std::size_t{0},
                                          [](std::size_t sum, const PartitionBytes& p) { return sum + p.bytes; });
  if (all <= bytes_max || held.size() < 2) return std::nullopt;
  const std::size_t wanted = all - bytes_max;
  const auto is_better = [wanted](const PartitionBytes& a, const PartitionBytes& b) {
    if ((a.bytes >= wanted) != (b.bytes >= wanted)) return a.bytes >= wanted;
    return a.bytes >= wanted ? a.bytes < b.bytes : a.bytes > b.bytes;
  };
  return std::min_element(held.begin(), held.end(), is_better)->partition;
}

}  // namespace fleetward::detector
