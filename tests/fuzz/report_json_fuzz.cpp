// Reports in JSON against a second, plain reader: where two readers of the same bytes differ, there is a way round the
// rules.
#include "fuzz/target.hpp"
#include "report/test_reader.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace fleetward;
  using namespace fleetward::fuzz;
  static report::ReportParser parser;
  const std::string_view text = as_text({data, size});
  if (text.starts_with("\xEF\xBB\xBF")) return 0;  // RFC 8259 section 8.1: a reader may skip the mark, or not
  const auto ours = parser.parse(as_bytes(text), report::testing::customs());
  const auto value = json::parse(text, {1 << 20, 64});
  if (!ours) expect(is_utf8(ours.error().message), "the reason can be shown");
  if (!value) {
    expect(!ours, "what is no JSON is no report");
    return 0;
  }
  const auto theirs = report::testing::read_plainly(*value, report::testing::customs());
  if (ours) {
    expect(theirs.has_value(), "the plain reader takes it as well");
    const std::string difference = report::testing::difference(**ours, *theirs);
    expect(difference.empty(), difference);
  } else if (theirs) {
    expect(report::testing::is_stricter(ours.error().message), "only we refuse it: " + ours.error().message);
  }
  return 0;
}
