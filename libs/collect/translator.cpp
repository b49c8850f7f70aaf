#include "collect/translator.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/text.hpp"
#include "fleet/names.hpp"

namespace fleetward::collect {
namespace {

Translation refuse(std::string_view refusal, std::string why) {
  Translation out;
  out.refusal = refusal;
  out.why = std::move(why);
  return out;
}

// The text that the rule points to; empty: there is none.
std::string thing_in(const ThingRule& rule, const SourceMessage& message, const json::Value& body) {
  switch (rule.from) {
    case ThingRule::From::topic: {
      const auto found = rule.topic->find(message.topic);
      return found ? std::string(found->thing) : "";
    }
    case ThingRule::From::key:
      return std::string(message.key);
    case ThingRule::From::header: {
      const auto at = std::find_if(message.headers.begin(), message.headers.end(),
                                   [&](const auto& header) { return header.first == rule.name; });
      return at == message.headers.end() ? "" : std::string(at->second);
    }
    case ThingRule::From::field: {
      const auto found = Pointer::parse(rule.name)->find(body);
      return found.empty() || !found.front()->is_string() ? "" : found.front()->get<std::string>();
    }
  }
  return "";
}

std::string_view place_of(const ThingRule& rule) {
  switch (rule.from) {
    case ThingRule::From::topic:
      return "the topic";
    case ThingRule::From::key:
      return "the key";
    case ThingRule::From::header:
      return "the header";
    case ThingRule::From::field:
      return "the field";
  }
  return "";
}

report::Encoding encoding_of(const SourceFormat& format, const SourceMessage& message) {
  const auto by_topic = format.thing.topic ? format.thing.topic->find(message.topic) : std::nullopt;
  if (by_topic && by_topic->encoding) return *by_topic->encoding;
  if (message.content_type.empty()) return format.encoding;
  return report::encoding_of(message.content_type).value_or(format.encoding);
}

}  // namespace

Translation Translator::translate(const SourceMessage& message) {
  if (message.payload.size() > report::payload_bytes_max)
    return refuse(refusal::too_large,
                  fmt::format("{} bytes; {} are allowed", message.payload.size(), report::payload_bytes_max));
  Translation out;
  out.encoding = format_.mapping ? report::Encoding::json : encoding_of(format_, message);
  const bool reads_body = format_.mapping || format_.thing.from == ThingRule::From::field;
  json::Value body;
  if (reads_body) {
    auto parsed = json::parse(message.payload);
    if (!parsed) return refuse(refusal::bad_payload, parsed.error().message);
    body = std::move(*parsed);
  }
  out.thing = thing_in(format_.thing, message, body);
  if (!fleet::is_valid_name(out.thing))
    return refuse(refusal::no_thing,
                  fmt::format("{} has no thing's name: '{}'", place_of(format_.thing), printable(out.thing, 128)));
  if (format_.mapping) {
    const auto report = format_.mapping->apply(body, message.report_id);
    if (!report) return refuse(refusal::bad_payload, report.error().message);
    out.report = json::dump(*report);
  } else {
    out.report = message.payload;
  }
  static const report::CustomMetricTable no_customs;  // which are defined is the detector's business
  const auto parsed = parser_.parse(as_bytes(out.report), no_customs, out.encoding);
  if (!parsed) return refuse(refusal::bad_payload, parsed.error().message);
  return out;
}

}  // namespace fleetward::collect
