// The fields of a section: how a value of each type is taken and checked.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>

#include "config/config.hpp"
#include "config/suggest.hpp"
#include "core/text.hpp"

namespace fleetward::config {
namespace {

constexpr std::size_t value_bytes_max = 64 * 1024;

Error wrong(std::string what) { return {ErrorCode::invalid_argument, std::move(what)}; }

Status set_text(const json::Value& value, std::string& target, std::size_t bytes_max) {
  if (!value.is_string()) return wrong("must be text: put it in quotes");
  const auto& text = value.get_ref<const std::string&>();
  if (text.size() > bytes_max) return wrong(fmt::format("is longer than {} bytes", bytes_max));
  target = text;
  return {};
}

Status set_integer(const json::Value& value, std::int64_t& target, std::int64_t min, std::int64_t max) {
  const bool is_huge = value.is_number_unsigned() && value.get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX);
  if (!value.is_number_integer() || is_huge)
    return wrong(fmt::format("must be a whole number from {} to {}", min, max));
  const auto number = value.get<std::int64_t>();
  if (number < min || number > max) return wrong(fmt::format("is {}, allowed are {} to {}", number, min, max));
  target = number;
  return {};
}

Status set_number(const json::Value& value, double& target, double min, double max) {
  if (!value.is_number()) return wrong(fmt::format("must be a number from {} to {}", min, max));
  const auto number = value.get<double>();
  if (number < min || number > max) return wrong(fmt::format("is {}, allowed are {} to {}", number, min, max));
  target = number;
  return {};
}

Status set_duration(const json::Value& value, Millis& target, Millis min, Millis max) {
  if (!value.is_string()) return wrong("must be a duration with its unit, like 30s");
  const Result<Millis> parsed = parse_duration(value.get_ref<const std::string&>());
  if (!parsed) return parsed.error();
  if (*parsed < min || *parsed > max) {
    return wrong(
        fmt::format("is {}, allowed are {} to {}", duration_text(*parsed), duration_text(min), duration_text(max)));
  }
  target = *parsed;
  return {};
}

Status set_size(const json::Value& value, std::size_t& target, std::size_t min, std::size_t max) {
  std::string text;
  if (value.is_string()) text = value.get<std::string>();
  if (value.is_number_unsigned()) text = std::to_string(value.get<std::uint64_t>());
  const Result<std::size_t> parsed = parse_size(text);
  if (!parsed) return wrong("must be a size, like 512, 64KiB or 8MiB");
  if (*parsed < min || *parsed > max) {
    return wrong(fmt::format("is {}, allowed are {} to {}", size_text(*parsed), size_text(min), size_text(max)));
  }
  target = *parsed;
  return {};
}

Status set_list(const json::Value& value, std::vector<std::string>& target, std::size_t count_max) {
  if (!value.is_array()) return wrong("must be a list of texts");
  if (value.size() > count_max) return wrong(fmt::format("has {} items, allowed are {}", value.size(), count_max));
  std::vector<std::string> items;
  for (const json::Value& item : value) {
    std::string text;
    if (const Status taken = set_text(item, text, value_bytes_max); !taken) {
      return taken.error().with_context(fmt::format("item {}", items.size() + 1));
    }
    items.push_back(std::move(text));
  }
  target = std::move(items);
  return {};
}

Status set_choice(const json::Value& value, std::string& target, const std::vector<std::string>& allowed) {
  const std::string options = fmt::format("{}", fmt::join(allowed, " or "));
  if (!value.is_string()) return wrong("must be " + options);
  const auto& text = value.get_ref<const std::string&>();
  if (std::find(allowed.begin(), allowed.end(), text) == allowed.end()) {
    return wrong(fmt::format("is '{}', must be {}{}", printable(text, 64), options, suggestion(text, allowed)));
  }
  target = text;
  return {};
}

}  // namespace

