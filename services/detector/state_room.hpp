// Which partitions' state a detector holds and which waits, by state_bytes_max. Pure.
//
// A partition whose state does not fit beside what is held is left paused: assigned, not read, its offset as it was. It
// is taken when there is room, and then begins where its checkpoint ends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace fleetward::detector {

struct PartitionBytes {
  std::int32_t partition = 0;
  std::size_t bytes = 0;  // its state in memory; of one that waits, 0: it is not known yet
};

// Whether a state of so many bytes fits; of one that is not known, whether anything does.
[[nodiscard]] bool has_room(std::size_t bytes, std::size_t held_bytes, std::size_t bytes_max);

// The first of those that wait that fits: a small one does not wait for a large one.
[[nodiscard]] std::optional<std::int32_t> next_to_take(const std::vector<PartitionBytes>& waiting,
                                                       std::size_t held_bytes, std::size_t bytes_max);

// Which of those that are held has to be left when they have grown over the limit: the smallest that is enough, else
// the largest. One alone is kept, since somebody must hold it.
[[nodiscard]] std::optional<std::int32_t> next_to_leave(const std::vector<PartitionBytes>& held, std::size_t bytes_max);

}  // namespace fleetward::detector
