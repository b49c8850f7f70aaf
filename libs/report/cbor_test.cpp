// Reports in CBOR: the same rules as in JSON, and what only CBOR can do wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "report/test_reader.hpp"

namespace fleetward::report {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Cbor : public ::testing::Test {
 protected:
  const Report* accepted(const Bytes& payload) {
    const auto result = parser_.parse(payload, testing::customs(), Encoding::cbor);
    EXPECT_TRUE(result.ok()) << (result ? "" : result.error().message);
    return result ? *result : nullptr;
  }
  std::string refused(const Bytes& payload) {
    const auto result = parser_.parse(payload, testing::customs(), Encoding::cbor);
    EXPECT_FALSE(result.ok()) << to_hex(payload);
    return result ? "" : result.error().message;
  }
  // A report around the CBOR of `metrics`, given as hex.
  static Bytes with_metrics(std::string_view hex) {
    Bytes out = *from_hex(
        "a2"
        "63686564"
        "a2"
        "63726964"
        "07"
        "6176"
        "63312e30"
        "636d6574");
    const auto metrics = from_hex(hex);
    EXPECT_TRUE(metrics.ok()) << hex;
    out.insert(out.end(), metrics->begin(), metrics->end());
    return out;
  }
  // {"x": VALUE} as the metrics: VALUE is nothing that a rule asks for.
  static Bytes with_unknown(std::string_view hex) {
    return with_metrics(
        "a1"
        "6178" +
        std::string(hex));
  }
  // {"ns": {"bi": VALUE}}
  static Bytes with_counter(std::string_view hex) { return with_metrics("a1626e73a1626269" + std::string(hex)); }
  static Bytes encode(const json::Value& value) { return json::Value::to_cbor(value); }

