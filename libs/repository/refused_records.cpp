#include "repository/refused_records.hpp"

#include "access/record_signature.hpp"
#include "core/text.hpp"
#include "fleet/topics.hpp"
#include "log/log.hpp"
#include "repository/governor_repository.hpp"
#include "repository/outbox.hpp"

namespace fleetward::repository {
namespace {

enum class Nature { forged, unsigned_truth, truth };

// Beside what the store has said last of the key.
Result<Nature> nature_of(store::Transaction& tx, const fleet::RefusedRecord& refused) {
  const auto rows = tx.query("SELECT version, value, headers FROM outbox_latest WHERE topic=$1 AND key=$2",
                             {refused.topic, refused.key});
  if (!rows) return rows.error();
  if (rows->empty() || rows->at(0).is_null(1)) return Nature::forged;
  const std::string version = std::to_string(rows->at(0).integer(0));
  const std::string& value = rows->at(0).text(1);
  const auto headers = headers_from_text(rows->at(0).text(2));
  if (!headers) return headers.error();
  const auto signature = bus::find_header(*headers, fleet::header::signature).value_or("");
  const auto mark = access::mark_of({refused.topic, refused.key, version, value}, signature);
  if (refused.mark == to_hex(mark)) return Nature::truth;
  const bool says_the_same = refused.version == version && refused.value_digest == crypto::sha256_hex(value);
  return says_the_same && refused.reason == "unsigned" ? Nature::unsigned_truth : Nature::forged;
}

}  // namespace

Status note_refused_record(store::Transaction& tx, const fleet::RefusedRecord& refused, Instant now) {
  if (!access::is_signed_topic(refused.topic)) return {};  // no gateway says so: whoever wrote this is not believed
  const auto nature = nature_of(tx, refused);
  if (!nature) return nature.error();
  const std::string key = printable(refused.key, 128);
  if (*nature == Nature::truth) {
    log::error("true_record_refused", {{"gateway", refused.gateway},
                                       {"topic", refused.topic},
                                       {"key", key},
                                       {"reason", refused.reason},
                                       {"advice", "the gateway's signers.json lacks the key of who decides"}});
    return {};
  }
  if (*nature == Nature::forged) {
    const std::string why =
        fmt::format("record of {} (version {}, partition {}, offset {}) was refused by {}: {}", key,
                    printable(refused.version, 64), refused.partition, refused.offset, refused.gateway, refused.reason);
    const Status noted = note_forged_record(tx, refused.topic, refused.gateway, why, now);
    if (!noted) return noted;
  }
  const auto said = say_again(tx, refused.topic, refused.key, false);
  return said.ok() ? Status() : Status(said.error());
}

}  // namespace fleetward::repository
