#include "collect/pointer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "core/text.hpp"

namespace fleetward::collect {
namespace {

constexpr std::string_view every = "*";

bool unescape(std::string_view token, std::string& out) {
  for (std::size_t i = 0; i < token.size(); ++i) {
    if (token[i] != '~') {
      out += token[i];
    } else if (i + 1 < token.size() && (token[i + 1] == '0' || token[i + 1] == '1')) {
      out += token[++i] == '0' ? '~' : '/';
    } else {
      return false;
    }
  }
  return true;
}

// Section 4: no leading zeros.
const json::Value* element(const json::Value& list, const std::string& token) {
  std::size_t index = 0;
  const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), index);
  const bool whole = error == std::errc() && end == token.data() + token.size();
  if (!whole || (token.size() > 1 && token.front() == '0') || index >= list.size()) return nullptr;
  return &list[index];
}

}  // namespace

Result<Pointer> Pointer::parse(std::string_view text) {
  const auto wrong = [text](std::string_view why) {
    return Error(ErrorCode::invalid_argument, fmt::format("'{}' {}", printable(text, 128), why));
  };
  if (!text.starts_with('/')) return wrong("is no JSON Pointer: it begins with /");
  Pointer pointer;
  pointer.text_ = text;
  for (const std::string_view token : split(text.substr(1), '/')) {
    if (pointer.tokens_.size() == tokens_max) return wrong("has too many steps");
    if (!unescape(token, pointer.tokens_.emplace_back()))
      return wrong("has a ~ that is neither ~0 (for ~) nor ~1 (for /)");
  }
  return pointer;
}

bool Pointer::has_wildcard() const { return std::find(tokens_.begin(), tokens_.end(), every) != tokens_.end(); }

std::vector<const json::Value*> Pointer::find(const json::Value& root) const {
  std::vector<const json::Value*> here = {&root};
  for (const std::string& token : tokens_) {
    std::vector<const json::Value*> next;
    for (const json::Value* value : here) {
      if (token == every && value->is_array()) {
        for (const json::Value& item : *value) next.push_back(&item);
      } else if (value->is_array()) {
        if (const json::Value* item = element(*value, token)) next.push_back(item);
      } else if (value->is_object()) {
        if (const auto member = value->find(token); member != value->end()) next.push_back(&*member);
      }
    }
    here = std::move(next);
  }
  return here;
}

}  // namespace fleetward::collect