std::string_view to_string(Type type) {
  switch (type) {
    case Type::text:
      return "text";
    case Type::integer:
      return "whole number";
    case Type::number:
      return "number";
    case Type::boolean:
      return "true or false";
    case Type::duration:
      return "duration";
    case Type::size:
      return "size";
    case Type::list:
      return "list";
    case Type::choice:
      return "choice";
    case Type::records:
      return "list of records";
  }
  return "text";
}

Section::Section(std::string name, std::string meaning) : name_(std::move(name)), meaning_(std::move(meaning)) {}

void Section::add(Field field) {
  if (find(field.name) != nullptr) std::abort();  // a field described twice is a bug of the module
  field.schema["description"] = field.meaning;
  if (!field.secret) field.schema["default"] = field.get();
  fields_.push_back(std::move(field));
}

const Field* Section::find(std::string_view field) const {
  for (const Field& f : fields_) {
    if (f.name == field) return &f;
  }
  return nullptr;
}

void Section::text(std::string name, std::string& target, std::string meaning, std::size_t bytes_max) {
  add({.name = std::move(name),
       .meaning = std::move(meaning),
       .type = Type::text,
       .bounds = fmt::format("at most {} bytes", bytes_max),
       .default_text = target,
       .schema = {{"type", "string"}, {"maxLength", bytes_max}},
       .set = [&target, bytes_max](const json::Value& value) { return set_text(value, target, bytes_max); },
       .get = [&target] { return target; }});
}

void Section::secret(std::string name, std::string& target, std::string meaning) {
  add({.name = std::move(name),
       .meaning = std::move(meaning),
       .secret = true,
       .schema = {{"type", "string"}, {"writeOnly", true}},
       .set = [&target](const json::Value& value) { return set_text(value, target, value_bytes_max); },
       .get = [&target] { return std::string(target.empty() ? "" : "********"); }});
}

void Section::integer(std::string name, std::int64_t& target, std::string meaning, std::int64_t min, std::int64_t max) {
  add({.name = std::move(name),
       .meaning = std::move(meaning),
       .type = Type::integer,
       .bounds = fmt::format("{} to {}", min, max),
       .default_text = std::to_string(target),
       .schema = {{"type", "integer"}, {"minimum", min}, {"maximum", max}},
       .set = [&target, min, max](const json::Value& value) { return set_integer(value, target, min, max); },
       .get = [&target] { return target; }});
}

void Section::number(std::string name, double& target, std::string meaning, double min, double max) {
  add({.name = std::move(name),
       .meaning = std::move(meaning),
       .type = Type::number,
       .bounds = fmt::format("{} to {}", min, max),
       .default_text = fmt::format("{}", target),
       .schema = {{"type", "number"}, {"minimum", min}, {"maximum", max}},
       .set = [&target, min, max](const json::Value& value) { return set_number(value, target, min, max); },
       .get = [&target] { return target; }});
}

void Section::boolean(std::string name, bool& target, std::string meaning) {
  add({.name = std::move(name),
       .meaning = std::move(meaning),
       .type = Type::boolean,
       .default_text = target ? "true" : "false",
       .schema = {{"type", "boolean"}},
       .set = [&target](const json::Value& value) -> Status {
         if (!value.is_boolean()) return wrong("must be true or false");
         target = value.get<bool>();
         return {};
       },
       .get = [&target] { return target; }});
}

void Section::duration(std::string name, Millis& target, std::string meaning, Millis min, Millis max) {
  add({.name = std::move(name),
       .meaning = std::move(meaning),
       .type = Type::duration,
       .bounds = fmt::format("{} to {}", duration_text(min), duration_text(max)),
       .default_text = duration_text(target),
       .schema = {{"type", "string"}, {"pattern", "^[0-9]+(ms|s|m|h|d)$"}},
       .set = [&target, min, max](const json::Value& value) { return set_duration(value, target, min, max); },
       .get = [&target] { return duration_text(target); }});
}

