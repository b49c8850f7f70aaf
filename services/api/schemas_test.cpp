// What libs/fleet writes onto the topics is what schemas/*.schema.json describe, fully set and nearly empty.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <set>

#include "fleet/cloud_event.hpp"
#include "fleet/dead_letter.hpp"
#include "fleet/device_records.hpp"
#include "fleet/gateway_events.hpp"
#include "fleet/incident.hpp"
#include "fleet/refused_record.hpp"
#include "fleet/violation.hpp"

namespace fleetward::api {
namespace {

using json::Value;

// The keywords of JSON Schema that our files use, and no other: an unknown one is a problem, not ignored.
class Schema {
 public:
  explicit Schema(const std::string& name) {
    std::ifstream file(std::string(FLEETWARD_SOURCE_DIR "/schemas/") + name + ".schema.json");
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    auto parsed = json::parse(text);
    EXPECT_TRUE(parsed.ok()) << name << ": " << (parsed ? "" : parsed.error().message);
    if (parsed) root_ = *parsed;
  }

  std::vector<std::string> problems(const Value& value) {
    problems_.clear();
    check(root_, value, "");
    return problems_;
  }
  [[nodiscard]] const Value& root() const { return root_; }

 private:
  void problem(const std::string& path, const std::string& what) { problems_.push_back(path + ": " + what); }

  void check(const Value& schema, const Value& value, const std::string& path) {
    for (const auto& [keyword, rule] : schema.items()) keyword_check(schema, keyword, rule, value, path);
  }

  void keyword_check(const Value& schema, const std::string& keyword, const Value& rule, const Value& value,
                     const std::string& path) {
    static const std::set<std::string> words = {"$schema", "$id", "title", "description", "$defs"};
    if (words.contains(keyword)) return;
    if (keyword == "$ref") return check(root_.at(Value::json_pointer(rule.get<std::string>().substr(1))), value, path);
    if (keyword == "type") {
      if (!is_of(rule.get<std::string>(), value)) problem(path, "is not " + rule.get<std::string>());
    } else if (keyword == "enum") {
      if (std::find(rule.begin(), rule.end(), value) == rule.end()) problem(path, "is none of the enum");
    } else if (keyword == "const") {
      if (rule != value) problem(path, "is not the constant");
    } else if (keyword == "pattern") {
      if (value.is_string() && !std::regex_search(value.get<std::string>(), std::regex(rule.get<std::string>())))
        problem(path, "does not match " + rule.get<std::string>());
    } else if (keyword == "properties") {
      for (const auto& [name, sub] : rule.items()) {
        if (value.is_object() && value.contains(name)) check(sub, value[name], path + "/" + name);
      }
    } else if (keyword == "required") {
      for (const auto& name : rule) {
        if (value.is_object() && !value.contains(name.get<std::string>()))
          problem(path, "lacks " + name.get<std::string>());
      }
    } else if (keyword == "additionalProperties") {
      const Value object = value.is_object() ? value : Value::object();
      for (const auto& [name, item] : object.items()) {
        if (schema.contains("properties") && schema["properties"].contains(name)) continue;
        if (rule.is_object()) check(rule, item, path + "/" + name);
        else if (rule == false) problem(path, "has " + name);
      }
    } else if (keyword == "items") {
      const Value list = value.is_array() ? value : Value::array();
      for (const auto& item : list) check(rule, item, path + "/-");
    } else {
      limits(keyword, rule, value, path);
    }
  }

  void limits(const std::string& keyword, const Value& rule, const Value& value, const std::string& path) {
    const double limit = rule.is_number() ? rule.get<double>() : 0;
    const auto size =
        static_cast<double>(value.is_string() ? value.get_ref<const std::string&>().size() : value.size());
    const double number = value.is_number() ? value.get<double>() : 0;
    const std::map<std::string, bool> broken = {{"minimum", number < limit},    {"maximum", number > limit},
                                                {"minLength", size < limit},    {"maxLength", size > limit},
                                                {"maxItems", size > limit},     {"minProperties", size < limit},
                                                {"maxProperties", size > limit}};
    const auto found = broken.find(keyword);
    if (found == broken.end()) return problem(path, "the keyword " + keyword + " is not known to this test");
    if (found->second) problem(path, "breaks " + keyword);
  }

  static bool is_of(const std::string& type, const Value& value) {
    return (type == "object" && value.is_object()) || (type == "array" && value.is_array()) ||
           (type == "string" && value.is_string()) || (type == "boolean" && value.is_boolean()) ||
           (type == "integer" && value.is_number_integer()) || (type == "number" && value.is_number());
  }