  ReportParser parser_;
};

// As the C agent writes it: lengths not told, short names, ports as text, counters that are 0 left out.
TEST_F(Cbor, ReadsTheCAgentsForm) {
  const Bytes payload = *from_hex(
      "bf"
      "63686564"
      "bf"
      "63726964"
      "1a5b2d4f00"
      "6176"
      "63312e30"
      "ff"
      "636d6574"
      "bf"
      "627470"
      "bf"
      "63707473"
      "9f"
      "bf"
      "627074"
      "623232"
      "626966"
      "6465746830"
      "ff"
      "bf"
      "627074"
      "1901bb"
      "ff"
      "ff"
      "6174"
      "02"
      "ff"
      "627463"
      "bf"
      "626563"
      "bf"
      "626373"
      "9f"
      "bf"
      "63726164"
      "6c31302e302e302e313a343433"
      "626c70"
      "653531303030"
      "ff"
      "ff"
      "6174"
      "01"
      "ff"
      "ff"
      "626e73"
      "bf"
      "626269"
      "1903e8"
      "ff"
      "ff"
      "ff");
  const Report* r = accepted(payload);
  ASSERT_NE(r, nullptr);
  EXPECT_EQ(r->report_id, 0x5b2d4f00);
  EXPECT_THAT(r->tcp_ports.items, ElementsAre(22, 443));
  EXPECT_EQ(r->tcp_ports_total, 2);
  EXPECT_EQ(r->connections.items[0].local_port, 51000);
  EXPECT_EQ(to_text(r->connections.items[0].remote.address), "10.0.0.1");
  EXPECT_EQ(r->bytes_in, 1000);
  EXPECT_EQ(r->bytes_out, std::nullopt);
}

TEST_F(Cbor, ReadsLongAndMixedNamesNullsAndFloats) {
  const Report* r = accepted(encode(*json::parse(
      R"({"header":{"rid":7,"version":"1.0"},"met":{"listening_tcp_ports":{"pts":[{"port":"8883","if":null}],"total":null},
          "listening_udp_ports":null,"ns":{"bytes_in":3.0,"bo":2}},
          "cmet":{"cpu":[{"number":12.5}],"cores":[{"number_list":[1,-2.5]}],"if":[{"string_list":["eth0"]}],
          "dns":[{"ip_list":["::1"]}],"nope":[{"number":1}]}})")));
  ASSERT_NE(r, nullptr);
  EXPECT_THAT(r->tcp_ports.items, ElementsAre(8883));
  EXPECT_EQ(r->bytes_in, 3);
  EXPECT_EQ(r->customs.size(), 4U);
  EXPECT_THAT(r->numbers, ElementsAre(1, -2.5));
  EXPECT_THAT(r->strings, ElementsAre("eth0"));
  EXPECT_EQ(r->problem_count, 1U);
}

TEST_F(Cbor, ReadsNumbersOfEveryWidth) {
  for (const std::string_view hex :
       {"18ff", "1900ff", "1a000000ff", "1b00000000000000ff", "f95bf8", "fa437f0000", "fb406fe00000000000"}) {
    const Report* r = accepted(with_counter(hex));
    ASSERT_NE(r, nullptr) << hex;
    EXPECT_EQ(r->bytes_in, 255) << hex;
  }
  EXPECT_EQ(accepted(with_counter("1b7fffffffffffffff"))->bytes_in, std::numeric_limits<std::int64_t>::max());
  EXPECT_THAT(refused(with_counter("1b8000000000000000")), HasSubstr("metrics.network_stats.bytes_in is above"));
  EXPECT_THAT(refused(with_counter("20")), HasSubstr("bytes_in is below 0"));
  EXPECT_THAT(refused(with_counter("3bffffffffffffffff")), HasSubstr("bytes_in is below 0"));
  EXPECT_THAT(refused(with_counter("f97e00")), HasSubstr("bytes_in is not a finite number"));
  EXPECT_THAT(refused(with_counter("f97c00")), HasSubstr("bytes_in is not a finite number"));
  EXPECT_THAT(refused(with_counter("f93e00")), HasSubstr("bytes_in is not a whole number"));
  EXPECT_THAT(refused(with_counter("f5")), HasSubstr("bytes_in is not a number"));
  EXPECT_THAT(refused(with_counter("4101")), HasSubstr("bytes_in is not a number"));
}

TEST_F(Cbor, JoinsTextThatComesInChunks) {
  const Report* r =
      accepted(*from_hex("a2"
                         "7f62686561"
                         "64ff"
                         "a2"
                         "63726964"
                         "01"
                         "6176"
                         "7f6131622e30ff"
                         "636d6574"
                         "a0"));
  ASSERT_NE(r, nullptr);
  EXPECT_EQ(r->version, "1.0");
  EXPECT_THAT(refused(with_unknown("7f61616162")), HasSubstr("metrics.x is cut short"));
  EXPECT_THAT(refused(with_unknown("7f4161ff")), HasSubstr("metrics.x is not well-formed CBOR"));
  EXPECT_THAT(refused(with_unknown("7f7f6161ffff")), HasSubstr("not well-formed")) << "chunks in chunks";
  EXPECT_THAT(refused(with_unknown("7f61c361a9ff")), HasSubstr("is not UTF-8")) << "a character may not be cut";
}

TEST_F(Cbor, RefusesTheSameMemberTwice) {
  EXPECT_THAT(refused(with_metrics("a1626e73a2"
                                   "62626901"
                                   "62626902")),
              HasSubstr("metrics.network_stats.bytes_in is there twice"));
  EXPECT_THAT(refused(with_metrics("a1626e73a262626901"
                                   "7f61626169ff02")),
              HasSubstr("is there twice"));
  EXPECT_THAT(refused(with_metrics("a1626e73a262626901"
                                   "6862797465735f696e02")),
              HasSubstr("is there twice"));
  EXPECT_THAT(refused(with_unknown("a2617901617902")), HasSubstr("has the member 'y' twice"));
}

TEST_F(Cbor, NamesTheFieldThatJsonCouldNotSay) {
  EXPECT_THAT(refused(with_counter("c101")),
              HasSubstr("metrics.network_stats.bytes_in has the CBOR tag 1; none is taken"));
  EXPECT_THAT(refused(with_unknown("c0613a")), HasSubstr("metrics.x has the CBOR tag 0"));
  EXPECT_THAT(refused(with_unknown("f7")), HasSubstr("metrics.x is a CBOR simple value"));
  EXPECT_THAT(refused(with_unknown("f8ff")), HasSubstr("metrics.x is a CBOR simple value"));
  EXPECT_THAT(refused(with_unknown("f818")), HasSubstr("not well-formed"));
  EXPECT_THAT(refused(with_unknown("a10102")), HasSubstr("metrics.x has a key that is not text"));
  EXPECT_THAT(refused(with_unknown("62c328")), HasSubstr("metrics.x is not UTF-8"));
  EXPECT_THAT(refused(with_metrics("a1626e73a16262694101")), HasSubstr("bytes_in is not a number"));
  EXPECT_NE(accepted(with_unknown("4401020304")), nullptr) << "bytes that no rule asks for are read past";
  EXPECT_NE(accepted(with_unknown("5f41014102ff")), nullptr);
}

TEST_F(Cbor, TakesTheMarkOfCborInFrontOnly) {
  Bytes payload = with_metrics("a0");
  payload.insert(payload.begin(), {0xd9, 0xd9, 0xf7});
  EXPECT_NE(accepted(payload), nullptr);
  payload.insert(payload.begin(), {0xd9, 0xd9, 0xf7});
  EXPECT_THAT(refused(payload), HasSubstr("report has the CBOR tag 55799"));
  EXPECT_THAT(refused(with_unknown("d9d9f701")), HasSubstr("metrics.x has the CBOR tag 55799"));
}

TEST_F(Cbor, HoldsLengthsAgainstWhatIsThere) {
  EXPECT_THAT(refused(with_unknown("7bffffffffffffffff61")), HasSubstr("metrics.x is cut short"));
  EXPECT_THAT(refused(with_unknown("9bffffffffffffffff01")), HasSubstr("is cut short"));
  EXPECT_THAT(refused(with_unknown("bbffffffffffffffff")), HasSubstr("is cut short"));
  EXPECT_THAT(refused(with_unknown("1c")), HasSubstr("not well-formed")) << "reserved";
  EXPECT_THAT(refused(with_unknown("1f")), HasSubstr("not well-formed")) << "no number is indefinite";
  EXPECT_THAT(refused(with_unknown("ff")), HasSubstr("not well-formed")) << "a break where none may be";
  EXPECT_THAT(refused(with_unknown("9f01")), HasSubstr("is cut short"));
  EXPECT_THAT(refused(with_unknown("bf6179ff")), HasSubstr("not well-formed")) << "a key without a value";
  Bytes more = with_metrics("a0");
  more.push_back(0xf6);
  EXPECT_THAT(refused(more), HasSubstr("report has bytes after its end"));
  EXPECT_THAT(refused({}), HasSubstr("is empty"));
  EXPECT_THAT(refused({0x80}), HasSubstr("is not a CBOR map"));
  EXPECT_THAT(refused(Bytes(payload_bytes_max + 1, 0xa0)), HasSubstr("larger than 131072"));
}

TEST_F(Cbor, IsBoundedInDepth) {
  std::string deep;
  for (int i = 0; i < 20; ++i) deep += "81";
  EXPECT_THAT(refused(with_unknown(deep + "01")), HasSubstr("nested deeper than 16"));
  std::string indefinite;
  for (int i = 0; i < 60'000; ++i) indefinite += "9f";
  EXPECT_THAT(refused(with_unknown(indefinite)), HasSubstr("nested deeper than 16"));
}

TEST_F(Cbor, KnowsTheIdOfARefusedReport) {
  refused(encode(*json::parse(R"({"met":{"ns":{"bi":-1}},"hed":{"rid":55,"v":"1.0"}})")));
  EXPECT_EQ(parser_.report_id(), 55);
  refused(*from_hex("a0"));
  EXPECT_EQ(parser_.report_id(), std::nullopt);
}

TEST_F(Cbor, CountsTheDigitsOfNumbersAsTheyWereSent) {
  const auto custom = [](std::string_view hex) {
    Bytes out = *from_hex(
        "a2"
        "63686564"
        "a2"
        "63726964"
        "07"
        "6176"
        "63312e30"
        "64636d6574"
        "a1"
        "63637075"
        "81"
        "a1"
        "666e756d626572");
    const Bytes number = *from_hex(hex);
    out.insert(out.end(), number.begin(), number.end());
    return out;
  };
  EXPECT_EQ(accepted(custom("fa4144cccd"))->problem_count, 0U) << "12.3 in single precision";
  EXPECT_EQ(accepted(custom("fb3fb999999999999a"))->problem_count, 0U) << "0.1";
  EXPECT_EQ(accepted(custom("fb3fd3333333333334"))->problem_count, 1U) << "0.30000000000000004";
  EXPECT_EQ(accepted(custom("1b00038d7ea4c67fff"))->problem_count, 0U) << "999999999999999";
  EXPECT_EQ(accepted(custom("1b002386f26fc0ffff"))->problem_count, 1U) << "9999999999999999";
  EXPECT_EQ(accepted(custom("29"))->customs[0].number, -10);
  EXPECT_THAT(refused(custom("3bffffffffffffffff")),
              HasSubstr("custom_metrics.cpu[0].number is a number out of range"));
}

// Every cut of a good report is refused, and none of them reads past the end.
TEST_F(Cbor, RefusesEveryPrefix) {
  const Bytes payload = with_metrics(
      "a1626e73bf626269"
      "1903e8"
      "ff");
  ASSERT_NE(accepted(payload), nullptr);
  for (std::size_t n = 0; n < payload.size(); ++n) {
    EXPECT_FALSE(parser_.parse(ByteView(payload).first(n), {}, Encoding::cbor).ok()) << n;
  }
}

TEST(Encodings, AreKnownByTheirContentType) {
  EXPECT_EQ(encoding_of(""), Encoding::json);
  EXPECT_EQ(encoding_of("application/json; charset=utf-8"), Encoding::json);
  EXPECT_EQ(encoding_of("Application/CBOR"), Encoding::cbor);
  EXPECT_EQ(encoding_of("application/cbor-seq"), std::nullopt);
  EXPECT_EQ(encoding_of("text/plain"), std::nullopt);
}

}  // namespace
}  // namespace fleetward::report
