#include "bus/kafka_lookup.hpp"

#include <algorithm>
#include <thread>

namespace fleetward::bus::kafka {
namespace {

using AdminOptions = Owned<rd_kafka_AdminOptions_t, rd_kafka_AdminOptions_destroy>;

// What passes by itself within so long (a leader that moves, a transaction that is about to end) is no error.
constexpr Millis retry_limit{1'000};
// A question that went to a broker that is gone is put to it three times before anybody looks for who leads now.
constexpr Millis answer_limit{3'000};
// While no broker answers: how long one is waited for, and how long nobody asks after that.
constexpr Millis look_while_away{500};

std::string socket_limit(const KafkaOptions& options) {
  return std::to_string(std::min(options.request_limit, answer_limit).count());
}

template <class Work>
auto with_retries(const Work& work) {
  constexpr Millis pause{20};
  const auto end = std::chrono::steady_clock::now() + retry_limit;
  auto result = work();
  while (!result && result.error().code == ErrorCode::unavailable && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(pause);
    result = work();
  }
  return result;
}

}  // namespace

Status learn_topic(rd_kafka_t* client, const std::string& topic, Millis limit) {
  const Topic handle(rd_kafka_topic_new(client, topic.c_str(), nullptr));
  const rd_kafka_metadata_t* found = nullptr;
  const rd_kafka_resp_err_t code = rd_kafka_metadata(client, 0, handle.get(), &found, to_int(limit));
  const Metadata owned(found);
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return to_error(code, "ask for topic " + topic);
  return {};
}

Result<std::unique_ptr<Lookup>> Lookup::make(const KafkaOptions& options) {
  std::unique_ptr<Lookup> out(new Lookup(options));
  ClientSettings settings;
  settings.settings = {{"isolation.level", "read_uncommitted"}, {"socket.timeout.ms", socket_limit(options)}};
  settings.failed = on_error;
  settings.opaque = out.get();
  Result<Client> client = make_client(RD_KAFKA_CONSUMER, options, settings);
  if (!client) return client.error();
  out->client_ = std::move(*client);
  return out;
}

// Called by whoever polls the client: metadata().
void Lookup::on_error(rd_kafka_t*, int code, const char* reason, void* opaque) {
  const Error error = to_error(static_cast<rd_kafka_resp_err_t>(code), "the brokers", reason);
  if (error.code != ErrorCode::unauthenticated) return;  // the log has it, and what fails for it tells it
  auto* const self = static_cast<Lookup*>(opaque);
  const std::lock_guard lock(self->mutex_);
  self->refused_ = error;
  // librdkafka #4895, mended in 2.6.1: before it, a broker that takes SCRAM at its word does not let it in.
  constexpr int mended_in = 0x02060100;
  if (rd_kafka_version() < mended_in && self->options_.sasl_mechanism.starts_with("SCRAM")) {
    self->refused_ = Error(error.code, error.message +
                                           "; are the credentials right, then it is because this librdkafka cannot do "
                                           "SCRAM with Kafka 4: use PLAIN over TLS, or a client certificate");
  }
}

// While nobody answers there is no use in asking, partition after partition: who stops would wait for each, and the
// client waits longer than it is told to. metadata(), which does not, finds out that they are back.
Status Lookup::refuse_while_away() {
  const auto is_due = [this] { return std::chrono::steady_clock::now() - asked_at_.load() >= look_while_away; };
  if (is_away_ && is_due()) (void)metadata(false, nullptr);  // what it learns is in is_away_
  if (!is_away_) return {};
  return Error(ErrorCode::unavailable, "kafka: no broker answers");
}

void Lookup::note_answer(rd_kafka_resp_err_t code) {
  asked_at_ = std::chrono::steady_clock::now();
  is_away_ = code == RD_KAFKA_RESP_ERR__TIMED_OUT || code == RD_KAFKA_RESP_ERR__TRANSPORT ||
             code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || code == RD_KAFKA_RESP_ERR__WAIT_COORD;
}

Result<Metadata> Lookup::metadata(bool of_all, rd_kafka_topic_t* topic) {
  const rd_kafka_metadata_t* found = nullptr;
  const Millis limit = is_away_ ? std::min(options_.request_limit, look_while_away) : options_.request_limit;
  const rd_kafka_resp_err_t code = rd_kafka_metadata(client_.get(), of_all ? 1 : 0, topic, &found, to_int(limit));
  note_answer(code);
  rd_kafka_poll(client_.get(), 0);
  const std::lock_guard lock(mutex_);
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
    refused_ = Status();
    return Metadata(found);
  }
  if (!refused_) return refused_.error();
  return to_error(code, "ask for the topics");
}

Result<std::map<std::string, std::int32_t, std::less<>>> Lookup::partition_counts(const std::string& topic) {
  const Topic handle(topic.empty() ? nullptr : rd_kafka_topic_new(client_.get(), topic.c_str(), nullptr));
  const Result<Metadata> found = metadata(topic.empty(), handle.get());
  if (!found) return found.error();
  std::map<std::string, std::int32_t, std::less<>> out;
  for (int t = 0; t < (*found)->topic_cnt; ++t) {
    const rd_kafka_metadata_topic_t& one = (*found)->topics[t];
    bool is_whole = one.err == RD_KAFKA_RESP_ERR_NO_ERROR && one.partition_cnt > 0;
    for (int p = 0; p < one.partition_cnt; ++p) is_whole = is_whole && one.partitions[p].leader >= 0;
    if (is_whole) out[one.topic] = one.partition_cnt;
  }
  return out;
}

Result<std::string> Lookup::addresses() {
  const Result<Metadata> found = metadata(false, nullptr);
  if (!found) return found.error();
  std::string out;
  for (int b = 0; b < (*found)->broker_cnt; ++b) {
    const rd_kafka_metadata_broker_t& broker = (*found)->brokers[b];
    out += fmt::format("{}{}:{}", out.empty() ? "" : ",", broker.host, broker.port);
  }
  return out;
}

Result<PartitionBounds> Lookup::bounds(const std::string& topic, std::int32_t partition) {
  if (const Status there = refuse_while_away(); !there) return there.error();
  return with_retries([&]() -> Result<PartitionBounds> {
    const Result<std::int64_t> begin = offset_at(topic, partition, RD_KAFKA_OFFSET_BEGINNING);
    if (!begin) return begin.error();
    const Result<std::int64_t> end = offset_at(topic, partition, RD_KAFKA_OFFSET_END);
    if (!end) return end.error();
    return PartitionBounds{*begin, *end};
  });
}

// By the question for times, which knows these two as well: that for the watermarks has no end in librdkafka 2.0.2
// while the broker that is known to lead the partition is gone (mended in 2.3, its #4460).
Result<std::int64_t> Lookup::offset_at(const std::string& topic, std::int32_t partition, std::int64_t which) {
  const Partitions list = make_partitions(topic, {{partition, which}});
  const Millis limit = std::min(options_.request_limit, answer_limit);
  rd_kafka_resp_err_t code = rd_kafka_offsets_for_times(client_.get(), list.get(), to_int(limit));
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR) code = list->elems[0].err;
  note_answer(code);
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return list->elems[0].offset;
  const Error error = to_error(code, fmt::format("where {}/{} ends", topic, partition));
  // Another broker may lead it by now: the next question goes there.
  const Status learnt = learn_topic(client_.get(), topic, limit);
  return learnt ? error : error.with_context(learnt.error().message);
}

Result<Event> Lookup::ask(
    rd_kafka_admin_op_t operation, std::string_view what,
    const std::function<void(rd_kafka_t*, const rd_kafka_AdminOptions_t*, rd_kafka_queue_t*)>& ask) {
  const Queue queue(rd_kafka_queue_new(client_.get()));
  const AdminOptions options(rd_kafka_AdminOptions_new(client_.get(), operation));
  std::array<char, 256> text{};
  const int limit_ms = to_int(options_.request_limit);
  rd_kafka_resp_err_t code =
      rd_kafka_AdminOptions_set_request_timeout(options.get(), limit_ms, text.data(), text.size());
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR && operation == RD_KAFKA_ADMIN_OP_CREATETOPICS) {
    code = rd_kafka_AdminOptions_set_operation_timeout(options.get(), limit_ms, text.data(), text.size());
  }
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return to_error(code, what, text.data());
  ask(client_.get(), options.get(), queue.get());
  Event answer(rd_kafka_queue_poll(queue.get(), limit_ms + 1000));
  if (!answer) return Error(ErrorCode::unavailable, fmt::format("kafka: {}: no answer in time", what));
  code = rd_kafka_event_error(answer.get());
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return to_error(code, what, rd_kafka_event_error_string(answer.get()));
  return answer;
}

