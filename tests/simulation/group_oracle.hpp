// What a group owes, told from what its members were told alone: a partition has one owner, and a unit of work of one
// that has lost it is not taken, whoever began it and however late it comes.
//
// Each time that a member is told that it has a partition is a claim, with the offset at which it begins. A member that
// stood still may be told when the partition is somebody else's already, so claims come in no order: but the first
// offset that is committed under a claim follows on where that claim began, an owner that another one has followed does
// not come back, and offsets do not either.
#pragma once

#include <map>
#include <set>
#include <tuple>

#include "bus/bus.hpp"
#include "simulation/durable_log.hpp"
#include "simulation/universe.hpp"

namespace fleetward::simulation {

class GroupOracle {
 public:
  using Claim = std::uint64_t;
  struct Offset {
    std::string group;
    std::string topic;
    std::int32_t partition = 0;
    std::int64_t next_offset = 0;
    auto operator<=>(const Offset&) const = default;
  };

  explicit GroupOracle(Universe& universe) : universe_(universe) {}

  // The member was told that it goes on reading there.
  Claim on_assigned(const bus::ConsumerOptions& member, const bus::Position& start);
  // A unit of work is on its way with this offset; its claim is 0 when the member had not been told of the partition.
  void on_commit(const Offset& offset, Claim claim) { under_way_.emplace(offset, claim); }
  // The bus has refused that one.
  void on_refused(const Offset& offset, Claim claim);
  void on_write(const Written& written);

  [[nodiscard]] std::size_t claims() const { return claims_.size(); }
  [[nodiscard]] std::size_t moves() const { return moves_; }  // of a partition to another member than before

 private:
  using Key = std::tuple<std::string, std::string, std::int32_t>;  // group, topic, partition
  struct Claimed {
    std::string member;
    std::int64_t start = 0;
    bool is_over = false;  // another one has committed since
  };
  struct Owner {
    std::set<Claim> claims;  // one of these: two units of work may be under way with the same offset
    std::int64_t committed = -1;
  };
  [[nodiscard]] bool may_commit(const Owner& owner, Claim claim) const;
  void take(const bus::OffsetCommit& commit);

  Universe& universe_;
  std::map<Claim, Claimed> claims_;
  std::map<Key, Owner> owners_;
  std::multimap<Offset, Claim> under_way_;
  std::size_t moves_ = 0;
};

}  // namespace fleetward::simulation
