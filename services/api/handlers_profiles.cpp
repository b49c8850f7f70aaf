// Security profiles, targets and custom metrics.
#include "repository/profile_repository.hpp"
#include "services/api/behavior_checks.hpp"
#include "services/api/operations.hpp"

namespace fleetward::api {
namespace {

using auth::Right;
using aws::In;
using aws::Kind;
using aws::Member;
using json::Value;

constexpr std::int64_t filtered_rows_max = 1'000;  // looked through a call, for filters without an index
constexpr Member profile_name{"securityProfileName", In::path, Kind::name, true};
constexpr Member max_results{"maxResults", In::query, Kind::integer, false, 1, page_max};
constexpr Member next_token{"nextToken", In::query, Kind::text, false, 1, 4096};

// The profile that a body describes, over what is there (updates leave out what they do not change).
Result<fleet::SecurityProfile> profile_in(Call& call, const std::optional<fleet::SecurityProfile>& base) {
  Value body = base ? to_json(*base) : Value::object();
  for (const char* member :
       {"securityProfileDescription", "behaviors", "alertTargets", "additionalMetricsToRetainV2"}) {
    const auto given = call.args.body.find(member);
    // An empty list in an update clears nothing: there are flags for that.
    const bool empty =
        given != call.args.body.end() && (given->is_array() || given->is_object()) && given->empty() && base;
    if (given != call.args.body.end() && !given->is_null() && !empty) body[member] = *given;
  }
  for (const auto& [flag, member] : {std::pair{"deleteBehaviors", "behaviors"},
                                     {"deleteAlertTargets", "alertTargets"},
                                     {"deleteAdditionalMetricsToRetain", "additionalMetricsToRetainV2"}}) {
    if (!call.args.boolean(flag, false)) continue;
    if (call.args.body.contains(member))
      return Error(ErrorCode::invalid_argument, fmt::format("{} and {} exclude each other", flag, member));
    body.erase(member);
  }
  body["securityProfileName"] = call.text("securityProfileName");
  auto profile = fleet::profile_from_json(body, "");
  if (!profile) return profile.error();
  if (const Status fit = check_profile(call.tx, *profile); !fit.ok()) return fit.error();
  return profile;
}

Value described(Call& call, const repository::ProfileRow& row) {
  Value out = to_json(row.profile);
  out["securityProfileArn"] = call.arn("securityprofile", row.profile.name);
  out["creationDate"] = seconds(row.created);
  out["lastModifiedDate"] = seconds(row.modified);
  return out;
}

Result<Value> create_profile(Call& call) {
  auto profile = profile_in(call, std::nullopt);
  if (!profile) return profile.error();
  const auto row = repository::create_profile(call.tx, std::move(*profile), call.now);
  if (!row) return row.error();
  return Value{{"securityProfileName", row->profile.name},
               {"securityProfileArn", call.arn("securityprofile", row->profile.name)}};
}

Result<Value> update_profile(Call& call) {
  const auto existing = repository::get_profile(call.tx, call.text("securityProfileName"));
  if (!existing) return existing.error();
  auto profile = profile_in(call, existing->profile);
  if (!profile) return profile.error();
  std::optional<std::int64_t> expected;
  if (call.args.integers.contains("expectedVersion")) expected = call.args.integer("expectedVersion", 0);
  const auto row = repository::update_profile(call.tx, std::move(*profile), expected, call.now);
  if (!row) return row.error();
  return described(call, *row);
}

Result<Value> describe_profile(Call& call) {
  const auto row = repository::get_profile(call.tx, call.text("securityProfileName"));
  if (!row) return row.error();
  return described(call, *row);
}

Result<Value> delete_profile(Call& call) {
  std::optional<std::int64_t> expected;
  if (call.args.integers.contains("expectedVersion")) expected = call.args.integer("expectedVersion", 0);
  const Status gone = repository::delete_profile(call.tx, call.text("securityProfileName"), expected, call.now);
  if (!gone) return gone.error();
  return Value::object();
}

Result<Value> list_profiles(Call& call) {
  const std::string metric = call.text("metricName");
  const std::string dimension = call.text("dimensionName");
  if (!metric.empty() && !dimension.empty())
    return Error(ErrorCode::invalid_argument, "dimensionName and metricName exclude each other");
  const auto after = decode_token(call);
  if (!after) return after.error();
  const std::int64_t limit = page_size(call);
  const bool filtered = !metric.empty() || !dimension.empty();
  auto rows = repository::list_profiles(call.tx, *after, filtered ? filtered_rows_max : limit + 1);
  if (!rows) return rows.error();
  const std::string last = filtered && static_cast<std::int64_t>(rows->size()) == filtered_rows_max
                               ? rows->back().profile.name
                               : std::string();
  if (filtered)
    std::erase_if(*rows, [&](const auto& row) { return !repository::uses(row.profile, metric, dimension); });
  auto next = cut_page(call, *rows, limit, [](const auto& row) { return row.profile.name; });
  if (!next && !last.empty()) next = encode_token(call, last);
  Value items = Value::array();
  for (const auto& row : *rows)
    items.push_back({{"name", row.profile.name}, {"arn", call.arn("securityprofile", row.profile.name)}});
  Value out = {{"securityProfileIdentifiers", std::move(items)}};
  if (next) out["nextToken"] = *next;
  return out;
}

Result<Value> attach_or_detach(Call& call, bool attach) {
  const auto target = fleet::parse_target_arn(call.config.installation, call.text("securityProfileTargetArn"));
  if (!target) return target.error();
  const std::string name = call.text("securityProfileName");
  const Status done = attach ? repository::attach_profile(call.tx, name, *target, call.now)
                             : repository::detach_profile(call.tx, name, *target, call.now);
  if (!done) return done.error();
  return Value::object();
}
Result<Value> attach_profile(Call& call) { return attach_or_detach(call, true); }
Result<Value> detach_profile(Call& call) { return attach_or_detach(call, false); }

Result<Value> list_targets(Call& call) {
  const auto row = repository::get_profile(call.tx, call.text("securityProfileName"));
  if (!row) return row.error();
  const auto after = decode_token(call);
  if (!after) return after.error();
  auto targets = repository::targets_of(call.tx, row->profile.name);
  if (!targets) return targets.error();
  std::erase_if(*targets, [&](const fleet::Target& t) { return fleet::to_text(t) <= *after; });
  const auto next = cut_page(call, *targets, page_size(call), [](const auto& t) { return fleet::to_text(t); });
  Value items = Value::array();
  for (const auto& t : *targets) items.push_back({{"arn", fleet::to_arn(call.config.installation, t)}});
  Value out = {{"securityProfileTargets", std::move(items)}};
  if (next) out["nextToken"] = *next;
  return out;
}

// Where a page ended: target and profile, neither of which has a space.
std::string cursor_text(const repository::Attachment& a) { return to_text(a.target) + " " + a.profile; }

Result<std::optional<repository::Attachment>> attachment_in(Call& call) {
  const auto text = decode_token(call);
  if (!text) return text.error();
  if (text->empty()) return std::optional<repository::Attachment>();
  const std::size_t space = text->find(' ');
  auto target = fleet::parse_target(text->substr(0, space));
  if (!target || space == std::string::npos) return Error(ErrorCode::invalid_argument, "nextToken is not one of ours");
  return std::optional(repository::Attachment{std::move(*target), text->substr(space + 1)});
}

Result<Value> list_of_target(Call& call) {
  const auto target = fleet::parse_target_arn(call.config.installation, call.text("securityProfileTargetArn"));
  if (!target) return target.error();
  if (target->kind == fleet::Target::Kind::thing_group) {
    const auto group = repository::find_group(call.tx, target->group);
    if (!group) return group.error();
    if (!*group) return Error(ErrorCode::not_found, fmt::format("Thing group {} cannot be found.", target->group));
  }
  const auto after = attachment_in(call);
  if (!after) return after.error();
  const std::int64_t limit = page_size(call);
  auto rows = repository::attached_to(call.tx, *target, call.args.boolean("recursive", false), *after, limit + 1);
  if (!rows) return rows.error();
  const auto next = cut_page(call, *rows, limit, cursor_text);
  Value items = Value::array();
  for (const auto& row : *rows) {
    items.push_back(
        {{"securityProfileIdentifier", {{"name", row.profile}, {"arn", call.arn("securityprofile", row.profile)}}},
         {"target", {{"arn", fleet::to_arn(call.config.installation, row.target)}}}});
  }
  Value out = {{"securityProfileTargetMappings", std::move(items)}};
  if (next) out["nextToken"] = *next;
  return out;
}

Result<Value> validate_behaviors(Call& call) {
  Value errors = Value::array();
  std::vector<fleet::Behavior> behaviors;
  const auto list = call.args.body.find("behaviors");
  if (list == call.args.body.end() || !list->is_array())
    return Error(ErrorCode::invalid_argument, "behaviors is required");
  if (list->size() > fleet::behaviors_per_profile_max) {
    return Error(ErrorCode::invalid_argument,
                 fmt::format("behaviors is a list of at most {}", fleet::behaviors_per_profile_max));
  }
  for (std::size_t i = 0; i < list->size(); ++i) {
    auto b = fleet::behavior_from_json((*list)[i], fmt::format("behaviors[{}]", i));
    if (b) behaviors.push_back(std::move(*b));
    else errors.push_back({{"errorMessage", b.error().message}});
  }
  const auto problems = behavior_problems(call.tx, behaviors);
  if (!problems) return problems.error();
  for (const std::string& problem : *problems) errors.push_back({{"errorMessage", problem}});
  return Value{{"valid", errors.empty()}, {"validationErrors", std::move(errors)}};
}

Result<Value> create_metric(Call& call) {
  const std::string name = call.text("metricName");
  if (name.starts_with("aws:"))
    return Error(ErrorCode::invalid_argument, "a custom metric's name must not start with aws:");
  const auto type = fleet::parse_custom_metric_type(call.text("metricType"));
  if (!type) return type.error();
  const auto row = repository::create_custom_metric(call.tx, {name, *type, call.text("displayName")}, call.now);
  if (!row) return row.error();
  return Value{{"metricName", name}, {"metricArn", call.arn("custommetric", name)}};
}

Value metric_json(Call& call, const repository::CustomMetricRow& row) {
  return {{"metricName", row.metric.name},
          {"metricArn", call.arn("custommetric", row.metric.name)},
          {"metricType", to_string(row.metric.type)},
          {"displayName", row.metric.display_name},
          {"creationDate", seconds(row.created)},
          {"lastModifiedDate", seconds(row.modified)}};
}

Result<Value> describe_metric(Call& call) {
  const auto row = repository::find_custom_metric(call.tx, call.text("metricName"));
  if (!row) return row.error();
  if (!*row)
    return Error(ErrorCode::not_found, fmt::format("Custom metric {} cannot be found.", call.text("metricName")));
  return metric_json(call, **row);
}

Result<Value> list_metrics(Call& call) {
  return list_page(
      call, by_max_results, "metricNames",
      [&](const std::string& after, std::int64_t limit) {
        return repository::list_custom_metrics(call.tx, after, limit);
      },
      [](const auto& row) { return row.metric.name; }, [](const auto& row) { return Value(row.metric.name); });
}

Result<Value> delete_metric(Call& call) {
  const Status gone = repository::delete_custom_metric(call.tx, call.text("metricName"), call.now);
  if (!gone) return gone.error();
  return Value::object();
}

}  // namespace

std::vector<Operation> profile_operations() {
  const Member version{"expectedVersion", In::query, Kind::integer, false, 1, std::numeric_limits<std::int64_t>::max()};
  const Member target{"securityProfileTargetArn", In::query, Kind::text, true, 1, 2048};
  const Member metric{"metricName", In::path, Kind::name, true};
  const std::vector<Member> body = {profile_name,
                                    {"securityProfileDescription", In::body, Kind::text, false, 0, 1000},
                                    {"behaviors", In::body, Kind::any},
                                    {"alertTargets", In::body, Kind::any},
                                    {"additionalMetricsToRetainV2", In::body, Kind::any}};
  std::vector<Member> update = body;
  for (const char* flag : {"deleteBehaviors", "deleteAlertTargets", "deleteAdditionalMetricsToRetain"})
    update.push_back({flag, In::body, Kind::boolean});
  update.push_back(version);
  return {
      {{"CreateSecurityProfile", "POST", "/security-profiles/{securityProfileName}", Right::write, body},
       create_profile},
      {{"UpdateSecurityProfile", "PATCH", "/security-profiles/{securityProfileName}", Right::write, update},
       update_profile},
      {{"DescribeSecurityProfile", "GET", "/security-profiles/{securityProfileName}", Right::read, {profile_name}},
       describe_profile},
      {{"DeleteSecurityProfile",
        "DELETE",
        "/security-profiles/{securityProfileName}",
        Right::write,
        {profile_name, version}},
       delete_profile},
      {{"ListSecurityProfiles",
        "GET",
        "/security-profiles",
        Right::read,
        {max_results,
         next_token,
         {"metricName", In::query, Kind::text, false, 1, 256},
         {"dimensionName", In::query, Kind::name}}},
       list_profiles},
      {{"AttachSecurityProfile",
        "PUT",
        "/security-profiles/{securityProfileName}/targets",
        Right::write,
        {profile_name, target}},
       attach_profile},
      {{"DetachSecurityProfile",
        "DELETE",
        "/security-profiles/{securityProfileName}/targets",
        Right::write,
        {profile_name, target}},
       detach_profile},
      {{"ListTargetsForSecurityProfile",
        "GET",
        "/security-profiles/{securityProfileName}/targets",
        Right::read,
        {profile_name, max_results, next_token}},
       list_targets},
      {{"ListSecurityProfilesForTarget",
        "GET",
        "/security-profiles-for-target",
        Right::read,
        {target, max_results, next_token, {"recursive", In::query, Kind::boolean}}},
       list_of_target},
      {{"ValidateSecurityProfileBehaviors",
        "POST",
        "/security-profile-behaviors/validate",
        Right::read,
        {{"behaviors", In::body, Kind::any, true}}},
       validate_behaviors},
      {{"CreateCustomMetric",
        "POST",
        "/custom-metric/{metricName}",
        Right::write,
        {metric,
         {"metricType", In::body, Kind::text, true, 1, 32},
         {"displayName", In::body, Kind::text, false, 0, 128},
         {"clientRequestToken", In::body, Kind::text, false, 1, 64}}},
       create_metric},
      {{"DescribeCustomMetric", "GET", "/custom-metric/{metricName}", Right::read, {metric}}, describe_metric},
      {{"DeleteCustomMetric", "DELETE", "/custom-metric/{metricName}", Right::write, {metric}}, delete_metric},
      {{"ListCustomMetrics", "GET", "/custom-metrics", Right::read, {max_results, next_token}}, list_metrics},
  };
}

}  // namespace fleetward::api
