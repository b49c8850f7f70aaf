#include "access/topic_policy.hpp"

#include "core/text.hpp"

namespace fleetward::access {
namespace {

std::string base(std::string_view thing) { return fmt::format("$aws/things/{}/defender/metrics/", thing); }
std::string_view encoding(TopicUse use) { return use == TopicUse::report_cbor ? "cbor" : "json"; }

}  // namespace

std::string accepted_topic(std::string_view thing, TopicUse use) {
  return fmt::format("{}{}/accepted", base(thing), encoding(use));
}
std::string rejected_topic(std::string_view thing, TopicUse use) {
  return fmt::format("{}{}/rejected", base(thing), encoding(use));
}

TopicUse publish_use(std::string_view thing, std::optional<fleet::HoldLevel> level, std::string_view topic) {
  if (level) return TopicUse::refused;
  if (topic == base(thing) + "json") return TopicUse::report_json;
  if (topic == base(thing) + "cbor") return TopicUse::report_cbor;
  return TopicUse::refused;
}

bool may_subscribe(std::string_view thing, std::optional<fleet::HoldLevel> level, std::string_view filter) {
  if (filter == fmt::format("$aws/things/{}/jobs/notify", thing)) return true;
  if (level) return false;
  const std::string own = base(thing);
  if (!filter.starts_with(own)) return false;
  const std::string_view rest = filter.substr(own.size());
  return rest == "json/accepted" || rest == "json/rejected" || rest == "cbor/accepted" || rest == "cbor/rejected";
}

}  // namespace fleetward::access
