#include "simulation/group_oracle.hpp"

namespace fleetward::simulation {

GroupOracle::Claim GroupOracle::on_assigned(const bus::ConsumerOptions& member, const bus::Position& start) {
  const Claim claim = claims_.size() + 1;
  claims_[claim] = {member.member, start.offset, false};
  universe_.note(
      fmt::format("group {}: {} has partition {} from {}", member.group, member.member, start.partition, start.offset));
  return claim;
}

void GroupOracle::on_write(const Written& written) {
  for (const bus::OffsetCommit& o : written.offsets) take(o);
}

void GroupOracle::on_refused(const Offset& offset, Claim claim) {
  const auto [from, to] = under_way_.equal_range(offset);
  const auto unit = std::find_if(from, to, [claim](const auto& u) { return u.second == claim; });
  if (unit != to) under_way_.erase(unit);
}

bool GroupOracle::may_commit(const Owner& owner, Claim claim) const {
  const auto found = claims_.find(claim);
  if (found == claims_.end() || found->second.is_over) return false;
  return owner.claims.contains(claim) || owner.committed < 0 || found->second.start == owner.committed;
}

void GroupOracle::take(const bus::OffsetCommit& commit) {
  Owner& owner = owners_[{commit.group, commit.topic, commit.partition}];
  const auto [from, to] = under_way_.equal_range({commit.group, commit.topic, commit.partition, commit.next_offset});
  std::set<Claim> by;
  for (auto unit = from; unit != to; ++unit) {
    if (may_commit(owner, unit->second)) by.insert(unit->second);
  }
  const std::string where = fmt::format("group {}, partition {}", commit.group, commit.partition);
  if (by.empty())
    return universe_.fail(fmt::format("{}: a unit of work of one that had lost it was taken, up to {} after {}", where,
                                      commit.next_offset, owner.committed));
  if (commit.next_offset < owner.committed)
    universe_.fail(fmt::format("{}: goes back from {} to {}", where, owner.committed, commit.next_offset));
  if (!owner.claims.empty() && claims_[*owner.claims.begin()].member != claims_[*by.begin()].member) ++moves_;
  for (const Claim before : owner.claims) claims_[before].is_over = !by.contains(before);
  owner = {std::move(by), commit.next_offset};
}

}  // namespace fleetward::simulation
