// What a transaction wants to say on the bus: rows that are committed with the change, and published by the relay
// alone.
//
// Versions rise per topic and key. What is said on topics access and certificates is signed here, by the transaction's
// signer (signing_store.hpp). Functions run inside a store transaction; errors are the transaction's.
#pragma once

#include <string>

#include "bus/record.hpp"
#include "fleet/cloud_event.hpp"
#include "store/store.hpp"

namespace fleetward::repository {

inline constexpr std::string_view outbox_channel = "outbox";  // store channel that wakes the relay

// The value of a row that is to be a tombstone on the bus: no message is empty.
inline constexpr std::string_view tombstone;

struct OutboxMessage {
  std::string topic;         // one of fleet::topic
  std::int64_t version = 0;  // from next_version()
  fleet::CloudEvent event;   // its subject is the record's key
  bus::Headers headers;      // beside fw-version, which is added
};

// The version that the next message of this key has to carry. Starts at 1. Taken by publish(), not by asking.
Result<std::int64_t> next_version(store::Transaction& tx, std::string_view topic, std::string_view key);

// Of a table topic the newest message is also kept, for a relay that takes over.
Status publish(store::Transaction& tx, const OutboxMessage& message);

// Of a table: the newest record of the key onto the bus once more, as it was said, or signed anew where its headers are
// `signed_anew`. Whatever of the key waits in the outbox goes: readers would pass over it. False: nothing was ever said
// of the key; then a tombstone goes out, which takes away what others put there.
Result<bool> say_again(store::Transaction& tx, const std::string& topic, const std::string& key, bool signed_anew);

// Headers as an outbox row has them.
Result<bus::Headers> headers_from_text(const std::string& text);

// Whether this store has never said anything on the bus: new, or put in the place of one that is lost.
Result<bool> is_untouched(store::Transaction& tx);

// Whether the newest of some key has left the outbox: a bus that holds nothing beside this store has lost it.
Result<bool> has_published(store::Transaction& tx);

// Whether a record of this key waits in the outbox still: nobody can have read it on the bus.
Result<bool> is_unpublished(store::Transaction& tx, std::string_view topic, std::string_view key);

// Counts on from `version`: a newer record of this key was found on the bus (the store came from a backup).
Status raise_version(store::Transaction& tx, std::string_view topic, std::string_view key, std::int64_t version);

}  // namespace fleetward::repository
