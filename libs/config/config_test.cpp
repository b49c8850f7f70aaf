#include "config/config.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

#include "config/suggest.hpp"
#include "config/yaml.hpp"

namespace fleetward::config {
namespace {

using testing::HasSubstr;
using testing::Not;

struct Peer {
  std::string url;
  bool trusted = false;
};

Section describe(Peer& c) {
  Section s("peer", "One peer");
  s.text("url", c.url, "Where it is", 64);
  s.boolean("trusted", c.trusted, "Whether it is");
  s.check([&c]() -> Status {
    if (!c.url.empty()) return {};
    return {ErrorCode::invalid_argument, "url is missing"};
  });
  return s;
}

struct Sample {
  std::string address = "127.0.0.1";
  std::int64_t port = 9464;
  double share = 0.5;
  bool drain = true;
  Millis limit{30'000};
  std::size_t body_bytes_max = 1 << 20;
  std::vector<std::string> urls;
  std::string mode = "observe";
  std::string password;
  std::vector<Peer> peers;
};

Section describe(Sample& c) {
  Section s("sample", "A sample");
  s.text("address", c.address, "Where to listen", 64);
  s.integer("port", c.port, "Port", 0, 65535);
  s.number("share", c.share, "Share", 0, 1);
  s.boolean("drain", c.drain, "Drain");
  s.duration("limit", c.limit, "Limit", Millis(1), Millis(3'600'000));
  s.size("body_bytes_max", c.body_bytes_max, "Body", 1, 1 << 30);
  s.list("urls", c.urls, "URLs", 3);
  s.choice("mode", c.mode, "Mode", {"observe", "enforce"});
  s.secret("password", c.password, "Secret");
  s.records("peers", c.peers, "Peers", 2, &describe);
  return s;
}

class ConfigTest : public testing::Test {
 protected:
  ConfigTest() { config_.add(describe(sample_)); }

  std::string file(std::string_view text) {
    path_ = testing::TempDir() + "config_test_" + std::to_string(::getpid()) + ".yaml";
    std::ofstream(path_) << text;
    return path_;
  }
  ~ConfigTest() override {
    if (!path_.empty()) std::remove(path_.c_str());
  }
  std::string problems(const Sources& sources) {
    const Status loaded = config_.load(sources);
    return loaded ? "" : loaded.error().message;
  }

