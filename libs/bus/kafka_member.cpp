#include "bus/kafka_member.hpp"

#include <algorithm>
#include <thread>

#include "log/log.hpp"

namespace fleetward::bus::kafka {
namespace {

using Clock = std::chrono::steady_clock;

std::string to_bytes(const rd_kafka_consumer_group_metadata_t& metadata) {
  void* bytes = nullptr;
  std::size_t size = 0;
  const Failure failure(rd_kafka_consumer_group_metadata_write(&metadata, &bytes, &size));
  if (failure) return {};
  std::string out(static_cast<const char*>(bytes), size);
  rd_kafka_mem_free(nullptr, bytes);
  return out;
}

}  // namespace

Result<std::shared_ptr<GroupMember>> GroupMember::make(KafkaCorePtr core, const ConsumerOptions& options) {
  const std::string session_ms = std::to_string(options.session_timeout.count());
  // By heartbeats a member hears of a rebalance: often enough for a hand-over in good time.
  const Millis heartbeat = std::clamp(options.session_timeout / 5, Millis(1), Millis(500));
  ClientSettings settings;
  settings.settings = {{"group.id", options.group},
                       {"group.instance.id", options.member},
                       {"partition.assignment.strategy", "cooperative-sticky"},
                       {"session.timeout.ms", session_ms},
                       {"max.poll.interval.ms", session_ms},
                       {"heartbeat.interval.ms", std::to_string(heartbeat.count())},
                       {"isolation.level", "read_committed"},
                       {"enable.auto.commit", "false"},
                       {"enable.auto.offset.store", "false"},
                       {"auto.offset.reset", "earliest"},
                       {"fetch.error.backoff.ms", "50"},
                       {"queued.max.messages.kbytes", "262144"}};  // with the default of 64 MB a quick reader starves
  settings.events = RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_REBALANCE;
  Result<Client> client = make_client(RD_KAFKA_CONSUMER, core->options, settings);
  if (!client) return client.error();
  std::shared_ptr<GroupMember> out(new GroupMember(std::move(core), options));
  out->client_ = std::move(*client);
  rd_kafka_poll_set_consumer(out->client_.get());
  out->queue_.reset(rd_kafka_queue_get_consumer(out->client_.get()));
  return out;
}

void GroupMember::listen(async::Event* ready) {
  const auto notify = [](rd_kafka_t*, void* event) { static_cast<async::Event*>(event)->notify(); };
  rd_kafka_queue_cb_event_enable(queue_.get(), ready == nullptr ? nullptr : +notify, ready);
}

Status GroupMember::join() {
  const Partitions topics = make_partitions(options_.topic, {{RD_KAFKA_PARTITION_UA, RD_KAFKA_OFFSET_INVALID}});
  const rd_kafka_resp_err_t code = rd_kafka_subscribe(client_.get(), topics.get());
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return to_error(code, "join group " + options_.group);
  return {};
}

// A transaction is committed under the membership of the last assignment: by that the broker refuses it when the
// membership is over. One without a member would not be checked at all, so it is as good as none.
Status GroupMember::note_membership() {
  membership_.reset(rd_kafka_consumer_group_metadata(client_.get()));
  if (!membership_) return Error(ErrorCode::unavailable, "kafka: group " + options_.group + " says nothing of itself");
  const GroupMetadata nobody(
      rd_kafka_consumer_group_metadata_new_with_genid(options_.group.c_str(), -1, "", options_.member.c_str()));
  if (to_bytes(*membership_) == to_bytes(*nobody)) membership_.reset();
  return {};
}

Result<std::vector<Position>> GroupMember::assign(const std::vector<std::int32_t>& partitions) {
  std::vector<Position> start;
  if (!partitions.empty()) {
    // Waits for a transaction of the owner before that is about to move an offset: at most as long as one may take.
    const auto committed = core_->lookup->committed(options_.group, options_.topic, partitions);
    if (!committed) return committed.error();
    for (const std::int32_t p : partitions) {
      const auto found =
          std::find_if(committed->begin(), committed->end(), [p](const Position& c) { return c.partition == p; });
      const Result<PartitionBounds> bounds = core_->lookup->bounds(options_.topic, p);
      if (!bounds) return bounds.error();
      start.push_back({p, found == committed->end() ? bounds->begin : std::max(found->offset, bounds->begin)});
    }
  }
  const Partitions list = make_partitions(options_.topic, start);
  const Failure failure(rd_kafka_incremental_assign(client_.get(), list.get()));
  if (failure) return to_error(*failure, "take partitions of " + options_.topic);
  if (const Status noted = note_membership(); !noted) return noted.error();
  return start;
}

Status GroupMember::give_up(const std::vector<std::int32_t>& partitions) {
  std::vector<Position> positions;
  for (const std::int32_t p : partitions) positions.push_back({p, RD_KAFKA_OFFSET_INVALID});
  const Partitions list = make_partitions(options_.topic, positions);
  const Failure failure(rd_kafka_incremental_unassign(client_.get(), list.get()));
  if (failure) return to_error(*failure, "give partitions of " + options_.topic + " up");
  return note_membership();
}

Status GroupMember::pause(std::int32_t partition) {
  const Partitions list = make_partitions(options_.topic, {{partition, RD_KAFKA_OFFSET_INVALID}});
  const rd_kafka_resp_err_t code = rd_kafka_pause_partitions(client_.get(), list.get());
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return to_error(code, "pause");
  return {};
}

Status GroupMember::resume(std::int32_t partition) {
  const Partitions list = make_partitions(options_.topic, {{partition, RD_KAFKA_OFFSET_INVALID}});
  const rd_kafka_resp_err_t code = rd_kafka_resume_partitions(client_.get(), list.get());
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return to_error(code, "resume");
  return {};
}

Status GroupMember::seek(Position to) {
  const Partitions list = make_partitions(options_.topic, {to});
  const Failure failure(rd_kafka_seek_partitions(client_.get(), list.get(), to_int(core_->options.request_limit)));
  if (failure) return to_error(*failure, "seek");
  const rd_kafka_resp_err_t code = list->elems[0].err;
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return to_error(code, "seek");
  return {};
}

Result<std::vector<Position>> GroupMember::commit(const std::vector<Position>& offsets,
                                                  const std::vector<OutRecord>& records,
                                                  const std::vector<std::int32_t>& places) {
  const Error gone(ErrorCode::fenced, "a newer owner has the partition");
  if (has_lost()) return gone;
  const Partitions list = make_partitions(options_.topic, offsets);
  if (records.empty()) {
    const Status committed = commit_offsets(*list);
    if (!committed) return committed.error();
    return std::vector<Position>();
  }
  if (!membership_) return gone;
  return transactions_.commit(records, places, *list, *membership_);
}

// Refused by the broker as well when the membership is over; a transaction is not needed for that.
Status GroupMember::commit_offsets(const rd_kafka_topic_partition_list_t& offsets) {
  const std::string what = "commit offsets of group " + options_.group;
  const Queue answers(rd_kafka_queue_new(client_.get()));
  const rd_kafka_resp_err_t asked = rd_kafka_commit_queue(client_.get(), &offsets, answers.get(), nullptr, nullptr);
  if (asked != RD_KAFKA_RESP_ERR_NO_ERROR) return to_error(asked, what);
  const Event answer(rd_kafka_queue_poll(answers.get(), to_int(core_->options.request_limit)));
  if (!answer) return Error(ErrorCode::unavailable, "kafka: " + what + ": no answer in time");
  rd_kafka_resp_err_t code = rd_kafka_event_error(answer.get());
  const rd_kafka_topic_partition_list_t* const done = rd_kafka_event_topic_partition_list(answer.get());
  for (int i = 0; done != nullptr && i < done->cnt && code == RD_KAFKA_RESP_ERR_NO_ERROR; ++i)
    code = done->elems[i].err;
  if (code == RD_KAFKA_RESP_ERR__FATAL)
    return Error(ErrorCode::fenced, "another member of the same name has taken over");
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return to_error(code, what);
  return {};
}

Result<std::vector<PartitionBounds>> GroupMember::lags(const std::vector<std::int32_t>& partitions) {
  std::vector<PartitionBounds> out;
  for (const std::int32_t p : partitions) {
    Result<PartitionBounds> bounds = core_->lookup->bounds(options_.topic, p);
    if (!bounds) return bounds.error();
    out.push_back(*bounds);
  }
  return out;
}

Status GroupMember::leave() {
  constexpr Millis limit{3'000};
  constexpr int step_ms = 20;
  const Clock::time_point end = Clock::now() + limit;
  rd_kafka_resp_err_t code = rd_kafka_unsubscribe(client_.get());
  const auto is_member = [this] {
    char* const id = rd_kafka_memberid(client_.get());
    const bool is = id != nullptr && *id != '\0';
    if (id != nullptr) rd_kafka_mem_free(client_.get(), id);
    return is;
  };
  // A static member leaves only here: closing alone would keep its partitions for its name.
  while (is_member() && Clock::now() < end) {
    const Event event(rd_kafka_queue_poll(queue_.get(), step_ms));
    if (!event || rd_kafka_event_type(event.get()) != RD_KAFKA_EVENT_REBALANCE) continue;
    const bool is_assign = rd_kafka_event_error(event.get()) == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
    rd_kafka_topic_partition_list_t* const list = rd_kafka_event_topic_partition_list(event.get());
    const Failure failure(is_assign ? rd_kafka_incremental_assign(client_.get(), list)
                                    : rd_kafka_incremental_unassign(client_.get(), list));
    if (failure) code = rd_kafka_error_code(failure.get());
  }
  if (is_member() && code == RD_KAFKA_RESP_ERR_NO_ERROR) code = RD_KAFKA_RESP_ERR__TIMED_OUT;
  const rd_kafka_resp_err_t closed = rd_kafka_consumer_close(client_.get());
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR) code = closed;
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return {};
  log::warn("kafka_leave_failed", {{"group", options_.group}, {"error", rd_kafka_err2str(code)}});
  return to_error(code, "leave group " + options_.group);
}

}  // namespace fleetward::bus::kafka
