// The parser against a second reader over nlohmann, on reports that are mutated from good ones: where two readers of
// the same bytes disagree, there is a way around the rules.
#include <gtest/gtest.h>

#include <random>

#include "json/json.hpp"
#include "report/parser.hpp"

namespace fleetward::report {
namespace {

using json::Value;

const Value* field(const Value& object, const char* long_name, const char* short_name) {
  for (const char* name : {long_name, short_name}) {
    const auto at = object.find(name);
    if (at != object.end()) return at->is_null() ? nullptr : &*at;
  }
  return nullptr;
}

std::optional<std::int64_t> counter(const Value* object, const char* long_name, const char* short_name) {
  const Value* v = object == nullptr ? nullptr : field(*object, long_name, short_name);
  if (v == nullptr) return std::nullopt;
  if (!v->is_number_float()) return v->get<std::int64_t>();
  const double d = v->get<double>();
  return std::abs(d) < 1e18 ? static_cast<std::int64_t>(d) : -1;
}

std::vector<std::uint16_t> ports_of(const Value* block) {
  std::vector<std::uint16_t> out;
  const Value* list = block == nullptr ? nullptr : field(*block, "ports", "pts");
  if (list == nullptr) return out;
  for (const Value& entry : *list) {
    const Value* port = field(entry, "port", "pt");
    out.push_back(static_cast<std::uint16_t>(port->is_string()         ? std::stoi(port->get<std::string>())
                                             : port->is_number_float() ? static_cast<int>(port->get<double>())
                                                                       : port->get<int>()));
  }
  return out;
}

// What an accepted report must have been read as.
void expect_same(const Report& r, const Value& v, const CustomMetricTable& customs) {
  const Value* header = field(v, "header", "hed");
  ASSERT_NE(header, nullptr);
  EXPECT_EQ(r.report_id, *counter(header, "report_id", "rid"));
  const Value* metrics = field(v, "metrics", "met");
  const auto block = [&](const char* a, const char* b) { return metrics == nullptr ? nullptr : field(*metrics, a, b); };
  const Value* net = block("network_stats", "ns");
  EXPECT_EQ(r.bytes_in, counter(net, "bytes_in", "bi"));
  EXPECT_EQ(r.bytes_out, counter(net, "bytes_out", "bo"));
  EXPECT_EQ(r.packets_in, counter(net, "packets_in", "pi"));
  EXPECT_EQ(r.packets_out, counter(net, "packets_out", "po"));
  EXPECT_EQ(r.tcp_ports_total, counter(block("listening_tcp_ports", "tp"), "total", "t"));
  EXPECT_EQ(r.tcp_ports.items, ports_of(block("listening_tcp_ports", "tp")));
  EXPECT_EQ(r.udp_ports.items, ports_of(block("listening_udp_ports", "up")));
  const Value* tcp = block("tcp_connections", "tc");
  const Value* established = tcp == nullptr ? nullptr : field(*tcp, "established_connections", "ec");
  EXPECT_EQ(r.connections_total, counter(established, "total", "t"));
  const Value* list = established == nullptr ? nullptr : field(*established, "connections", "cs");
  ASSERT_EQ(r.connections.items.size(), list == nullptr ? 0 : list->size());
  for (std::size_t i = 0; list != nullptr && i < list->size(); ++i) {
    EXPECT_EQ(r.connections.items[i].remote,
              *parse_endpoint(field((*list)[i], "remote_addr", "rad")->get<std::string>()));
  }
  const Value* custom = field(v, "custom_metrics", "cmet");
  EXPECT_EQ(r.customs.size() + r.problem_count, custom == nullptr ? 0 : custom->size());
  for (const CustomMetricValue& taken : r.customs) {
    const fleet::CustomMetric& metric = customs[taken.metric];
    const Value& object = custom->at(metric.name).at(0);
    if (metric.type == fleet::CustomMetricType::number) {
      EXPECT_EQ(taken.number, object.at("number").get<double>());
    } else if (metric.type == fleet::CustomMetricType::string_list) {
      ASSERT_EQ(taken.count, object.at("string_list").size());
      for (std::size_t i = 0; i < taken.count; ++i) {
        EXPECT_EQ(r.strings[taken.first + i], object.at("string_list")[i].get<std::string>());
      }
    }
  }
}

const std::vector<std::string> seeds = {
    R"({"header":{"report_id":1530304554,"version":"1.0"},"metrics":{"listening_tcp_ports":{"ports":[{"interface":"eth0","port":22}],"total":1},"network_stats":{"bytes_in":10,"bytes_out":20,"packets_in":3,"packets_out":4},"tcp_connections":{"established_connections":{"connections":[{"local_interface":"lo","local_port":80,"remote_addr":"10.0.0.1:443"}],"total":1}}},"custom_metrics":{"cpu":[{"number":12.5}],"if":[{"string_list":["eth0","lo"]}]}})",
    R"({"hed":{"rid":9,"v":"1.0"},"met":{"tp":{"pts":[{"pt":"23"},{"pt":2.0}],"t":2},"up":{"pts":[],"t":0},"ns":{"bi":1,"bo":2,"pi":null,"po":4.0},"tc":{"ec":{"cs":[{"rad":"[::1]:1","lp":null}],"t":1}}},"cmet":{"cpu":[{"number":-1e3}],"nope":[{"x":[true,false,null,"\u00e9\n"]}]}})"};
const std::vector<std::string> pieces = {"{",
                                         "}",
                                         "[",
                                         "]",
                                         ",",
                                         ":",
                                         "\"",
                                         "\\",
                                         "null",
                                         "true",
                                         "-",
                                         "0",
                                         "1e400",
                                         "1.5",
                                         "-1",
                                         "\"t\":1",
                                         "\"\\u0074\":1,",
                                         "18446744073709551616",
                                         "9223372036854775807",
                                         "9223372036854775808",
                                         "\"bi\":1,",
                                         "\"bytes_in\":2,",
                                         "\xC3",
                                         "\xC3\xA9",
                                         "\x01",
                                         " ",
                                         "\"22\"",
                                         "0x1",
                                         "01",
                                         ".5",
                                         "1.",
                                         "NaN",
                                         "\\u0000",
                                         "\\ud800",
                                         "\"a\":{}",
                                         "[[",
                                         "65535",
                                         "//",
                                         std::string("\0", 1)};

std::string mutate(std::mt19937& random, std::string text) {
  const auto below = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); };
  for (std::size_t changes = below(3) + 1; changes > 0 && !text.empty(); --changes) {
    const std::size_t at = below(text.size());
    switch (below(5)) {
      case 0:
        text.erase(at, below(6) + 1);
        break;
      case 1:
        text.insert(at, pieces[below(pieces.size())]);
        break;
      case 2:
        text.replace(at, below(4) + 1, pieces[below(pieces.size())]);
        break;
      case 3:
        text[at] = static_cast<char>(below(256));
        break;
      default: {  // a part again, elsewhere: repeats and wrong nesting
        const std::string part = text.substr(at, below(30) + 1);
        text.insert(below(text.size()), part);
      }
    }
  }
  return text;
}

