#include "fleet/dimension.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/text.hpp"
#include "fleet/names.hpp"
#include "mqtt/topic.hpp"

namespace fleetward::fleet {
namespace {

constexpr std::string_view client_id_variable = "${iot:ClientId}";
constexpr std::string_view topic_filter_type = "TOPIC_FILTER";

// The filter for one device.
std::string topic_filter_of(std::string_view filter, std::string_view client_id) {
  std::string out;
  for (std::size_t at = filter.find(client_id_variable); at != std::string_view::npos;
       at = filter.find(client_id_variable)) {
    out.append(filter.substr(0, at)).append(client_id);
    filter.remove_prefix(at + client_id_variable.size());
  }
  return out.append(filter);
}

}  // namespace

Status check_topic_filters(const std::vector<std::string>& filters) {
  const auto wrong = [](std::string_view what) { return Error(ErrorCode::invalid_argument, std::string(what)); };
  if (filters.empty() || filters.size() > topic_filters_per_dimension_max) {
    return wrong(fmt::format("stringValues is not a list of 1 to {} topic filters", topic_filters_per_dimension_max));
  }
  for (const std::string& filter : filters) {
    const std::string shown = printable(filter, topic_filter_bytes_max);
    if (filter.empty() || filter.size() > topic_filter_bytes_max || !is_utf8(filter)) {
      return wrong(fmt::format("stringValues: '{}' is not 1 to {} bytes of UTF-8", shown, topic_filter_bytes_max));
    }
    const std::string plain = topic_filter_of(filter, "c");
    if (plain.find("${") != std::string::npos) {
      return wrong(fmt::format("stringValues: '{}' has a variable other than {}", shown, client_id_variable));
    }
    if (!mqtt::is_topic_filter(plain)) return wrong(fmt::format("stringValues: '{}' is no MQTT topic filter", shown));
  }
  return {};
}

bool is_in(const Dimension& dimension, std::string_view client_id, std::string_view topic) {
  return std::any_of(dimension.topic_filters.begin(), dimension.topic_filters.end(), [&](const std::string& filter) {
    if (filter.find(client_id_variable) == std::string::npos) return mqtt::matches(filter, topic);
    return mqtt::matches(topic_filter_of(filter, client_id), topic);
  });
}

json::Value to_json(const DimensionVersion& d) { return {{"dimension", d.dimension}, {"version", d.version}}; }

json::Value to_json(const std::vector<DimensionVersion>& versions) {
  json::Value out = json::Value::array();
  for (const DimensionVersion& d : versions) out.push_back(to_json(d));
  return out;
}

DimensionVersion read_dimension_version(json::Reader& r) {
  return {r.text("dimension", 1, 128), r.integer("version", 1, std::numeric_limits<std::int64_t>::max())};
}

std::vector<DimensionVersion> read_dimension_versions(json::Reader& r, const json::Value& list) {
  std::vector<DimensionVersion> out;
  if (!list.is_array() || list.size() > dimension_versions_max) {
    r.problem("dimensions", fmt::format("is not a list of at most {}", dimension_versions_max));
    return out;
  }
  for (const json::Value& item : list) {
    json::Reader d(item, r.path() + ".dimensions");
    out.push_back(read_dimension_version(d));
    if (const Status status = d.finish(); !status) r.problem("dimensions", status.error().message);
  }
  return out;
}

json::Value to_json(const Dimension& d) {
  return {{"name", d.name}, {"version", d.version}, {"type", topic_filter_type}, {"stringValues", d.topic_filters}};
}

Result<Dimension> dimension_from_json(const json::Value& value) {
  json::Reader r(value, "dimension");
  Dimension d;
  d.name = r.text("name", 1, 128);
  if (!d.name.empty() && !is_valid_name(d.name)) r.problem("name", "has characters other than [a-zA-Z0-9:_-]");
  d.version = r.integer("version", 1, std::numeric_limits<std::int64_t>::max());
  if (r.text("type") != topic_filter_type) r.problem("type", "is not TOPIC_FILTER");
  d.topic_filters = r.texts_or_empty("stringValues", topic_filters_per_dimension_max, topic_filter_bytes_max);
  if (const Status status = r.finish(); !status) return status.error();
  if (const Status good = check_topic_filters(d.topic_filters); !good) return good.error();
  return d;
}

std::string dimension_key(std::string_view name, std::int64_t version) {
  return fmt::format("dimension/{}@{}", name, version);
}

}  // namespace fleetward::fleet
