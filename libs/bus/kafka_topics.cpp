// Lookup's part that makes topics, and looks whether those that are there are what we need.
#include <algorithm>
#include <thread>

#include "bus/kafka_lookup.hpp"
#include "log/log.hpp"

namespace fleetward::bus::kafka {
namespace {

using NewTopic = Owned<rd_kafka_NewTopic_t, rd_kafka_NewTopic_destroy>;
using Resource = Owned<rd_kafka_ConfigResource_t, rd_kafka_ConfigResource_destroy>;

// Of a table what is younger is not compacted: a relay may have to read it back. One with a retention keeps what was
// replaced only for that, and not much longer, so that reading it whole stays short however often it is written.
constexpr Millis table_keep{24 * 3'600'000};
constexpr int compacted_within = 5;  // retentions

const char* cleanup_of(const TopicSpec& spec) { return spec.kind == TopicKind::table ? "compact" : "delete"; }

Result<NewTopic> new_topic(const TopicSpec& spec, std::int64_t replication) {
  std::array<char, 256> text{};
  NewTopic topic(rd_kafka_NewTopic_new(spec.name.c_str(), spec.partitions, static_cast<int>(replication), text.data(),
                                       text.size()));
  if (!topic) return Error(ErrorCode::invalid_argument, fmt::format("kafka: topic {}: {}", spec.name, text.data()));
  for (const auto& [name, value] : settings_of(spec, replication)) {
    const rd_kafka_resp_err_t code = rd_kafka_NewTopic_set_config(topic.get(), name.c_str(), value.c_str());
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return to_error(code, "topic " + spec.name);
  }
  return topic;
}

Error wrong(const TopicSpec& spec, std::string_view what, std::string_view is, std::string_view should) {
  return Error(ErrorCode::failed_precondition,
               fmt::format("kafka: topic {} has {} {} and needs {}: set it so, or let Fleetward make the topic",
                           spec.name, what, is, should));
}

Status check_entry(const TopicSpec& spec, std::string_view name, std::string_view value) {
  if (name == "cleanup.policy" && value != cleanup_of(spec)) return wrong(spec, name, value, cleanup_of(spec));
  if (name == "message.timestamp.type" && value != "LogAppendTime") return wrong(spec, name, value, "LogAppendTime");
  return {};
}

}  // namespace

std::map<std::string, std::string> settings_of(const TopicSpec& spec, std::int64_t replication) {
  std::map<std::string, std::string> out{
      {"cleanup.policy", cleanup_of(spec)},
      {"message.timestamp.type", "LogAppendTime"},
      {"max.message.bytes", std::to_string(record_bytes_max + 2 * record_overhead_max)},
      {"min.insync.replicas", replication >= 3 ? "2" : "1"},
  };
  if (spec.kind == TopicKind::table) {
    const bool is_kept_long = spec.retention <= Millis(0);
    out["min.compaction.lag.ms"] = std::to_string((is_kept_long ? table_keep : spec.retention).count());
    if (!is_kept_long) out["max.compaction.lag.ms"] = std::to_string((compacted_within * spec.retention).count());
    return out;
  }
  out["retention.ms"] = std::to_string(spec.retention > Millis(0) ? spec.retention.count() : -1);
  return out;
}

Status Lookup::ensure_topics(const std::vector<TopicSpec>& specs) {
  const auto there = partition_counts();
  if (!there) return there.error();
  std::vector<TopicSpec> missing;
  for (const TopicSpec& spec : specs) {
    const auto found = there->find(spec.name);
    if (found == there->end()) {
      missing.push_back(spec);
    } else if (found->second != spec.partitions) {
      return Error(ErrorCode::failed_precondition,
                   fmt::format("kafka: topic {} has {} partitions and needs {}: the count is fixed at installation; "
                               "start with the count that is there, or move to a new installation",
                               spec.name, found->second, spec.partitions));
    }
  }
  if (!missing.empty()) {
    if (const Status made = create(missing); !made) return made;
    if (const Status seen = wait_created(missing); !seen) return seen;
  }
  return check_settings(specs);
}

Status Lookup::create(const std::vector<TopicSpec>& specs) {
  std::vector<NewTopic> topics;
  for (const TopicSpec& spec : specs) {
    Result<NewTopic> topic = new_topic(spec, options_.replication);
    if (!topic) return topic.error();
    topics.push_back(std::move(*topic));
  }
  std::vector<rd_kafka_NewTopic_t*> all;
  all.reserve(topics.size());
  for (const NewTopic& topic : topics) all.push_back(topic.get());
  const Result<Event> answer = ask(RD_KAFKA_ADMIN_OP_CREATETOPICS, "make topics",
                                   [&](rd_kafka_t* client, const rd_kafka_AdminOptions_t* o, rd_kafka_queue_t* queue) {
                                     rd_kafka_CreateTopics(client, all.data(), all.size(), o, queue);
                                   });
  if (!answer) return answer.error();
  std::size_t count = 0;
  const rd_kafka_topic_result_t** const results =
      rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(answer->get()), &count);
  for (std::size_t i = 0; i < count; ++i) {
    const rd_kafka_resp_err_t code = rd_kafka_topic_result_error(results[i]);
    const char* const name = rd_kafka_topic_result_name(results[i]);
    // Another process made it meanwhile: it is looked at like one that was there before.
    if (code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) continue;
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
      return to_error(code, fmt::format("make topic {}", name), rd_kafka_topic_result_error_string(results[i]));
    }
    log::info("kafka_topic_made", {{"topic", name}});
  }
  return {};
}

