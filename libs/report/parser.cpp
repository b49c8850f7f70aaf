#include "report/parser.hpp"

#include "report/cbor_walk.hpp"
#include "report/json_walk.hpp"
#include "report/report_reader.hpp"

namespace fleetward::report {

std::string_view content_type(Encoding encoding) {
  return encoding == Encoding::cbor ? "application/cbor" : "application/json";
}

std::optional<Encoding> encoding_of(std::string_view content_type_text) {
  const std::string_view type = trim(content_type_text.substr(0, content_type_text.find(';')));
  if (type.empty() || iequals(type, content_type(Encoding::json))) return Encoding::json;
  if (iequals(type, content_type(Encoding::cbor))) return Encoding::cbor;
  return std::nullopt;
}

struct ReportParser::State {
  ReadingReport reading;
  ReportReader<JsonWalk> json{reading};
  ReportReader<CborWalk> cbor{reading};

  template <class Reader>
  Result<const Report*> parse(Reader& reader, ByteView payload) {
    if (reader.read(payload)) return &reading.report;
    return Error(ErrorCode::invalid_argument, reader.why());
  }
};

ReportParser::ReportParser() : state_(std::make_unique<State>()) {}
ReportParser::~ReportParser() = default;

Result<const Report*> ReportParser::parse(ByteView payload, const CustomMetricTable& customs, Encoding encoding) {
  state_->reading.customs = &customs;
  return encoding == Encoding::cbor ? state_->parse(state_->cbor, payload) : state_->parse(state_->json, payload);
}

std::optional<std::int64_t> ReportParser::report_id() const { return state_->reading.report_id; }

}  // namespace fleetward::report
