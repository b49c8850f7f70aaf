// The records of a collected message: a report on `devices` as gateways write it, or a dead letter. Pure.
#pragma once

#include "collect/translator.hpp"
#include "fleet/dead_letter.hpp"
#include "services/collector/collector.hpp"
#include "services/collector/message.hpp"

namespace fleetward::collector {

// What a source is called on the bus: mqtt/NAME, kafka/NAME.
struct SourceName {
  std::string kind;
  std::string name;
  [[nodiscard]] std::string text() const { return kind + "/" + name; }
};

// A dead letter as a message that comes now. It has no place in its source's log any more, since later ones have passed
// it: a repeat of its replay is told apart as over MQTT, by an identifier of its own and its payload.
Message message_of(fleet::DeadLetter letter, Instant now);
// As a translator takes it; views into the message.
collect::SourceMessage as_source(const Message& message);

// `thing_id`: empty when the thing is not registered. `instance`: of the collector.
bus::OutRecord report_record(const SourceName& source, const std::string& instance, bool vouched,
                             const Message& message, collect::Translation translation, const std::string& thing_id);
bus::OutRecord dead_letter_record(const SourceName& source, const Message& message, std::string_view reason,
                                  std::string why);
// A write that failed may be there all the same: marked, so that a report that is told apart by its packet id counts
// once.
void mark_as_sent_again(bus::OutRecord& record);

}  // namespace fleetward::collector
