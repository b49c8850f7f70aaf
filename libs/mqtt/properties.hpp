// The property list of an MQTT 5 packet (section 2.2.2). Private to the decoders.
//
// Strict: each property where table 2-4 allows it (else malformed, 0x81) and once (else a protocol error, 0x82), user
// properties at most user_properties_max, values in their range. Other decoders need not look again.
#pragma once

#include "mqtt/cursor.hpp"

namespace fleetward::mqtt {

// Where a property may stand (table 2-4); the will's properties are a place of their own.
enum Place : std::uint32_t {
  in_connect = 1,
  in_will = 2,
  in_connack = 4,
  in_publish = 8,
  in_subscribe = 16,
  in_disconnect = 32,
  in_receipt = 64,  // PUBACK, PUBREC, PUBREL, PUBCOMP
  in_unsubscribe = 128,
  in_auth = 256,
};

// Reads the length and all properties behind it. 3.1.1 has none: then nothing is read.
Properties read_properties(Cursor& cursor, Version version, Place place);

}  // namespace fleetward::mqtt