Status Lookup::wait_created(const std::vector<TopicSpec>& specs) {
  constexpr Millis pause{20};
  const auto end = std::chrono::steady_clock::now() + options_.request_limit;
  for (;;) {
    const auto there = partition_counts();
    if (!there && !is_retryable(there.error().code)) return there.error();
    const auto is_missing = [&](const TopicSpec& s) { return !there || !there->contains(s.name); };
    const auto first = std::find_if(specs.begin(), specs.end(), is_missing);
    if (first == specs.end()) break;
    if (std::chrono::steady_clock::now() > end) {
      return Error(ErrorCode::unavailable, "kafka: topic " + first->name + " has no leaders yet; retry");
    }
    std::this_thread::sleep_for(pause);
  }
  const auto there = partition_counts();
  if (!there) return there.error();
  for (const TopicSpec& spec : specs) {
    const auto found = there->find(spec.name);
    if (found != there->end() && found->second != spec.partitions) {
      return wrong(spec, "partitions", std::to_string(found->second), std::to_string(spec.partitions));
    }
  }
  return {};
}

Status Lookup::check_settings(const std::vector<TopicSpec>& specs) {
  std::vector<std::string> names;
  for (const TopicSpec& spec : specs) names.push_back(spec.name);
  const auto found = settings_of_topics(names);
  if (!found) return found.error();
  for (const TopicSpec& spec : specs) {
    const auto entries = found->find(spec.name);
    if (entries == found->end()) continue;
    for (const auto& [name, value] : entries->second) {
      if (const Status good = check_entry(spec, name, value); !good) return good;
    }
  }
  return {};
}

Result<std::map<std::string, std::map<std::string, std::string, std::less<>>>> Lookup::settings_of_topics(
    const std::vector<std::string>& names) {
  std::vector<Resource> resources;
  std::vector<rd_kafka_ConfigResource_t*> all;
  for (const std::string& name : names) {
    resources.emplace_back(rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, name.c_str()));
    all.push_back(resources.back().get());
  }
  const Result<Event> answer = ask(RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, "the settings of topics",
                                   [&](rd_kafka_t* client, const rd_kafka_AdminOptions_t* o, rd_kafka_queue_t* queue) {
                                     rd_kafka_DescribeConfigs(client, all.data(), all.size(), o, queue);
                                   });
  if (!answer) return answer.error();
  std::map<std::string, std::map<std::string, std::string, std::less<>>> out;
  std::size_t count = 0;
  const rd_kafka_ConfigResource_t** const found =
      rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(answer->get()), &count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::string name = rd_kafka_ConfigResource_name(found[i]);
    const rd_kafka_resp_err_t code = rd_kafka_ConfigResource_error(found[i]);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return to_error(code, fmt::format("the settings of topic {}", name));
    std::size_t entries = 0;
    const rd_kafka_ConfigEntry_t** const all_of_it = rd_kafka_ConfigResource_configs(found[i], &entries);
    for (std::size_t k = 0; k < entries; ++k) {
      const char* const value = rd_kafka_ConfigEntry_value(all_of_it[k]);
      out[name][rd_kafka_ConfigEntry_name(all_of_it[k])] = value == nullptr ? "" : value;
    }
  }
  return out;
}

}  // namespace fleetward::bus::kafka
