#include "services/gateway/record_check.hpp"

#include <charconv>

#include "core/fault.hpp"
#include "core/text.hpp"
#include "crypto/digest.hpp"
#include "fleet/topics.hpp"
#include "log/log.hpp"

namespace fleetward::gateway {
namespace {

constexpr Millis logged_every{10'000};
constexpr std::size_t key_bytes_told = 1024;  // no key of ours is longer

std::string_view version_of(const bus::Record& record) {
  return bus::find_header(record.headers, fleet::header::version).value_or("");
}

std::int64_t number(std::string_view text) {
  std::int64_t out = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), out);
  return failed == std::errc() && end == text.data() + text.size() ? out : 0;
}

access::SignedContent content_of(const bus::Record& record) {
  return {record.topic, record.key, version_of(record), record.value ? std::string_view(*record.value) : ""};
}

}  // namespace

RecordCheck::RecordCheck(std::shared_ptr<const access::Signers> signers, std::string instance,
                         const std::string& folder, metrics::Registry& metrics)
    : signers_(std::move(signers)),
      instance_(std::move(instance)),
      known_(signers_ ? folder : std::string()),
      metrics_(metrics),
      untold_(metrics.counter("fleetward_gateway_refused_records_untold_total",
                              "Refused table records that were counted, but not told on the bus: too many waited.")) {}

bool RecordCheck::accepts(const bus::Record& record, bool is_known, Instant now) {
  if (!signers_ || fault::is_armed("gateway.skip_signatures")) return true;
  if (!record.value) {
    // Takes away what nobody had signed. Of a key that there is, no role of ours writes one.
    if (is_known) refuse(record, access::Verdict::unsigned_record, now);
    return false;
  }
  const auto signature = bus::find_header(record.headers, fleet::header::signature);
  const auto verdict = signers_->check(content_of(record), signature, known_.marks());
  if (verdict != access::Verdict::good) {
    refuse(record, verdict, now);
    return false;
  }
  known_.add(access::mark_of(content_of(record), *signature));
  if (reading_) forget_overtaken(record);
  return true;
}

void RecordCheck::forget_overtaken(const bus::Record& record) {
  const auto [begin, end] = refusals_.equal_range({record.topic, record.key});
  for (auto r = begin; r != end;)
    r = number(r->second.version) <= number(version_of(record)) ? refusals_.erase(r) : std::next(r);
}

void RecordCheck::refuse(const bus::Record& record, access::Verdict verdict, Instant now) {
  const std::string reason(access::to_string(verdict));
  metrics_
      .counter("fleetward_gateway_refused_records_total",
               "Table records that were not gone by: no role that may say so has signed them.",
               {{"topic", record.topic}, {"reason", reason}})
      .add();
  ++unlogged_;
  if (has_passed(logged_, now, logged_every)) {
    logged_ = now;
    log::error("record_refused", {{"topic", record.topic},
                                  {"partition", record.partition},
                                  {"offset", record.offset},
                                  {"reason", reason},
                                  {"count", std::exchange(unlogged_, 0)}});
  }
  if (verdict == access::Verdict::unknown_key && kept_.size() < kept_max) kept_.push_back(record);
  if (refusals_.size() >= refusals_waiting_max) return untold_.add();
  fleet::RefusedRecord told;
  told.id = crypto::id_from("refused-record", record.topic, std::to_string(record.partition),
                            std::to_string(record.offset), std::to_string(to_ms(record.append_time)));
  told.gateway = instance_;
  told.topic = record.topic;
  told.key = record.key.substr(0, key_bytes_told);
  told.partition = record.partition;
  told.offset = record.offset;
  told.version = std::string(version_of(record).substr(0, 64));
  told.reason = reason;
  const auto signature = bus::find_header(record.headers, fleet::header::signature).value_or("");
  told.mark = to_hex(access::mark_of(content_of(record), signature));
  if (record.value) told.value_digest = crypto::sha256_hex(*record.value);
  told.time = now;
  refusals_.emplace(Key(record.topic, record.key), std::move(told));
}

Status RecordCheck::finish() {
  reading_ = false;
  return known_.finish();
}

std::vector<bus::Record> RecordCheck::set_signers(std::shared_ptr<const access::Signers> signers) {
  signers_ = std::move(signers);
  return std::exchange(kept_, {});
}

std::vector<fleet::RefusedRecord> RecordCheck::take_refusals() {
  std::vector<fleet::RefusedRecord> out;
  if (reading_) return out;
  for (auto& [key, refused] : std::exchange(refusals_, {})) out.push_back(std::move(refused));
  return out;
}

}  // namespace fleetward::gateway
