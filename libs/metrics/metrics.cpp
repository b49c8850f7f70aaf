#include "metrics/metrics.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <variant>

namespace fleetward::metrics {
namespace {

std::string escape_label(std::string_view value) {
  std::string out;
  for (const char c : value) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out;
}

std::string label_text(const Labels& labels) {
  std::string out;
  for (const auto& [name, value] : labels) {
    if (!out.empty()) out += ',';
    out += fmt::format("{}=\"{}\"", name, escape_label(value));
  }
  return out;
}

std::string sample(std::string_view name, std::string_view labels, const std::string& value) {
  return labels.empty() ? fmt::format("{} {}\n", name, value) : fmt::format("{}{{{}}} {}\n", name, labels, value);
}

std::string number(double value) {
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  return fmt::format("{}", value);
}

using Metric = std::variant<std::unique_ptr<Counter>, std::unique_ptr<Gauge>, std::unique_ptr<Histogram>>;

std::string_view type_name(const Metric& metric) {
  static constexpr std::string_view names[] = {"counter", "gauge", "histogram"};
  return names[metric.index()];
}

std::string samples(std::string_view name, const std::string& labels, const Metric& metric) {
  if (const auto* counter = std::get_if<std::unique_ptr<Counter>>(&metric)) {
    return sample(name, labels, fmt::format("{}", (*counter)->value()));
  }
  if (const auto* gauge = std::get_if<std::unique_ptr<Gauge>>(&metric))
    return sample(name, labels, number((*gauge)->value()));
  const Histogram& histogram = **std::get_if<std::unique_ptr<Histogram>>(&metric);
  const auto counts = histogram.counts();
  std::string out;
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    total += counts[i];
    const std::string bound = i < histogram.upper_bounds().size() ? number(histogram.upper_bounds()[i]) : "+Inf";
    const std::string le = fmt::format("{}{}le=\"{}\"", labels, labels.empty() ? "" : ",", bound);
    out += sample(fmt::format("{}_bucket", name), le, fmt::format("{}", total));
  }
  out += sample(fmt::format("{}_sum", name), labels, number(histogram.sum()));
  out += sample(fmt::format("{}_count", name), labels, fmt::format("{}", total));
  return out;
}

}  // namespace

void Gauge::add(double delta) {
  double old = value_.load(std::memory_order_relaxed);
  while (!value_.compare_exchange_weak(old, old + delta, std::memory_order_relaxed)) {
  }
}

Histogram::Histogram(std::vector<double> upper_bounds)
    : bounds_(std::move(upper_bounds)), counts_(new std::atomic<std::uint64_t>[bounds_.size() + 1] {}) {}

void Histogram::observe(double value) {
  const auto bucket = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
  counts_[static_cast<std::size_t>(bucket)].fetch_add(1, std::memory_order_relaxed);
  sum_.add(value);
}

std::vector<std::uint64_t> Histogram::counts() const {
  std::vector<std::uint64_t> out(bounds_.size() + 1);
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = counts_[i].load(std::memory_order_relaxed);
  return out;
}

std::vector<double> latency_bounds() {
  return {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};
}

struct Registry::Family {
  std::string help;
  std::map<std::string, Metric> series;  // by label text
};

template <class T, class... Args>
T& Registry::series(std::string_view name, std::string_view help, const Labels& labels, Args&&... args) {
  const std::lock_guard lock(mutex_);
  auto& family = families_[std::string(name)];
  if (!family) family = std::make_shared<Family>(Family{std::string(help), {}});
  std::string key = label_text(labels);
  if (!family->series.contains(key)) {
    if (series_count_ >= series_max_ && !labels.empty()) {
      dropped_.add();
      Labels shared = labels;
      for (auto& label : shared) label.second = "other";
      key = label_text(shared);
    } else {
      ++series_count_;
    }
  }
  auto& metric = family->series[key];
  auto* existing = std::get_if<std::unique_ptr<T>>(&metric);
  if (existing == nullptr || !*existing) {
    metric = std::make_unique<T>(std::forward<Args>(args)...);
    existing = std::get_if<std::unique_ptr<T>>(&metric);
  }
  return **existing;
}

Counter& Registry::counter(std::string_view name, std::string_view help, const Labels& labels) {
  return series<Counter>(name, help, labels);
}
Gauge& Registry::gauge(std::string_view name, std::string_view help, const Labels& labels) {
  return series<Gauge>(name, help, labels);
}
Histogram& Registry::histogram(std::string_view name, std::string_view help, std::vector<double> upper_bounds,
                               const Labels& labels) {
  return series<Histogram>(name, help, labels, std::move(upper_bounds));
}

std::string Registry::to_prometheus_text() const {
  const std::lock_guard lock(mutex_);
  std::string out;
  for (const auto& [name, family] : families_) {
    if (family->series.empty()) continue;
    out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, family->help, name,
                       type_name(family->series.begin()->second));
    for (const auto& [labels, metric] : family->series) out += samples(name, labels, metric);
  }
  out += fmt::format(
      "# HELP fleetward_metrics_series_dropped_total Label sets beyond the limit, merged into \"other\".\n"
      "# TYPE fleetward_metrics_series_dropped_total counter\nfleetward_metrics_series_dropped_total {}\n",
      dropped_.value());
  return out;
}

}  // namespace fleetward::metrics
