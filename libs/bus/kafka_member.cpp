#include "bus/kafka_member.hpp"

#include <algorithm>
#include <future>
#include <thread>

#include "log/log.hpp"

namespace fleetward::bus::kafka {
namespace {

using Clock = std::chrono::steady_clock;
constexpr Millis end_limit{3'000};  // for each thing that a member does at its end

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
                       {"enable.partition.eof", "true"},  // by that it is known that nothing is missing
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

std::string GroupMember::member_id() const {
  char* const id = rd_kafka_memberid(client_.get());
  std::string out = id == nullptr ? "" : id;
  if (id != nullptr) rd_kafka_mem_free(client_.get(), id);
  return out;
}

bool GroupMember::is_expired() const {
  return rd_kafka_assignment_lost(client_.get()) == 1 || (!member_id_.empty() && member_id() != member_id_);
}

// A transaction is committed under this membership: by that the broker refuses it when the membership is over. The
// client says by itself that it has lost what it had, but not when it was dropped while a change was waiting to be
// handled: then it would go on with partitions that are somebody else's. Its id in the group tells both.
Result<bool> GroupMember::note_membership() {
  if (is_expired()) return false;
  member_id_ = member_id();
  membership_.reset(rd_kafka_consumer_group_metadata(client_.get()));
  return !member_id_.empty() && membership_ != nullptr;
}

Result<std::vector<Position>> GroupMember::assign(const std::vector<std::int32_t>& partitions) {
  std::vector<Position> start;
  if (!partitions.empty()) {
    // Waits for a transaction of the owner before that is about to move an offset: at most as long as one may take.
    const auto committed = core_->lookup->committed(options_.group, options_.topic, partitions);
    if (!committed) {
      // The owner before may have been this one in another life: that what it left open is over at once.
      const Status opened = transactions_.open();
      return opened ? committed.error() : opened.error();
    }
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
  return start;
}

Status GroupMember::give_up(const std::vector<std::int32_t>& partitions) {
  std::vector<Position> positions;
  for (const std::int32_t p : partitions) positions.push_back({p, RD_KAFKA_OFFSET_INVALID});
  const Partitions list = make_partitions(options_.topic, positions);
  const Failure failure(rd_kafka_incremental_unassign(client_.get(), list.get()));
  if (failure) return to_error(*failure, "give partitions of " + options_.topic + " up");
  return {};
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
  if (is_expired() || !membership_) return gone;
  const Partitions list = make_partitions(options_.topic, offsets);
  if (records.empty()) {
    const Status committed = commit_offsets(*list);
    if (!committed) return committed.error();
    return std::vector<Position>();
  }
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

// Whatever the group wants changed is done, without anybody being told. On a thread of its own: a client that is being
// closed may never answer, and then thread and client are left behind.
rd_kafka_resp_err_t GroupMember::follow(Event event) {
  if (!event || rd_kafka_event_type(event.get()) != RD_KAFKA_EVENT_REBALANCE) return RD_KAFKA_RESP_ERR_NO_ERROR;
  if (is_stuck_) return RD_KAFKA_RESP_ERR__TIMED_OUT;
  auto done = std::make_shared<std::promise<rd_kafka_resp_err_t>>();
  auto result = done->get_future();
  std::thread([client = client_.get(), change = std::move(event), done]() mutable {
    const bool is_assign = rd_kafka_event_error(change.get()) == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
    rd_kafka_topic_partition_list_t* const list = rd_kafka_event_topic_partition_list(change.get());
    const Failure failure(is_assign ? rd_kafka_incremental_assign(client, list)
                                    : rd_kafka_incremental_unassign(client, list));
    const rd_kafka_resp_err_t code = failure ? rd_kafka_error_code(failure.get()) : RD_KAFKA_RESP_ERR_NO_ERROR;
    change.reset();
    done->set_value(code);
  }).detach();
  if (result.wait_for(end_limit) == std::future_status::ready) return result.get();
  is_stuck_ = true;
  return RD_KAFKA_RESP_ERR__TIMED_OUT;
}

Status GroupMember::leave(Event unhandled) {
  constexpr int step_ms = 20;
  const Clock::time_point end = Clock::now() + end_limit;
  rd_kafka_resp_err_t code = follow(std::move(unhandled));
  const rd_kafka_resp_err_t unsubscribed = rd_kafka_unsubscribe(client_.get());
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR) code = unsubscribed;
  // A static member leaves only here: closing alone would keep its partitions for its name.
  while (!member_id().empty() && Clock::now() < end) {
    const rd_kafka_resp_err_t followed = follow(Event(rd_kafka_queue_poll(queue_.get(), step_ms)));
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) code = followed;
  }
  if (!close(Event()) && code == RD_KAFKA_RESP_ERR_NO_ERROR) code = RD_KAFKA_RESP_ERR__TIMED_OUT;
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return {};
  log::warn("kafka_leave_failed", {{"group", options_.group}, {"error", rd_kafka_err2str(code)}});
  return to_error(code, "leave group " + options_.group);
}

// Closed in the background, while what the group wants changed is answered: the client waits for that without a limit.
bool GroupMember::close(Event unhandled) {
  constexpr int step_ms = 20;
  const Clock::time_point end = Clock::now() + end_limit;
  if (rd_kafka_consumer_closed(client_.get()) == 1) return true;
  (void)follow(std::move(unhandled));
  const Queue last(rd_kafka_queue_new(client_.get()));
  const Failure refused(rd_kafka_consumer_close_queue(client_.get(), last.get()));
  while (!refused && rd_kafka_consumer_closed(client_.get()) == 0 && Clock::now() < end) {
    (void)follow(Event(rd_kafka_queue_poll(last.get(), step_ms)));
  }
  return !is_stuck_ && rd_kafka_consumer_closed(client_.get()) == 1;
}

GroupMember::~GroupMember() {
  if (!client_ || (!is_stuck_ && rd_kafka_consumer_closed(client_.get()) == 1)) return;
  log::error("kafka_member_left_behind", {{"group", options_.group}, {"member", options_.member}});
  (void)client_.release();  // to end it now would be to wait for it
}

}  // namespace fleetward::bus::kafka
