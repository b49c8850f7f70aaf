#include "respond/playbook.hpp"

#include <set>

namespace fleetward::respond {
namespace {

PlaybookEntry entry_from(json::Reader& r) {
  PlaybookEntry e;
  e.name = r.text("name", 1, 128);
  if (!e.name.empty() && !fleet::is_valid_name(e.name)) r.problem("name", "has characters other than [a-zA-Z0-9:_-]");
  if (const json::Value* match = r.member("match")) {
    json::Reader m(*match, r.path() + ".match");
    e.profile = m.text_or("profile", "*", 256);
    e.behavior = m.text_or("behavior", "*", 256);
    e.metric = m.text_or("metric", "*", 256);
    e.thing_type = m.text_or("thing_type", "*", 256);
    e.group = m.text_or("group", "*", 256);
    m.refuse_unknown();
    if (const Status s = m.finish(); !s) r.problem("match", s.error().message);
  }
  const auto level = fleet::parse_hold_level(r.text_or("level", "isolate"));
  if (level) e.level = *level;
  else r.problem("level", "is not one of restrict, isolate, revoke");
  const std::string mode = r.text_or("mode", "ask");
  if (mode == "act") e.mode = EntryMode::act;
  else if (mode == "observe") e.mode = EntryMode::observe;
  else if (mode != "ask") r.problem("mode", "is not one of act, ask, observe");
  const auto then = r.optional_text("then");
  if (then && *then != "revoke") r.problem("then", "is not revoke");
  e.then_revoke = then.has_value();
  e.severity = r.text_or("severity", "critical");
  if (e.severity != "critical" && e.severity != "error" && e.severity != "warning")
    r.problem("severity", "is not one of critical, error, warning");
  e.lease = std::chrono::minutes(r.integer_or("lease_minutes", 24 * 60, 1, 60 * 24 * 30));
  r.text_or("description", "");
  r.refuse_unknown();
  return e;
}

}  // namespace

Result<Playbook> playbook_from_json(const json::Value& value) {
  json::Reader r(value, "playbook");
  Playbook book;
  const json::Value* entries = r.required("entries");
  if (entries != nullptr && (!entries->is_array() || entries->size() > playbook_entries_max)) {
    r.problem("entries", fmt::format("is not a list of at most {}", playbook_entries_max));
    entries = nullptr;
  }
  std::set<std::string> names;
  for (std::size_t i = 0; entries != nullptr && i < entries->size(); ++i) {
    json::Reader e((*entries)[i], fmt::format("entries[{}]", i));
    book.entries.push_back(entry_from(e));
    if (!names.insert(book.entries.back().name).second) e.problem("name", "is there twice");
    if (const Status s = e.finish(); !s) r.problem("entries", s.error().message);
  }
  if (const json::Value* p = r.member("protected")) {
    json::Reader pr(*p, "protected");
    book.protected_things = pr.texts_or_empty("things", 1000, 128);
    book.protected_groups = pr.texts_or_empty("groups", 1000, 128);
    pr.refuse_unknown();
    if (const Status s = pr.finish(); !s) r.problem("protected", s.error().message);
  }
  r.refuse_unknown();
  if (const Status s = r.finish(); !s) return s.error();
  return book;
}

bool glob_matches(std::string_view pattern, std::string_view text) {
  // Greedy with one place to come back to: linear but for a pattern's stars.
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star = std::string_view::npos;
  std::size_t resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

const PlaybookEntry* find_entry(const Playbook& book, const fleet::ViolationEvent& v) {
  for (const PlaybookEntry& e : book.entries) {
    const bool group = e.group == "*" || std::any_of(v.groups.begin(), v.groups.end(),
                                                     [&](const auto& g) { return glob_matches(e.group, g); });
    if (group && glob_matches(e.profile, v.profile) && glob_matches(e.behavior, v.behavior.name) &&
        glob_matches(e.metric, v.behavior.metric) && glob_matches(e.thing_type, v.thing_type)) {
      return &e;
    }
  }
  return nullptr;
}

const PlaybookEntry* entry_named(const Playbook& book, std::string_view name) {
  const auto found =
      std::find_if(book.entries.begin(), book.entries.end(), [&](const auto& e) { return e.name == name; });
  return found == book.entries.end() ? nullptr : &*found;
}

bool is_protected(const Playbook& book, std::string_view thing, const std::vector<std::string>& groups) {
  const auto hit = [](const std::vector<std::string>& patterns, std::string_view name) {
    return std::any_of(patterns.begin(), patterns.end(), [&](const auto& p) { return glob_matches(p, name); });
  };
  return hit(book.protected_things, thing) ||
         std::any_of(groups.begin(), groups.end(), [&](const auto& g) { return hit(book.protected_groups, g); });
}

}  // namespace fleetward::respond
