// Things and thing groups.
#include "repository/action_repository.hpp"
#include "repository/certificate_repository.hpp"
#include "repository/registry_repository.hpp"
#include "services/api/operations.hpp"

namespace fleetward::api {

Result<repository::Attributes> attributes_in(const json::Value& object, std::string_view member) {
  constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.,@/:#-";
  constexpr std::string_view more_in_values = "=[]";
  repository::Attributes out;
  const auto attributes = object.find(member);
  if (attributes == object.end() || attributes->is_null()) return out;
  if (!attributes->is_object() || attributes->size() > attributes_max) {
    return Error(ErrorCode::invalid_argument, fmt::format("attributes is not an object of at most {}", attributes_max));
  }
  for (const auto& [name, value] : attributes->items()) {
    const auto* text = value.get_ptr<const std::string*>();
    const bool good_name = !name.empty() && name.size() <= 128 && name.find_first_not_of(letters) == std::string::npos;
    const bool good_value = text != nullptr && text->size() <= 800 &&
                            text->find_first_not_of(fmt::format("{}{}", letters, more_in_values)) == std::string::npos;
    if (!good_name || !good_value) {
      return Error(ErrorCode::invalid_argument,
                   fmt::format("attribute {} is not a name and a text of [a-zA-Z0-9_.,@/:#=[]-] (128 and 800 bytes)",
                               printable(name, 64)));
    }
    out[name] = *text;
  }
  return out;
}

namespace {

using auth::Right;
using aws::In;
using aws::Kind;
using aws::Member;
using json::Value;

constexpr std::int64_t filtered_rows_max = 5'000;  // looked through a call, for filters without an index

struct Payload {
  repository::Attributes attributes;
  bool merge = false;
};

// None: the body has no attributePayload.
Result<std::optional<Payload>> payload_in(const Value& body) {
  const auto payload = body.find("attributePayload");
  if (payload == body.end() || payload->is_null()) return std::optional<Payload>();
  if (!payload->is_object()) return Error(ErrorCode::invalid_argument, "attributePayload is not an object");
  Payload out;
  for (const auto& [name, value] : payload->items()) {
    const bool is_merge = name == "merge" && value.is_boolean();
    if (is_merge) out.merge = value.get<bool>();
    if (!is_merge && name != "attributes")
      return Error(ErrorCode::invalid_argument,
                   fmt::format("attributePayload.{} is not supported or has the wrong type", printable(name, 64)));
  }
  auto attributes = attributes_in(*payload, "attributes");
  if (!attributes) return attributes.error();
  out.attributes = std::move(*attributes);
  return std::optional(std::move(out));
}

// expectedVersion, where the call has one.
Status check_version(const Call& call, std::string_view what, const std::string& name, std::int64_t version) {
  if (!call.args.integers.contains("expectedVersion") || call.args.integer("expectedVersion", 0) == version) return {};
  return Error(ErrorCode::conflict, fmt::format("{} {} has version {}.", what, name, version));
}

Result<Value> create_thing(Call& call) {
  const auto payload = payload_in(call.args.body);
  if (!payload) return payload.error();
  const auto row =
      repository::create_thing(call.tx, call.text("thingName"), new_uuid(call.random), call.text("thingTypeName"),
                               payload->value_or(Payload()).attributes, call.now);
  if (!row) return row.error();
  return Value{{"thingName", row->name}, {"thingArn", call.arn("thing", row->name)}, {"thingId", row->id}};
}

// What the payload makes of the attributes that are there: with `merge` it adds to them, and an empty value takes one
// away.
Result<repository::Attributes> changed_attributes(repository::Attributes there, const Payload& payload) {
  if (!payload.merge) there.clear();
  for (const auto& [name, value] : payload.attributes) {
    if (value.empty()) there.erase(name);
    else there[name] = value;
  }
  if (there.size() <= attributes_max) return there;
  return Error(ErrorCode::invalid_argument, fmt::format("a thing has at most {} attributes", attributes_max));
}

Result<Value> update_thing(Call& call) {
  auto thing = repository::get_thing(call.tx, call.text("thingName"));
  if (!thing) return thing.error();
  if (const Status same = check_version(call, "Thing", thing->name, thing->version); !same) return same.error();
  const bool has_type = call.args.texts.contains("thingTypeName");
  const bool removes_type = call.args.boolean("removeThingType", false);
  if (has_type && removes_type)
    return Error(ErrorCode::invalid_argument, "thingTypeName and removeThingType exclude each other");
  if (has_type || removes_type) thing->thing_type = call.text("thingTypeName");
  const auto payload = payload_in(call.args.body);
  if (!payload) return payload.error();
  if (*payload) {
    auto attributes = changed_attributes(std::move(thing->attributes), **payload);
    if (!attributes) return attributes.error();
    thing->attributes = std::move(*attributes);
  }
  const Status done = repository::update_thing(call.tx, thing->name, thing->thing_type, thing->attributes, call.now);
  if (!done) return done.error();
  return Value::object();
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

bool has_attribute(Call& call, const repository::ThingRow& t) {
  if (!call.args.texts.contains("attributeName")) return true;
  const auto found = t.attributes.find(call.text("attributeName"));
  if (found == t.attributes.end() || !call.args.texts.contains("attributeValue")) return found != t.attributes.end();
  const std::string wanted = call.text("attributeValue");
  return call.args.boolean("usePrefixAttributeValue", false) ? found->second.starts_with(wanted)
                                                             : found->second == wanted;
}

// Attributes have no index: a page may be short, and even empty, with a token for the rest.
Result<Value> list_things(Call& call) {
  if (call.args.texts.contains("attributeValue") && !call.args.texts.contains("attributeName"))
    return Error(ErrorCode::invalid_argument, "attributeValue needs attributeName");
  auto after = decode_token(call);
  if (!after) return after.error();
  const std::int64_t limit = page_size(call);
  const bool filtered = call.args.texts.contains("attributeName");
  auto rows = repository::list_things(call.tx, {"", call.text("thingTypeName"), false}, *after,
                                      filtered ? filtered_rows_max : limit + 1);
  if (!rows) return rows.error();
  const bool scanned_all = filtered && static_cast<std::int64_t>(rows->size()) < filtered_rows_max;
  const std::string last = rows->empty() ? "" : rows->back().name;
  std::erase_if(*rows, [&](const auto& row) { return !has_attribute(call, row); });
  auto next = cut_page(call, *rows, limit, [](const auto& row) { return row.name; });
  if (!next && filtered && !scanned_all) next = encode_token(call, last);
  Value items = Value::array();
  for (const auto& row : *rows) items.push_back(thing_json(call, row));
  Value out = {{"things", std::move(items)}};
  if (next) out["nextToken"] = *next;
  return out;
}

Result<Value> delete_thing(Call& call) {
  const std::string name = call.text("thingName");
  const auto thing = repository::find_thing(call.tx, name);
  if (!thing) return thing.error();
  if (!*thing) return Value::object();  // idempotent, as the service it is like
  if (const Status same = check_version(call, "Thing", name, (**thing).version); !same) return same.error();
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
  if (properties != call.args.body.end() && !properties->is_null()) {
    json::Reader r(*properties, "thingGroupProperties");
    description = r.text_or("thingGroupDescription", "", 2028);
    r.refuse_unknown();
    if (const Status good = r.finish(); !good) return good.error();
  }
  const auto row = repository::create_group(call.tx, call.text("thingGroupName"), new_uuid(call.random),
                                            call.text("parentGroupName"), description, call.now);
  // The operation declares no ResourceNotFoundException.
  if (!row && row.error().code == ErrorCode::not_found)
    return Error(ErrorCode::invalid_argument, "parentGroupName: " + row.error().message);
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

Result<Value> delete_group(Call& call) {
  const std::string name = call.text("thingGroupName");
  const auto row = repository::find_group(call.tx, name);
  if (!row) return row.error();
  if (!*row) return Value::object();
  if (const Status same = check_version(call, "Thing group", name, (**row).version); !same) return same.error();
  const Status gone = repository::delete_group(call.tx, name, call.now);
  if (!gone) return gone.error();
  return Value::object();
}

// Whether the group is a child of `parent`, or with `recursive` any descendant.
Result<bool> is_below(Call& call, const repository::GroupRow& group, const std::string& parent, bool recursive) {
  std::string up = group.parent;
  while (!up.empty() && up != parent && recursive) {
    const auto above = repository::find_group(call.tx, up);
    if (!above) return above.error();
    up = *above ? (**above).parent : std::string();
  }
  return !up.empty() && up == parent;
}

Result<Value> list_groups(Call& call) {
  const auto after = decode_token(call);
  if (!after) return after.error();
  const std::int64_t limit = page_size(call);
  const std::string parent = call.text("parentGroup");
  if (!parent.empty()) {
    const auto found = repository::find_group(call.tx, parent);
    if (!found) return found.error();
    if (!*found) return Error(ErrorCode::not_found, fmt::format("Thing group {} cannot be found.", parent));
  }
  const auto rows = repository::list_groups(call.tx, *after, filtered_rows_max);
  if (!rows) return rows.error();
  std::vector<repository::GroupRow> kept;
  for (const auto& g : *rows) {
    if (!g.name.starts_with(call.text("namePrefixFilter"))) continue;
    const auto below = is_below(call, g, parent, call.args.boolean("recursive", true));
    if (!below) return below.error();
    if (parent.empty() || *below) kept.push_back(g);
  }
  auto next = cut_page(call, kept, limit, [](const auto& row) { return row.name; });
  if (!next && static_cast<std::int64_t>(rows->size()) == filtered_rows_max)
    next = encode_token(call, rows->back().name);
  Value items = Value::array();
  for (const auto& g : kept) items.push_back({{"groupName", g.name}, {"groupArn", call.arn("thinggroup", g.name)}});
  Value out = {{"thingGroups", std::move(items)}};
  if (next) out["nextToken"] = *next;
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
  const repository::ThingFilter filter{(**group).name, "", call.args.boolean("recursive", false)};
  return list_page(
      call, by_max_results, "things",
      [&](const std::string& after, std::int64_t limit) {
        return repository::list_things(call.tx, filter, after, limit);
      },
      [](const auto& row) { return row.name; }, [](const auto& row) { return Value(row.name); });
}

Result<Value> list_groups_of_thing(Call& call) {
  if (const auto row = repository::get_thing(call.tx, call.text("thingName")); !row) return row.error();
  const auto after = decode_token(call);
  if (!after) return after.error();
  auto groups = repository::groups_of(call.tx, call.text("thingName"));
  if (!groups) return groups.error();
  std::erase_if(*groups, [&](const std::string& name) { return name <= *after; });
  const auto next = cut_page(call, *groups, page_size(call), [](const std::string& name) { return name; });
  Value items = Value::array();
  for (const auto& g : *groups) items.push_back({{"groupName", g}, {"groupArn", call.arn("thinggroup", g)}});
  Value out = {{"thingGroups", std::move(items)}};
  if (next) out["nextToken"] = *next;
  return out;
}

Result<Value> describe_endpoint(Call& call) { return Value{{"endpointAddress", call.config.mqtt_endpoint}}; }

}  // namespace

std::vector<Operation> registry_operations() {
  const Member thing{"thingName", In::path, Kind::name, true};
  const Member group{"thingGroupName", In::path, Kind::name, true};
  const Member max_results{"maxResults", In::query, Kind::integer, false, 1, page_max};
  const Member next_token{"nextToken", In::query, Kind::text, false, 1, 4096};
  constexpr std::int64_t versions_max = std::numeric_limits<std::int64_t>::max();
  const Member version{"expectedVersion", In::query, Kind::integer, false, 1, versions_max};
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
      {{"UpdateThing",
        "PATCH",
        "/things/{thingName}",
        Right::write,
        {thing,
         {"thingTypeName", In::body, Kind::name},
         {"attributePayload", In::body, Kind::any},
         {"removeThingType", In::body, Kind::boolean},
         {"expectedVersion", In::body, Kind::integer, false, 1, versions_max}}},
       update_thing},
      {{"DescribeThing", "GET", "/things/{thingName}", Right::read, {thing}}, describe_thing},
      {{"DeleteThing", "DELETE", "/things/{thingName}", Right::write, {thing, version}}, delete_thing},
      {{"ListThings",
        "GET",
        "/things",
        Right::read,
        {max_results,
         next_token,
         {"thingTypeName", In::query, Kind::name},
         {"attributeName", In::query, Kind::text, false, 1, 128},
         {"attributeValue", In::query, Kind::text, false, 0, 800},
         {"usePrefixAttributeValue", In::query, Kind::boolean}}},
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
      {{"DeleteThingGroup", "DELETE", "/thing-groups/{thingGroupName}", Right::write, {group, version}}, delete_group},
      {{"DescribeThingGroup", "GET", "/thing-groups/{thingGroupName}", Right::read, {group}}, describe_group},
      {{"ListThingGroups",
        "GET",
        "/thing-groups",
        Right::read,
        {max_results,
         next_token,
         {"parentGroup", In::query, Kind::name},
         {"namePrefixFilter", In::query, Kind::text, false, 1, 128},
         {"recursive", In::query, Kind::boolean}}},
       list_groups},
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
      // Devices find MQTT here, and neither credentials of a cloud nor jobs.
      {{"DescribeEndpoint",
        "GET",
        "/endpoint",
        Right::read,
        {{"endpointType", In::query, Kind::text, false, 0, 128, "iot:Data-ATS|iot:Data"}}},
       describe_endpoint},
  };
}

}  // namespace fleetward::api
