#include "services/notifier/webhook_pager.hpp"

#include <set>

#include "core/fault.hpp"
#include "crypto/digest.hpp"
#include "incident/incident.hpp"
#include "log/log.hpp"
#include "repository/incident_changes.hpp"
#include "repository/incident_repository.hpp"

namespace fleetward::notifier {
namespace {

constexpr std::int64_t changes_a_round = 50;
constexpr int attempts_max = 30;  // hours, with pauses of minutes
constexpr Millis look_every{5'000};

}  // namespace

connect::WebhookMessage webhook_message(const fleet::Incident& incident, const std::string& link_base, Instant now) {
  const incident::PageText text = incident::page_text(incident);
  fleet::Incident cut = incident;
  if (cut.members.size() > members_told_max) cut.members.resize(members_told_max);
  json::Value told = to_json(cut);
  told["memberCount"] = incident.members.size();
  json::Value data = {{"incident", std::move(told)}, {"summary", text.summary}, {"description", text.description}};
  if (!text.commands.empty()) data["commands"] = text.commands;
  if (!link_base.empty()) data["link"] = link_base + incident.id;
  const json::Value body = {{"type", incident.open ? "fleetward.incident.open" : "fleetward.incident.closed"},
                            {"timestamp", to_rfc3339(incident.open ? now : incident.closed)},
                            {"data", std::move(data)}};
  return {"msg_" + crypto::id_from("webhook", incident.id, std::to_string(incident.revision)), json::dump(body)};
}

void show_failing(metrics::Registry& metrics, const std::string& receiver, bool failing) {
  metrics
      .gauge("fleetward_notifier_receiver_failing", "1 while the last page to the receiver was not taken.",
             {{"receiver", receiver}})
      .set(failing ? 1 : 0);
}

WebhookPager::WebhookPager(connect::Webhook receiver, WebhookPagerConfig config, store::Store& store,
                           async::Scheduler& scheduler, async::Scope& scope, metrics::Registry& metrics)
    : receiver_(std::move(receiver)),
      config_(std::move(config)),
      store_(store),
      scheduler_(scheduler),
      scope_(scope),
      metrics_(metrics),
      delivered_(metrics.counter("fleetward_notifier_webhooks_total", "Webhook messages by what became of an attempt.",
                                 {{"result", "delivered"}})),
      failed_(metrics.counter("fleetward_notifier_webhooks_total", "Webhook messages by what became of an attempt.",
                              {{"result", "failed"}})),
      changed_(store.listen(scheduler, std::string(repository::incidents_channel))),
      name_("webhook " + receiver_.url()) {}

async::Task<Result<std::vector<fleet::Incident>>> WebhookPager::due() {
  const Instant now = scheduler_.now();
  const std::string name = name_;
  std::function<Result<std::vector<fleet::Incident>>(store::Transaction&)> read =
      [name, now](store::Transaction& tx) -> Result<std::vector<fleet::Incident>> {
    const Result<Instant> since = repository::receiver_since(tx, name, now);
    if (!since) return since.error();
    return repository::due_changes(tx, name, *since, now, changes_a_round);
  };
  auto found = co_await store::transact<std::vector<fleet::Incident>>(store_, scheduler_, read);
  co_return found;
}

async::Task<Status> WebhookPager::note(fleet::Incident incident) {
  const Instant now = scheduler_.now();
  const std::string name = name_;
  std::function<Status(store::Transaction&)> work = [&incident, name, now](store::Transaction& tx) {
    return repository::note_page(tx, incident, name, now);
  };
  const Status noted = co_await store::transact(store_, scheduler_, work);
  if (noted) attempts_.erase(incident.id);
  co_return noted;
}

WebhookPager::Attempts& WebhookPager::attempts_at(const fleet::Incident& incident) {
  Attempts& attempts = attempts_[incident.id];
  if (attempts.revision != incident.revision) {
    attempts = {};
    attempts.revision = incident.revision;
    attempts.message = webhook_message(incident, config_.link_base, scheduler_.now());
  }
  return attempts;
}

void WebhookPager::forget_all_but(const std::vector<fleet::Incident>& due) {
  std::set<std::string> ids;
  for (const fleet::Incident& incident : due) ids.insert(incident.id);
  std::erase_if(attempts_, [&ids](const auto& entry) { return !ids.contains(entry.first); });
}

// With some chance in it: receivers that failed together are not asked together.
Millis WebhookPager::pause_after(int failures) {
  Millis pause = config_.pause_min;
  for (int i = 1; i < failures && pause < config_.pause_max; ++i) pause *= 2;
  pause = std::min(pause, config_.pause_max);
  return pause + Millis(static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(pause.count() / 4 + 1))));
}

