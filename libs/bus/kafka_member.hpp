// One membership in a consumer group: the client, what it is assigned, and what is committed under it.
//
// next() never blocks and is for the consumer's scheduler; what may block runs on the member's own worker, one after
// the other, so that an assignment never changes while something is being committed under it. Whoever has the last
// reference must not be the worker itself: KafkaCore::closer takes it.
#pragma once

#include "bus/kafka_core.hpp"
#include "bus/kafka_transaction.hpp"

namespace fleetward::bus::kafka {

class GroupMember {
 public:
  static Result<std::shared_ptr<GroupMember>> make(KafkaCorePtr core, const ConsumerOptions& options);

  // ---- the consumer's scheduler
  // `ready` is notified when there is something after there was nothing; none: nobody is any more.
  void listen(async::Event* ready);
  Event next() { return Event(rd_kafka_queue_poll(queue_.get(), 0)); }
  async::LoopThread& worker() { return worker_; }

  // ---- the worker
  Status join();
  // Takes them, each from its committed offset on, or from its beginning; says where that is.
  Result<std::vector<Position>> assign(const std::vector<std::int32_t>& partitions);
  Status give_up(const std::vector<std::int32_t>& partitions);
  // Of each change of the assignment, before it is told: what is committed from then on is committed under it. False:
  // the group has dropped it meanwhile, so that its partitions are somebody else's; make another member.
  Result<bool> note_membership();
  Status pause(std::int32_t partition);
  Status resume(std::int32_t partition);
  Status seek(Position to);
  Result<std::vector<Position>> commit(const std::vector<Position>& offsets, const std::vector<OutRecord>& records,
                                       const std::vector<std::int32_t>& places);
  // Gives everything back and leaves the group at once. Without it, its name keeps its partitions until the session
  // time-out: a process that comes back sooner goes on with them. `unhandled`: a change that was taken out of next(),
  // if there is one; the client waits for its end.
  Status leave(Event unhandled);
  // Without leaving. False: it does not end in time; then it is left behind, for nobody may wait for it for ever.
  bool close(Event unhandled);
  ~GroupMember();
  GroupMember(const GroupMember&) = delete;
  GroupMember& operator=(const GroupMember&) = delete;

 private:
  GroupMember(KafkaCorePtr core, ConsumerOptions options)
      : core_(std::move(core)),
        options_(std::move(options)),
        transactions_(core_->options, "fleetward." + options_.group + "." + options_.member) {}

  rd_kafka_resp_err_t follow(Event event);
  [[nodiscard]] std::string member_id() const;
  // Whether the group has dropped it since its last change.
  [[nodiscard]] bool is_expired() const;
  Status commit_offsets(const rd_kafka_topic_partition_list_t& offsets);

  KafkaCorePtr core_;
  ConsumerOptions options_;
  Client client_;
  Queue queue_;
  std::string member_id_;     // by which the group knows it; empty: before its first assignment
  bool is_stuck_ = false;     // the client did not come back from a change at its end
  GroupMetadata membership_;  // that of the last change
  Transactions transactions_;
  async::LoopThread worker_{"kafka-member"};  // last, so that it ends first
};

}  // namespace fleetward::bus::kafka
