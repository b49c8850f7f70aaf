#include "config/config.hpp"

#include <fmt/format.h>

#include <charconv>

#include "config/suggest.hpp"
#include "config/yaml.hpp"
#include "core/text.hpp"

namespace fleetward::config {
namespace {

constexpr std::size_t value_bytes_max = 64 * 1024;

// A value from the environment or a flag is text; here it becomes what the field's type would be in YAML.
json::Value from_text(const Field& field, const std::string& text) {
  switch (field.type) {
    case Type::boolean:
      if (text == "true") return true;
      if (text == "false") return false;
      return text;
    case Type::integer: {
      std::int64_t number = 0;
      const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
      if (code == std::errc() && end == text.data() + text.size()) return number;
      return text;
    }
    case Type::number: {
      double number = 0;
      const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
      if (code == std::errc() && end == text.data() + text.size()) return number;
      return text;
    }
    case Type::list: {
      json::Value items = json::Value::array();
      for (const std::string_view item : split(text, ',')) {
        if (!trim(item).empty()) items.push_back(std::string(trim(item)));
      }
      return items;
    }
    case Type::records: {
      const Result<json::Value> list = json::parse(text);
      return list ? *list : json::Value(text);
    }
    default:
      return text;
  }
}

// The one line that tells a problem. What a secret held is in none of the setters' messages.
std::string problem_line(std::string_view where, std::string_view what) { return fmt::format("{}: {}", where, what); }

void set_from_text(const Field& field, const std::string& text, const std::string& where,
                   std::vector<std::string>& problems) {
  if (text.size() > value_bytes_max) {
    problems.push_back(problem_line(where, fmt::format("is longer than {} bytes", value_bytes_max)));
    return;
  }
  const Status taken = field.set(from_text(field, text));
  if (!taken) problems.push_back(problem_line(where, taken.error().message));
}

std::vector<std::string> field_names(const Section& section) {
  std::vector<std::string> names;
  for (const Field& field : section.fields()) names.push_back(field.name);
  return names;
}

}  // namespace

std::string environment_name(std::string_view section, std::string_view key) {
  std::string name = fmt::format("FLEETWARD_{}_{}", section, key);
  for (char& c : name) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return name;
}

const Section* Config::find(std::string_view section) const {
  for (const Section& s : sections_) {
    if (s.name() == section) return &s;
  }
  return nullptr;
}

std::vector<std::string> Config::section_names() const {
  std::vector<std::string> names;
  for (const Section& s : sections_) names.push_back(s.name());
  return names;
}

void Config::load_file(const std::string& path, Problems& problems) {
  const Result<YamlDocument> document = read_yaml_file(path);
  if (!document) {
    problems.push_back(document.error().message);
    return;
  }
  const auto where = [&](const std::string& pointer, std::string_view name) {
    const YamlPlace place = document->place_of(pointer);
    return fmt::format("{}: line {}, column {}: {}", printable(path), place.line, place.column, name);
  };
  if (document->value.is_null()) return;
  if (!document->value.is_object()) {
    problems.push_back(problem_line(printable(path), "must be sections with settings under them"));
    return;
  }
  for (const auto& [section_name, values] : document->value.items()) {
    const Section* section = find(section_name);
    const std::string section_pointer = "/" + section_name;
    const std::string shown = printable(section_name, 64);
    if (section == nullptr) {
      problems.push_back(problem_line(where(section_pointer, shown),
                                      "there is no such section" + suggestion(section_name, section_names())));
      continue;
    }
    if (values.is_null()) continue;
    if (!values.is_object()) {
      problems.push_back(problem_line(where(section_pointer, shown), "must hold settings, like 'key: value'"));
      continue;
    }
    for (const auto& [key, value] : values.items()) {
      const std::string at = where(section_pointer + "/" + key, shown + "." + printable(key, 64));
      const Field* field = section->find(key);
      if (field == nullptr) {
        problems.push_back(problem_line(at, "there is no such setting" + suggestion(key, field_names(*section))));
        continue;
      }
      if (value.is_null()) continue;
      if (const Status taken = field->set(value); !taken) problems.push_back(problem_line(at, taken.error().message));
    }
  }
}

void Config::load_environment(const std::vector<std::pair<std::string, std::string>>& variables, Problems& problems) {
  std::map<std::string, const Field*, std::less<>> fields;
  std::vector<std::string> names;
  for (const Section& section : sections_) {
    for (const Field& field : section.fields()) {
      names.push_back(environment_name(section.name(), field.name));
      fields.emplace(names.back(), &field);
    }
  }
  for (const auto& [name, value] : variables) {
    if (const auto known = fields.find(name); known != fields.end()) {
      set_from_text(*known->second, value, name, problems);
      continue;
    }
    // Variables that only begin with FLEETWARD_ (the operator's FLEETWARD_TOKEN) are not ours to judge; one that begins
    // with a section's name is a setting that was mistyped.
    for (const Section& section : sections_) {
      if (!name.starts_with(environment_name(section.name(), ""))) continue;
      problems.push_back(problem_line(printable(name, 128), "there is no such setting" + suggestion(name, names)));
      break;
    }
  }
}

void Config::load_flags(const std::vector<std::pair<std::string, std::string>>& flags, Problems& problems) {
  std::vector<std::string> names;
  for (const Section& section : sections_) {
    for (const Field& field : section.fields()) names.push_back(section.name() + "." + field.name);
  }
  for (const auto& [name, value] : flags) {
    const std::string shown = "--" + printable(name, 128);
    const std::size_t dot = name.find('.');
    const Section* section = dot == std::string::npos ? nullptr : find(std::string_view(name).substr(0, dot));
    const Field* field = section == nullptr ? nullptr : section->find(std::string_view(name).substr(dot + 1));
    if (field == nullptr) {
      problems.push_back(problem_line(shown, "there is no such setting" + suggestion(name, names)));
    } else {
      set_from_text(*field, value, shown, problems);
    }
  }
}

Status Config::load(const Sources& sources) {
  Problems problems;
  if (!sources.file.empty()) load_file(sources.file, problems);
  load_environment(sources.environment, problems);
  load_flags(sources.flags, problems);
  if (problems.empty()) {
    for (const Section& section : sections_) {
      for (const auto& check : section.checks()) {
        if (const Status good = check(); !good) problems.push_back(problem_line(section.name(), good.error().message));
      }
    }
  }
  if (problems.empty()) return {};
  std::string all;
  for (const std::string& problem : problems) all += (all.empty() ? "" : "\n") + problem;
  return {ErrorCode::invalid_argument, all};
}

std::string Config::reference_text() const {
  std::string out;
  for (const Section& section : sections_) {
    out += fmt::format("{}{}: {}\n", out.empty() ? "" : "\n", section.name(), section.meaning());
    for (const Field& field : section.fields()) {
      out += fmt::format("  {}.{} ({}{}{}{})\n      {}\n      {}\n", section.name(), field.name, to_string(field.type),
                         field.bounds.empty() ? "" : ", ", field.bounds, field.secret ? ", secret" : "", field.meaning,
                         environment_name(section.name(), field.name));
      if (!field.default_text.empty()) out += fmt::format("      default: {}\n", field.default_text);
      for (const Field& part : field.record) {
        out += fmt::format("      - {} ({}{}{}): {}\n", part.name, to_string(part.type),
                           part.bounds.empty() ? "" : ", ", part.bounds, part.meaning);
      }
    }
  }
  return out;
}

std::string Config::values_text() const {
  std::string out;
  for (const Section& section : sections_) {
    out += fmt::format("{}{}:\n", out.empty() ? "" : "\n", section.name());
    // JSON is YAML: so each text keeps its type and needs no escaping of our own.
    for (const Field& field : section.fields()) out += fmt::format("  {}: {}\n", field.name, json::dump(field.get()));
  }
  return out;
}

json::Value Config::schema(std::string_view id, std::string_view title) const {
  json::Value properties = json::Value::object();
  for (const Section& section : sections_) properties[section.name()] = section.schema();
  return {{"$schema", "https://json-schema.org/draft/2020-12/schema"},
          {"$id", id},
          {"title", title},
          {"type", "object"},
          {"properties", std::move(properties)},
          {"additionalProperties", false}};
}

}  // namespace fleetward::config
