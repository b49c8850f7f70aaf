// Dimensions: named topic filters that narrow a cloud-side metric to the traffic on some topics, or to all but that
// (reference sections 2 and 4.1).
//
// Pure. Filters have MQTT's wildcards; ${iot:ClientId} in one stands for the client id of the device. Limits are those
// of Device Defender.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "json/json.hpp"

namespace fleetward::fleet {

constexpr std::size_t dimensions_max = 10;  // of an installation
constexpr std::size_t topic_filters_per_dimension_max = 100;
constexpr std::size_t topic_filter_bytes_max = 256;

// An immutable version. Topic rules, key dimension/NAME@V.
struct Dimension {
  std::string name;
  std::int64_t version = 1;
  std::vector<std::string> topic_filters;  // checked
  friend bool operator==(const Dimension&, const Dimension&) = default;
};

// Which version of a dimension: what counts are gathered, and judged, under.
struct DimensionVersion {
  std::string dimension;
  std::int64_t version = 1;
  friend auto operator<=>(const DimensionVersion&, const DimensionVersion&) = default;
};

// {dimension, version}; in a list of them: at most dimension_versions_max, else a problem of the reader.
json::Value to_json(const DimensionVersion& version);
json::Value to_json(const std::vector<DimensionVersion>& versions);
DimensionVersion read_dimension_version(json::Reader& reader);
std::vector<DimensionVersion> read_dimension_versions(json::Reader& reader, const json::Value& list);
constexpr std::size_t dimension_versions_max = 64;

// {name, version, type: TOPIC_FILTER, stringValues}; what is read has good filters.
json::Value to_json(const Dimension& dimension);
Result<Dimension> dimension_from_json(const json::Value& value);
std::string dimension_key(std::string_view name, std::int64_t version);  // dimension/NAME@V

// invalid_argument, naming the first that is no filter, is too long, or has a variable other than ${iot:ClientId}.
Status check_topic_filters(const std::vector<std::string>& filters);
// Whether the topic is in the dimension for the device. Linear in filters and text.
bool is_in(const Dimension& dimension, std::string_view client_id, std::string_view topic);

}  // namespace fleetward::fleet
