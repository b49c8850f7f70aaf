// Incidents told to one webhook: each change once, in its newest state, until the receiver has it.
//
// What it has is noted in the store after it took it, and a message's id is derived from the incident and its revision:
// a crash in between sends the same id again, and the receiver knows it. A receiver that is away is asked again with
// growing pauses, or when it said; one message that it cannot take stands in nobody's way. Lives on its scheduler.
// Limits: changes_a_round at a time; attempts_max answered attempts a message; members_told_max members in one.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "connect/webhook.hpp"
#include "crypto/random.hpp"
#include "fleet/incident.hpp"
#include "metrics/metrics.hpp"
#include "store/store.hpp"

namespace fleetward::notifier {

inline constexpr std::size_t members_told_max = 50;

struct WebhookPagerConfig {
  std::string link_base;  // in front of the incident's id; may be empty
  Millis pause_min{500};  // after the first failure; doubled with each
  Millis pause_max{5 * 60'000};
  Millis post_limit{8'000};
};

// The message of the incident as it is. Pure.
connect::WebhookMessage webhook_message(const fleet::Incident& incident, const std::string& link_base, Instant now);

// For alarms: whether a receiver's last answer was none, or a refusal.
void show_failing(metrics::Registry& metrics, const std::string& receiver, bool failing);

class WebhookPager {
 public:
  WebhookPager(connect::Webhook receiver, WebhookPagerConfig config, store::Store& store, async::Scheduler& scheduler,
               async::Scope& scope, metrics::Registry& metrics);

  async::Task<void> run();
  void wake() { changed_->wake(); }  // thread-safe

 private:
  struct Attempts {
    std::int64_t revision = 0;
    connect::WebhookMessage message;  // the same bytes each time
    int answered = 0;
    int failed = 0;
    std::chrono::nanoseconds next{0};  // by the steady clock
  };

  async::Task<Result<std::vector<fleet::Incident>>> due();
  async::Task<Status> deliver(fleet::Incident incident);
  async::Task<Status> note(fleet::Incident incident);
  Attempts& attempts_at(const fleet::Incident& incident);
  void forget_all_but(const std::vector<fleet::Incident>& due);
  Millis pause_after(int failures);
  void put_off(Attempts& attempts, const connect::WebhookOutcome& outcome, const fleet::Incident& incident);

  connect::Webhook receiver_;
  WebhookPagerConfig config_;
  store::Store& store_;
  async::Scheduler& scheduler_;
  async::Scope& scope_;
  metrics::Registry& metrics_;
  metrics::Counter& delivered_;
  metrics::Counter& failed_;
  std::unique_ptr<store::Listener> changed_;
  crypto::SystemRandom random_;
  std::string name_;  // of the receiver, in the store
  std::map<std::string, Attempts> attempts_;
  int away_ = 0;                            // times in a row that the receiver as a whole was not there
  std::chrono::nanoseconds away_until_{0};  // by the steady clock
};

}  // namespace fleetward::notifier
