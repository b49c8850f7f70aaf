#include "fleet/refused_record.hpp"

#include <limits>

namespace fleetward::fleet {
namespace {

constexpr std::size_t key_bytes_max = 1024;
constexpr std::size_t digest_digits = 64;

}  // namespace

json::Value to_json(const RefusedRecord& r) {
  return {{"id", r.id},
          {"gateway", r.gateway},
          {"topic", r.topic},
          {"key", r.key},
          {"partition", r.partition},
          {"offset", r.offset},
          {"version", r.version},
          {"reason", r.reason},
          {"mark", r.mark},
          {"valueDigest", r.value_digest},
          {"time", to_ms(r.time)}};
}

Result<RefusedRecord> refused_record_from_json(const json::Value& value) {
  json::Reader r(value, "refusedRecord");
  RefusedRecord out;
  out.id = r.text("id", 1, 128);
  out.gateway = r.text("gateway", 1, 128);
  out.topic = r.text("topic", 1, 256);
  out.key = r.text("key", 0, key_bytes_max);
  out.partition = static_cast<std::int32_t>(r.integer("partition", 0, std::numeric_limits<std::int32_t>::max()));
  out.offset = r.integer("offset", 0, std::numeric_limits<std::int64_t>::max());
  out.version = r.text_or("version", "", 64);
  out.reason = r.text("reason", 1, 64);
  out.mark = r.text_or("mark", "", digest_digits);
  out.value_digest = r.text_or("valueDigest", "", digest_digits);
  out.time = r.instant_ms("time");
  if (const Status status = r.finish(); !status) return status.error();
  return out;
}

}  // namespace fleetward::fleet