TEST(Differential, NeverTakesWhatTheOtherReaderRefusesNorReadsItOtherwise) {
  const CustomMetricTable customs(
      {{"cpu", fleet::CustomMetricType::number, ""}, {"if", fleet::CustomMetricType::string_list, ""}});
  ReportParser parser;
  std::mt19937 random(20261124);
  int accepted = 0;
  int malformed = 0;
  for (int i = 0; i < 60'000; ++i) {
    const std::string text = mutate(random, seeds[static_cast<std::size_t>(i) % seeds.size()]);
    const auto other = json::parse(text, {.bytes_max = 1 << 20, .depth_max = 64});
    const auto ours = parser.parse(as_bytes(text), customs);
    if (!other) ++malformed;
    if (!ours) continue;
    ASSERT_TRUE(other.ok()) << text << "\n" << other.error().message;
    ++accepted;
    expect_same(**ours, *other, customs);
    if (::testing::Test::HasFailure()) FAIL() << text;
  }
  EXPECT_GT(accepted, 3'000) << "mutations must leave enough good reports to compare";
  EXPECT_GT(malformed, 10'000);
}

// Every cut of a good report is refused: the end is looked at.
TEST(Differential, RefusesEveryPrefix) {
  ReportParser parser;
  for (const std::string& seed : seeds) {
    ASSERT_TRUE(parser.parse(as_bytes(seed), {}).ok());
    for (std::size_t n = 0; n < seed.size(); ++n) {
      EXPECT_FALSE(parser.parse(as_bytes(std::string_view(seed).substr(0, n)), {}).ok()) << n;
    }
  }
}

}  // namespace
}  // namespace fleetward::report
