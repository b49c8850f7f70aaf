// YAML files (configuration, profiles, playbooks) read into the JSON value that all else works on.
//
// Pure and thread-safe. YAML 1.2's core schema: plain true/false/null and numbers have their type, all that is quoted
// is text, "yes" and "on" are text. One document a text. Anchors, aliases, merge keys, duplicate keys and tags (but
// !!str) are refused: none is needed, and aliases let a small file become a huge one. Limits: YamlLimits.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>

#include "core/result.hpp"
#include "json/json.hpp"

namespace fleetward::config {

struct YamlLimits {
  std::size_t bytes_max = 1 << 20;
  int depth_max = 32;
  std::size_t nodes_max = 100'000;
};

struct YamlPlace {
  int line = 0;  // both from 1
  int column = 0;
};

struct YamlDocument {
  json::Value value;
  // Where each value stands, by JSON pointer (RFC 6901): "" the document, "/behaviors/0/name".
  std::map<std::string, YamlPlace, std::less<>> places;

  // Of the pointer, or of its nearest parent that has one.
  [[nodiscard]] YamlPlace place_of(std::string_view pointer) const;
};

// An error is invalid_argument and reads "line 3, column 5: …". An empty text is the value null.
Result<YamlDocument> parse_yaml(std::string_view text, YamlLimits limits = {});

// The same of a file; errors start with its name. not_found when there is no such file.
Result<YamlDocument> read_yaml_file(const std::string& path, YamlLimits limits = {});

}  // namespace fleetward::config
