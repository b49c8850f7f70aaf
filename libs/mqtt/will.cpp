#include "mqtt/will.hpp"

#include <algorithm>

namespace fleetward::mqtt {
namespace {

std::optional<std::string> owned(const std::optional<std::string_view>& text) {
  return text ? std::optional<std::string>(*text) : std::nullopt;
}

}  // namespace

StoredWill keep(const Will& will) {
  const Properties& p = will.properties;
  StoredWill kept;
  kept.topic = will.topic;
  kept.payload.assign(will.payload.begin(), will.payload.end());
  kept.qos = will.qos;
  kept.retain = will.retain;
  kept.delay = std::chrono::seconds(p.will_delay_interval.value_or(0));
  kept.payload_format_indicator = p.payload_format_indicator;
  kept.message_expiry_interval = p.message_expiry_interval;
  kept.content_type = owned(p.content_type);
  kept.response_topic = owned(p.response_topic);
  if (p.correlation_data) kept.correlation_data = Bytes(p.correlation_data->begin(), p.correlation_data->end());
  for (const UserProperty& pair : p.user) kept.user.emplace_back(pair.name, pair.value);
  return kept;
}

std::optional<std::chrono::seconds> will_decision(const Ending& ending, std::chrono::seconds delay,
                                                  std::chrono::seconds session_expiry) {
  switch (ending.by) {
    case Ending::By::client:
      if (ending.reason_code == reason::success) return std::nullopt;
      break;
    case Ending::By::taken_over:
      if (ending.clean_start_of_successor) return std::chrono::seconds(0);  // the session ends here and now
      if (delay > std::chrono::seconds(0)) return std::nullopt;
      break;
    case Ending::By::server_stopping:
    case Ending::By::operator_order:
      return std::nullopt;
    case Ending::By::network:
    case Ending::By::protocol:
      break;
  }
  return std::min(delay, session_expiry);
}

}  // namespace fleetward::mqtt
