#include "services/fleetward/playbook_watch.hpp"

#include <fmt/format.h>

#include <map>

#include "config/yaml.hpp"
#include "core/text.hpp"
#include "log/log.hpp"

namespace fleetward::program {
namespace {

constexpr std::size_t names_told_max = 20;

struct Names {
  void add(const std::string& name) {
    if (++count <= names_told_max) text += (text.empty() ? "" : ", ") + printable(name, 64);
  }
  [[nodiscard]] std::string told() const {
    return count <= names_told_max ? text : fmt::format("{} and {} more", text, count - names_told_max);
  }
  std::string text;
  std::size_t count = 0;
};

// Entries by name, with the whole list's order beside them: the first match counts, so order is meaning.
struct Entries {
  explicit Entries(const json::Value& playbook) {
    if (!playbook.is_object()) return;
    const auto list = playbook.find("entries");
    if (list == playbook.end() || !list->is_array()) return;
    for (const json::Value& entry : *list) {
      const std::string name = entry.is_object() && entry.contains("name") ? json::dump(entry["name"]) : "?";
      by_name.emplace(name, entry);
      order.push_back(name);
    }
  }
  std::map<std::string, json::Value> by_name;
  std::vector<std::string> order;
};

json::Value protected_part(const json::Value& playbook) {
  return playbook.is_object() && playbook.contains("protected") ? playbook["protected"] : json::Value();
}

}  // namespace

std::string playbook_changes(const json::Value& before, const json::Value& after) {
  const Entries old(before);
  const Entries fresh(after);
  Names added, changed, removed;
  for (const auto& [name, entry] : fresh.by_name) {
    const auto was = old.by_name.find(name);
    if (was == old.by_name.end()) added.add(name);
    else if (was->second != entry) changed.add(name);
  }
  for (const auto& [name, entry] : old.by_name) {
    if (!fresh.by_name.contains(name)) removed.add(name);
  }
  std::string out;
  const auto tell = [&out](std::string_view what, const std::string& text) {
    if (!text.empty()) out += fmt::format("{}{}{}", out.empty() ? "" : "; ", what, text);
  };
  tell("added: ", added.told());
  tell("changed: ", changed.told());
  tell("removed: ", removed.told());
  if (added.count + removed.count == 0 && old.order != fresh.order) tell("", "order changed");
  if (protected_part(before) != protected_part(after)) tell("", "protected changed");
  return out;
}

PlaybookWatch::PlaybookWatch(std::string path, Apply apply)
    : path_(std::move(path)), apply_(std::move(apply)), file_({path_}) {
  if (path_.empty()) return;
  const auto document = config::read_yaml_file(path_);
  if (document) in_force_ = document->value;
}

void PlaybookWatch::look() {
  if (!path_.empty() && file_.has_changed()) read(false);
}

void PlaybookWatch::reload() {
  if (path_.empty())
    return log::info("playbook_reload_asked", {{"result", "there is none: responder.playbook is empty"}});
  read(true);
}

void PlaybookWatch::read(bool asked) {
  file_.mark_read();
  const auto document = config::read_yaml_file(path_);
  auto playbook = document ? respond::playbook_from_json(document->value) : Result<respond::Playbook>(document.error());
  stale_ = !playbook;
  if (!playbook) {
    told_ = playbook.error().message;
    return log::error("playbook_refused",
                      {{"file", path_}, {"error", told_}, {"in_force", "the one that was read before"}});
  }
  const std::string changes = playbook_changes(in_force_, document->value);
  in_force_ = document->value;
  told_ = changes.empty() ? "none" : changes;
  if (!changes.empty() || asked) log::info("playbook_reloaded", {{"file", path_}, {"changes", told_}});
  if (!changes.empty()) apply_(std::move(*playbook));
}

}  // namespace fleetward::program
