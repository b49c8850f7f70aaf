#include "bus/groups.hpp"

#include <algorithm>

namespace fleetward::bus {

MemberId Group::join(const std::string& name, Millis session_timeout, SteadyTime now) {
  const auto older =
      std::find_if(members_.begin(), members_.end(), [&](const auto& m) { return m.second.name == name; });
  if (older != members_.end()) drop(older->first, Standing::replaced);
  for (auto& [id, dropped] : dropped_) {
    if (dropped.name == name) dropped.changes.standing = Standing::replaced;  // expired, and now it may not come back
  }
  const MemberId id = ++last_member_;
  Member& member = members_[id];
  member.name = name;
  member.session_timeout = session_timeout;
  member.last_seen = now;
  return id;
}

void Group::leave(MemberId member) {
  take_away(member, nullptr);
  members_.erase(member);
  dropped_.erase(member);
}

void Group::drop(MemberId member, Standing standing) {
  const auto found = members_.find(member);
  if (found == members_.end()) return;
  Dropped& dropped = dropped_[member];
  dropped.name = found->second.name;
  dropped.changes.standing = standing;
  take_away(member, &dropped.changes.lost);
  members_.erase(found);
}

void Group::take_away(MemberId member, std::vector<std::int32_t>* lost) {
  for (std::size_t p = 0; p < partitions_.size(); ++p) {
    if (partitions_[p].owner != member) continue;
    partitions_[p].owner = 0;
    if (lost != nullptr) lost->push_back(static_cast<std::int32_t>(p));
  }
}

Group::Changes Group::take_changes(MemberId member, SteadyTime now, bool& gave_up) {
  gave_up = false;
  const auto found = members_.find(member);
  if (found == members_.end()) {
    const auto late = dropped_.find(member);
    if (late == dropped_.end()) return {.standing = Standing::replaced};
    Changes changes = std::move(late->second.changes);
    if (changes.standing == Standing::expired) dropped_.erase(late);
    else late->second.changes = {.standing = Standing::replaced};
    return changes;
  }
  Member& m = found->second;
  m.last_seen = now;
  for (const std::int32_t p : m.revoking_told) {
    Partition& partition = partitions_[static_cast<std::size_t>(p)];
    if (partition.owner == member) partition.owner = 0;
    m.revoking.erase(p);
    gave_up = true;
  }
  m.revoking_told.clear();
  Changes changes = std::move(m.pending);
  m.pending = {};
  m.revoking_told.insert(changes.revoked.begin(), changes.revoked.end());
  return changes;
}

std::map<MemberId, std::size_t> Group::quotas() const {
  // By name, so that the same members always get the same shares.
  std::vector<std::pair<std::string, MemberId>> order;
  for (const auto& [id, member] : members_) order.emplace_back(member.name, id);
  std::sort(order.begin(), order.end());
  std::map<MemberId, std::size_t> out;
  for (std::size_t i = 0; i < order.size(); ++i) {
    out[order[i].second] = partitions_.size() / order.size() + (i < partitions_.size() % order.size() ? 1 : 0);
  }
  return out;
}

bool Group::rebalance(SteadyTime now) {
  bool changed = false;
  std::vector<MemberId> silent;
  for (const auto& [id, member] : members_) {
    if (now - member.last_seen > member.session_timeout) silent.push_back(id);
  }
  for (const MemberId id : silent) {
    drop(id, Standing::expired);
    changed = true;
  }
  if (members_.empty()) return changed;

  auto left = quotas();
  for (std::size_t p = 0; p < partitions_.size(); ++p) {
    const MemberId owner = partitions_[p].owner;
    if (owner == 0) continue;
    Member& m = members_.at(owner);
    const auto number = static_cast<std::int32_t>(p);
    if (left[owner] > 0 && !m.revoking.contains(number)) {
      --left[owner];
    } else if (m.revoking.insert(number).second) {
      m.pending.revoked.push_back(number);
      changed = true;
    }
  }
  for (std::size_t p = 0; p < partitions_.size(); ++p) {
    if (partitions_[p].owner != 0) continue;
    const auto taker = std::find_if(left.begin(), left.end(), [](const auto& entry) { return entry.second > 0; });
    if (taker == left.end()) break;
    --taker->second;
    partitions_[p].owner = taker->first;
    ++partitions_[p].epoch;
    members_.at(taker->first).pending.assigned.push_back({static_cast<std::int32_t>(p), partitions_[p].epoch});
    changed = true;
  }
  return changed;
}

bool Group::owns(MemberId member, Assignment claim) const {
  if (claim.partition < 0 || static_cast<std::size_t>(claim.partition) >= partitions_.size()) return false;
  const Partition& partition = partitions_[static_cast<std::size_t>(claim.partition)];
  return partition.owner == member && partition.epoch == claim.epoch;
}

std::optional<SteadyTime> Group::next_expiry() const {
  std::optional<SteadyTime> next;
  for (const auto& [id, member] : members_) {
    const SteadyTime expiry = member.last_seen + member.session_timeout;
    if (!next || expiry < *next) next = expiry;
  }
  return next;
}

}  // namespace fleetward::bus
