#include "bench/kafka/bare_consumer.hpp"

#include <fmt/format.h>
#include <librdkafka/rdkafka.h>
#include <sys/resource.h>

#include <array>

#include "bench/detect/bare_loop.hpp"
#include "fleet/topics.hpp"

namespace fleetward::bench {
namespace {

constexpr std::size_t batch_records = 2'000;
constexpr int silence_ms_max = 10'000;

template <auto destroy>
struct Destroy {
  template <class T>
  void operator()(T* owned) const {
    destroy(owned);
  }
};
using Client = std::unique_ptr<rd_kafka_t, Destroy<rd_kafka_destroy>>;
using Queue = std::unique_ptr<rd_kafka_queue_t, Destroy<rd_kafka_queue_destroy>>;
using Topic = std::unique_ptr<rd_kafka_topic_t, Destroy<rd_kafka_topic_destroy>>;

double cpu_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

Result<Client> make_client(const std::string& bootstrap) {
  std::array<char, 512> text{};
  rd_kafka_conf_t* const configuration = rd_kafka_conf_new();
  const std::array<std::pair<const char*, const char*>, 2> settings = {
      std::pair("bootstrap.servers", bootstrap.c_str()),
      std::pair("queued.max.messages.kbytes", "262144")};  // as ours: with the default it starves
  for (const auto& [name, value] : settings) {
    if (rd_kafka_conf_set(configuration, name, value, text.data(), text.size()) == RD_KAFKA_CONF_OK) continue;
    rd_kafka_conf_destroy(configuration);
    return Error(ErrorCode::invalid_argument, text.data());
  }
  Client client(rd_kafka_new(RD_KAFKA_CONSUMER, configuration, text.data(), text.size()));
  if (client) return client;
  rd_kafka_conf_destroy(configuration);
  return Error(ErrorCode::invalid_argument, text.data());
}

// One batch; false when there came nothing for too long.
bool consume(rd_kafka_queue_t* queue, BareLoop& loop, Stretches& left, std::int64_t& reports) {
  std::array<rd_kafka_message_t*, batch_records> messages{};
  const auto count = rd_kafka_consume_batch_queue(queue, silence_ms_max, messages.data(), messages.size());
  for (ssize_t i = 0; i < count; ++i) {
    const rd_kafka_message_t& m = *messages[static_cast<std::size_t>(i)];
    const auto at = left.find(m.partition);
    const bool is_wanted = m.err == RD_KAFKA_RESP_ERR_NO_ERROR && at != left.end() && m.offset < at->second.end;
    // What owners say has no key.
    if (is_wanted && m.key_len > 0) {
      loop.apply({static_cast<const char*>(m.key), m.key_len}, {static_cast<const char*>(m.payload), m.len});
      ++reports;
    }
    if (is_wanted && m.offset + 1 == at->second.end) left.erase(at);
    rd_kafka_message_destroy(messages[static_cast<std::size_t>(i)]);
  }
  return count > 0;
}

}  // namespace

Result<Consumed> consume_bare(const std::string& bootstrap, std::size_t devices, const Stretches& stretches) {
  BareLoop loop(devices);
  Result<Client> client = make_client(bootstrap);
  if (!client) return client.error();
  const Queue queue(rd_kafka_queue_new(client->get()));
  const Topic topic(rd_kafka_topic_new(client->get(), std::string(fleet::topic::devices).c_str(), nullptr));
  Consumed out;
  Stretches left = stretches;
  const double cpu_before = cpu_seconds();
  const auto start = std::chrono::steady_clock::now();
  for (const auto& [partition, stretch] : stretches) {
    if (rd_kafka_consume_start_queue(topic.get(), partition, stretch.begin, queue.get()) != 0) {
      return Error(ErrorCode::unavailable, rd_kafka_err2str(rd_kafka_last_error()));
    }
  }
  while (!left.empty()) {
    if (!consume(queue.get(), loop, left, out.reports)) {
      return Error(ErrorCode::unavailable, fmt::format("{} partitions did not come to their end", left.size()));
    }
  }
  out.cpu_seconds = cpu_seconds() - cpu_before;
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  for (const auto& [partition, stretch] : stretches) rd_kafka_consume_stop(topic.get(), partition);
  return out;
}

}  // namespace fleetward::bench
