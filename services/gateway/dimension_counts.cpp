#include "services/gateway/dimension_counts.hpp"

namespace fleetward::gateway {
namespace {

constexpr std::size_t addresses_max = 16;      // of a series and span; further ones are the same news
constexpr std::size_t topic_bytes_kept = 256;  // longer ones are looked at each time
const std::string source_address = "aws:source-ip-address";

}  // namespace

static_assert(DimensionPlan::dimensions_max <= 64, "a bit each");

std::shared_ptr<const DimensionPlan> DimensionPlan::make(std::vector<detect::DimensionUse> uses) {
  if (uses.empty()) return nullptr;
  auto plan = std::make_shared<DimensionPlan>();
  std::size_t filters = 0;
  for (detect::DimensionUse& use : uses) {
    const std::size_t more = use.dimension.topic_filters.size();
    if (plan->uses.size() >= dimensions_max || filters + more > filters_max) {
      plan->left_out.push_back(use.dimension.name);
      continue;
    }
    filters += more;
    plan->uses.push_back(std::move(use));
  }
  return plan;
}

const std::array<std::string, DimensionCounts::metric_count>& DimensionCounts::names() {
  static const std::array<std::string, metric_count> all = {
      "aws:num-messages-sent", "aws:message-byte-size", "aws:num-messages-received", "aws:num-authorization-failures"};
  return all;
}

// Devices mostly stay with one topic: what it is in is kept.
void DimensionCounts::look_at(const Plan& plan, std::string_view thing, std::string_view topic) {
  if (plan_ == plan && topic_ == topic && !topic.empty()) return;
  if (plan_ != plan) {
    plan_ = plan;
    places_.assign(2 * plan->uses.size(), 0);
  }
  topic_ = topic.size() <= topic_bytes_kept ? topic : std::string_view();
  in_ = 0;
  for (std::size_t i = 0; i < plan->uses.size(); ++i) {
    if (fleet::is_in(plan->uses[i].dimension, thing, topic)) in_ |= std::uint64_t{1} << i;
  }
}

template <class Take>
void DimensionCounts::each_side(Take take) {
  for (std::size_t i = 0; i < plan_->uses.size(); ++i) {
    const bool negated = (in_ >> i & 1) == 0;
    const std::set<std::string>& wanted = negated ? plan_->uses[i].not_in : plan_->uses[i].in;
    if (!wanted.empty()) take(i, negated, wanted);
  }
}

DimensionCounts::Series* DimensionCounts::series(std::size_t use, bool negated) {
  std::size_t& place = places_[2 * use + (negated ? 1 : 0)];
  if (place != 0) return &waiting_[place - 1];
  if (waiting_.size() >= fleet::dimension_deltas_max) {
    ++dropped_;
    return nullptr;
  }
  const fleet::Dimension& dimension = plan_->uses[use].dimension;
  waiting_.push_back({{dimension.name, dimension.version}, negated, {}, {}});
  place = waiting_.size();
  return &waiting_.back();
}

void DimensionCounts::add(std::size_t use, bool negated, const std::set<std::string>& wanted, Metric metric,
                          double value) {
  if (!wanted.contains(names()[metric])) return;
  Series* s = series(use, negated);
  if (s != nullptr) fleet::add_to(s->counts[metric], value);
}

void DimensionCounts::sent(const Plan& plan, std::string_view thing, std::string_view topic, std::size_t bytes,
                           std::string_view address) {
  look_at(plan, thing, topic);
  each_side([&](std::size_t use, bool negated, const auto& wanted) {
    add(use, negated, wanted, messages_sent, 1);
    add(use, negated, wanted, message_bytes, static_cast<double>(bytes));
    if (!wanted.contains(source_address)) return;
    Series* s = series(use, negated);
    if (s == nullptr || s->addresses.size() >= addresses_max) return;
    if (std::find(s->addresses.begin(), s->addresses.end(), address) == s->addresses.end())
      s->addresses.emplace_back(address);
  });
}

void DimensionCounts::received(const Plan& plan, std::string_view thing, std::string_view topic) {
  look_at(plan, thing, topic);
  each_side(
      [&](std::size_t use, bool negated, const auto& wanted) { add(use, negated, wanted, messages_received, 1); });
}

void DimensionCounts::refused(const Plan& plan, std::string_view thing, std::string_view topic) {
  look_at(plan, thing, topic);
  each_side(
      [&](std::size_t use, bool negated, const auto& wanted) { add(use, negated, wanted, authorization_failures, 1); });
}

void DimensionCounts::hand_out(std::vector<fleet::DimensionDelta>& out) {
  for (Series& s : waiting_) {
    fleet::DimensionDelta& delta = out.emplace_back();
    delta.dimension = std::move(s.dimension);
    delta.negated = s.negated;
    delta.source_addresses = std::move(s.addresses);
    for (std::size_t i = 0; i < metric_count; ++i) {
      if (s.counts[i].count > 0) delta.metrics.emplace(names()[i], s.counts[i]);
    }
  }
  waiting_.clear();
  std::fill(places_.begin(), places_.end(), 0);
}

}  // namespace fleetward::gateway
