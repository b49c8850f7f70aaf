#include "services/detector/shown.hpp"

#include <fmt/format.h>

#include <array>

namespace fleetward::detector {
namespace {

// Of the partitions that are held, together.
struct Sums {
  std::array<std::uint64_t, detect::outcome_count> outcomes{};
  std::size_t devices = 0;
  std::size_t paused = 0;
  std::size_t not_evaluated = 0;
  std::uint64_t problems = 0;
  std::uint64_t other_dimension_counts = 0;
};

Sums sums_of(const Partitions& partitions) {
  Sums sums;
  for (const auto& [number, p] : partitions) {
    if (p->waits_for_room) ++sums.paused;
    if (!p->engine) continue;
    const detect::Counters& counters = p->engine->counters();
    sums.devices += p->engine->device_count();
    sums.not_evaluated = std::max(sums.not_evaluated, p->engine->behaviors_not_evaluated());
    sums.problems += counters.custom_metric_problems;
    sums.other_dimension_counts += counters.other_dimension_counts;
    for (std::size_t i = 0; i < sums.outcomes.size(); ++i) sums.outcomes[i] += counters.outcomes[i];
  }
  return sums;
}

std::string mebibytes(std::size_t bytes) {
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / static_cast<double>(1 << 20));
}

std::string why_paused(const Partitions& partitions, std::size_t state_bytes_max) {
  std::string numbers;
  std::size_t bytes = 0;
  for (const auto& [number, p] : partitions) {
    if (!p->waits_for_room) continue;
    numbers += fmt::format("{}{}", numbers.empty() ? "" : ", ", number);
    bytes += p->bytes_needed;
  }
  if (numbers.empty()) return {};
  return fmt::format(
      "degraded: its devices are not watched in paused partitions ({}): their state (at least {}) does not fit beside "
      "the {} that are held; raise detector.state_bytes_max ({}), or start another detector",
      numbers, mebibytes(bytes), mebibytes(state_bytes(partitions)), mebibytes(state_bytes_max));
}

}  // namespace

std::size_t state_bytes(const Partitions& partitions) {
  std::size_t bytes = 0;
  for (const auto& [number, p] : partitions) {
    if (p->engine) bytes += p->engine->state_bytes();
    else if (p->is_being_read) bytes += std::max(p->bytes_read, p->bytes_needed);
  }
  return bytes;
}

void show_partitions(const Partitions& partitions, metrics::Registry& metrics) {
  const Sums sums = sums_of(partitions);
  for (std::size_t i = 0; i < sums.outcomes.size(); ++i) {
    const std::string name(to_string(static_cast<detect::Outcome>(i)));
    metrics
        .gauge("fleetward_detector_records",
               "Records of the owned partitions by where they ended, since their log began", {{"outcome", name}})
        .set(static_cast<double>(sums.outcomes[i]));
  }
  const auto gauge = [&metrics](std::string_view name, std::string_view help, auto value) {
    metrics.gauge(name, help).set(static_cast<double>(value));
  };
  gauge("fleetward_detector_devices", "Devices whose state is held", sums.devices);
  gauge("fleetward_detector_state_bytes", "Memory of device states, roughly", state_bytes(partitions));
  gauge("fleetward_detector_custom_metric_problems", "Custom metrics in reports that were not taken", sums.problems);
  gauge("fleetward_detector_other_dimension_counts",
        "Counts of gateways under a version of a dimension that was not in force, so that they were not judged",
        sums.other_dimension_counts);
  gauge("fleetward_detector_behaviors_not_evaluated",
        "Behaviors in force that are stored but not evaluated: machine learning, of what is gone, of a cohort too many",
        sums.not_evaluated);
  gauge("fleetward_detector_partitions", "Partitions owned", partitions.size());
  gauge("fleetward_detector_partitions_paused",
        "Partitions owned and not read, because their state does not fit into detector.state_bytes_max", sums.paused);
}

std::string why_not_ready(const Partitions& partitions, std::size_t state_bytes_max) {
  if (partitions.empty()) return "no partition is assigned";
  if (std::string paused = why_paused(partitions, state_bytes_max); !paused.empty()) return paused;
  if (const std::size_t held = state_bytes(partitions); held > state_bytes_max) {
    return fmt::format(
        "degraded: the state of one partition ({}) is more than detector.state_bytes_max ({}): raise it, partitions "
        "cannot be divided",
        mebibytes(held), mebibytes(state_bytes_max));
  }
  for (const auto& [number, p] : partitions) {
    if (!p->why_not_ready.empty()) return fmt::format("partition {}: {}", number, p->why_not_ready);
  }
  return {};
}

}  // namespace fleetward::detector
