// What operations do: the registry, profiles, certificates and decisions, over HTTPS as clients call them.
#include <gmock/gmock.h>

#include "core/text.hpp"
#include "repository/action_repository.hpp"
#include "services/api/test_world.hpp"

namespace fleetward::api {
namespace {

using json::Value;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

std::string arn(const std::string& kind, const std::string& name) {
  return "arn:aws:iot:eu-central-1:000000000000:" + kind + "/" + name;
}

const std::string ports_behavior =
    R"({"name":"ports","metric":"aws:listening-tcp-ports","criteria":{"comparisonOperator":"in-port-set","value":{"ports":[22]}}})";

class LifecycleTest : public ApiTest {
 protected:
  std::int64_t manifest() { return count_rows("SELECT number FROM manifest"); }
  Answer attach(const std::string& thing, const std::string& certificate) {
    return call_as(admin_, "PUT", "/things/" + thing + "/principals", "",
                   {{"x-amzn-principal", arn("cert", certificate)}});
  }
  Answer detach(const std::string& thing, const std::string& certificate) {
    return call_as(admin_, "DELETE", "/things/" + thing + "/principals", "",
                   {{"x-amzn-principal", arn("cert", certificate)}});
  }
  std::string status_of(const std::string& certificate) {
    return call("GET", "/certificates/" + certificate).body["certificateDescription"].value("status", "");
  }
  std::vector<std::string> names(const Answer& answer, const std::string& list, const std::string& member) {
    EXPECT_EQ(answer.status, 200) << answer.text();
    std::vector<std::string> out;
    for (const Value& item : answer.body[list])
      out.push_back(member.empty() ? item.get<std::string>() : item[member].get<std::string>());
    return out;
  }
};

TEST_F(LifecycleTest, TheSameThingAgainIsNoErrorAndAnotherOneIs) {
  const Answer first = call("POST", "/things/a");
  EXPECT_EQ(first.body["thingArn"], arn("thing", "a"));
  EXPECT_EQ(call("POST", "/things/a").body["thingId"], first.body["thingId"]);
  const Answer other = call("POST", "/things/a", R"({"attributePayload":{"attributes":{"a":"b"}}})");
  EXPECT_EQ(other.status, 409);
  EXPECT_EQ(other.error_type(), "ResourceAlreadyExistsException");
  EXPECT_EQ(call("GET", "/things/a").body["version"], 1);
  EXPECT_EQ(call("DELETE", "/things/a?expectedVersion=2").error_type(), "VersionConflictException");
  EXPECT_EQ(call("DELETE", "/things/a?expectedVersion=1").status, 200);
  EXPECT_EQ(call("DELETE", "/things/a").status, 200) << "what is gone is gone";
  EXPECT_NE(call("POST", "/things/a").body["thingId"], first.body["thingId"]) << "a thing made anew inherits nothing";
}

TEST_F(LifecycleTest, GroupsHaveParentsAndMembers) {
  ASSERT_EQ(call("POST", "/thing-groups/top").status, 200);
  ASSERT_EQ(call("POST", "/thing-groups/mid", R"({"parentGroupName":"top"})").status, 200);
  ASSERT_EQ(call("POST", "/thing-groups/low",
                 R"({"parentGroupName":"mid","thingGroupProperties":{"thingGroupDescription":"d"}})")
                .status,
            200);
  for (const char* thing : {"a", "b"}) ASSERT_EQ(call("POST", std::string("/things/") + thing).status, 200);
  const auto add = [&](const std::string& body) { return call("PUT", "/thing-groups/addThingToThingGroup", body); };
  EXPECT_EQ(add(R"({"thingGroupName":"low","thingName":"a"})").status, 200);
  EXPECT_EQ(add(R"({"thingGroupArn":")" + arn("thinggroup", "top") + R"(","thingArn":")" + arn("thing", "b") + R"("})")
                .status,
            200);
  EXPECT_EQ(add(R"({"thingGroupName":"none","thingName":"a"})").status, 404);
  EXPECT_EQ(add(R"({"thingName":"a"})").status, 400);
  EXPECT_THAT(names(call("GET", "/thing-groups/top/things"), "things", ""), ElementsAre("b"));
  EXPECT_THAT(names(call("GET", "/thing-groups/top/things?recursive=true"), "things", ""), ElementsAre("a", "b"));
  EXPECT_THAT(names(call("GET", "/thing-groups?parentGroup=top&recursive=false"), "thingGroups", "groupName"),
              ElementsAre("mid"));
  EXPECT_THAT(names(call("GET", "/thing-groups?parentGroup=top"), "thingGroups", "groupName"),
              ElementsAre("low", "mid"));
  EXPECT_THAT(names(call("GET", "/thing-groups?namePrefixFilter=l"), "thingGroups", "groupName"), ElementsAre("low"));
  EXPECT_EQ(call("GET", "/thing-groups/low").body["thingGroupMetadata"]["parentGroupName"], "mid");
  EXPECT_EQ(call("GET", "/thing-groups/low").body["thingGroupProperties"]["thingGroupDescription"], "d");
  EXPECT_THAT(names(call("GET", "/things/a/thing-groups"), "thingGroups", "groupName"), ElementsAre("low"));
  EXPECT_EQ(
      call("PUT", "/thing-groups/removeThingFromThingGroup", R"({"thingGroupName":"low","thingName":"a"})").status,
      200);
  EXPECT_THAT(names(call("GET", "/thing-groups/low/things"), "things", ""), IsEmpty());
}

TEST_F(LifecycleTest, ThingsAreFoundByTypeAndAttribute) {
  ASSERT_EQ(call("POST", "/things/a", R"({"thingTypeName":"cam","attributePayload":{"attributes":{"site":"north-1"}}})")
                .status,
            200);
  ASSERT_EQ(call("POST", "/things/b", R"({"attributePayload":{"attributes":{"site":"north-2"}}})").status, 200);
  ASSERT_EQ(call("POST", "/things/c").status, 200);
  const auto found = [&](const std::string& query) {
    return names(call("GET", "/things?" + query), "things", "thingName");
  };
  EXPECT_THAT(found("thingTypeName=cam"), ElementsAre("a"));
  EXPECT_THAT(found("attributeName=site"), ElementsAre("a", "b"));
  EXPECT_THAT(found("attributeName=site&attributeValue=north-2"), ElementsAre("b"));
  EXPECT_THAT(found("attributeName=site&attributeValue=north&usePrefixAttributeValue=true"), ElementsAre("a", "b"));
  EXPECT_THAT(found("attributeName=site&attributeValue=north"), IsEmpty());
  EXPECT_EQ(call("GET", "/things?attributeValue=x").status, 400);
  for (const char* bad : {R"({"attributePayload":5})", R"({"attributePayload":{"attributes":{"a b":"c"}}})",
                          R"({"attributePayload":{"attributes":{"a":1}}})", R"({"attributePayload":{"merge":1}})",
                          R"({"attributePayload":{"Attributes":{}}})", R"({"billingGroupName":"x"})"})
    EXPECT_EQ(call("POST", "/things/bad", bad).status, 400) << bad;
}

TEST_F(LifecycleTest, ProfilesHaveVersionsAndTargets) {
  const std::string body = R"({"behaviors":[)" + ports_behavior + "]}";
  ASSERT_EQ(call("POST", "/security-profiles/p", body).body["securityProfileArn"], arn("securityprofile", "p"));
  EXPECT_EQ(call("POST", "/security-profiles/p", body).status, 200) << "the same again";
  EXPECT_EQ(call("POST", "/security-profiles/p", R"({"behaviors":[]})").error_type(), "ResourceAlreadyExistsException");
  const Value read = call("GET", "/security-profiles/p").body;
  EXPECT_EQ(read["version"], 1);
  EXPECT_EQ(read["behaviors"][0]["criteria"]["consecutiveDatapointsToAlarm"], 1) << "defaults are filled in";
  EXPECT_EQ(call("PATCH", "/security-profiles/p?expectedVersion=7", R"({"securityProfileDescription":"x"})").status,
            409);
  const Answer updated =
      call("PATCH", "/security-profiles/p?expectedVersion=1", R"({"securityProfileDescription":"x","behaviors":[]})");
  EXPECT_EQ(updated.body["version"], 2);
  EXPECT_EQ(updated.body["behaviors"].size(), 1U) << "an empty list clears nothing";
  EXPECT_EQ(call("PATCH", "/security-profiles/p", R"({"deleteBehaviors":true,"behaviors":[]})").status, 400);
  EXPECT_THAT(call("PATCH", "/security-profiles/p", R"({"deleteBehaviors":true})").body["behaviors"], IsEmpty());
  EXPECT_EQ(call("PATCH", "/security-profiles/none", "{}").status, 404);

  ASSERT_EQ(call("POST", "/thing-groups/g").status, 200);
  const std::string targets = "/security-profiles/p/targets";
  const auto of = [&](const std::string& target) {
    return targets + "?securityProfileTargetArn=" + percent_encode(target);
  };
  EXPECT_EQ(call("PUT", of(arn("thinggroup", "g"))).status, 200);
  EXPECT_EQ(call("PUT", of("arn:aws:iot:eu-central-1:000000000000:all/things")).status, 200);
  EXPECT_EQ(call("PUT", of(arn("thinggroup", "none"))).status, 404);
  EXPECT_EQ(call("PUT", of("arn:aws:iot:us-east-1:000000000000:thinggroup/g")).status, 400) << "of another region";
  EXPECT_THAT(names(call("GET", targets), "securityProfileTargets", "arn"),
              UnorderedElementsAre(arn("thinggroup", "g"), "arn:aws:iot:eu-central-1:000000000000:all/things"));
  const Answer page = call("GET", targets + "?maxResults=1");
  EXPECT_EQ(page.body["securityProfileTargets"].size(), 1U);
  EXPECT_EQ(call("GET", targets + "?nextToken=" + page.body["nextToken"].get<std::string>())
                .body["securityProfileTargets"]
                .size(),
            1U);
  const std::int64_t before = manifest();
  EXPECT_EQ(call("PUT", of(arn("thinggroup", "g"))).status, 200);
  EXPECT_EQ(manifest(), before) << "nothing changed, nothing is said";
  EXPECT_EQ(call("DELETE", of(arn("thinggroup", "g"))).status, 200);
  EXPECT_EQ(manifest(), before + 1);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(call("DELETE", "/security-profiles/p").status, 200) << "idempotent";
  EXPECT_EQ(call("GET", "/security-profiles/p").status, 404);
}

TEST_F(LifecycleTest, AtMostFiveProfilesATarget) {
  const std::string all = percent_encode("arn:aws:iot:eu-central-1:000000000000:all/things");
  for (int i = 0; i < 6; ++i) {
    ASSERT_EQ(call("POST", fmt::format("/security-profiles/p{}", i)).status, 200);
    const Answer answer =
        call("PUT", fmt::format("/security-profiles/p{}/targets?securityProfileTargetArn={}", i, all));
    EXPECT_EQ(answer.status, i < 5 ? 200 : 410);
    if (i == 5) EXPECT_EQ(answer.error_type(), "LimitExceededException");
  }
}

TEST_F(LifecycleTest, CustomMetricsAreRefusedWhileUsed) {
  EXPECT_EQ(call("POST", "/custom-metric/cpu", R"({"metricType":"number","clientRequestToken":"a"})").body["metricArn"],
            arn("custommetric", "cpu"));
  EXPECT_EQ(call("POST", "/custom-metric/cpu", R"({"metricType":"number","clientRequestToken":"b"})").status, 200);
  EXPECT_EQ(call("POST", "/custom-metric/cpu", R"({"metricType":"number-list"})").error_type(),
            "ResourceAlreadyExistsException");
  EXPECT_EQ(call("GET", "/custom-metric/cpu").body["metricType"], "number");
  const std::string uses =
      R"({"behaviors":[{"name":"c","metric":"cpu","criteria":{"comparisonOperator":"less-than","value":{"number":9}}}]})";
  ASSERT_EQ(call("POST", "/security-profiles/p", uses).status, 200);
  EXPECT_THAT(names(call("GET", "/security-profiles?metricName=cpu"), "securityProfileIdentifiers", "name"),
              ElementsAre("p"));
  EXPECT_THAT(names(call("GET", "/security-profiles?metricName=aws:x"), "securityProfileIdentifiers", "name"),
              IsEmpty());
  EXPECT_EQ(call("GET", "/security-profiles?metricName=cpu&dimensionName=d").status, 400);
  EXPECT_EQ(call("DELETE", "/custom-metric/cpu").error_type(), "InvalidRequestException");
  ASSERT_EQ(call("DELETE", "/security-profiles/p").status, 200);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(call("DELETE", "/custom-metric/cpu").status, 200);
  const Answer bad = call("POST", "/security-profiles/p", uses);
  EXPECT_EQ(bad.status, 400) << "the metric is gone";
  EXPECT_THAT(bad.text(), HasSubstr("cpu"));
  const Answer judged = call("POST", "/security-profile-behaviors/validate", uses);
  EXPECT_EQ(judged.status, 200);
  EXPECT_EQ(judged.body["valid"], false);
  EXPECT_EQ(judged.body["validationErrors"].size(), 1U);
}

TEST_F(LifecycleTest, DimensionsAreCheckedPagedAndRefusedWhileUsed) {
  const auto body = [](std::string_view values, std::string_view token = "t") {
    return fmt::format(R"({{"type":"TOPIC_FILTER","stringValues":{},"clientRequestToken":"{}"}})", values, token);
  };
  const Answer made = call("POST", "/dimensions/bulk", body(R"(["data/#"])"));
  ASSERT_EQ(made.status, 200) << made.text();
  EXPECT_EQ(made.body, (json::Value{{"name", "bulk"}, {"arn", arn("dimension", "bulk")}}));
  EXPECT_EQ(call("POST", "/dimensions/bulk", body(R"(["data/#"])")).status, 200);
  for (const std::string& other : {body(R"(["data/+"])"), body(R"(["data/#"])", "u")})
    EXPECT_EQ(call("POST", "/dimensions/bulk", other).error_type(), "ResourceAlreadyExistsException");
  for (const std::string& bad :
       {body(R"(["a/#/b"])"), body("[]"), body(R"("a")"), body("[1]"), body(R"(["a"])", "a b"),
        std::string(R"({"type":"COLOUR","stringValues":["a"],"clientRequestToken":"t9"})"),
        std::string(R"({"type":"TOPIC_FILTER","stringValues":["a"]})"),
        std::string(R"({"type":"TOPIC_FILTER","stringValues":["a"],"clientRequestToken":"t9","tags":[]})")}) {
    EXPECT_EQ(call("POST", "/dimensions/bad", bad).error_type(), "InvalidRequestException") << bad;
  }
  Answer described = call("GET", "/dimensions/bulk");
  EXPECT_EQ(described.body["type"], "TOPIC_FILTER");
  EXPECT_EQ(described.body["stringValues"], json::Value::array({"data/#"}));
  EXPECT_TRUE(described.body["creationDate"].is_number());
  const Answer updated = call("PATCH", "/dimensions/bulk", R"({"stringValues":["data/${iot:ClientId}/#"]})");
  EXPECT_EQ(updated.status, 200);
  EXPECT_EQ(updated.body["stringValues"][0], "data/${iot:ClientId}/#");
  EXPECT_EQ(updated.body["creationDate"], described.body["creationDate"]);
  EXPECT_EQ(call("PATCH", "/dimensions/none", R"({"stringValues":["a"]})").error_type(), "ResourceNotFoundException");
  EXPECT_EQ(call("GET", "/dimensions/none").error_type(), "ResourceNotFoundException");

  const auto uses = [](std::string_view dimension) {
    return fmt::format(R"({{"behaviors":[{{"name":"c","metric":"aws:num-messages-sent",
        "metricDimension":{{"dimensionName":"{}"}},"criteria":{{"comparisonOperator":"less-than","value":{{"count":9}},
        "durationSeconds":300}}}}]}})",
                       dimension);
  };
  const Answer lost = call("POST", "/security-profiles/p", uses("none"));
  EXPECT_EQ(lost.error_type(), "InvalidRequestException");
  EXPECT_THAT(lost.text(), HasSubstr("dimension none does not exist"));
  EXPECT_EQ(call("POST", "/security-profile-behaviors/validate", uses("none")).body["valid"], false);
  EXPECT_EQ(call("POST", "/security-profile-behaviors/validate", uses("bulk")).body["valid"], true);
  ASSERT_EQ(call("POST", "/security-profiles/p", uses("bulk")).status, 200);
  EXPECT_EQ(call("GET", "/security-profiles/p").body["behaviors"][0]["metricDimension"],
            (json::Value{{"dimensionName", "bulk"}, {"operator", "IN"}}));
  EXPECT_THAT(names(call("GET", "/security-profiles?dimensionName=bulk"), "securityProfileIdentifiers", "name"),
              ElementsAre("p"));
  EXPECT_THAT(names(call("GET", "/security-profiles?dimensionName=x"), "securityProfileIdentifiers", "name"),
              IsEmpty());
  const Answer used = call("DELETE", "/dimensions/bulk");
  EXPECT_EQ(used.error_type(), "InvalidRequestException");
  EXPECT_THAT(used.text(), HasSubstr("is used by security profile p"));
  ASSERT_EQ(call("DELETE", "/security-profiles/p").status, 200);

  const std::string retains =
      R"({"additionalMetricsToRetainV2":[{"metric":"aws:num-disconnects","metricDimension":{"dimensionName":"bulk"}}]})";
  EXPECT_THAT(call("POST", "/security-profiles/p", retains).text(), HasSubstr("is not allowed for metric"));
  EXPECT_EQ(call_as(viewer_, "DELETE", "/dimensions/bulk").status, 403);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(call("DELETE", "/dimensions/bulk").status, 200) << "idempotent";
  for (int i = 0; i < 10; ++i)
    ASSERT_EQ(call("POST", fmt::format("/dimensions/d{}", i), body(R"(["a"])", fmt::format("t{}", i))).status, 200);
  EXPECT_EQ(call("POST", "/dimensions/d10", body(R"(["a"])", "t10")).error_type(), "LimitExceededException");
  std::vector<std::string> seen;
  std::string token;
  do {
    const Answer page = call("GET", "/dimensions?maxResults=4" + (token.empty() ? "" : "&nextToken=" + token));
    for (const auto& name : page.body["dimensionNames"]) seen.push_back(name.get<std::string>());
    token = page.body.value("nextToken", "");
  } while (!token.empty() && seen.size() < 20);
  EXPECT_THAT(seen, ElementsAre("d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7", "d8", "d9"));
}

TEST_F(LifecycleTest, DimensionsAsFilesHaveThem) {
  const Answer made = call("PUT", "/v1/dimensions/bulk", R"({"topicFilters":["data/#"]})");
  EXPECT_EQ(made.body, (json::Value{{"name", "bulk"}, {"version", 1}, {"topicFilters", {"data/#"}}}));
  EXPECT_EQ(call("PUT", "/v1/dimensions/bulk", R"({"topicFilters":["data/#"]})").body["version"], 1);
  EXPECT_EQ(call("PUT", "/v1/dimensions/bulk", R"({"topicFilters":["more/#"]})").body["version"], 2);
  EXPECT_EQ(call("PUT", "/v1/dimensions/bulk", R"({"topicFilters":["#x"]})").status, 400);
  EXPECT_EQ(call("GET", "/v1/dimensions").body["dimensions"][0]["topicFilters"][0], "more/#");
}

TEST_F(LifecycleTest, CertificatesAreMadeAttachedAndSwitched) {
  const Answer made = call("POST", "/keys-and-certificate?setAsActive=true");
  ASSERT_EQ(made.status, 200) << made.text();
  const std::string id = made.body["certificateId"].get<std::string>();
  EXPECT_EQ(pki::read_certificate(made.body["certificatePem"].get<std::string>())->fingerprint, id);
  EXPECT_TRUE(crypto::PrivateKey::from_pem(made.body["keyPair"]["PrivateKey"].get<std::string>()).ok());
  EXPECT_EQ(count_rows("SELECT count(*) FROM audit_log WHERE target LIKE '%PRIVATE%'"), 0);
  const auto key = *crypto::PrivateKey::generate();
  const Value csr = {{"certificateSigningRequest", *pki::make_signing_request(key, "x")}};
  const std::string second = call("POST", "/certificates", json::dump(csr)).body["certificateId"].get<std::string>();
  EXPECT_EQ(status_of(id), "ACTIVE");
  EXPECT_EQ(status_of(second), "INACTIVE") << "not set as active";
  EXPECT_EQ(call("POST", "/certificates", R"({"certificateSigningRequest":"junk"})").status, 400);

  ASSERT_EQ(call("POST", "/things/a").status, 200);
  ASSERT_EQ(call("POST", "/things/b").status, 200);
  EXPECT_EQ(attach("a", id).status, 200);
  EXPECT_EQ(attach("a", id).status, 200) << "again";
  EXPECT_EQ(attach("b", id).status, 400) << "one thing a certificate";
  EXPECT_EQ(attach("a", std::string(64, '0')).status, 404);
  EXPECT_EQ(call("PUT", "/things/a/principals").status, 400) << "no principal";
  EXPECT_THAT(names(call("GET", "/things/a/principals"), "principals", ""), ElementsAre(arn("cert", id)));
  const Answer attached = call("DELETE", "/things/a");
  EXPECT_EQ(attached.error_type(), "InvalidRequestException") << "a thing with a certificate stays";
  EXPECT_EQ(call("PUT", "/certificates/" + id + "?newStatus=INACTIVE").status, 200);
  EXPECT_EQ(status_of(id), "INACTIVE");
  EXPECT_EQ(call("PUT", "/certificates/" + id + "?newStatus=PENDING_TRANSFER").status, 400);
  EXPECT_EQ(detach("a", id).status, 200);
  EXPECT_EQ(detach("a", id).status, 404);
  EXPECT_EQ(call("DELETE", "/things/a").status, 200);
  EXPECT_EQ(call("GET", "/certificates?pageSize=1").body["certificates"].size(), 1U);
}

TEST_F(LifecycleTest, RevokedIsForGoodAndTakesTheRightToApprove) {
  const std::string free =
      call("POST", "/keys-and-certificate?setAsActive=true").body["certificateId"].get<std::string>();
  EXPECT_EQ(call_as(operator_, "PUT", "/certificates/" + free + "?newStatus=REVOKED").error_type(),
            "AccessDeniedException");
  EXPECT_EQ(status_of(free), "ACTIVE");
  EXPECT_EQ(call("PUT", "/certificates/" + free + "?newStatus=REVOKED").status, 200);
  EXPECT_EQ(call("PUT", "/certificates/" + free + "?newStatus=REVOKED").status, 200) << "again";
  EXPECT_EQ(status_of(free), "REVOKED");
  const Answer back = call("PUT", "/certificates/" + free + "?newStatus=ACTIVE");
  EXPECT_EQ(back.status, 406);
  EXPECT_EQ(back.error_type(), "CertificateStateException");
  EXPECT_EQ(count_rows("SELECT count(*) FROM actions"), 0);

  // Of two certificates one goes alone; the last one is an action against the thing.
  const std::string first = enrol("a", *crypto::PrivateKey::generate());
  const std::string second = enrol("a", *crypto::PrivateKey::generate());
  ASSERT_NE(first, second);
  const Answer alone = call_as(approver_, "POST", "/v1/certificates/" + first + "/revoke", R"({"reason":"old key"})");
  EXPECT_EQ(alone.body["state"], "executing") << alone.text();
  EXPECT_EQ(alone.body["level"], "revoke");
  EXPECT_EQ(alone.body["certificates"], Value::array({first}));
  EXPECT_EQ(alone.body["approvedBy"], "anna");
  EXPECT_EQ(status_of(first), "REVOKED");
  EXPECT_EQ(status_of(second), "ACTIVE");
  EXPECT_THAT(call("GET", "/v1/things/a").body["holds"], IsEmpty());
  const Answer last = call_as(approver_, "POST", "/v1/certificates/" + second + "/revoke", R"({"reason":"stolen"})");
  EXPECT_EQ(last.body["level"], "revoke");
  EXPECT_EQ(last.body["state"], "executing");
  EXPECT_EQ(last.body["requestedBy"], "anna");
  EXPECT_EQ(status_of(second), "REVOKED");
  EXPECT_EQ(call("GET", "/v1/things/a").body["holds"][0]["level"], "revoke");
}

TEST_F(LifecycleTest, EnrolIsIdempotentAndRefusedWhileHeld) {
  const auto key = *crypto::PrivateKey::generate();
  const std::string id = enrol("cam-1", key);
  EXPECT_EQ(enrol("cam-1", key), id) << "the same key has the same certificate";
  EXPECT_EQ(count_rows("SELECT count(*) FROM certificates"), 1);
  const Value thing = call("GET", "/v1/things/cam-1").body;
  EXPECT_EQ(thing["groups"], Value::array({"cams"}));
  EXPECT_EQ(thing["certificates"][0]["certificateId"], id);
  EXPECT_EQ(thing["certificates"][0]["thing"], "cam-1");
  const Value csr = *pki::make_signing_request(key, "x");
  const auto enrol_with = [&](Value body) {
    body["csr"] = csr;
    return call("POST", "/v1/things/cam-2/enrol", json::dump(body));
  };
  EXPECT_EQ(enrol_with({{"groups", "cams"}}).status, 400);
  EXPECT_EQ(enrol_with({{"groups", {"a/b"}}}).status, 400);
  EXPECT_EQ(enrol_with({{"attributes", {{"firmware", 1}}}}).status, 400);
  EXPECT_EQ(call("GET", "/v1/things/cam-2").status, 404) << "what fails leaves nothing behind";
  EXPECT_EQ(enrol_with({{"attributes", {{"firmware", "1.2"}}}, {"thingType", "cam"}}).status, 200);
  EXPECT_EQ(call("GET", "/v1/things/cam-2").body["attributes"]["firmware"], "1.2");
  EXPECT_EQ(enrol_with({{"attributes", {{"firmware", "1.3"}}}}).status, 409);

  const Answer held =
      call_as(operator_, "POST", "/v1/things/cam-1/quarantine", R"({"reason":"lost","level":"restrict"})");
  EXPECT_EQ(held.body["state"], "executing");
  EXPECT_EQ(
      call_as(operator_, "POST", "/v1/things/cam-1/quarantine", R"({"reason":"lost","level":"restrict"})").body["id"],
      held.body["id"])
      << "asked twice, done once";
  const Value again = {{"csr", *pki::make_signing_request(*crypto::PrivateKey::generate(), "x")}};
  const Answer refused = call("POST", "/v1/things/cam-1/enrol", json::dump(again));
  EXPECT_EQ(refused.body["code"], "failed_precondition");
  EXPECT_THAT(refused.text(), HasSubstr("held"));
  EXPECT_EQ(call("DELETE", "/things/cam-1").status, 400) << "nor is it deleted";
  const std::string other = call("POST", "/keys-and-certificate").body["certificateId"].get<std::string>();
  EXPECT_EQ(attach("cam-1", other).status, 400) << "nor does it get another certificate";
  EXPECT_EQ(detach("cam-1", id).status, 400) << "nor may its own serve another name";
  const std::string action = held.body["id"].get<std::string>();
  EXPECT_EQ(call_as(viewer_, "POST", "/v1/actions/" + action + "/release", R"({"reason":"x"})").status, 403);
  EXPECT_EQ(call("POST", "/v1/actions/" + action + "/release", R"({"reason":"found"})").body["state"], "released");
  EXPECT_EQ(call("POST", "/v1/actions/" + action + "/approve", R"({"reason":"x"})").body["code"],
            "failed_precondition");
  EXPECT_EQ(call("POST", "/v1/things/cam-1/enrol", json::dump(again)).status, 200);
  const Value shown = call("GET", "/v1/actions/" + action).body;
  ASSERT_GE(shown["steps"].size(), 2U);
  EXPECT_EQ(shown["steps"].back()["actor"], "admin");
  EXPECT_EQ(shown["steps"].back()["why"], "found");
  EXPECT_THAT(names(call("GET", "/v1/actions?thing=cam-1&state=released"), "actions", "id"), ElementsAre(action));
  EXPECT_EQ(call("GET", "/v1/actions?state=asleep").status, 400);
}

TEST_F(LifecycleTest, AProfileFileIsAppliedAsAWhole) {
  ASSERT_EQ(call("POST", "/thing-groups/g").status, 200);
  const std::string file = R"({"securityProfileDescription":"d","behaviors":[)" + ports_behavior +
                           R"(],"targets":["group/g","all/things"]})";
  const Answer first = call("PUT", "/v1/profiles/p", file);
  ASSERT_EQ(first.status, 200) << first.text();
  EXPECT_EQ(first.body["version"], 1);
  EXPECT_EQ(first.body["targets"].size(), 2U);
  const std::int64_t number = manifest();
  EXPECT_EQ(call("PUT", "/v1/profiles/p", file).body["version"], 1);
  EXPECT_EQ(manifest(), number) << "the same again changes nothing";
  const Answer fewer =
      call("PUT", "/v1/profiles/p", R"({"behaviors":[)" + ports_behavior + R"(],"targets":["group/g"]})");
  EXPECT_EQ(fewer.body["version"], 2);
  EXPECT_EQ(fewer.body["targets"], Value::array({"group/g"}));
  EXPECT_EQ(manifest(), number + 1) << "one manifest for all of it";
  EXPECT_EQ(call("GET", "/v1/profiles/p").body, fewer.body);
  for (const std::string& bad : {std::string(R"({"behaviours":[]})"), std::string(R"({"targets":["group/none"]})"),
                                 std::string(R"({"targets":["everything"]})"), std::string(R"({"targets":5})"),
                                 std::string(R"({"behaviors":[{"name":"x","metric":"aws:nope","criteria":{}}]})")}) {
    EXPECT_GE(call("PUT", "/v1/profiles/p", bad).status, 400) << bad;
  }
  EXPECT_EQ(call("GET", "/v1/profiles/p").body, fewer.body) << "what was refused changed nothing";
  EXPECT_THAT(names(call("GET", "/v1/profiles"), "profiles", "securityProfileName"), ElementsAre("p"));
  EXPECT_EQ(call("PUT", "/v1/custom-metrics/cpu", R"({"type":"number"})").status, 200);
  EXPECT_THAT(names(call("GET", "/v1/custom-metrics"), "customMetrics", "name"), ElementsAre("cpu"));
}

TEST_F(LifecycleTest, TheEndpointOfDevices) {
  for (const char* known : {"", "?endpointType=iot%3AData-ATS", "?endpointType=iot%3AData"})
    EXPECT_EQ(call("GET", std::string("/endpoint") + known).body["endpointAddress"], "mqtt.example");
  for (const char* other : {"iot%3ACredentialProvider", "iot%3AJobs", "x", ""}) {
    const Answer answer = call("GET", std::string("/endpoint?endpointType=") + other);
    EXPECT_EQ(answer.error_type(), "InvalidRequestException") << other;
    EXPECT_THAT(answer.text(), HasSubstr("iot:Data-ATS"));
  }
}

}  // namespace
}  // namespace fleetward::api
