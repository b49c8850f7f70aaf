#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "aws/routes.hpp"
#include "aws/sigv4.hpp"

namespace fleetward::aws {
namespace {

using ::testing::HasSubstr;

// The published example of the documentation "Signature Version 4 test suite": get-vanilla-query-order-key-case.
http::Request suite_request() {
  http::Request r;
  r.method = "GET";
  r.target = "/?Param2=value2&Param1=value1";
  r.headers = {{"Host", "example.amazonaws.com"},
               {"X-Amz-Date", "20150830T123600Z"},
               {"Authorization",
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
                "SignedHeaders=host;x-amz-date, "
                "Signature=b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"}};
  return r;
}
const std::string suite_secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const Instant suite_time = *parse_rfc3339("2015-08-30T12:36:00Z");

TEST(SigV4, AcceptsThePublishedExample) {
  const http::Request r = suite_request();
  ASSERT_TRUE(looks_signed(r));
  const auto claim = read_authorization(r);
  ASSERT_TRUE(claim.ok());
  EXPECT_EQ(claim->access_key_id, "AKIDEXAMPLE");
  EXPECT_TRUE(verify_signature(r, *claim, suite_secret, suite_time).ok());
}

TEST(SigV4, RefusesEveryChange) {
  const auto refused = [](const std::function<void(http::Request&)>& change, Instant now = suite_time,
                          const std::string& secret = suite_secret) {
    http::Request r = suite_request();
    change(r);
    const auto claim = read_authorization(r);
    return !claim || !verify_signature(r, *claim, secret, now);
  };
  EXPECT_TRUE(refused([](auto& r) { r.method = "POST"; }));
  EXPECT_TRUE(refused([](auto& r) { r.target = "/?Param2=value2&Param1=value3"; }));
  EXPECT_TRUE(refused([](auto& r) { r.target = "/x?Param2=value2&Param1=value1"; }));
  EXPECT_TRUE(refused([](auto& r) { r.body = "x"; }));
  EXPECT_TRUE(refused([](auto& r) { r.headers[0].value = "evil.example"; }));
  EXPECT_TRUE(refused([](auto& r) { r.headers.erase(r.headers.begin() + 1); }));
  EXPECT_TRUE(refused([](auto&) {}, suite_time + std::chrono::minutes(16)));
  EXPECT_TRUE(refused([](auto&) {}, suite_time - std::chrono::minutes(16)));
  EXPECT_TRUE(refused([](auto&) {}, suite_time, "another secret"));
  EXPECT_FALSE(refused([](auto&) {}));
}

const RouteTable& table() {
  static const RouteTable t({
      {"DescribeThing",
       "GET",
       "/things/{thingName}",
       auth::Right::read,
       {{"thingName", In::path, Kind::name, true}},
       1},
      {"ListThings", "GET", "/things", auth::Right::read, {{"maxResults", In::query, Kind::integer, false, 1, 250}}, 2},
      {"Attach",
       "PUT",
       "/attached/{arn}",
       auth::Right::write,
       {{"arn", In::path, Kind::text, true, 1, 2048}, {"x-amzn-principal", In::header, Kind::text, true, 1, 2048}},
       3},
      {"Create",
       "POST",
       "/things/{thingName}",
       auth::Right::write,
       {{"thingName", In::path, Kind::name, true},
        {"n", In::body, Kind::integer, true, 0, 9},
        {"flag", In::body, Kind::boolean}},
       4},
  });
  return t;
}

http::Request request(std::string method, std::string target, std::string body = {}) {
  http::Request r;
  r.method = std::move(method);
  r.target = std::move(target);
  r.body = std::move(body);
  return r;
}

TEST(Routes, RawPathKeepsAnArnInOneSegment) {
  auto r = request("PUT", "/attached/arn%3Aaws%3Aiot%3Ax%2Fy");
  r.headers = {{"X-Amzn-Principal", "p"}};
  const auto match = table().find(r);
  ASSERT_TRUE(match.ok());
  const auto arguments = read_arguments(*match, r);
  ASSERT_TRUE(arguments.ok()) << arguments.error().message;
  EXPECT_EQ(arguments->text("arn"), "arn:aws:iot:x/y");
  EXPECT_EQ(arguments->text("x-amzn-principal"), "p");
}

TEST(Routes, UnknownPathsAndMethods) {
  EXPECT_EQ(table().find(request("GET", "/nothing")).error().code, ErrorCode::not_found);
  EXPECT_EQ(table().find(request("DELETE", "/things")).error().code, ErrorCode::unsupported);
  EXPECT_EQ(table().find(request("GET", "/things/%zz")).error().code, ErrorCode::not_found);
}

TEST(Routes, AllProblemsOfARequestAtOnce) {
  const auto r = request("POST", "/things/a%20b", R"({"n":12,"flag":"yes"})");
  const auto arguments = read_arguments(*table().find(r), r);
  ASSERT_FALSE(arguments.ok());
  EXPECT_THAT(arguments.error().message, HasSubstr("thingName must be"));
  EXPECT_THAT(arguments.error().message, HasSubstr("n must be an integer from 0 to 9"));
  EXPECT_THAT(arguments.error().message, HasSubstr("flag has the wrong type"));
  const auto list = request("GET", "/things?maxResults=0");
  EXPECT_FALSE(read_arguments(*table().find(list), list).ok());
  const auto broken = request("POST", "/things/a", "{");
  EXPECT_FALSE(read_arguments(*table().find(broken), broken).ok());
}

TEST(Errors, HaveTheNamesThatClientsCatch) {
  const auto r = aws_error(Error(ErrorCode::not_found, "x"), "id");
  EXPECT_EQ(r.status, 404);
  EXPECT_EQ(*http::find_header(r.headers, "x-amzn-errortype"), "ResourceNotFoundException");
  EXPECT_EQ(aws_error(Error(ErrorCode::resource_exhausted, "x"), "id").status, 410);
  EXPECT_EQ(aws_error(Error(ErrorCode::throttled, "x"), "id").status, 400);
  EXPECT_EQ(problem(Error(ErrorCode::throttled, "x"), "id").status, 429);
}

}  // namespace
}  // namespace fleetward::aws
