// Of which thing a collected message is: by a level of its topic, its key, a header, or a field of its payload.
//
// Written as one line: "topic devices/{thing}/metrics", "key", "header device-id", "field /device/id". A topic's
// pattern has whole levels: {thing}, {format} (json or cbor), + for any one, # at the end for the rest. Pure,
// immutable.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.hpp"
#include "report/parser.hpp"

namespace fleetward::collect {

// What a pattern finds in a topic.
struct TopicFinding {
  std::string_view thing;
  std::optional<report::Encoding> encoding;  // of a {format}
};

class TopicPattern {
 public:
  // invalid_argument says what is wrong. {thing} is there once, {format} at most once.
  static Result<TopicPattern> parse(std::string_view text);
  // Nothing: the topic is not of that shape.
  [[nodiscard]] std::optional<TopicFinding> find(std::string_view topic) const;
  // The same as an MQTT filter, with + for what is in braces.
  [[nodiscard]] std::string filter() const;

 private:
  std::vector<std::string> levels_;
};

struct ThingRule {
  enum class From { topic, key, header, field };

  static Result<ThingRule> parse(std::string_view text);

  From from = From::key;
  std::optional<TopicPattern> topic;  // From::topic
  std::string name;                   // From::header: its name; From::field: a JSON Pointer
};

}  // namespace fleetward::collect
