#include "detect/program.hpp"

#include <algorithm>
#include <cstring>

#include "detect/cohorts.hpp"
#include "detect/validate.hpp"

namespace fleetward::detect {
namespace {

template <class T, class From>
std::vector<T> sorted(const std::vector<From>& from) {
  std::vector<T> out;
  out.reserve(from.size());
  for (const From& item : from) out.push_back(static_cast<T>(item));
  std::sort(out.begin(), out.end());
  return out;
}

bool compile_statistical(CompiledBehavior& b, const std::vector<std::string>& cohorts) {
  if (!is_comparable(b.kind)) return false;
  const auto name = cohort_of(b.profile->name, *b.source, b.scope.dimension.version);
  if (!name) return false;
  const auto at = std::lower_bound(cohorts.begin(), cohorts.end(), *name);
  if (at == cohorts.end() || *at != *name) return false;
  const fleet::BehaviorCriteria& c = *b.source->criteria;
  const auto& names = fleet::statistic_names;
  b.statistical = true;
  b.cohort = static_cast<std::uint16_t>(at - cohorts.begin());
  b.statistic = static_cast<std::uint8_t>(std::find(names.begin(), names.end(), *c.statistic) - names.begin());
  b.op = *c.comparison_operator;
  b.datapoints_to_alarm = static_cast<std::uint8_t>(c.datapoints_to_alarm);
  b.datapoints_to_clear = static_cast<std::uint8_t>(c.datapoints_to_clear);
  if (b.kind == MetricKind::summed) b.panes = static_cast<std::uint8_t>(*c.duration_seconds / pane_seconds);
  return true;
}

// Fills in what the criteria say; false when this engine does not evaluate the behavior.
bool compile_criteria(CompiledBehavior& b, const std::vector<std::string>& cohorts) {
  if (b.source->dimension && b.scope.is_whole()) return false;
  const CriteriaKind kind = criteria_kind(*b.source);
  if (kind == CriteriaKind::statistical) return compile_statistical(b, cohorts);
  if (kind != CriteriaKind::static_threshold) return false;
  const fleet::BehaviorCriteria& c = *b.source->criteria;
  if (!c.comparison_operator || !c.value || !is_allowed(b.kind, *c.comparison_operator)) return false;
  using Op = fleet::ComparisonOperator;
  b.op = *c.comparison_operator;
  b.negated = b.op == Op::not_in_cidr_set || b.op == Op::not_in_port_set || b.op == Op::not_in_set;
  b.datapoints_to_alarm = static_cast<std::uint8_t>(c.datapoints_to_alarm);
  b.datapoints_to_clear = static_cast<std::uint8_t>(c.datapoints_to_clear);
  switch (b.kind) {
    case MetricKind::summed:
      if (!c.duration_seconds || !is_duration(*c.duration_seconds)) return false;
      b.panes = static_cast<std::uint8_t>(*c.duration_seconds / pane_seconds);
      [[fallthrough]];
    case MetricKind::per_message:
    case MetricKind::state:
    case MetricKind::minutes_away:
      if (c.value->count) b.threshold = static_cast<double>(*c.value->count);
      else if (c.value->number) b.threshold = *c.value->number;
      else return false;
      return true;
    case MetricKind::ports:
      if (!c.value->ports) return false;
      b.ports = sorted<std::uint16_t>(*c.value->ports);
      return true;
    case MetricKind::numbers:
      if (!c.value->numbers) return false;
      b.numbers = sorted<double>(*c.value->numbers);
      return true;
    case MetricKind::strings:
      if (!c.value->strings) return false;
      b.strings = sorted<std::string>(*c.value->strings);
      return true;
    case MetricKind::addresses: {
      if (!c.value->cidrs) return false;
      auto set = report::CidrSet::parse(*c.value->cidrs);
      if (!set) return false;
      b.cidrs = std::move(*set);
      return true;
    }
  }
  return false;
}

Scope scope_of(const fleet::MetricDimension& wanted, const std::vector<fleet::DimensionVersion>& dimensions) {
  for (const fleet::DimensionVersion& known : dimensions) {
    if (known.dimension == wanted.name) return {known, wanted.negated};
  }
  return {};
}

std::uint16_t ring_of(Program& program, const CompiledBehavior& b) {
  for (std::size_t i = 0; i < program.rings.size(); ++i) {
    if (program.rings[i].metric != b.metric || program.rings[i].scope != b.scope) continue;
    program.rings[i].panes = std::max(program.rings[i].panes, b.panes);
    return static_cast<std::uint16_t>(i);
  }
  program.rings.push_back({b.metric, b.scope, b.panes, 0, {}});
  return static_cast<std::uint16_t>(program.rings.size() - 1);
}

void add_vote(Program& program, const CompiledBehavior& b) {
  const auto known =
      std::find_if(program.votes.begin(), program.votes.end(), [&](const Vote& v) { return v.cohort == b.cohort; });
  if (known == program.votes.end()) {
    program.votes.push_back({b.cohort, b.kind == MetricKind::summed, b.ring, b.panes, 0});
  }
}

// The words that hold a pane's value, after all else.
void place_votes(Program& program, const std::vector<std::string>& cohorts) {
  for (Vote& vote : program.votes) {
    program.fingerprint = stable_hash(cohorts[vote.cohort], program.fingerprint);
    if (vote.is_summed) continue;
    vote.word = static_cast<std::uint16_t>(program.state_words++);
    for (CompiledBehavior& b : program.behaviors) {
      if (b.evaluated && b.statistical && b.cohort == vote.cohort) b.vote_word = vote.word;
    }
  }
}

void place(Program& program, CompiledBehavior& b, std::uint16_t index, std::optional<std::size_t> custom) {
  if (custom) {
    program.on_custom[*custom].push_back(index);
  } else if (b.kind == MetricKind::summed) {
    b.ring = ring_of(program, b);
    program.rings[b.ring].behaviors.push_back(index);
  } else if (b.kind == MetricKind::minutes_away) {
    program.on_pane.push_back(index);
  } else if (info(b.metric).side == MetricSide::cloud) {
    program.on_cloud.push_back(index);
  } else {
    program.on_report.push_back(index);
  }
}

}  // namespace

std::shared_ptr<const Program> compile(const std::vector<std::shared_ptr<const fleet::SecurityProfile>>& profiles,
                                       const report::CustomMetricTable& customs,
                                       const std::vector<fleet::DimensionVersion>& dimensions,
                                       const std::vector<std::string>& cohorts) {
  auto program = std::make_shared<Program>();
  program->on_custom.resize(customs.size());
  for (const auto& profile : profiles) {
    program->fingerprint = stable_hash(fleet::profile_key(profile->name, profile->version), program->fingerprint);
    for (const fleet::Behavior& behavior : profile->behaviors) {
      if (program->behaviors.size() >= behaviors_per_program_max) {
        ++program->not_evaluated;
        continue;
      }
      const auto index = static_cast<std::uint16_t>(program->behaviors.size());
      CompiledBehavior b;
      b.profile = profile;
      b.source = &behavior;
      std::optional<std::size_t> custom;
      bool known = true;
      if (const MetricInfo* metric = find_metric(behavior.metric)) {
        b.metric = metric->metric;
        b.kind = metric->kind;
        if (behavior.dimension && has_dimension(b.metric)) b.scope = scope_of(*behavior.dimension, dimensions);
      } else {
        custom = customs.find(behavior.metric);
        known = custom.has_value();
        if (custom) b.kind = kind_of(customs[*custom].type);
      }
      b.evaluated = known && compile_criteria(b, cohorts);
      if (b.evaluated && !b.scope.is_whole()) {
        program->fingerprint = stable_hash(fleet::dimension_key(b.scope.dimension.dimension, b.scope.dimension.version),
                                           program->fingerprint + index);
      }
      if (b.evaluated) place(*program, b, index, custom);
      if (b.evaluated && b.statistical) add_vote(*program, b);
      if (!b.evaluated && behavior.criteria) ++program->not_evaluated;
      program->behaviors.push_back(std::move(b));
    }
  }
  program->state_words = program->behaviors.size();
  for (std::size_t i = 0; i < program->rings.size(); ++i) {
    Ring& ring = program->rings[i];
    ring.word = static_cast<std::uint16_t>(program->state_words);
    program->state_words += 1U + ring.panes;
    auto& side = info(ring.metric).side == MetricSide::cloud ? program->cloud_rings : program->report_rings;
    side.push_back(static_cast<std::uint16_t>(i));
    // What has its ring depends on the custom metrics too only through behaviors that are gone: keep the layout told.
    program->fingerprint = stable_hash(info(ring.metric).name, program->fingerprint + ring.panes);
  }
  place_votes(*program, cohorts);
  return program;
}

bool is_same_rule(const CompiledBehavior& a, const CompiledBehavior& b) {
  return a.source->metric == b.source->metric && a.source->dimension == b.source->dimension && a.scope == b.scope &&
         a.source->criteria == b.source->criteria;
}

std::uint64_t stable_hash(std::string_view bytes, std::uint64_t seed) {
  constexpr std::uint64_t k = 0x9e3779b97f4a7c15ULL;
  std::uint64_t hash = (seed ^ bytes.size()) * k + k;
  const auto mix = [&hash](std::uint64_t word) {
    hash = (hash ^ word) * k;
    hash ^= hash >> 29;
  };
  std::size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, 8);
    if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);
    mix(word);
  }
  std::uint64_t rest = 0;
  for (std::size_t i = 0; at < bytes.size(); ++at, ++i) {
    rest |= std::uint64_t{static_cast<unsigned char>(bytes[at])} << (8 * i);
  }
  mix(rest);
  hash *= 0xbf58476d1ce4e5b9ULL;
  return hash ^ hash >> 32;
}

}  // namespace fleetward::detect
