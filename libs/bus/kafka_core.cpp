#include "bus/kafka_core.hpp"

#include "log/log.hpp"

namespace fleetward::bus::kafka {

std::int32_t KafkaCore::partition_count(std::string_view topic) {
  constexpr Millis ask_every{1'000};
  const std::lock_guard lock(topics_mutex);
  const auto found = topics.find(topic);
  if (found != topics.end()) return found->second;
  if (!is_refreshing && std::chrono::steady_clock::now() - refreshed_at >= ask_every) {
    is_refreshing = true;
    lookups.post([this] {
      const Status refreshed = refresh_topics();
      if (!refreshed) log::warn("kafka_topics_unknown", {{"error", refreshed.error().message}});
    });
  }
  return 0;
}

Status KafkaCore::refresh_topics() {
  auto there = lookup->partition_counts();
  const std::lock_guard lock(topics_mutex);
  is_refreshing = false;
  refreshed_at = std::chrono::steady_clock::now();
  if (!there) return there.error();
  for (const auto& [name, count] : *there) topics[name] = count;
  return {};
}

Status KafkaCore::place(const std::vector<OutRecord>& out, std::vector<std::int32_t>& partitions, std::size_t& bytes) {
  partitions.reserve(out.size());
  std::string_view last_topic;
  std::int32_t count = 0;
  for (const OutRecord& r : out) {
    if (r.topic != last_topic || count == 0) count = partition_count(r.topic);
    last_topic = r.topic;
    if (count == 0) return Error(ErrorCode::not_found, "there is no topic " + r.topic);
    if (r.partition && (*r.partition < 0 || *r.partition >= count)) {
      return Error(ErrorCode::invalid_argument, "no such partition of " + r.topic);
    }
    const std::size_t size = r.key.size() + (r.value ? r.value->size() : 0) + r.headers.encoded().size();
    if (size > record_bytes_max) return Error(ErrorCode::resource_exhausted, "a record is larger than the bus takes");
    for (const Header& h : r.headers) {
      if (h.name.find('\0') != std::string_view::npos) {
        return Error(ErrorCode::invalid_argument, "the name of a header holds a NUL");
      }
    }
    partitions.push_back(r.partition.value_or(partition_of(r.key, count)));
    bytes += size;
  }
  return {};
}

}  // namespace fleetward::bus::kafka
