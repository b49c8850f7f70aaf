// Bytes to packets. Strict: reserved bits, lengths, UTF-8 (section 1.5.4), properties once each and where they belong.
//
// Pure, thread-safe. Each decoder gives nothing and fills `failure` when the bytes are refused; views in a result are
// good as long as the bytes. Nothing is allocated but lists bounded by the packet (filters) or by user_properties_max.
#pragma once

#include "mqtt/packet.hpp"

namespace fleetward::mqtt {

// The first frame of `bytes`; nothing with failure.reason_code 0 when it is not whole yet. A frame over `bytes_max` is
// refused by its header alone, before its body has come.
std::optional<Frame> next_frame(ByteView bytes, std::size_t bytes_max, Failure& failure);

std::optional<Connect> decode_connect(const Frame& frame, Failure& failure);
std::optional<Connack> decode_connack(const Frame& frame, Version version, Failure& failure);
std::optional<Publish> decode_publish(const Frame& frame, Version version, Failure& failure);
std::optional<Acknowledgement> decode_acknowledgement(const Frame& frame, Version version, Failure& failure);
std::optional<Subscribe> decode_subscribe(const Frame& frame, Version version, Failure& failure);
std::optional<Unsubscribe> decode_unsubscribe(const Frame& frame, Version version, Failure& failure);
std::optional<Disconnect> decode_disconnect(const Frame& frame, Version version, Failure& failure);
// PINGREQ and PINGRESP: nothing but their header.
bool decode_empty(const Frame& frame, Failure& failure);

}  // namespace fleetward::mqtt
