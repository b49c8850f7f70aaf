// Settings: YAML as people write it, and values as flags ("section.key=value" lines). The first line says which.
#include "config/config.hpp"
#include "config/yaml.hpp"
#include "fuzz/target.hpp"

namespace fleetward::fuzz {
namespace {

void check_places(const config::YamlDocument& document, const json::Value& value, const std::string& pointer) {
  const config::YamlPlace place = document.place_of(pointer);
  expect(place.line >= 1 && place.column >= 1, "each value has a place: " + printable(pointer));
  if (value.is_object()) {
    for (const auto& [key, member] : value.items()) check_places(document, member, pointer + "/" + key);
  } else if (value.is_array()) {
    for (std::size_t i = 0; i < value.size(); ++i) check_places(document, value[i], fmt::format("{}/{}", pointer, i));
  }
}

void check_yaml(std::string_view text) {
  constexpr config::YamlLimits limits{64 * 1024, 16, 2000};
  const auto document = config::parse_yaml(text, limits);
  if (!document) {
    expect(document.error().code == ErrorCode::invalid_argument, "what is refused is the text's fault");
    return;
  }
  if (!document->value.is_null()) check_places(*document, document->value, "");
  // Its JSON is read by the strict reader: what comes out of YAML is a value like any other.
  const std::string text_again = json::dump(document->value);
  const auto again = json::parse(text_again, {1 << 20, 64});
  expect(again && *again == document->value, "it is a JSON value: " + printable(text_again, 512));
}

void check_flags(Input input) {
  std::string text, secret, choice = "a";
  std::int64_t integer = 5;
  double number = 0.5;
  bool boolean = false;
  Millis duration{1000};
  std::size_t size = 1024;
  std::vector<std::string> list;
  config::Section section("s", "Everything");
  section.text("text", text, "a text", 16);
  section.secret("secret", secret, "a secret");
  section.integer("integer", integer, "an integer", -10, 10);
  section.number("number", number, "a number", -1, 1);
  section.boolean("boolean", boolean, "a boolean");
  section.duration("duration", duration, "a duration", Millis(0), std::chrono::hours(24));
  section.size("size", size, "a size", 1, 1 << 20);
  section.list("list", list, "a list", 4);
  section.choice("choice", choice, "a choice", {"a", "b"});
  config::Config config;
  config.add(std::move(section));
  config::Sources sources;
  while (!input.rest().empty()) {
    const std::string_view line = input.line();
    const auto equals = line.find('=');
    if (equals == std::string_view::npos) sources.environment.emplace_back(line, "x");
    else sources.flags.emplace_back(line.substr(0, equals), line.substr(equals + 1));
  }
  if (!config.load(sources)) return;
  expect(text.size() <= 16 && list.size() <= 4 && (choice == "a" || choice == "b"), "texts are within their bounds");
  expect(integer >= -10 && integer <= 10 && number >= -1 && number <= 1, "numbers are within their bounds");
  expect(duration >= Millis(0) && duration <= std::chrono::hours(24) && size >= 1 && size <= 1 << 20,
         "durations and sizes are within their bounds");
  expect(*config::parse_duration(config::duration_text(duration)) == duration,
         "durations are written as they are read");
  expect(*config::parse_size(config::size_text(size)) == size, "sizes are written as they are read");
}

}  // namespace
}  // namespace fleetward::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace fleetward::fuzz;
  Input input(data, size);
  if (input.line() == "flags") check_flags(input);
  else check_yaml(input.rest());
  return 0;
}
