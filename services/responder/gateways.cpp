#include "services/responder/gateways.hpp"

#include "core/text.hpp"

namespace fleetward::responder {
namespace {

using fleet::GatewayHeartbeat;
using fleet::GatewayStanding;

constexpr std::size_t named_max = 3;

}  // namespace

bool Gateways::note(GatewayHeartbeat h, Instant now) {
  if (h.collector) return false;  // it lets nobody in
  const auto found = heartbeats_.find(h.instance);
  const bool is_news = found == heartbeats_.end() || found->second.start_number != h.start_number ||
                       fleet::standing_of(found->second, nullptr, now) != GatewayStanding::live || h.stopping;
  if (h.stopping) {
    heartbeats_.erase(h.instance);
    tests_.erase(h.instance);
    is_full_ = is_full_ && heartbeats_.size() >= gateways_max;
    return is_news;
  }
  if (found == heartbeats_.end() && heartbeats_.size() >= gateways_max) {
    is_full_ = true;
    return false;
  }
  heartbeats_[h.instance] = std::move(h);
  return is_news;
}

void Gateways::set_gone(std::vector<fleet::GoneGateway> all) {
  gone_.clear();
  for (fleet::GoneGateway& g : all) gone_.insert_or_assign(g.instance, std::move(g));
}

const fleet::GoneGateway* Gateways::gone(const std::string& instance) const {
  const auto found = gone_.find(instance);
  return found == gone_.end() ? nullptr : &found->second;
}

std::vector<Gateways::Known> Gateways::known(Instant now) const {
  std::vector<Known> out;
  for (const auto& [instance, h] : heartbeats_) {
    const fleet::GoneGateway* word = gone(instance);
    Known& known = out.emplace_back(Known{h, fleet::standing_of(h, word, now), std::nullopt});
    if (known.standing == GatewayStanding::gone) known.gone = *word;
  }
  return out;
}

std::string Gateways::silence(Instant now) const {
  std::vector<std::string> named;
  std::size_t silent = 0;
  for (const auto& [instance, h] : heartbeats_) {
    if (fleet::standing_of(h, gone(instance), now) != GatewayStanding::silent) continue;
    if (++silent <= named_max)
      named.push_back(fmt::format("{} (since {})", printable(instance, 128), to_rfc3339(h.lease_end)));
  }
  if (silent == 0) return {};
  if (silent > named_max) named.push_back(fmt::format("{} more", silent - named_max));
  return fmt::format(
      "gateway {} is silent and may still let the device in: start it again, or when its machine is no more: fleetward "
      "gateways forget NAME",
      fmt::join(named, ", "));
}

std::map<GatewayStanding, std::size_t> Gateways::count(Instant now) const {
  std::map<GatewayStanding, std::size_t> out;
  for (const auto& [instance, h] : heartbeats_) ++out[fleet::standing_of(h, gone(instance), now)];
  return out;
}

std::vector<GatewayHeartbeat> Gateways::take_due(Instant now, Millis every, Millis retry) {
  std::vector<GatewayHeartbeat> out;
  for (const auto& [instance, h] : heartbeats_) {
    if (under_test_.contains(instance) || fleet::standing_of(h, nullptr, now) != GatewayStanding::live) continue;
    const auto test = tests_.find(instance);
    const bool is_due = test == tests_.end() || test->second.start_number != h.start_number ||
                        has_passed(test->second.at, now, test->second.fault.empty() ? every : retry);
    if (!is_due) continue;
    under_test_.insert(instance);
    out.push_back(h);
  }
  return out;
}

void Gateways::note_test(const GatewayHeartbeat& tested, const std::optional<std::string>& fault, Instant now) {
  under_test_.erase(tested.instance);
  if (fault && heartbeats_.contains(tested.instance)) tests_[tested.instance] = {tested.start_number, now, *fault};
}

std::string Gateways::distrust(const GatewayHeartbeat& h) const {
  const auto test = tests_.find(h.instance);
  if (test == tests_.end() || test->second.start_number != h.start_number)
    return "its refusals prove nothing yet: no probe for a thing that is free was let through";
  if (test->second.fault.empty()) return {};
  return "its refusals prove nothing: " + test->second.fault;
}

}  // namespace fleetward::responder
