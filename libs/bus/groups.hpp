// Consumer groups of the local backends: who owns which partition, and since which hand-over. Pure: time is handed in.
//
// Assignment changes only in rebalance(), which the bus runs on its writer, between commits: so a commit that found
// itself the owner is durable before anybody else can be told where to start. A member that does not poll for its
// session time is expired: its partitions go on at once. A live member that has to give a partition up is told so by
// take_changes() and keeps it until it asks again. An expired member may join anew; one that another of its name has
// replaced may not. Each assignment has an epoch of its own: what was begun under an earlier one is stale, even when
// the partition has come back to the same member.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/time.hpp"

namespace fleetward::bus {

using MemberId = std::uint64_t;
using SteadyTime = std::chrono::nanoseconds;

class Group {
 public:
  explicit Group(std::int32_t partitions) : partitions_(static_cast<std::size_t>(partitions)) {}

  enum class Standing { member, expired, replaced };
  struct Assignment {
    std::int32_t partition = 0;
    std::uint64_t epoch = 0;
  };
  struct Changes {
    std::vector<std::int32_t> revoked;
    std::vector<std::int32_t> lost;
    std::vector<Assignment> assigned;
    Standing standing = Standing::member;
  };

  // A member of the same name takes the place of the older one, which is fenced (static membership).
  MemberId join(const std::string& name, Millis session_timeout, SteadyTime now);
  void leave(MemberId member);

  // Sign of life and everything that happened to the member since it last asked. Revoked partitions that were told by
  // the call before are given up by this one; says so in `gave_up`, so that the bus rebalances. A member that has
  // expired is told so once, with what it lost, and forgotten.
  Changes take_changes(MemberId member, SteadyTime now, bool& gave_up);

  // Expires silent members and hands partitions out evenly, moving as few as can be. True when anything changed.
  bool rebalance(SteadyTime now);

  // Whether it owns the partition still by the assignment that had this epoch.
  [[nodiscard]] bool owns(MemberId member, Assignment claim) const;
  // When the next silent member expires, if there is one.
  [[nodiscard]] std::optional<SteadyTime> next_expiry() const;

 private:
  struct Member {
    std::string name;
    std::chrono::nanoseconds session_timeout{0};
    SteadyTime last_seen{0};
    std::set<std::int32_t> revoking;       // told or to be told; still owned
    std::set<std::int32_t> revoking_told;  // told by the last take_changes()
    Changes pending;
  };
  struct Partition {
    MemberId owner = 0;
    std::uint64_t epoch = 0;
  };
  struct Dropped {
    std::string name;
    Changes changes;
  };

  void drop(MemberId member, Standing standing);
  void take_away(MemberId member, std::vector<std::int32_t>* lost);
  [[nodiscard]] std::map<MemberId, std::size_t> quotas() const;

  std::vector<Partition> partitions_;
  std::map<MemberId, Member> members_;
  std::map<MemberId, Dropped> dropped_;  // what those that are members no longer have still to be told
  MemberId last_member_ = 0;
};

}  // namespace fleetward::bus
