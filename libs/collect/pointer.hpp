// A JSON Pointer (RFC 6901), with one more token: * for every element of a list. Pure, immutable.
//
// Limits: tokens_max tokens; what find() gives is bounded by the value's own size.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "json/json.hpp"

namespace fleetward::collect {

class Pointer {
 public:
  static constexpr std::size_t tokens_max = 16;

  // invalid_argument: it does not begin with /, a ~ is not ~0 or ~1, or it has too many tokens.
  static Result<Pointer> parse(std::string_view text);
  // What it leads to; nothing where there is nothing. Without * one at most.
  [[nodiscard]] std::vector<const json::Value*> find(const json::Value& root) const;
  [[nodiscard]] bool has_wildcard() const;
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
  std::vector<std::string> tokens_;
};

}  // namespace fleetward::collect
