// The parser against a second reader over nlohmann, on reports that are mutated from good ones: where two readers of
// the same bytes disagree, there is a way around the rules.
#include <gtest/gtest.h>

#include <random>

#include "report/test_reader.hpp"

namespace fleetward::report {
namespace {

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
  ReportParser parser;
  std::mt19937 random(20261124);
  int accepted = 0;
  int malformed = 0;
  for (int i = 0; i < 60'000; ++i) {
    const std::string text = mutate(random, seeds[static_cast<std::size_t>(i) % seeds.size()]);
    const auto other = json::parse(text, {.bytes_max = 1 << 20, .depth_max = 64});
    const auto ours = parser.parse(as_bytes(text), testing::customs());
    if (!other) {
      ++malformed;
      ASSERT_FALSE(ours.ok()) << text << "\n" << other.error().message;
      continue;
    }
    const auto plain = testing::read_plainly(*other, testing::customs());
    if (!ours) {
      ASSERT_TRUE(!plain || testing::is_stricter(ours.error().message)) << text << "\n" << ours.error().message;
      continue;
    }
    ASSERT_TRUE(plain.has_value()) << text;
    ++accepted;
    ASSERT_EQ(testing::difference(**ours, *plain), "") << text;
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
