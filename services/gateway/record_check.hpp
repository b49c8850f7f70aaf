// Whether the gateway goes by a table record: only by one that a role has signed which may say it. What is refused is
// counted, logged once in a while, and told on the bus, where the responder makes a page of it.
//
// While the tables are being read, a refusal waits: one that a newer good record of its key has overtaken is history
// that was told before. The gateway's thread. Limits: refusals_waiting_max; refused for an unknown key and kept, should
// the key become known: kept_max. Beyond either it is counted alone.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "access/record_signature.hpp"
#include "bus/record.hpp"
#include "fleet/refused_record.hpp"
#include "metrics/metrics.hpp"
#include "services/gateway/known_records.hpp"

namespace fleetward::gateway {

class RecordCheck {
 public:
  static constexpr std::size_t refusals_waiting_max = 10'000;
  static constexpr std::size_t kept_max = 1'000;

  // Without `signers` every record is gone by.
  RecordCheck(std::shared_ptr<const access::Signers> signers, std::string instance, const std::string& folder,
              metrics::Registry& metrics);

  void begin() { known_.load(); }
  // `is_known`: the table has the record's key.
  [[nodiscard]] bool accepts(const bus::Record& record, bool is_known, Instant now);
  // The tables have been read.
  Status finish();

  // Who may sign from now on. Records that this may have been wrong about, to be offered again.
  std::vector<bus::Record> set_signers(std::shared_ptr<const access::Signers> signers);

  // What is to be told, once.
  std::vector<fleet::RefusedRecord> take_refusals();

 private:
  using Key = std::pair<std::string, std::string>;  // topic, key
  void refuse(const bus::Record& record, access::Verdict verdict, Instant now);
  void forget_overtaken(const bus::Record& record);

  std::shared_ptr<const access::Signers> signers_;
  std::string instance_;
  KnownRecords known_;
  metrics::Registry& metrics_;
  metrics::Counter& untold_;
  bool reading_ = true;
  std::multimap<Key, fleet::RefusedRecord> refusals_;
  std::vector<bus::Record> kept_;
  Instant logged_{};
  std::uint64_t unlogged_ = 0;
};

}  // namespace fleetward::gateway
