// From a message of an operator's broker to a report of a thing, or the reason why it is none.
//
// A message is a Device Defender report as it stands (JSON or CBOR), or somebody's JSON that a mapping makes one of.
// What comes out has been parsed as the detector will parse it. Pure, but it owns a parser: one thread. Limits: a
// payload of report::payload_bytes_max, JSON as deep as json::Limits says.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "collect/mapping.hpp"
#include "collect/thing_rule.hpp"

namespace fleetward::collect {

struct SourceMessage {
  std::string_view topic;
  std::string_view key;  // Kafka
  std::string_view payload;
  std::string_view content_type;                                         // as the message says; empty: it does not
  std::vector<std::pair<std::string_view, std::string_view>> headers{};  // Kafka's; MQTT's user properties
  std::int64_t report_id = 0;                                            // for a mapping that takes none from it
};

struct Translation {
  // Good:
  std::string thing;
  std::string report;
  report::Encoding encoding = report::Encoding::json;
  // Not good: the reason as a metric's label, and in words; both empty when it is good.
  std::string_view refusal{};
  std::string why{};

  [[nodiscard]] bool ok() const { return refusal.empty(); }
};

namespace refusal {
constexpr std::string_view no_thing = "no-thing";  // nothing says whose it is, or it is no thing's name
constexpr std::string_view too_large = "too-large";
constexpr std::string_view bad_payload = "bad-payload";  // no report, or not what the mapping says
}  // namespace refusal

struct SourceFormat {
  ThingRule thing;
  std::optional<Mapping> mapping;  // none: reports as they are
  // Of a report when neither {format} in its topic nor its content type says it.
  report::Encoding encoding = report::Encoding::json;
};

class Translator {
 public:
  explicit Translator(SourceFormat format) : format_(std::move(format)) {}

  Translation translate(const SourceMessage& message);
  [[nodiscard]] const SourceFormat& format() const { return format_; }

 private:
  SourceFormat format_;
  report::ReportParser parser_;
};

}  // namespace fleetward::collect
