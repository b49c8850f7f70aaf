// What the parts of a running responder share. Private to the role; its scheduler's thread.
#pragma once

#include <set>

#include "bus/table_follower.hpp"
#include "core/patient_clock.hpp"
#include "fleet/gateway_events.hpp"
#include "fleet/governor.hpp"
#include "services/responder/gateways.hpp"
#include "services/responder/prober.hpp"
#include "services/responder/responder.hpp"

namespace fleetward::responder {

// Goes through all actions of a state by id, a batch at a time, round after round. What is closed meanwhile is not met
// any more: nothing is remembered of an action.
struct Walk {
  std::string after;
  Instant round_began{};
  bool is_resting = false;

  // Whether there is something to read at `now`; a round begins at most every `every`.
  bool is_due(Instant now, Millis every) {
    if (is_resting && !has_passed(round_began, now, every)) return false;
    if (after.empty()) round_began = now;
    is_resting = false;
    return true;
  }
  // `last`: id of the last one that was met.
  void met(const std::string& last) { after = last; }
  void ended() {
    after.clear();
    is_resting = true;
  }
};

struct Responder::State : std::enable_shared_from_this<Responder::State> {
  State(ResponderConfig c, store::Store& s, bus::Bus& b, async::Scheduler& sch, metrics::Registry& m);

  // responder.cpp
  async::Task<void> consume_violations();
  async::Task<void> consume_enforcement();
  async::Task<void> keep_leases();
  async::Task<Status> decide_batch(const std::vector<bus::Record>& records);
  async::Task<Status> note_batch(std::vector<bus::Record> records);
  void on_gateway(const bus::Record& record);

  // stop.cpp: what stops automatic action
  [[nodiscard]] std::shared_ptr<const repository::Policy> policy_now() const;
  async::Task<void> keep_governor();
  void say_stopped(const std::vector<fleet::GovernorCondition>& conditions, bool file_is_there);

  // watch.cpp: which actions are looked at, and when
  struct Work {
    std::vector<fleet::Action> executing, verifying, in_effect;
    std::vector<fleet::GoneGateway> gone;
  };
  async::Task<void> watch_actions();
  async::Task<Result<Work>> read_work();
  void begin_verifications(const Work& work);
  void begin_looks(const std::vector<fleet::Action>& in_effect);
  [[nodiscard]] bool waits_on(const fleet::Action& action) const;
  void count_gateways();

  // verification.cpp: one action
  async::Task<void> verify(fleet::Action action);
  struct Attempt {
    std::string fault = "no gateway has said that the hold is in force";
    Findings findings;
    std::int64_t certificates_end = 0;  // what gateways must have read of the topic; 0: not known yet
  };
  async::Task<bool> verify_once(fleet::Action action, ProbeIdentity identity, Attempt& attempt);
  async::Task<void> look_again(fleet::Action action);
  async::Task<Result<ProbeIdentity>> probe_identity(std::string thing);
  async::Task<Result<fleet::Action>> current(std::string id);
  async::Task<void> conclude(std::string id, std::string fault, Findings findings);
  async::Task<void> put_off(std::string id, std::string why);

  // examination.cpp: what the world says of it
  async::Task<Findings> examine(fleet::Action action, ProbeIdentity identity, std::int64_t certificates_end);
  async::Task<Finding> examine_gateway(Gateways::Known gateway, fleet::Action action, ProbeIdentity identity,
                                       std::int64_t certificates_end);
  async::Task<Findings> examine_revocation(fleet::Action action);
  async::Task<std::int64_t> end_of_certificates(fleet::Action action);

  // probe_trust.cpp: whether a probe can fail and succeed at all
  async::Task<void> test_gateways();
  async::Task<void> test_gateway(fleet::GatewayHeartbeat gateway, std::string thing, ProbeIdentity identity);
  async::Task<Result<std::string>> thing_to_test_with();

  ResponderConfig config;
  // Swapped whole: a transaction that runs on the store's thread keeps the one that it began with.
  std::shared_ptr<const repository::Policy> policy;
  store::Store& store;
  bus::Bus& bus;
  async::Scheduler& scheduler;
  metrics::Registry& registry;
  async::Scope scope;
  PatientClock lease_clock;
  std::unique_ptr<store::Listener> wake;
  async::Event test_wake;
  std::unique_ptr<bus::Consumer> violations;
  std::unique_ptr<bus::Consumer> enforcement;
  std::unique_ptr<bus::TableFollower> gateways_follower;
  Gateways gateways;
  std::set<std::string> under_way;  // actions that are being verified
  std::set<std::string> looking;    // proven ones that are looked at again
  Walk verifying_walk, proven_walk;
  Instant waiting_met{};      // when a round over the verifying began that meets those that wait, too
  bool meets_waiting = true;  // this round does
  Instant stop_said{};        // when the log last said that enforcement is stopped
  metrics::Counter& decisions;
  metrics::Counter& foreign;
  metrics::Gauge& stop_switch;
  metrics::Counter& verified;
  metrics::Counter& failed;
  metrics::Counter& put_off_total;
  metrics::Counter& drifted;
  metrics::Counter& looked;
  metrics::Histogram& time_to_cut;
  std::atomic<bool> ready{false};
};

}  // namespace fleetward::responder