void Section::size(std::string name, std::size_t& target, std::string meaning, std::size_t min, std::size_t max) {
  add({.name = std::move(name),
       .meaning = std::move(meaning),
       .type = Type::size,
       .bounds = fmt::format("{} to {}", size_text(min), size_text(max)),
       .default_text = size_text(target),
       .schema = {{"type", {"string", "integer"}}, {"pattern", "^[0-9]+(KiB|MiB|GiB)?$"}, {"minimum", 0}},
       .set = [&target, min, max](const json::Value& value) { return set_size(value, target, min, max); },
       .get = [&target] { return size_text(target); }});
}

void Section::list(std::string name, std::vector<std::string>& target, std::string meaning, std::size_t count_max) {
  add({.name = std::move(name),
       .meaning = std::move(meaning),
       .type = Type::list,
       .bounds = fmt::format("at most {} items", count_max),
       .default_text = fmt::format("{}", fmt::join(target, ",")),
       .schema = {{"type", "array"}, {"items", {{"type", "string"}}}, {"maxItems", count_max}},
       .set = [&target, count_max](const json::Value& value) { return set_list(value, target, count_max); },
       .get = [&target] { return target; }});
}

void Section::choice(std::string name, std::string& target, std::string meaning, std::vector<std::string> allowed) {
  std::string bounds = fmt::format("{}", fmt::join(allowed, " or "));
  json::Value schema = {{"type", "string"}, {"enum", allowed}};
  add({.name = std::move(name),
       .meaning = std::move(meaning),
       .type = Type::choice,
       .bounds = std::move(bounds),
       .default_text = target,
       .schema = std::move(schema),
       .set = [&target,
               allowed = std::move(allowed)](const json::Value& value) { return set_choice(value, target, allowed); },
       .get = [&target] { return target; }});
}

void Section::add_records(std::string name, std::string meaning, std::size_t count_max, const Section& shape,
                          std::function<Status(const json::Value&)> set, std::function<json::Value()> get) {
  Field field{.name = std::move(name),
              .meaning = std::move(meaning),
              .type = Type::records,
              .bounds = fmt::format("at most {} items", count_max),
              .schema = {{"type", "array"}, {"items", shape.schema()}, {"maxItems", count_max}},
              .get = std::move(get)};
  field.set = [count_max, set = std::move(set)](const json::Value& value) -> Status {
    if (!value.is_array()) return wrong("must be a list of records, each with its settings");
    if (value.size() > count_max) return wrong(fmt::format("has {} items, allowed are {}", value.size(), count_max));
    return set(value);
  };
  // What the shape's fields refer to is gone when this returns: only their words are kept.
  for (Field part : shape.fields()) {
    part.set = {};
    part.get = {};
    field.record.push_back(std::move(part));
  }
  add(std::move(field));
}

Status Section::set_all(const json::Value& object) const {
  if (!object.is_object()) return wrong("must hold settings, like 'key: value'");
  for (const auto& [key, value] : object.items()) {
    const Field* field = find(key);
    if (field == nullptr) {
      std::vector<std::string> names;
      for (const Field& f : fields_) names.push_back(f.name);
      return wrong(fmt::format("there is no setting '{}'{}", printable(key, 64), suggestion(key, names)));
    }
    if (const Status taken = field->set(value); !taken) return taken.error().with_context(field->name);
  }
  for (const auto& check : checks_) {
    if (const Status good = check(); !good) return good;
  }
  return {};
}

json::Value Section::values() const {
  json::Value out = json::Value::object();
  for (const Field& field : fields_) out[field.name] = field.get();
  return out;
}

json::Value Section::schema() const {
  json::Value properties = json::Value::object();
  for (const Field& field : fields_) properties[field.name] = field.schema;
  return {{"type", "object"},
          {"description", meaning_},
          {"properties", std::move(properties)},
          {"additionalProperties", false}};
}

}  // namespace fleetward::config
