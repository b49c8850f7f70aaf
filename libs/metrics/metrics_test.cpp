#include "metrics/metrics.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fleetward::metrics {
namespace {

using ::testing::HasSubstr;

TEST(Metrics, PrometheusText) {
  Registry registry;
  registry.counter("reports_total", "Reports.", {{"result", "applied"}}).add(3);
  registry.counter("reports_total", "Reports.", {{"result", "a\"b"}}).add();
  registry.gauge("open", "Open.").set(1.5);
  auto& latency = registry.histogram("wait_seconds", "Wait.", {0.1, 1});
  latency.observe(0.05);
  latency.observe(0.1);
  latency.observe(7);
  const std::string text = registry.to_prometheus_text();
  EXPECT_THAT(text, HasSubstr("# TYPE reports_total counter\n"));
  EXPECT_THAT(text, HasSubstr("reports_total{result=\"applied\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("reports_total{result=\"a\\\"b\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("open 1.5\n"));
  EXPECT_THAT(text, HasSubstr("wait_seconds_bucket{le=\"0.1\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("wait_seconds_bucket{le=\"+Inf\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("wait_seconds_count 3\n"));
}

TEST(Metrics, SeriesAreBounded) {
  Registry registry(2);
  for (int i = 0; i < 10; ++i) registry.counter("c", "C.", {{"id", std::to_string(i)}}).add();
  const std::string text = registry.to_prometheus_text();
  EXPECT_THAT(text, HasSubstr("c{id=\"other\"} 8\n"));
  EXPECT_THAT(text, HasSubstr("fleetward_metrics_series_dropped_total 8\n"));
}

TEST(Metrics, SameNameAndLabelsAreTheSameObject) {
  Registry registry;
  EXPECT_EQ(&registry.counter("c", "C."), &registry.counter("c", "C."));
}

}  // namespace
}  // namespace fleetward::metrics
