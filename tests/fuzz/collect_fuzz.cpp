// Messages from an operator's broker, as reports and through a mapping: what is let through is a thing's report, and a
// mapped number stands in it as the message had it.
#include "collect/translator.hpp"
#include "fleet/names.hpp"
#include "fuzz/target.hpp"

namespace fleetward::fuzz {
namespace {

collect::SourceFormat format(std::string_view rule, std::string_view mapping) {
  collect::SourceFormat out{*collect::ThingRule::parse(rule), std::nullopt};
  if (!mapping.empty()) out.mapping = *collect::Mapping::from_json(*json::parse(mapping));
  return out;
}

void check(collect::Translator& translator, const collect::SourceMessage& message) {
  const collect::Translation out = translator.translate(message);
  expect(is_utf8(out.why), "the reason can be shown");
  if (!out.ok()) return expect(!out.why.empty(), "a refusal has words");
  expect(fleet::is_valid_name(out.thing), "the thing has a thing's name");
  static report::ReportParser parser;
  static const report::CustomMetricTable customs({{"a", fleet::CustomMetricType::number, ""}});
  const auto report = parser.parse(as_bytes(out.report), customs, out.encoding);
  expect(report.ok(), "what is let through is a report");
  if (!translator.format().mapping) return;
  expect((*report)->problem_count == 0 || (*report)->customs.empty(), "what is mapped is of the metric's type");
  const auto body = json::parse(message.payload);
  const auto a = body->is_object() ? body->find("a") : body->end();
  if ((*report)->customs.empty() || a == body->end()) return;
  expect((*report)->customs[0].number == a->get<double>(), "the number is the message's");
}

}  // namespace
}  // namespace fleetward::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace fleetward;
  using namespace fleetward::fuzz;
  static collect::Translator plain(format("topic +/{thing}/{format}", ""));
  static collect::Translator mapped(format("field /id", R"({"metrics":[
    {"name":"a","path":"/a","type":"number"},{"name":"aws:listening-tcp-ports","path":"/p/*","type":"ports"},
    {"name":"aws:destination-ip-addresses","path":"/d","type":"addresses"},
    {"name":"aws:all-bytes-in","path":"/n/0/in","type":"count"}]})"));
  Input input(data, size);
  const std::string_view topic = input.line();
  check(plain, {topic, "", input.rest(), ""});
  check(mapped, {topic, "", input.rest(), ""});
  static_cast<void>(collect::ThingRule::parse(topic));
  if (const auto value = json::parse(input.rest()); value) static_cast<void>(collect::Mapping::from_json(*value));
  return 0;
}