  Sample sample_;
  Config config_;
  std::string path_;
};

TEST_F(ConfigTest, TakesEveryTypeFromAFile) {
  const std::string path = file(R"(
sample:
  address: "::1"
  port: 1
  share: 0.25
  drain: false
  limit: 5m
  body_bytes_max: 64KiB
  urls: [a, b]
  mode: enforce
  password: hush
)");
  ASSERT_EQ(problems({.file = path}), "");
  EXPECT_EQ(sample_.address, "::1");
  EXPECT_EQ(sample_.port, 1);
  EXPECT_EQ(sample_.share, 0.25);
  EXPECT_FALSE(sample_.drain);
  EXPECT_EQ(sample_.limit, Millis(300'000));
  EXPECT_EQ(sample_.body_bytes_max, 65536U);
  EXPECT_THAT(sample_.urls, testing::ElementsAre("a", "b"));
  EXPECT_EQ(sample_.mode, "enforce");
  EXPECT_EQ(sample_.password, "hush");
}

TEST_F(ConfigTest, FlagBeatsEnvironmentBeatsFile) {
  const std::string path = file("sample: {port: 1, share: 0.1, limit: 1s}\n");
  ASSERT_EQ(problems({.file = path,
                      .environment = {{"FLEETWARD_SAMPLE_PORT", "2"},
                                      {"FLEETWARD_SAMPLE_SHARE", "0.2"},
                                      {"FLEETWARD_TOKEN", "not a setting"},
                                      {"PATH", "/bin"}},
                      .flags = {{"sample.port", "3"}, {"sample.urls", "x, y,"}}}),
            "");
  EXPECT_EQ(sample_.port, 3);
  EXPECT_EQ(sample_.share, 0.2);
  EXPECT_EQ(sample_.limit, Millis(1000));
  EXPECT_THAT(sample_.urls, testing::ElementsAre("x", "y"));
}

TEST_F(ConfigTest, TellsEveryProblemInOneRunWithItsPlace) {
  const std::string path = file(R"(sample:
  port: 70000
  share: many
  limit: 30
  body_bytes_max: -1
  urls: [a, b, c, d]
  mode: enforced
  adress: x
smaple:
  port: 1
)");
  const std::string told = problems({.file = path,
                                     .environment = {{"FLEETWARD_SAMPLE_DRAIN", "yes"}, {"FLEETWARD_SAMPLE_PROT", "1"}},
                                     .flags = {{"sample.share", "2"}, {"port", "1"}}});
  EXPECT_THAT(told, HasSubstr("line 2, column 9: sample.port: is 70000, allowed are 0 to 65535"));
  EXPECT_THAT(told, HasSubstr("sample.share: must be a number"));
  EXPECT_THAT(told, HasSubstr("sample.limit: must be a duration with its unit"));
  EXPECT_THAT(told, HasSubstr("sample.body_bytes_max: must be a size"));
  EXPECT_THAT(told, HasSubstr("sample.urls: has 4 items, allowed are 3"));
  EXPECT_THAT(told, HasSubstr("is 'enforced', must be observe or enforce (did you mean 'enforce'?)"));
  EXPECT_THAT(told, HasSubstr("sample.adress: there is no such setting (did you mean 'address'?)"));
  EXPECT_THAT(told, HasSubstr("smaple: there is no such section (did you mean 'sample'?)"));
  EXPECT_THAT(told, HasSubstr("FLEETWARD_SAMPLE_DRAIN: must be true or false"));
  EXPECT_THAT(told,
              HasSubstr("FLEETWARD_SAMPLE_PROT: there is no such setting (did you mean 'FLEETWARD_SAMPLE_PORT'?)"));
  EXPECT_THAT(told, HasSubstr("--sample.share: is 2, allowed are 0 to 1"));
  EXPECT_THAT(told, HasSubstr("--port: there is no such setting"));
}

TEST_F(ConfigTest, SecretsAreNotShown) {
  EXPECT_THAT(problems({.file = file("sample: {password: [topsecret]}")}), Not(HasSubstr("topsecret")));
  sample_.password = "topsecret";
  EXPECT_THAT(config_.reference_text(), Not(HasSubstr("topsecret")));
  EXPECT_THAT(config_.reference_text(), HasSubstr("sample.password (text, secret)"));
}

TEST_F(ConfigTest, ReferenceTextNamesDefaultBoundsAndVariable) {
  const std::string text = config_.reference_text();
  EXPECT_THAT(text, HasSubstr("sample.port (whole number, 0 to 65535)"));
  EXPECT_THAT(text, HasSubstr("FLEETWARD_SAMPLE_BODY_BYTES_MAX"));
  EXPECT_THAT(text, HasSubstr("default: 30s"));
  EXPECT_THAT(text, HasSubstr("default: 1MiB"));
}

TEST_F(ConfigTest, ChecksAcrossFieldsRunWhenTheFieldsAreGood) {
  int runs = 0;
  Sample other;
  Section section("other", "");
  section.integer("port", other.port, "", 0, 10'000);
  section.check([&]() -> Status {
    ++runs;
    if (other.port == 7) return {ErrorCode::invalid_argument, "seven is taken"};
    return {};
  });
  config_.add(std::move(section));
  EXPECT_THAT(problems({.flags = {{"other.port", "7"}}}), HasSubstr("other: seven is taken"));
  EXPECT_EQ(problems({.flags = {{"other.port", "8"}}}), "");
  EXPECT_EQ(runs, 2);
  EXPECT_NE(problems({.flags = {{"other.port", "x"}}}), "");
  EXPECT_EQ(runs, 2);
}

TEST_F(ConfigTest, AMissingFileIsToldByName) {
  EXPECT_THAT(problems({.file = "/nowhere/fleetward.yaml"}), HasSubstr("/nowhere/fleetward.yaml: cannot be read"));
}

TEST(Values, DurationsAndSizes) {
  EXPECT_EQ(parse_duration("250ms").value(), Millis(250));
  EXPECT_EQ(parse_duration("7d").value(), Millis(7 * 86'400'000LL));
  for (const char* bad : {"", "5", "s", "-1s", "1 s", "1.5s", "99999999999999999999s", "9223372036854775807d"}) {
    EXPECT_FALSE(parse_duration(bad)) << bad;
  }
  EXPECT_EQ(parse_size("0").value(), 0U);
  EXPECT_EQ(parse_size("2GiB").value(), 2ULL << 30);
  EXPECT_FALSE(parse_size("2GB"));
  EXPECT_EQ(duration_text(Millis(90'000)), "90s");
  EXPECT_EQ(duration_text(Millis(0)), "0ms");
  EXPECT_EQ(size_text(1536), "1536");
}

TEST(Suggest, NearNamesOnly) {
  EXPECT_EQ(nearest_name("profle", {"profiles", "profile", "pki"}), "profile");
  EXPECT_EQ(nearest_name("thigns", {"things", "alarms"}), "things");
  EXPECT_EQ(nearest_name("xyzzy", {"things", "alarms"}), "");
  EXPECT_EQ(nearest_name(std::string(100'000, 'a'), {"things"}), "");
}

TEST_F(ConfigTest, RecordsComeFromFilesAndAsJsonFromFlags) {
  EXPECT_EQ(problems({.file = file("sample:\n  peers:\n    - url: a\n    - {url: b, trusted: true}\n")}), "");
  ASSERT_EQ(sample_.peers.size(), 2U);
  EXPECT_EQ(sample_.peers[0].url, "a");
  EXPECT_TRUE(sample_.peers[1].trusted);
  EXPECT_EQ(problems({.environment = {{"FLEETWARD_SAMPLE_PEERS", R"([{"url":"c"}])"}}}), "");
  ASSERT_EQ(sample_.peers.size(), 1U) << "they replace, as a list does";
  EXPECT_EQ(sample_.peers[0].url, "c");
}

TEST_F(ConfigTest, ABadRecordIsNamedByNumberAndSetting) {
  const auto of = [&](const char* json) { return problems({.flags = {{"sample.peers", json}}}); };
  EXPECT_THAT(of("x"), HasSubstr("list of records"));
  EXPECT_THAT(of("[1]"), HasSubstr("item 1"));
  EXPECT_THAT(of(R"([{"url":"a"},{"urk":"a"}])"), HasSubstr("item 2: there is no setting 'urk' (did you mean 'url'?)"));
  EXPECT_THAT(of(R"([{"url":1}])"), HasSubstr("item 1: url: must be text"));
  EXPECT_THAT(of(R"([{}])"), HasSubstr("item 1: url is missing"));
  EXPECT_THAT(of(R"([{"url":"a"},{"url":"a"},{"url":"a"}])"), HasSubstr("allowed are 2"));
  EXPECT_TRUE(sample_.peers.empty());
}

TEST_F(ConfigTest, WhatIsInForceCanBeLoadedAgainButShowsNoSecret) {
  ASSERT_EQ(problems({.file = file("sample:\n  address: '0: #x\"'\n  limit: 90s\n  password: hunter2\n"
                                   "  urls: [a, b]\n  peers: [{url: a}]\n")}),
            "");
  const std::string text = config_.values_text();
  EXPECT_THAT(text, Not(HasSubstr("hunter2")));
  EXPECT_THAT(text, HasSubstr("limit: \"90s\""));
  Sample again;
  Config other;
  other.add(describe(again));
  ASSERT_TRUE(other.load({.file = file(text)}));
  EXPECT_EQ(again.address, sample_.address);
  EXPECT_EQ(again.limit, sample_.limit);
  EXPECT_EQ(again.urls, sample_.urls);
  EXPECT_EQ(again.peers.size(), 1U);
  EXPECT_EQ(again.password, "********");
}

TEST_F(ConfigTest, TheSchemaSaysWhatEachFieldMayBe) {
  sample_.password = "hunter2";
  Config config;
  config.add(describe(sample_));
  const json::Value schema = config.schema("https://x.example/s", "Sample settings");
  EXPECT_THAT(json::dump(schema), Not(HasSubstr("hunter2")));
  const json::Value& fields = schema["properties"]["sample"]["properties"];
  EXPECT_EQ(fields["port"]["maximum"], 65535);
  EXPECT_EQ(fields["port"]["default"], 9464);
  EXPECT_EQ(fields["mode"]["enum"], json::Value::array({"observe", "enforce"}));
  EXPECT_EQ(fields["limit"]["default"], "30s");
  EXPECT_EQ(fields["password"]["writeOnly"], true);
  EXPECT_EQ(fields["peers"]["items"]["properties"]["trusted"]["type"], "boolean");
  EXPECT_EQ(schema["properties"]["sample"]["additionalProperties"], false);
}

TEST(Yaml, ScalarsHaveTheirType) {
  const auto parsed = parse_yaml(R"(
a: 1
b: -2.5e1
c: true
d: "true"
e: yes
f: ~
g: 18446744073709551615
h: 1.2.3.4
i: [x, {y: 0}]
j:
k: !!str 12
2323: port
)");
  ASSERT_TRUE(parsed) << to_string(parsed.error());
  const json::Value& v = parsed->value;
  EXPECT_EQ(v["a"], 1);
  EXPECT_EQ(v["b"], -25.0);
  EXPECT_EQ(v["c"], true);
  EXPECT_EQ(v["d"], "true");
  EXPECT_EQ(v["e"], "yes");
  EXPECT_TRUE(v["f"].is_null());
  EXPECT_EQ(v["g"], 18446744073709551615ULL);
  EXPECT_EQ(v["h"], "1.2.3.4");
  EXPECT_EQ(v["i"][1]["y"], 0);
  EXPECT_TRUE(v["j"].is_null());
  EXPECT_EQ(v["k"], "12");
  EXPECT_EQ(v["2323"], "port");
  EXPECT_EQ(parsed->place_of("/i/1/y").line, 10);
  EXPECT_EQ(parsed->place_of("/i/1/none").line, 10);
}

TEST(Yaml, HostileTextIsRefusedWithItsPlace) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"a: &x 1\n", "anchors"},
      {"a: [*x]\n", "line 1"},
      {"a: 1\na: 2\n", "line 2, column 1: key 'a' is there twice"},
      {"a: 1\n\"a\": 2\n", "twice"},
      {"<<: {a: 1}\n", "merge keys"},
      {"a: !binary x\n", "tags"},
      {"? [a]\n: b\n", "plain text"},
      {"a: [1, 2\n", "line"},
      {"a: .inf\n", "finite"},
      {"a: \"x\xff\"\n", "line"},
      {"a: \"never closed\nb: 1\n", "line"},
      {"a: 1\n---\nb: 2\n", "more than one document"},
  };
  for (const auto& [text, told] : cases) {
    const auto parsed = parse_yaml(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_THAT(parsed.error().message, HasSubstr(told)) << text;
  }
}

TEST(Yaml, LimitsHold) {
  EXPECT_FALSE(parse_yaml(std::string(40, '[') + std::string(40, ']')));
  EXPECT_FALSE(parse_yaml(std::string(100'000, '[')));
  EXPECT_FALSE(parse_yaml("[a, b, c, d]", {.nodes_max = 4}));
  EXPECT_TRUE(parse_yaml("[a, b, c]", {.nodes_max = 4}));
  EXPECT_EQ(parse_yaml("abc", {.bytes_max = 2}).error().code, ErrorCode::resource_exhausted);
  EXPECT_TRUE(parse_yaml("")->value.is_null());
}

}  // namespace
}  // namespace fleetward::config
