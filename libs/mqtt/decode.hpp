// Bytes to packets. Strict: reserved bits, lengths, UTF-8 (section 1.5.4), properties once each and where they belong.
//
// Pure, thread-safe. Each decoder gives nothing and fills `failure` when the bytes are refused; views in a result are
// good as long as the bytes. Nothing is allocated but lists bounded by filters_max and user_properties_max.
#pragma once

#include "mqtt/packet.hpp"

namespace fleetward::mqtt {

// The first frame of `bytes`; nothing with failure.reason_code 0 when it is not whole yet. A frame over `bytes_max` is
// refused by its header alone, before its body has come (sections 2.1.4 and 3.1.2.11.4).
std::optional<Frame> next_frame(ByteView bytes, std::size_t bytes_max, Failure& failure);

// Section numbers are those of MQTT 5; 3.1.1 has the same packets without reason codes and properties.
// 3.1
std::optional<Connect> decode_connect(const Frame& frame, Failure& failure);
// 3.2
std::optional<Connack> decode_connack(const Frame& frame, Version version, Failure& failure);
// 3.3
std::optional<Publish> decode_publish(const Frame& frame, Version version, Failure& failure);
// 3.4 to 3.7
std::optional<Acknowledgement> decode_acknowledgement(const Frame& frame, Version version, Failure& failure);
// 3.8
std::optional<Subscribe> decode_subscribe(const Frame& frame, Version version, Failure& failure);
// 3.9
std::optional<Suback> decode_suback(const Frame& frame, Version version, Failure& failure);
// 3.10
std::optional<Unsubscribe> decode_unsubscribe(const Frame& frame, Version version, Failure& failure);
// 3.14
std::optional<Disconnect> decode_disconnect(const Frame& frame, Version version, Failure& failure);
// 3.15: 5 only
std::optional<Auth> decode_auth(const Frame& frame, Failure& failure);
// 3.12 and 3.13: PINGREQ and PINGRESP, nothing but their header.
bool decode_empty(const Frame& frame, Failure& failure);

}  // namespace fleetward::mqtt
