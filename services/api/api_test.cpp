// Who is let in, how errors look, pages, and that no request makes the server fail.
#include <gmock/gmock.h>

#include <set>

#include "core/text.hpp"
#include "fleet/cloud_event.hpp"
#include "fleet/device_records.hpp"
#include "fleet/topics.hpp"
#include "services/api/test_world.hpp"

namespace fleetward::api {
namespace {

using auth::Right;
using json::Value;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A path that fits the route: every parameter is a name that is nowhere.
std::string path_of(const aws::Route& route) {
  std::string out;
  for (const std::string_view segment : split(route.path.substr(1), '/'))
    out += segment.starts_with('{') ? "/" + std::string(64, 'a') : "/" + std::string(segment);
  return out;
}

TEST_F(ApiTest, NobodyComesInWithoutACredential) {
  for (const std::string& token : {std::string(), std::string("fw_wrong"), std::string(10'000, 'x')}) {
    const Answer v1 = call_as(token, "GET", "/v1/things");
    EXPECT_EQ(v1.status, 401);
    EXPECT_EQ(v1.body["code"], "unauthenticated");
    EXPECT_EQ(v1.text().find("fw_"), std::string::npos) << "errors hold no secret";
    const Answer aws = call_as(token, "GET", "/things");
    EXPECT_EQ(aws.status, 403);
    EXPECT_EQ(aws.error_type(), token.empty() ? "MissingAuthenticationTokenException" : "UnrecognizedClientException");
  }
  EXPECT_EQ(call_as("", "GET", "/no-such-path").status, 403) << "nor learns what there is";
}

TEST_F(ApiTest, EachOperationAsksForItsRight) {
  const std::vector<std::pair<std::string, std::set<Right>>> people = {
      {viewer_, {Right::read}},
      {operator_, {Right::read, Right::write, Right::operate}},
      {approver_, {Right::read, Right::approve}}};
  for (const Operation& o : all_operations()) {
    SCOPED_TRACE(std::string(o.route.operation));
    for (const auto& [token, rights] : people) {
      if (rights.contains(o.route.right)) continue;
      const Answer answer = call_as(token, std::string(o.route.method), path_of(o.route), "{}");
      EXPECT_EQ(answer.status, 403) << answer.text();
      if (!o.route.path.starts_with("/v1/")) EXPECT_EQ(answer.error_type(), "AccessDeniedException");
    }
  }
  EXPECT_EQ(count_rows("SELECT count(*) FROM audit_log"), 0);
}

// Bodies that have the right members with the wrong insides, and what is no body at all.
TEST_F(ApiTest, NoRequestMakesItFail) {
  const std::vector<Value> junk = {Value(),
                                   true,
                                   -1,
                                   1e300,
                                   "",
                                   "x",
                                   std::string(3000, 'x'),
                                   Value::array(),
                                   Value::object(),
                                   Value::array({1, "x", Value::object()}),
                                   Value({{"attributes", 5}, {"thingGroupDescription", 7}, {"name", Value::array()}})};
  for (const Operation& o : all_operations()) {
    SCOPED_TRACE(std::string(o.route.operation));
    const std::string method(o.route.method);
    const auto ask = [&](const std::string& target, const std::string& body) {
      const Answer answer = call(method, target, body);
      EXPECT_LT(answer.status, 500) << target << " " << body.substr(0, 200) << ": " << answer.text();
      EXPECT_GE(answer.status, 200);
    };
    ask(path_of(o.route), "{\"unknown\":");
    for (const Value& value : junk) {
      Value body = Value::object();
      std::string query;
      for (const aws::Member& m : o.route.members) {
        if (m.in == aws::In::body) body[std::string(m.name)] = value;
        if (m.in == aws::In::query && json::dump(value).size() < 100)  // longer ones are the server's own business
          query += fmt::format("{}{}={}", query.empty() ? "?" : "&", m.name, percent_encode(json::dump(value)));
      }
      ask(path_of(o.route), json::dump(body));
      ask(path_of(o.route) + query, "");
    }
  }
  EXPECT_EQ(call("GET", "/v1/things").status, 200);
}

TEST_F(ApiTest, SignaturesAreVerified) {
  const Instant now = async::LoopThread("clock").now();
  EXPECT_EQ(send(signed_request("GET", "/things", "", key_, "eu-central-1", now)).status, 200);
  const std::string body = R"({"attributePayload":{"attributes":{"site":"a b?"}}})";
  const std::string good = R"({"attributePayload":{"attributes":{"site":"a"}}})";
  EXPECT_EQ(send(signed_request("POST", "/things/a%3Ab", good, key_, "eu-central-1", now)).status, 200);
  EXPECT_EQ(send(signed_request("POST", "/things/bad", body, key_, "eu-central-1", now)).error_type(),
            "InvalidRequestException");
  EXPECT_EQ(send(signed_request("GET", "/v1/things/a%3Ab", "", key_, "eu-central-1", now)).status, 200);

  const auto refused = [&](http::ClientRequest request) {
    const Answer answer = send(std::move(request));
    EXPECT_EQ(answer.status, 403) << answer.text();
    return answer.error_type();
  };
  EXPECT_EQ(refused(signed_request("GET", "/things", "", {key_.id, std::string(40, 'x')}, "eu-central-1", now)),
            "InvalidSignatureException");
  EXPECT_EQ(refused(signed_request("GET", "/things", "", {"AKIANOBODYNOBODYNOBO", key_.secret}, "eu-central-1", now)),
            "UnrecognizedClientException");
  EXPECT_EQ(refused(signed_request("GET", "/things", "", key_, "us-east-1", now)), "InvalidSignatureException");
  EXPECT_EQ(refused(signed_request("GET", "/things", "", key_, "eu-central-1", now - std::chrono::hours(1))),
            "InvalidSignatureException");
  auto changed = signed_request("POST", "/things/x", good, key_, "eu-central-1", now);
  changed.body = R"({"attributePayload":{"attributes":{"site":"b"}}})";
  EXPECT_EQ(refused(std::move(changed)), "InvalidSignatureException");
  auto other = signed_request("POST", "/things/x", good, key_, "eu-central-1", now);
  other.url = url_ + "/things/y";
  EXPECT_EQ(refused(std::move(other)), "InvalidSignatureException");
  auto principal = signed_request("PUT", "/things/x/principals", "", key_, "eu-central-1", now);
  principal.headers.push_back({"x-amzn-principal", "arn"});
  EXPECT_EQ(refused(std::move(principal)), "InvalidSignatureException") << "the header was not signed";
  EXPECT_EQ(count_rows("SELECT count(*) FROM things"), 1);
}

TEST_F(ApiTest, ErrorsHaveTheFormOfTheirFace) {
  const Answer aws = call("GET", "/things/nobody");
  EXPECT_EQ(aws.status, 404);
  EXPECT_EQ(aws.error_type(), "ResourceNotFoundException");
  EXPECT_THAT(aws.body["message"].get<std::string>(), HasSubstr("nobody"));
  ASSERT_NE(http::find_header(aws.headers, "x-amzn-RequestId"), nullptr);
  const Answer v1 = call("GET", "/v1/things/nobody");
  EXPECT_EQ(v1.status, 404);
  EXPECT_EQ(*http::find_header(v1.headers, "Content-Type"), "application/problem+json");
  EXPECT_EQ(v1.body["title"], "Not Found");
  EXPECT_EQ(v1.body["status"], 404);
  EXPECT_EQ(call("GET", "/v1/no-such-thing").status, 404);
  EXPECT_EQ(call("DELETE", "/v1/things").status, 405);
  EXPECT_EQ(call("GET", "/v1/things/../things").status, 404);
  const Answer many = call("POST", "/custom-metric/aws%3Ax", R"({"metricType":"colour","tags":[]})");
  EXPECT_EQ(many.error_type(), "InvalidRequestException");
  EXPECT_THAT(many.text(), HasSubstr("tags is not supported"));
  EXPECT_EQ(call("GET", "/v1/actions/none").status, 404);
  EXPECT_EQ(call("POST", "/v1/actions/none/approve", R"({"reason":"x"})").status, 404);
  EXPECT_EQ(call("POST", "/v1/actions/none/approve", "{}").status, 400) << "a decision has a reason";
}

TEST_F(ApiTest, ListsPageWithoutHolesAndTokensAreBound) {
  std::set<std::string> expected;
  for (int i = 0; i < 7; ++i) {
    const std::string name = fmt::format("p{}", i);
    ASSERT_EQ(call("POST", "/things/" + name).status, 200);
    expected.insert(name);
  }
  for (const std::string& size : {"1", "3", "7", "250"}) {
    std::set<std::string> names;
    std::string token;
    int pages = 0;
    do {
      const Answer page =
          call("GET", "/things?maxResults=" + size + (token.empty() ? "" : "&nextToken=" + percent_encode(token)));
      ASSERT_EQ(page.status, 200) << page.text();
      for (const Value& thing : page.body["things"])
        EXPECT_TRUE(names.insert(thing["thingName"].get<std::string>()).second) << "twice";
      token = page.body.value("nextToken", "");
      ++pages;
    } while (!token.empty() && pages < 20);
    EXPECT_EQ(names, expected);
    if (size == "7") EXPECT_EQ(pages, 1) << "a full last page has no token";
  }
  const std::string token = call("GET", "/things?maxResults=3").body["nextToken"].get<std::string>();
  const std::string encoded = percent_encode(token);
  EXPECT_EQ(call("GET", "/things?maxResults=2&nextToken=" + encoded).status, 200) << "the size may change";
  for (const std::string& target :
       {"/thing-groups?nextToken=" + encoded, "/things?thingTypeName=a&nextToken=" + encoded,
        "/things?nextToken=" + encoded + "A", std::string("/things?nextToken=x"), "/v1/things?nextToken=" + encoded,
        "/active-violations?nextToken=" + encoded}) {
    EXPECT_EQ(call("GET", target).status, 400) << target;
  }
  EXPECT_EQ(call("GET", "/things?maxResults=251").status, 400);
}

TEST_F(ApiTest, EachChangeLeavesOneRowInTheAuditLog) {
  EXPECT_EQ(call("POST", "/things/a").status, 200);
  EXPECT_EQ(call("GET", "/things/a").status, 200);
  EXPECT_EQ(call("POST", "/thing-groups/g").status, 200);
  EXPECT_EQ(call("POST", "/thing-groups/h", R"({"parentGroupName":"none"})").status, 400) << "fails, changes nothing";
  const std::string target = percent_encode("arn:aws:iot:eu-central-1:000000000000:thinggroup/g");
  EXPECT_EQ(call("POST", "/security-profiles/p", R"({"behaviors":[]})").status, 200);
  EXPECT_EQ(call("PUT", "/security-profiles/p/targets?securityProfileTargetArn=" + target).status, 200);
  const auto rows = in_store<std::vector<std::string>>([](store::Transaction& tx) -> Result<std::vector<std::string>> {
    const auto found = tx.query("SELECT actor, operation, target FROM audit_log ORDER BY id");
    if (!found) return found.error();
    std::vector<std::string> out;
    for (const auto& r : *found) out.push_back(fmt::format("{} {} {}", r.text(0), r.text(1), r.text(2)));
    return out;
  });
  EXPECT_THAT(*rows, ElementsAre("admin CreateThing /things/a", "admin CreateThingGroup /thing-groups/g",
                                 "admin CreateSecurityProfile /security-profiles/p",
                                 "admin AttachSecurityProfile /security-profiles/p/targets?securityProfileTargetArn=" +
                                     target));
}

TEST_F(ApiTest, PresenceComesFromTheTopics) {
  ASSERT_EQ(call("POST", "/things/cam-1").status, 200);
  EXPECT_FALSE(call("GET", "/v1/things/cam-1").body.contains("lastSeen"));
  EXPECT_THAT(call("GET", "/v1/gateways").body["gateways"], IsEmpty());
  const Instant now = async::LoopThread("clock").now();
  fleet::GatewayHeartbeat beat;
  beat.instance = "gw";
  beat.time = now;
  beat.lease_end = now + std::chrono::hours(1);
  fleet::CloudMetrics metrics;
  metrics.gateway = "gw";
  metrics.connected = true;
  const fleet::CloudEvent event{"b", "/t", std::string(fleet::event_type::gateway), "gw", now, to_json(beat)};
  std::promise<bool> done;
  bus_->append({{std::string(fleet::topic::gateways), "gw", to_json_text(event), {}, std::nullopt},
                {std::string(fleet::topic::devices),
                 "cam-1",
                 json::dump(to_json(metrics)),
                 {{std::string(fleet::header::kind), std::string(to_string(fleet::RecordKind::cloud_metrics))}},
                 std::nullopt}},
               [&done](const auto& result) { done.set_value(result.ok()); });
  ASSERT_TRUE(done.get_future().get());
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  Answer thing = call("GET", "/v1/things/cam-1");
  while (!thing.body.contains("connected") && std::chrono::steady_clock::now() < until)
    thing = call("GET", "/v1/things/cam-1");
  EXPECT_EQ(thing.body.value("connected", false), true);
  EXPECT_GE(thing.body["lastSeen"].get<std::int64_t>(), to_ms(now));
  EXPECT_EQ(call("GET", "/v1/gateways").body["gateways"][0]["instance"], "gw");
}

}  // namespace
}  // namespace fleetward::api
