#include "bus/kafka_report.hpp"

#include <algorithm>
#include <charconv>
#include <thread>

#include "bus/kafka_lookup.hpp"

namespace fleetward::bus {
namespace kafka {
namespace {

KafkaTopicFacts facts_of(const rd_kafka_metadata_topic_t& topic) {
  KafkaTopicFacts out;
  out.partitions = topic.partition_cnt;
  for (int p = 0; p < topic.partition_cnt; ++p) {
    const rd_kafka_metadata_partition_t& partition = topic.partitions[p];
    out.copies = p == 0 ? partition.replica_cnt : std::min(out.copies, partition.replica_cnt);
    if (partition.leader < 0) ++out.without_leader;
    if (partition.isr_cnt < partition.replica_cnt) ++out.not_in_sync;
  }
  return out;
}

// The first answer, once there is one.
Status wait_for_answer(Lookup& lookup, Millis limit) {
  constexpr Millis pause{100};
  const auto end = std::chrono::steady_clock::now() + limit;
  for (;;) {
    const auto addresses = lookup.addresses();
    if (addresses) return {};
    if (!is_retryable(addresses.error().code) || std::chrono::steady_clock::now() > end) return addresses.error();
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace

Result<KafkaFacts> Lookup::facts(const std::vector<TopicSpec>& specs) {
  const Result<Metadata> found = metadata(true, nullptr);
  if (!found) return found.error();
  KafkaFacts out;
  out.brokers = (*found)->broker_cnt;
  std::vector<std::string> names;
  for (int t = 0; t < (*found)->topic_cnt; ++t) {
    const rd_kafka_metadata_topic_t& topic = (*found)->topics[t];
    const bool is_asked = std::any_of(specs.begin(), specs.end(), [&](const auto& s) { return s.name == topic.topic; });
    if (!is_asked || topic.partition_cnt == 0) continue;
    out.topics.emplace(topic.topic, facts_of(topic));
    names.emplace_back(topic.topic);
  }
  if (names.empty()) return out;
  auto settings = settings_of_topics(names);
  if (!settings) return settings.error();
  for (auto& [name, entries] : *settings) out.topics[name].settings = std::move(entries);
  return out;
}

}  // namespace kafka

Result<KafkaFacts> look_at_kafka(const KafkaOptions& options, const std::vector<TopicSpec>& topics) {
  if (const Status good = kafka::check(options); !good) return good.error();
  const auto lookup = kafka::Lookup::make(options);
  if (!lookup) return lookup.error();
  if (const Status answered = kafka::wait_for_answer(**lookup, options.request_limit); !answered) {
    return answered.error().with_context("no broker of " + options.bootstrap + " answers");
  }
  return (*lookup)->facts(topics);
}

std::vector<std::string> wrong_settings(const TopicSpec& spec, const KafkaTopicFacts& facts) {
  std::vector<std::string> out;
  for (const auto& [name, wanted] : kafka::settings_of(spec, facts.copies)) {
    const auto at = facts.settings.find(name);
    const std::string is = at == facts.settings.end() ? "not known" : at->second;
    std::int64_t has = 0;
    std::int64_t needs = 0;
    const auto read = [](const std::string& text, std::int64_t& number) {
      return std::from_chars(text.data(), text.data() + text.size(), number).ptr == text.data() + text.size();
    };
    if (!read(wanted, needs)) {
      if (is != wanted) out.push_back(fmt::format("{} is {} and should be {}", name, is, wanted));
      continue;
    }
    // More is never wrong; -1 is without end.
    const bool is_enough = read(is, has) && (has < 0 || (needs >= 0 && has >= needs));
    if (is_enough) continue;
    if (needs < 0) out.push_back(fmt::format("{} is {} and should be without end (-1)", name, is));
    else out.push_back(fmt::format("{} is {} and should be at least {}", name, is, wanted));
  }
  return out;
}

}  // namespace fleetward::bus