// By a client that bears the group's name, and takes no part in it: the admin client's question ends the process when
// the answer comes after its time-out (librdkafka #4605).
Result<rd_kafka_t*> Lookup::client_of(const std::string& group) {
  const std::lock_guard lock(mutex_);
  if (const auto found = groups_.find(group); found != groups_.end()) return found->second.get();
  ClientSettings settings;
  settings.settings = {{"group.id", group},
                       {"isolation.level", "read_committed"},  // offsets of open transactions are waited for
                       {"enable.auto.commit", "false"},
                       {"socket.timeout.ms", socket_limit(options_)}};
  Result<Client> client = make_client(RD_KAFKA_CONSUMER, options_, settings);
  if (!client) return client.error();
  return groups_.emplace(group, std::move(*client)).first->second.get();
}

Result<std::vector<Position>> Lookup::committed(const std::string& group, const std::string& topic,
                                                const std::vector<std::int32_t>& partitions) {
  if (const Status there = refuse_while_away(); !there) return there.error();
  return with_retries([&] { return committed_now(group, topic, partitions); });
}

Result<std::vector<Position>> Lookup::committed_now(const std::string& group, const std::string& topic,
                                                    const std::vector<std::int32_t>& partitions) {
  std::vector<Position> wanted;
  for (const std::int32_t p : partitions) wanted.push_back({p, 0});
  const Result<rd_kafka_t*> client = client_of(group);
  if (!client) return client.error();
  const Partitions list = make_partitions(topic, wanted);
  const std::string what = fmt::format("the offsets of group {}", group);
  const rd_kafka_resp_err_t code = rd_kafka_committed(*client, list.get(), to_int(options_.request_limit));
  note_answer(code);
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return to_error(code, what);
  std::vector<Position> out;
  for (int i = 0; i < list->cnt; ++i) {
    const rd_kafka_topic_partition_t& p = list->elems[i];
    if (p.err != RD_KAFKA_RESP_ERR_NO_ERROR) return to_error(p.err, what);
    if (p.offset >= 0) out.push_back({p.partition, p.offset});
  }
  return out;
}

}  // namespace fleetward::bus::kafka
