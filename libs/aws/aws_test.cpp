#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "aws/page_token.hpp"
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

http::Request with_authorization(const std::string& value) {
  http::Request r = suite_request();
  r.headers[2].value = value;
  return r;
}

TEST(SigV4, MalformedHeadersAreRefused) {
  const std::string good = suite_request().headers[2].value;
  const auto replaced = [&good](const std::string& from, const std::string& to) {
    std::string out = good;
    out.replace(out.find(from), from.size(), to);
    return out;
  };
  for (const std::string& bad :
       {std::string(), std::string("AWS4-HMAC-SHA256"), std::string("AWS4-HMAC-SHA256 ,,,="),
        std::string("AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request"), replaced("aws4_request", "aws3_request"),
        replaced("/us-east-1/", "/"), replaced("host;x-amz-date", "x-amz-date"), replaced("host;x-amz-date", "host"),
        good + std::string(10'000, 'a')}) {
    EXPECT_EQ(read_authorization(with_authorization(bad)).error().code, ErrorCode::unauthenticated)
        << bad.substr(0, 99);
  }
  for (const std::string& wrong : {replaced("Signature=b9", "Signature=c9"), replaced("Signature=b9", "Signature="),
                                   replaced("/20150830/", "/20150831/"), replaced("/20150830/", "//"),
                                   replaced("/us-east-1/", "/eu-central-1/")}) {
    const http::Request r = with_authorization(wrong);
    const auto claim = read_authorization(r);
    ASSERT_TRUE(claim.ok()) << wrong;
    EXPECT_EQ(verify_signature(r, *claim, suite_secret, suite_time).error().code, ErrorCode::unauthenticated) << wrong;
  }
}

TEST(SigV4, WhatDecidesMustBeSigned) {
  http::Request r = suite_request();
  r.headers.push_back({"x-amzn-principal", "arn:aws:iot:eu-central-1:000000000000:cert/ab"});
  EXPECT_THAT(read_authorization(r).error().message, HasSubstr("x-amzn-principal must be among the signed headers"));
  r = suite_request();
  r.headers.push_back({"amz-sdk-invocation-id", "clients send this unsigned"});
  EXPECT_TRUE(read_authorization(r).ok());
  r.headers.push_back({"X-Amz-Security-Token", "temporary"});
  EXPECT_THAT(read_authorization(r).error().message, testing::StartsWith("The security token"));
}

TEST(SigV4, ASecondHeaderOfTheSameNameIsSeen) {
  http::Request r = suite_request();
  const auto claim = read_authorization(r);
  r.headers.push_back({"Host", "evil.example"});
  EXPECT_FALSE(verify_signature(r, *claim, suite_secret, suite_time).ok());
}

TEST(SigV4, TheScopeIsOurs) {
  const auto claim = read_authorization(suite_request());
  EXPECT_TRUE(check_scope(*claim, "us-east-1", "service").ok());
  EXPECT_THAT(check_scope(*claim, "eu-central-1", "service").error().message, HasSubstr("region eu-central-1"));
  EXPECT_FALSE(check_scope(*claim, "us-east-1", "iot").ok());
}

// Signed by botocore 1.45, not by us.
TEST(SigV4, EncodesThePathOnceMoreAndSortsTheQuery) {
  http::Request r;
  r.method = "GET";
  r.target = "/things/a%3Ab/principals?maxResults=5&a=%20x";
  r.headers = {
      {"Host", "localhost:8443"},
      {"X-Amz-Date", "20261124T082622Z"},
      {"Authorization",
       "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLEEXAMPLE22/20261124/eu-central-1/iot/aws4_request, "
       "SignedHeaders=host;x-amz-date, Signature=08aa4203de545d4f926d4f3febf30977bb411522d508ed4b3aad4484483ed469"}};
  const auto claim = read_authorization(r);
  ASSERT_TRUE(claim.ok());
  EXPECT_TRUE(
      verify_signature(r, *claim, "a secret of forty characters, or nearly", *parse_rfc3339("2026-11-24T08:30:00Z"))
          .ok());
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
        {"flag", In::body, Kind::boolean},
        {"choice", In::body, Kind::text, false, 0, 9, "A|B"}},
       4},
      {"Special", "POST", "/things/special", auth::Right::write, {}, 5},
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

TEST(Routes, ALiteralWinsOverAParameter) {
  EXPECT_EQ((*table().find(request("POST", "/things/special"))).route->operation, "Special");
  EXPECT_EQ((*table().find(request("POST", "/things/specia"))).route->operation, "Create");
  EXPECT_EQ((*table().find(request("GET", "/things/special"))).route->operation, "DescribeThing");
}

TEST(Routes, PathsThatOthersMightRewriteMatchNothing) {
  for (const char* path :
       {"", "/", "things", "//things", "/things/", "/things//", "/things/..", "/things/.", "/./things"})
    EXPECT_EQ(table().find(request("GET", path)).error().code, ErrorCode::not_found) << path;
  EXPECT_EQ((*table().find(request("GET", "/things/%2e%2e"))).path.at("thingName"), "..");
}

TEST(Routes, WhatIsNotKnownIsRefused) {
  const auto refusal = [](const http::Request& r) { return read_arguments(*table().find(r), r).error().message; };
  EXPECT_THAT(refusal(request("GET", "/things?maxResult=3")), HasSubstr("maxResult is not a parameter"));
  EXPECT_THAT(refusal(request("GET", "/things?maxResults=3&maxResults=4")), HasSubstr("given twice"));
  EXPECT_THAT(refusal(request("POST", "/things/a", R"({"n":1,"tags":[]})")), HasSubstr("tags is not supported"));
  EXPECT_THAT(refusal(request("POST", "/things/a", R"({"n":1,"choice":"C"})")), HasSubstr("one of A, B"));
  EXPECT_THAT(refusal(request("POST", "/things/a", R"({"n":1.0})")), HasSubstr("n has the wrong type"));
  EXPECT_THAT(refusal(request("POST", "/things/a", "[]")), HasSubstr("not a JSON object"));
  EXPECT_THAT(refusal(request("POST", "/things/a", "{}")), HasSubstr("n is required"));
  EXPECT_FALSE(refusal(request("POST", "/things/a", std::string(100, '['))).empty());
  EXPECT_EQ(refusal(request("GET", "/things?\x1b[2J=1")).find('\x1b'), std::string::npos);
  const auto good = request("POST", "/things/a", R"({"n":1,"choice":"B","flag":null})");
  EXPECT_TRUE(read_arguments(*table().find(good), good).ok());
}

TEST(Pages, TokensAreBoundToTheirList) {
  const std::string token = make_page_token("ListThings|", "cam-1");
  EXPECT_EQ(*read_page_token("ListThings|", token), "cam-1");
  EXPECT_EQ(*read_page_token("ListThings|", ""), "");
  EXPECT_FALSE(read_page_token("ListThings|type=a", token).ok());
  for (const std::string& bad :
       {std::string("x"), token + "A", token.substr(1), std::string(5000, 'A'), std::string("=")})
    EXPECT_EQ(read_page_token("ListThings|", bad).error().code, ErrorCode::invalid_argument) << bad.substr(0, 50);
  EXPECT_EQ(*read_page_token("s", make_page_token("s", "\xff\x00 any bytes")), "\xff");
}

TEST(Errors, TheStateErrorOfAnOperation) {
  const Error error(ErrorCode::failed_precondition, "x");
  EXPECT_EQ(aws_error(error, "id").status, 400);
  const auto r = aws_error(error, "id", "CertificateStateException");
  EXPECT_EQ(r.status, 406);
  EXPECT_EQ(*http::find_header(r.headers, "x-amzn-errortype"), "CertificateStateException");
}

TEST(Errors, WhatIsNotThereIsNoDeletedResource) {
  for (const auto& [method, path] : {std::pair{"GET", "/dimensions/x"}, {"PATCH", "/things/x"}}) {
    const auto r = aws_error(table().find(request(method, path)).error(), "id");
    EXPECT_EQ(r.status, 404);
    EXPECT_EQ(*http::find_header(r.headers, "x-amzn-errortype"), "UnknownOperationException") << path;
  }
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
