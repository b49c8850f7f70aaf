// Things and thing groups.
#include "repository/action_repository.hpp"
#include "repository/certificate_repository.hpp"
#include "repository/registry_repository.hpp"
#include "services/api/operations.hpp"

namespace fleetward::api {
namespace {

using auth::Right;
using aws::In;
using aws::Kind;
using aws::Member;
using json::Value;

std::string new_uuid(crypto::Random& random) {
  Bytes b = random.bytes(16);
  b[6] = static_cast<std::uint8_t>((b[6] & 0x0F) | 0x40);  // version 4, RFC 9562
  b[8] = static_cast<std::uint8_t>((b[8] & 0x3F) | 0x80);
  const std::string h = to_hex(b);
  return fmt::format("{}-{}-{}-{}-{}", h.substr(0, 8), h.substr(8, 4), h.substr(12, 4), h.substr(16, 4), h.substr(20));
}

Result<repository::Attributes> attributes_in(const Value& body) {
  repository::Attributes out;
  const auto payload = body.find("attributePayload");
  if (payload == body.end() || payload->is_null()) return out;
  const auto attributes = payload->find("attributes");
  if (attributes == payload->end()) return out;
  if (!attributes->is_object() || attributes->size() > 50)
    return Error(ErrorCode::invalid_argument, "attributes is not an object of at most 50");
  for (const auto& [name, value] : attributes->items()) {
    if (!value.is_string() || name.size() > 128 || value.get_ref<const std::string&>().size() > 800)
      return Error(ErrorCode::invalid_argument, "an attribute is not a text of at most 800 bytes");
    out[name] = value.get<std::string>();
  }
  return out;
}

Result<Value> create_thing(Call& call) {
  const auto attributes = attributes_in(call.args.body);
  if (!attributes) return attributes.error();
  const auto row = repository::create_thing(call.tx, call.text("thingName"), new_uuid(call.random),
                                            call.text("thingTypeName"), *attributes, call.now);
  if (!row) return row.error();
  return Value{{"thingName", row->name}, {"thingArn", call.arn("thing", row->name)}, {"thingId", row->id}};
}

Value thing_json(Call& call, const repository::ThingRow& t) {
  Value attributes = Value::object();
  for (const auto& [name, value] : t.attributes) attributes[name] = value;
  Value out = {{"thingName", t.name},
               {"thingArn", call.arn("thing", t.name)},
               {"version", t.version},
               {"attributes", std::move(attributes)}};
  if (!t.thing_type.empty()) out["thingTypeName"] = t.thing_type;
  return out;
}

Result<Value> describe_thing(Call& call) {
  const auto row = repository::get_thing(call.tx, call.text("thingName"));
  if (!row) return row.error();
  Value out = thing_json(call, *row);
  out["thingId"] = row->id;
  out["defaultClientId"] = row->name;
  return out;
}

Result<Value> list_things(Call& call) {
  const auto after = decode_token(call.text("nextToken"));
  if (!after) return after.error();
  const std::int64_t limit = page_size(call);
  const auto rows = repository::list_things(call.tx, {"", call.text("thingTypeName")}, *after, limit);
  if (!rows) return rows.error();
  Value items = Value::array();
  for (const auto& row : *rows) items.push_back(thing_json(call, row));
  Value out = {{"things", std::move(items)}};
  if (static_cast<std::int64_t>(rows->size()) == limit) out["nextToken"] = encode_token(rows->back().name);
  return out;
}

Result<Value> delete_thing(Call& call) {
  const std::string name = call.text("thingName");
  const auto holds = repository::holds_of(call.tx, name);
  if (!holds) return holds.error();
  if (!holds->empty())
    return Error(ErrorCode::failed_precondition,
                 fmt::format("Thing {} is held by action {}: release it first.", name, holds->front().action_id));
  const auto certificates = repository::certificates_of(call.tx, name);
  if (!certificates) return certificates.error();
  if (!certificates->empty())
    return Error(ErrorCode::failed_precondition,
                 fmt::format("Cannot delete thing {} because it is attached to a principal: detach it first.", name));
  const Status gone = repository::delete_thing(call.tx, name, call.now);
  if (!gone) return gone.error();
  return Value::object();
}

Result<Value> create_group(Call& call) {
  std::string description;
  const auto properties = call.args.body.find("thingGroupProperties");
  if (properties != call.args.body.end() && properties->is_object())
    description = properties->value("thingGroupDescription", std::string());
  const auto row = repository::create_group(call.tx, call.text("thingGroupName"), new_uuid(call.random),
                                            call.text("parentGroupName"), description.substr(0, 2028), call.now);
  if (!row) return row.error();
  return Value{
      {"thingGroupName", row->name}, {"thingGroupArn", call.arn("thinggroup", row->name)}, {"thingGroupId", row->id}};
}

Result<Value> describe_group(Call& call) {
  const auto row = repository::find_group(call.tx, call.text("thingGroupName"));
  if (!row) return row.error();
  if (!*row)
    return Error(ErrorCode::not_found, fmt::format("Thing group {} cannot be found.", call.text("thingGroupName")));
  const auto& g = **row;
  Value metadata = {{"creationDate", seconds(g.created)}};
  if (!g.parent.empty()) metadata["parentGroupName"] = g.parent;
  return Value{{"thingGroupName", g.name},
               {"thingGroupArn", call.arn("thinggroup", g.name)},
               {"thingGroupId", g.id},
               {"version", g.version},
               {"thingGroupProperties", {{"thingGroupDescription", g.description}}},
               {"thingGroupMetadata", std::move(metadata)}};
}

Result<Value> list_groups(Call& call) {
  const auto after = decode_token(call.text("nextToken"));
  if (!after) return after.error();
  const std::int64_t limit = page_size(call);
  const auto rows = repository::list_groups(call.tx, *after, limit);
  if (!rows) return rows.error();
  Value items = Value::array();
  for (const auto& g : *rows) items.push_back({{"groupName", g.name}, {"groupArn", call.arn("thinggroup", g.name)}});
  Value out = {{"thingGroups", std::move(items)}};
  if (static_cast<std::int64_t>(rows->size()) == limit) out["nextToken"] = encode_token(rows->back().name);
  return out;
}

// By name or by ARN, as the API allows.
Result<std::string> name_or_arn(Call& call, std::string_view name, std::string_view arn, std::string_view kind) {
  const std::string given = call.text(name);
  if (!given.empty()) return given;
  return fleet::parse_arn(call.config.installation, kind, call.text(arn));
}

Result<Value> change_membership(Call& call, bool add) {
  const auto group = name_or_arn(call, "thingGroupName", "thingGroupArn", "thinggroup");
  if (!group) return group.error();
  const auto thing = name_or_arn(call, "thingName", "thingArn", "thing");
  if (!thing) return thing.error();
  const Status done = add ? repository::add_to_group(call.tx, *group, *thing, call.now)
                          : repository::remove_from_group(call.tx, *group, *thing, call.now);
  if (!done) return done.error();
  return Value::object();
}
Result<Value> add_to_group(Call& call) { return change_membership(call, true); }
Result<Value> remove_from_group(Call& call) { return change_membership(call, false); }

Result<Value> list_members(Call& call) {
  const auto group = repository::find_group(call.tx, call.text("thingGroupName"));
  if (!group) return group.error();
  if (!*group)
    return Error(ErrorCode::not_found, fmt::format("Thing group {} cannot be found.", call.text("thingGroupName")));
  const auto after = decode_token(call.text("nextToken"));
  if (!after) return after.error();
  const std::int64_t limit = page_size(call);
  const auto rows = repository::list_things(call.tx, {(**group).name, ""}, *after, limit);
  if (!rows) return rows.error();
  Value names = Value::array();
  for (const auto& row : *rows) names.push_back(row.name);
  Value out = {{"things", std::move(names)}};
  if (static_cast<std::int64_t>(rows->size()) == limit) out["nextToken"] = encode_token(rows->back().name);
  return out;
}

Result<Value> list_groups_of_thing(Call& call) {
  if (const auto row = repository::get_thing(call.tx, call.text("thingName")); !row) return row.error();
  const auto groups = repository::groups_of(call.tx, call.text("thingName"));
  if (!groups) return groups.error();
  Value items = Value::array();
  for (const auto& g : *groups) items.push_back({{"groupName", g}, {"groupArn", call.arn("thinggroup", g)}});
  return Value{{"thingGroups", std::move(items)}};
}

Result<Value> describe_endpoint(Call& call) { return Value{{"endpointAddress", call.config.mqtt_endpoint}}; }

}  // namespace

std::vector<Operation> registry_operations() {
  const Member thing{"thingName", In::path, Kind::name, true};
  const Member group{"thingGroupName", In::path, Kind::name, true};
  const Member max_results{"maxResults", In::query, Kind::integer, false, 1, page_max};
  const Member next_token{"nextToken", In::query, Kind::text, false, 1, 4096};
  const std::vector<Member> membership = {{"thingGroupName", In::body, Kind::name},
                                          {"thingGroupArn", In::body, Kind::text},
                                          {"thingName", In::body, Kind::name},
                                          {"thingArn", In::body, Kind::text},
                                          {"overrideDynamicGroups", In::body, Kind::boolean}};
  return {
      {{"CreateThing",
        "POST",
        "/things/{thingName}",
        Right::write,
        {thing, {"thingTypeName", In::body, Kind::name}, {"attributePayload", In::body, Kind::any}}},
       create_thing},
      {{"DescribeThing", "GET", "/things/{thingName}", Right::read, {thing}}, describe_thing},
      {{"DeleteThing", "DELETE", "/things/{thingName}", Right::write, {thing}}, delete_thing},
      {{"ListThings",
        "GET",
        "/things",
        Right::read,
        {max_results, next_token, {"thingTypeName", In::query, Kind::name}}},
       list_things},
      {{"AddThingToThingGroup", "PUT", "/thing-groups/addThingToThingGroup", Right::write, membership}, add_to_group},
      {{"RemoveThingFromThingGroup", "PUT", "/thing-groups/removeThingFromThingGroup", Right::write, membership},
       remove_from_group},
      {{"CreateThingGroup",
        "POST",
        "/thing-groups/{thingGroupName}",
        Right::write,
        {group, {"parentGroupName", In::body, Kind::name}, {"thingGroupProperties", In::body, Kind::any}}},
       create_group},
      {{"DescribeThingGroup", "GET", "/thing-groups/{thingGroupName}", Right::read, {group}}, describe_group},
      {{"ListThingGroups", "GET", "/thing-groups", Right::read, {max_results, next_token}}, list_groups},
      {{"ListThingsInThingGroup",
        "GET",
        "/thing-groups/{thingGroupName}/things",
        Right::read,
        {group, max_results, next_token, {"recursive", In::query, Kind::boolean}}},
       list_members},
      {{"ListThingGroupsForThing",
        "GET",
        "/things/{thingName}/thing-groups",
        Right::read,
        {thing, max_results, next_token}},
       list_groups_of_thing},
      {{"DescribeEndpoint", "GET", "/endpoint", Right::read, {{"endpointType", In::query, Kind::text, false, 0, 128}}},
       describe_endpoint},
  };
}

}  // namespace fleetward::api