void WebhookPager::put_off(Attempts& attempts, const connect::WebhookOutcome& outcome,
                           const fleet::Incident& incident) {
  ++attempts.failed;
  if (!outcome.is_away) ++attempts.answered;
  away_ = outcome.is_away ? away_ + 1 : 0;
  const Millis pause =
      std::max(pause_after(outcome.is_away ? away_ : attempts.failed), outcome.retry_after.value_or(Millis(0)));
  (outcome.is_away ? away_until_ : attempts.next) = scheduler_.steady_now() + pause;
  log::warn("webhook_failed", {{"receiver", receiver_.url()},
                               {"incident", incident.id},
                               {"error", outcome.status.error().message},
                               {"retry_in", to_human(pause)}});
}

async::Task<Status> WebhookPager::deliver(fleet::Incident incident) {
  Attempts& attempts = attempts_at(incident);
  const connect::WebhookMessage message = attempts.message;
  const connect::WebhookOutcome outcome = co_await receiver_.post(scheduler_, message, config_.post_limit);
  (outcome.status.ok() ? delivered_ : failed_).add();
  show_failing(metrics_, receiver_.url(), !outcome.status);
  if (outcome.status.ok()) {
    away_ = 0;
    fault::crash_here("notifier.after_webhook");
  } else {
    const bool gives_up = outcome.is_final || attempts.answered + 1 >= attempts_max;
    if (!gives_up) {
      put_off(attempts, outcome, incident);
      co_return Status();
    }
    log::error("webhook_refused", {{"receiver", receiver_.url()},
                                   {"incident", incident.id},
                                   {"error", outcome.status.error().message},
                                   {"next", "told again when the incident changes"}});
  }
  const Status noted = co_await note(std::move(incident));
  co_return noted;
}

async::Task<void> WebhookPager::run() {
  while (!scope_.stopping()) {
    const auto found = co_await due();
    std::chrono::nanoseconds next = scheduler_.steady_now() + look_every;
    if (!found) {
      log::error("webhook_read_failed", {{"receiver", receiver_.url()}, {"error", found.error().message}});
    } else {
      forget_all_but(*found);
      for (const fleet::Incident& incident : *found) {
        if (scope_.stopping() || scheduler_.steady_now() < away_until_) break;
        const auto known = attempts_.find(incident.id);
        const bool waits = known != attempts_.end() && known->second.revision == incident.revision &&
                           scheduler_.steady_now() < known->second.next;
        if (waits) continue;
        const Status done = co_await deliver(incident);
        if (done) continue;
        log::error("webhook_not_noted", {{"incident", incident.id}, {"error", done.error().message}});
        attempts_[incident.id].next = scheduler_.steady_now() + look_every;
      }
      const bool there_may_be_more =
          static_cast<std::int64_t>(found->size()) == changes_a_round && scheduler_.steady_now() >= away_until_;
      if (there_may_be_more) next = scheduler_.steady_now() + config_.pause_min;
      for (const auto& [id, attempts] : attempts_) next = std::min(next, std::max(attempts.next, away_until_));
    }
    const auto wait = std::chrono::ceil<Millis>(next - scheduler_.steady_now());
    if (!scope_.stopping()) co_await changed_->wait(std::max(wait, Millis(1)));
  }
}

}  // namespace fleetward::notifier
