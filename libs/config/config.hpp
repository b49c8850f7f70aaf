// Configuration: one plain struct a module, and one description of it from which everything else comes: loading from a
// YAML file, the environment and flags, validation, reference text, --check-config, --print-config, JSON Schema.
//
//   struct HttpConfig { std::string address = "127.0.0.1"; std::int64_t port = 9464; };
//   Section describe(HttpConfig& c) {
//     Section s("operations", "Listener for metrics and health");
//     s.text("address", c.address, "Address to listen on");
//     s.integer("port", c.port, "Port to listen on; 0 takes a free one", 0, 65535);
//     return s;
//   }
//
// Order of force: flag (--operations.port=1) over environment (FLEETWARD_OPERATIONS_PORT) over file (operations: port:)
// over the default, which is what the struct held when it was described. All problems are told in one run.
// Durations are written 250ms, 30s, 5m, 12h, 7d; sizes 512, 64KiB, 8MiB, 1GiB; lists as YAML lists or comma-separated;
// lists of records as YAML lists of settings or, in the environment and flags, as JSON.
//
// A Section holds references into its struct, which must outlive it. Not thread-safe: load once, at the start.
// Limits: those of parse_yaml for the file; 64 KiB a value; 1000 items a list.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.hpp"
#include "core/time.hpp"
#include "json/json.hpp"

namespace fleetward::config {

enum class Type { text, integer, number, boolean, duration, size, list, choice, records };
std::string_view to_string(Type type);

struct Field {
  std::string name;
  std::string meaning;
  Type type = Type::text;
  std::string bounds;        // for people: "0 to 65535", "observe or enforce"
  std::string default_text;  // empty for secrets
  bool secret = false;       // never shown: not in errors, reference text or values
  json::Value schema = json::Value::object();
  std::function<Status(const json::Value&)> set;
  std::function<json::Value()> get;  // as it would be written; of a secret only whether there is one
  std::vector<Field> record;         // of a list of records: what each may have
};

class Section {
 public:
  Section(std::string name, std::string meaning);

  void text(std::string name, std::string& target, std::string meaning, std::size_t bytes_max = 4096);
  void secret(std::string name, std::string& target, std::string meaning);
  void integer(std::string name, std::int64_t& target, std::string meaning, std::int64_t min, std::int64_t max);
  void number(std::string name, double& target, std::string meaning, double min, double max);
  void boolean(std::string name, bool& target, std::string meaning);
  void duration(std::string name, Millis& target, std::string meaning, Millis min, Millis max);
  void size(std::string name, std::size_t& target, std::string meaning, std::size_t min, std::size_t max);
  void list(std::string name, std::vector<std::string>& target, std::string meaning, std::size_t count_max = 1000);
  void choice(std::string name, std::string& target, std::string meaning, std::vector<std::string> allowed);

  // A list of records, each a struct with a description of its own, whose checks are run too.
  template <class Item>
  void records(std::string name, std::vector<Item>& target, std::string meaning, std::size_t count_max,
               Section (*describe)(Item&));

  // Run after loading, when every field was good: what spans several fields.
  void check(std::function<Status()> check) { checks_.push_back(std::move(check)); }

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const std::string& meaning() const { return meaning_; }
  [[nodiscard]] const std::vector<Field>& fields() const { return fields_; }
  [[nodiscard]] const std::vector<std::function<Status()>>& checks() const { return checks_; }
  [[nodiscard]] const Field* find(std::string_view field) const;

  // One object with these fields: sets what it names. Unknown names and failed checks are errors.
  [[nodiscard]] Status set_all(const json::Value& object) const;
  [[nodiscard]] json::Value values() const;
  [[nodiscard]] json::Value schema() const;

 private:
  void add(Field field);
  void add_records(std::string name, std::string meaning, std::size_t count_max, const Section& shape,
                   std::function<Status(const json::Value&)> set, std::function<json::Value()> get);

  std::string name_;
  std::string meaning_;
  std::vector<Field> fields_;
  std::vector<std::function<Status()>> checks_;
};

template <class Item>
void Section::records(std::string name, std::vector<Item>& target, std::string meaning, std::size_t count_max,
                      Section (*describe)(Item&)) {
  Item blank;
  add_records(
      std::move(name), std::move(meaning), count_max, describe(blank),
      [&target, describe](const json::Value& list) -> Status {
        std::vector<Item> items;
        for (const json::Value& one : list) {
          Item item;
          if (const Status taken = describe(item).set_all(one); !taken) {
            return taken.error().with_context("item " + std::to_string(items.size() + 1));
          }
          items.push_back(std::move(item));
        }
        target = std::move(items);
        return {};
      },
      [&target, describe] {
        json::Value list = json::Value::array();
        for (const Item& item : target) {
          Item shown = item;  // a description is over what could also be set
          list.push_back(describe(shown).values());
        }
        return list;
      });
}

// Where settings come from; what is empty is left out.
struct Sources {
  std::string file;                                              // path of a YAML file
  std::vector<std::pair<std::string, std::string>> environment;  // names and values of all variables
  std::vector<std::pair<std::string, std::string>> flags;        // "section.key" and value
};

class Config {
 public:
  void add(Section section) { sections_.push_back(std::move(section)); }

  // Applies all sources. invalid_argument lists every problem, one a line, each with where it stands. On an error some
  // structs may have been changed: do not go on with them.
  Status load(const Sources& sources);

  // Every section and field with type, bounds, default and the names by which it is set.
  [[nodiscard]] std::string reference_text() const;
  // What is in force, as a file that could be loaded: YAML, but for secrets, which are masked.
  [[nodiscard]] std::string values_text() const;
  // JSON Schema (2020-12) of that file.
  [[nodiscard]] json::Value schema(std::string_view id, std::string_view title) const;
  [[nodiscard]] const std::vector<Section>& sections() const { return sections_; }

 private:
  using Problems = std::vector<std::string>;
  void load_file(const std::string& path, Problems& problems);
  void load_environment(const std::vector<std::pair<std::string, std::string>>& variables, Problems& problems);
  void load_flags(const std::vector<std::pair<std::string, std::string>>& flags, Problems& problems);
  [[nodiscard]] const Section* find(std::string_view section) const;
  [[nodiscard]] std::vector<std::string> section_names() const;

  std::vector<Section> sections_;
};

// FLEETWARD_SECTION_KEY.
std::string environment_name(std::string_view section, std::string_view key);

// "30s" and "64KiB" as people write them, and back (the largest unit without a remainder).
Result<Millis> parse_duration(std::string_view text);
Result<std::size_t> parse_size(std::string_view text);
std::string duration_text(Millis duration);
std::string size_text(std::size_t bytes);

}  // namespace fleetward::config
