// Topic aliases of the client's publishes (section 3.3.2.3.4): what each number stands for on this connection.
//
// Pure, one thread. Limit: `maximum` aliases (announced as Topic Alias Maximum) of topics that the session has accepted
// as short enough. Memory is taken when the first alias is set.
#pragma once

#include <string>
#include <vector>

#include "mqtt/packet.hpp"

namespace fleetward::mqtt {

class TopicAliases {
 public:
  explicit TopicAliases(std::uint16_t maximum) : maximum_(maximum) {}

  // Learns an alias that comes with a topic, and puts the topic for one that comes alone: the view is good until the
  // alias is set anew. False, with the failure: an alias over the maximum, or one that stands for nothing yet.
  bool resolve(Publish& packet, Failure& failure) {
    if (!packet.properties.topic_alias) return true;
    const std::uint16_t alias = *packet.properties.topic_alias;
    if (alias == 0 || alias > maximum_) {
      failure = {reason::topic_alias_invalid, "a topic alias over the maximum"};
      return false;
    }
    if (topics_.size() < alias) topics_.resize(alias);
    std::string& topic = topics_[alias - 1U];
    if (!packet.topic.empty()) {
      topic = packet.topic;
      return true;
    }
    if (topic.empty()) {
      failure = {reason::protocol_error, "a topic alias that stands for nothing"};
      return false;
    }
    packet.topic = topic;
    return true;
  }

 private:
  std::uint16_t maximum_;
  std::vector<std::string> topics_;
};

}  // namespace fleetward::mqtt
