// Dimensions: the topic filters that behaviors look through.
#include "repository/dimension_repository.hpp"
#include "services/api/operations.hpp"

namespace fleetward::api {
namespace {

using auth::Right;
using aws::In;
using aws::Kind;
using aws::Member;
using json::Value;

constexpr std::string_view topic_filter_type = "TOPIC_FILTER";

Result<std::vector<std::string>> filters_in(const Call& call, std::string_view member) {
  const auto given = call.args.body.find(member);
  const bool is_list = given != call.args.body.end() && given->is_array() &&
                       std::all_of(given->begin(), given->end(), [](const Value& v) { return v.is_string(); });
  if (!is_list) return Error(ErrorCode::invalid_argument, fmt::format("{} is not a list of topic filters", member));
  std::vector<std::string> filters;
  for (const Value& filter : *given) filters.push_back(filter.get<std::string>());
  if (const Status good = fleet::check_topic_filters(filters); !good) return good.error();
  return filters;
}

constexpr std::string_view token_characters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";

Value described(Call& call, const repository::DimensionRow& row) {
  return {{"name", row.dimension.name},
          {"arn", call.arn("dimension", row.dimension.name)},
          {"type", topic_filter_type},
          {"stringValues", row.dimension.topic_filters},
          {"creationDate", seconds(row.created)},
          {"lastModifiedDate", seconds(row.modified)}};
}

Result<Value> create_dimension(Call& call) {
  auto filters = filters_in(call, "stringValues");
  if (!filters) return filters.error();
  const std::string token = call.text("clientRequestToken");
  if (token.find_first_not_of(token_characters) != std::string::npos)
    return Error(ErrorCode::invalid_argument, "clientRequestToken has characters other than [a-zA-Z0-9_-]");
  const auto row = repository::create_dimension(call.tx, {call.text("name"), 0, std::move(*filters)}, token, call.now);
  if (!row) return row.error();
  return Value{{"name", row->dimension.name}, {"arn", call.arn("dimension", row->dimension.name)}};
}

Result<Value> update_dimension(Call& call) {
  auto filters = filters_in(call, "stringValues");
  if (!filters) return filters.error();
  const auto row = repository::update_dimension(call.tx, call.text("name"), std::move(*filters), call.now);
  if (!row) return row.error();
  return described(call, *row);
}

Result<Value> describe_dimension(Call& call) {
  const auto row = repository::get_dimension(call.tx, call.text("name"));
  if (!row) return row.error();
  return described(call, *row);
}

Result<Value> delete_dimension(Call& call) {
  const Status gone = repository::delete_dimension(call.tx, call.text("name"), call.now);
  if (!gone) return gone.error();
  return Value::object();
}

std::string name_of(const repository::DimensionRow& row) { return row.dimension.name; }

Result<Value> list_dimensions(Call& call) {
  return list_page(
      call, by_max_results, "dimensionNames",
      [&](const std::string& after, std::int64_t limit) { return repository::list_dimensions(call.tx, after, limit); },
      name_of, [](const auto& row) { return Value(row.dimension.name); });
}

// ---- as files have them

Value dimension_json(const fleet::Dimension& d) {
  return {{"name", d.name}, {"version", d.version}, {"topicFilters", d.topic_filters}};
}

Result<Value> v1_put(Call& call) {
  auto filters = filters_in(call, "topicFilters");
  if (!filters) return filters.error();
  const auto row = repository::put_dimension(call.tx, {call.text("name"), 0, std::move(*filters)}, call.now);
  if (!row) return row.error();
  return dimension_json(row->dimension);
}

Result<Value> v1_list(Call& call) {
  return list_page(
      call, by_limit, "dimensions",
      [&](const std::string& after, std::int64_t limit) { return repository::list_dimensions(call.tx, after, limit); },
      name_of, [](const auto& row) { return dimension_json(row.dimension); });
}

}  // namespace

std::vector<Operation> dimension_operations() {
  const Member name{"name", In::path, Kind::name, true};
  const Member values{"stringValues", In::body, Kind::any, true};
  const Member token{"nextToken", In::query, Kind::text, false, 1, 4096};
  return {
      {{"CreateDimension",
        "POST",
        "/dimensions/{name}",
        Right::write,
        {name,
         {"type", In::body, Kind::text, true, 1, 32, topic_filter_type},
         values,
         {"clientRequestToken", In::body, Kind::text, true, 1, 64}}},
       create_dimension},
      {{"UpdateDimension", "PATCH", "/dimensions/{name}", Right::write, {name, values}}, update_dimension},
      {{"DescribeDimension", "GET", "/dimensions/{name}", Right::read, {name}}, describe_dimension},
      {{"DeleteDimension", "DELETE", "/dimensions/{name}", Right::write, {name}}, delete_dimension},
      {{"ListDimensions",
        "GET",
        "/dimensions",
        Right::read,
        {{"maxResults", In::query, Kind::integer, false, 1, page_max}, token}},
       list_dimensions},
      {{"v1.dimensions.list",
        "GET",
        "/v1/dimensions",
        Right::read,
        {{"limit", In::query, Kind::integer, false, 1, page_max}, token}},
       v1_list},
      {{"v1.dimensions.put",
        "PUT",
        "/v1/dimensions/{name}",
        Right::write,
        {name, {"topicFilters", In::body, Kind::any, true}}},
       v1_put},
  };
}

}  // namespace fleetward::api
