#include "report_maker.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace fleetsim {
namespace {

using fleetward::json::Value;

Value parsed(const ReportMaker& maker, std::int64_t id, bool infected = false) {
  auto value = fleetward::json::parse(maker.make(id, infected));
  EXPECT_TRUE(value.ok());
  return value ? *value : Value();
}

TEST(ReportMaker, SameSeedThingAndNumberGiveTheSameBytes) {
  const ReportMaker a({.seed = 7}, "cam-001", 0);
  const ReportMaker b({.seed = 7}, "cam-001", 0);
  EXPECT_EQ(a.make(3, false), b.make(3, false));
  EXPECT_EQ(a.make(3, true), b.make(3, true));
  EXPECT_NE(a.make(3, false), a.make(4, false));
  EXPECT_NE(a.make(3, false), ReportMaker({.seed = 8}, "cam-001", 0).make(3, false));
  EXPECT_NE(a.make(3, false), ReportMaker({.seed = 7}, "cam-002", 0).make(3, false));
}

TEST(ReportMaker, DevicesWriteAsRealAgentsDo) {
  const Value with_long = parsed(ReportMaker({}, "a", 0), 5);
  EXPECT_EQ(with_long["header"]["report_id"], 5);
  EXPECT_TRUE(with_long["metrics"]["listening_tcp_ports"]["ports"][0].contains("port"));
  EXPECT_TRUE(with_long["custom_metrics"]["cpu-usage"][0]["number"].is_number());

  const Value with_short = parsed(ReportMaker({}, "a", 1), 5);
  EXPECT_EQ(with_short["hed"]["rid"], 5);
  EXPECT_TRUE(with_short["met"]["tp"]["pts"][0].contains("pt"));
  EXPECT_TRUE(with_short["met"]["ns"].contains("bo"));

  const Value mixed = parsed(ReportMaker({}, "a", 2), 5);
  EXPECT_TRUE(mixed["met"]["tp"]["pts"][0].contains("port")) << "short blocks with long fields inside";
}

TEST(ReportMaker, TheInfectionIsInTheNumbers) {
  const ReportMaker maker({}, "cam-001", 0);
  for (std::int64_t id = 1; id <= 50; ++id) {
    const Value normal = parsed(maker, id)["metrics"];
    const Value infected = parsed(maker, id, true)["metrics"];
    EXPECT_LT(normal["network_stats"]["bytes_out"], 10'000);
    EXPECT_GT(infected["network_stats"]["bytes_out"], 5'000'000);
    const auto listens = [](const Value& metrics) {
      std::set<int> ports;
      for (const Value& entry : metrics["listening_tcp_ports"]["ports"]) ports.insert(entry["port"].get<int>());
      return ports;
    };
    EXPECT_FALSE(listens(normal).contains(48101));
    EXPECT_TRUE(listens(infected).contains(48101));
    for (const Value& connection : normal["tcp_connections"]["established_connections"]["connections"]) {
      const auto remote = connection["remote_addr"].get<std::string>();
      EXPECT_TRUE(remote.starts_with("198.51.100.") || remote.starts_with("10.20.0.")) << remote;
    }
    int scanned = 0;
    for (const Value& connection : infected["tcp_connections"]["established_connections"]["connections"]) {
      const auto remote = connection["remote_addr"].get<std::string>();
      if (remote.ends_with(":23") || remote.ends_with(":2323")) ++scanned;
    }
    EXPECT_EQ(scanned, 40);
    EXPECT_GT(infected["tcp_connections"]["established_connections"]["total"], 100);
  }
}

TEST(ReportMaker, NoCustomMetricWhenNoneIsWanted) {
  EXPECT_FALSE(parsed(ReportMaker({.custom_metric = ""}, "a", 0), 1).contains("custom_metrics"));
}

}  // namespace
}  // namespace fleetsim
