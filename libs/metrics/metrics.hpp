// Our own health in numbers: counters, gauges and histograms, read as Prometheus text (exposition format 0.0.4).
//
// A metric is made once, by its owner, with Registry::counter(...) and the like, and kept as a reference; using it is
// an atomic add. Thread-safe. A registry holds at most series_max series; past that, new label sets share one series
// with the label values "other", and fleetward_metrics_series_dropped_total counts them.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace fleetward::metrics {

using Labels = std::vector<std::pair<std::string, std::string>>;

class Counter {
 public:
  void add(std::uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

class Gauge {
 public:
  void set(double value) { value_.store(value, std::memory_order_relaxed); }
  void add(double delta);
  [[nodiscard]] double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

// Cumulative buckets with fixed upper bounds; values in base units (seconds, bytes).
class Histogram {
 public:
  explicit Histogram(std::vector<double> upper_bounds);
  void observe(double value);
  [[nodiscard]] const std::vector<double>& upper_bounds() const { return bounds_; }
  [[nodiscard]] std::vector<std::uint64_t> counts() const;  // not cumulative; one more than bounds, the last is +Inf
  [[nodiscard]] double sum() const { return sum_.value(); }

 private:
  std::vector<double> bounds_;
  std::unique_ptr<std::atomic<std::uint64_t>[]> counts_;
  Gauge sum_;
};

// Bounds for latencies, 0.1 ms to 10 s.
std::vector<double> latency_bounds();

class Registry {
 public:
  explicit Registry(std::size_t series_max = 10'000) : series_max_(series_max) {}
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  // The same name and labels give the same object. Name and help are the owner's constants.
  Counter& counter(std::string_view name, std::string_view help, const Labels& labels = {});
  Gauge& gauge(std::string_view name, std::string_view help, const Labels& labels = {});
  Histogram& histogram(std::string_view name, std::string_view help, std::vector<double> upper_bounds,
                       const Labels& labels = {});

  [[nodiscard]] std::string to_prometheus_text() const;

 private:
  struct Family;
  template <class T, class... Args>
  T& series(std::string_view name, std::string_view help, const Labels& labels, Args&&... args);

  std::size_t series_max_;
  mutable std::mutex mutex_;
  std::size_t series_count_ = 0;
  Counter dropped_;
  std::map<std::string, std::shared_ptr<Family>, std::less<>> families_;
};

}  // namespace fleetward::metrics
