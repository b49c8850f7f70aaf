// A relay's look at a table topic: what the bus has of each key beside what the store has said, and what is to be
// written again. Lives for one check; used by one thread at a time.
//
// Limits: some 100 bytes a key of the table.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "access/record_signature.hpp"
#include "bus/record.hpp"
#include "store/store.hpp"

namespace fleetward::repository {

class TableView {
 public:
  // `signers`: a record that is newer than the store's is believed when one of them has signed it, where the topic is a
  // signed one; nullptr: always.
  TableView(std::string topic, std::shared_ptr<const access::Signers> signers);

  // First: the versions that the store has said, a page a call. False: that was all.
  Result<bool> read_said(store::Transaction& tx, std::int64_t rows_max);
  // Then each record, in the order of the bus.
  void note(const bus::Record& record);

  struct Key {
    std::int64_t said = 0;    // by the store, when it was read
    std::int64_t newest = 0;  // of any record that is believed
    bool has_value = false;   // of the record that came last
    access::RecordMark last{};
  };
  [[nodiscard]] const std::string& topic() const { return topic_; }
  [[nodiscard]] bool is_signed() const { return signers_ != nullptr && access::is_signed_topic(topic_); }
  [[nodiscard]] const std::map<std::string, Key>& keys() const { return keys_; }
  [[nodiscard]] std::uint64_t forged() const { return forged_; }

 private:
  std::string topic_;
  std::shared_ptr<const access::Signers> signers_;
  std::map<std::string, Key> keys_;
  std::string said_after_;
  std::uint64_t forged_ = 0;
};

// Whatever does not come last as the store has said it, as it was said; a tombstone where it has said nothing. Rows
// that still wait in the outbox will be published anyway: only what has left it can be out of place. Counts on from
// what is newer and believed.
Result<std::vector<bus::OutRecord>> to_rewrite(store::Transaction& tx, const TableView& view);

}  // namespace fleetward::repository
