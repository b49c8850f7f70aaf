// Reads a Device Defender report in JSON or CBOR (reference section 1) as real agents write it, and refuses the rest.
//
// Taken: long, short and mixed names, ports as text, whole numbers written as floats, nulls and missing fields, IPv6
// remotes with and without brackets, ids that do not rise, unknown members (a minor version may add some). In CBOR also
// lengths that are not told beforehand, and what JSON could say as well; no tags, no NaN (cbor_walk.hpp).
// Refused, with the path of the field in the reason: a member twice (also once by its long and once by its short name,
// or escaped), text that is not UTF-8, numbers out of range, nesting deeper than depth_max, anything after the end.
// Every byte is read: what no rule asks for is checked like the rest.
//
// A parser belongs to one thread; parse() allocates nothing once its buffers have grown to what comes.
#pragma once

#include <memory>
#include <optional>

#include "core/text.hpp"
#include "report/report.hpp"

namespace fleetward::report {

constexpr int depth_max = 16;

enum class Encoding { json, cbor };
std::string_view content_type(Encoding encoding);  // application/json, application/cbor
// Of a content type with or without parameters; an empty one is JSON. Nothing for any other.
std::optional<Encoding> encoding_of(std::string_view content_type);

class ReportParser {
 public:
  ReportParser();
  ~ReportParser();
  ReportParser(const ReportParser&) = delete;
  ReportParser& operator=(const ReportParser&) = delete;

  // The report, good until the next parse(). Always invalid_argument when it is refused. Custom metrics that are not in
  // `customs`, or whose value breaks its rules, are in Report::problems; the report is good all the same.
  Result<const Report*> parse(ByteView payload, const CustomMetricTable& customs, Encoding encoding = Encoding::json);

  // header.report_id of the last payload, also of a refused one if it could be read: replies carry it.
  [[nodiscard]] std::optional<std::int64_t> report_id() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace fleetward::report
