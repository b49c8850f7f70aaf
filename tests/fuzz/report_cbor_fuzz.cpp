// Reports in CBOR against a second reader: nlohmann's CBOR into a value, read by the plain rules. A report that we take
// is the same there; and the same again when it is written as JSON.
#include "fuzz/target.hpp"
#include "report/test_reader.hpp"

namespace fleetward::fuzz {
namespace {

using report::testing::customs;

// JSON knows no byte strings: a report with one has no JSON form.
bool has_bytes(const json::Value& value) {
  if (value.is_binary()) return true;
  if (!value.is_structured()) return false;
  return std::any_of(value.begin(), value.end(), has_bytes);
}

void check_as_json(const report::Report& ours, const json::Value& value) {
  static report::ReportParser json_parser;
  if (has_bytes(value)) return;
  const std::string text = json::dump(value);
  const auto again = json_parser.parse(as_bytes(text), customs());
  // JSON is longer.
  if (!again && report::testing::is_stricter(again.error().message)) return;
  expect(again.ok(), "its JSON is a report too: " + (again ? "" : again.error().message) + " " + printable(text, 512));
  expect((*again)->report_id == ours.report_id && (*again)->bytes_in == ours.bytes_in &&
             (*again)->tcp_ports.items == ours.tcp_ports.items && (*again)->connections.items == ours.connections.items,
         "and says the same: " + printable(text, 512));
}

}  // namespace
}  // namespace fleetward::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace fleetward;
  using namespace fleetward::fuzz;
  static report::ReportParser parser;
  const ByteView payload(data, size);
  const auto ours = parser.parse(payload, customs(), report::Encoding::cbor);
  if (!ours) {
    expect(is_utf8(ours.error().message), "the reason can be shown");
    return 0;  // we refuse more: repeats, broken UTF-8, tags inside
  }
  const ByteView content =
      size >= 3 && data[0] == 0xd9 && data[1] == 0xd9 && data[2] == 0xf7 ? payload.subspan(3) : payload;
  const auto value = json::Value::from_cbor(content.begin(), content.end(), true, false);
  expect(!value.is_discarded(), "the other reader takes it as well: " + to_hex(content));
  const auto theirs = report::testing::read_plainly(value, customs());
  expect(theirs.has_value(), "the plain rules take it as well: " + printable(json::dump(value), 512));
  const std::string difference = report::testing::difference(**ours, *theirs);
  expect(difference.empty(), difference + ": " + printable(json::dump(value), 512));
  check_as_json(**ours, value);
  return 0;
}