  Value root_;
  std::vector<std::string> problems_;
};

const Instant now = instant_from_ms(1'795'000'000'123);
const std::string digest(64, 'a');

fleet::Behavior behavior() {
  fleet::Behavior b;
  b.name = "ports";
  b.metric = "aws:listening-tcp-ports";
  b.dimension = fleet::MetricDimension{"d", true};
  b.criteria = fleet::BehaviorCriteria{};
  b.criteria->comparison_operator = fleet::ComparisonOperator::not_in_port_set;
  b.criteria->value = fleet::MetricValue{};
  b.criteria->value->ports = std::vector<std::int32_t>{23, 2323};
  b.criteria->duration_seconds = 300;
  b.criteria->statistic = "p99";
  b.criteria->ml_confidence = "HIGH";
  b.suppress_alerts = true;
  b.export_metric = false;
  return b;
}

fleet::Action action() {
  fleet::Action a;
  a.id = "a1";
  a.thing = "cam-1";
  a.thing_id = "id";
  a.mode = "enforce";
  a.violations = {"v1", "v2"};
  a.cleared = {"v1"};
  a.invalidated = {"v2"};
  a.certificates = {digest};
  a.groups = {"cams"};
  a.lease_end = a.created = a.updated = now;
  a.stopwatch = {now, now, now, {}, {}};
  a.evidence = {{now, "probe", "gateway-1", true, "refused"}};
  return a;
}

// By schema: everything that is written with it.
std::multimap<std::string, Value> samples() {
  fleet::ViolationEvent violation;
  violation.violation_id = "v1";
  violation.thing = "cam-1";
  violation.profile = "cams";
  violation.behavior.name = "bare";
  violation.time = violation.start_time = violation.received = now;
  fleet::ViolationEvent full = violation;
  full.behavior = behavior();
  full.value = fleet::MetricValue{};
  full.value->cidrs = std::vector<std::string>{"203.0.113.7/32"};
  full.groups = {"cams"};
  full.claimed = true;

  fleet::AccessRecord access{"cam-1", "id", 3, {{"a1", fleet::HoldLevel::isolate, "why", "responder", now, now}}};
  fleet::CertificateRecord certificate{digest, "cam-1", "id", digest, "0a1b", fleet::CertificateStatus::revoked,
                                       now,    2};
  fleet::CertificateRecord registered = certificate;
  registered.registered = true;
  const fleet::AuthorityRecord authority{digest, "-----BEGIN CERTIFICATE-----", fleet::AuthorityStatus::active, 2};
  fleet::GatewayHeartbeat gateway;
  gateway.instance = "gateway-1";
  gateway.time = gateway.lease_end = now;
  fleet::GatewayHeartbeat collector = gateway;
  collector.collector = true;
  const fleet::DeadLetter letter{"1f", "kafka/plant", "bad-payload", "no JSON", "t", "k",   3,
                                 7,    "text/plain",  {{"a", "b"}},  "x",       1,   false, now};
  fleet::EnforcementEvent enforcement;
  enforcement.id = "e1";
  enforcement.gateway = "gateway-1";
  enforcement.time = now;
  const fleet::RefusedRecord refused{"r1", "gateway-1", "fleetward.access", "cam-1", 0, 7, "3", "unsigned", "00",
                                     "",   now};
  fleet::EnforcementEvent cut = enforcement;
  cut.kind = fleet::EnforcementKind::session_cut;
  cut.level = fleet::HoldLevel::revoke;
  cut.mqtt_reason_code = 0x98;
  fleet::ActionEvent step{"a1.1", 1, "executing", "responder", "why", now, action()};
  fleet::ActionEvent claimed = step;
  claimed.action.claimed = true;
  fleet::Incident incident;
  incident.id = "i1";
  incident.window_start = now;
  incident.members = {{"a1", "cam-1", fleet::HoldLevel::isolate, fleet::ActionState::in_effect, "r", "w"}};
  const fleet::GovernorCondition brake{fleet::GovernorKind::brake, "cams/ports", "responder", "10 things", now};
  const fleet::GovernorEvent governor{"governor.1", 1,    fleet::GovernorStep::raised, "responder", "10 things",
                                      now,          brake};
  fleet::Incident braked = incident;
  braked.members.clear();
  braked.condition = brake;
  fleet::SecurityProfile profile;
  profile.name = "cams";
  profile.behaviors = {behavior()};
  profile.additional_metrics_to_retain = {{"aws:all-bytes-in", {}}, {"x", fleet::MetricDimension{"d", false}}};
  fleet::Manifest manifest;
  manifest.number = 7;
  manifest.profiles = {{"cams", 2, {*fleet::parse_target("group/cams"), *fleet::parse_target("all/things")}}};
  manifest.dimensions = {{"bulk", 2}};
  fleet::Manifest bare_manifest;
  bare_manifest.number = 1;
  manifest.custom_metrics = {{"cpu", fleet::CustomMetricType::number, "shown"}};
  fleet::CloudMetrics cloud;
  cloud.gateway = "gateway-1";
  cloud.metrics["aws:num-messages-sent"] = {3, 3, 1, 1};
  cloud.source_addresses = {"192.0.2.1"};
  fleet::CloudMetrics narrow = cloud;
  narrow.dimensions = {{{"bulk", 2}, true, cloud.metrics, {"192.0.2.1"}}, {{"bulk", 2}, false, cloud.metrics, {}}};
  fleet::RegistryFact fact{"cam-1", "id", 4, false, "cam", "1.2", {"cams"}};
  fleet::CohortSnapshot snapshot{"p/aws:num-disconnects/300", 7, 120, 3, 0.0078125, {{3, 7}, {4, 6}}, {}};
  snapshot.statistics[5] = {1.5, 1.75};
  const fleet::CloudEvent event{"i", "/fleetward/pki",    std::string(fleet::event_type::certificate), digest,
                                now, to_json(certificate)};
  return {{"violation", to_json(violation)},
          {"violation", to_json(full)},
          {"access", to_json(access)},
          {"certificate", to_json(certificate)},
          {"certificate", to_json(registered)},
          {"authority", to_json(authority)},
          {"gateway", to_json(gateway)},
          {"gateway", to_json(collector)},
          {"dead-letter", to_json(letter)},
          {"enforcement", to_json(enforcement)},
          {"enforcement", to_json(cut)},
          {"refused-record", to_json(refused)},
          {"action", to_json(step)},
          {"action", to_json(claimed)},
          {"incident", to_json(incident)},
          {"incident", to_json(braked)},
          {"governor", to_json(governor)},
          {"profile", to_json(profile)},
          {"profile", to_json(fleet::SecurityProfile{"bare", 1, "", {}, {}, Value::object()})},
          {"dimension", to_json(fleet::Dimension{"bulk", 2, {"data/${iot:ClientId}/#"}})},
          {"manifest", to_json(manifest)},
          {"manifest", to_json(bare_manifest)},
          {"registry", to_json(fact)},
          {"cloud-metrics", to_json(cloud)},
          {"cloud-metrics", to_json(narrow)},
          {"counting", to_json(fleet::Counting{"gateway-1", 5, 7, {{"bulk", 2}}})},
          {"cohorts", to_json(fleet::CohortMark{"b", {{"p/aws:num-disconnects/300", 7}}})},
          {"cohort-sample", to_json(fleet::CohortSample{"p/aws:num-disconnects/300", 3, 7, "bytes"})},
          {"cohort-snapshot", to_json(snapshot)},
          {"begin", to_json(fleet::Begin{"b", "1"})},
          {"tick", to_json(fleet::Tick{"b"})},
          {"mark", to_json(fleet::Mark{"b", 7})},
          {"cloud-event", *json::parse(to_json_text(event))}};
}

TEST(Schemas, WhatIsWrittenIsDescribed) {
  for (const auto& [name, value] : samples()) {
    Schema schema(name);
    EXPECT_THAT(schema.problems(value), testing::IsEmpty()) << name << ": " << json::dump(value);
  }
}

TEST(Schemas, EveryMemberCounts) {
  for (const auto& [name, value] : samples()) {
    SCOPED_TRACE(name);
    Schema schema(name);
    for (const auto& [member, inner] : value.items()) {
      Value changed = value;
      changed[member] = inner.is_boolean() ? Value("text") : Value(true);
      EXPECT_FALSE(schema.problems(changed).empty()) << member << " may be anything";
    }
    Value more = value;
    more["unheard_of"] = 1;
    if (name != "cloud-event") EXPECT_FALSE(schema.problems(more).empty());
    for (const auto& required : schema.root()["required"]) {
      Value less = value;
      less.erase(required.get<std::string>());
      EXPECT_FALSE(schema.problems(less).empty()) << required;
    }
  }
}

TEST(Schemas, EachFileHasASample) {
  std::set<std::string> with_sample = {"webhook.schema.json"};  // stands on no topic, and is made of another file
  for (const auto& [name, value] : samples()) with_sample.insert(name + ".schema.json");
  for (const auto& entry : std::filesystem::directory_iterator(FLEETWARD_SOURCE_DIR "/schemas")) {
    const std::string file = entry.path().filename().string();
    if (file.ends_with(".schema.json")) EXPECT_TRUE(with_sample.contains(file)) << file;
  }
}

}  // namespace
}  // namespace fleetward::api
