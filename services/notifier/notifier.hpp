// The notifier role: incidents out of actions, pages out of incidents.
//
// Action events are folded into incidents in one transaction a batch, offsets after. A page is sent when its incident
// changed, again each minute while it is open, and resolved when it is closed (a webhook gets each change once); what
// was sent is noted afterwards, so a crash in between repeats a page that the receiver knows by its identity. Lives on
// its scheduler; start() and stop() from another thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "bus/bus.hpp"
#include "connect/webhook.hpp"
#include "metrics/metrics.hpp"
#include "store/store.hpp"

namespace fleetward::notifier {

struct NotifierConfig {
  std::string instance = "notifier-1";
  std::vector<std::string> alertmanagers;        // base URLs; each gets every page
  std::string alertmanager_ca_pem;               // whom to trust where their address is https
  std::vector<connect::WebhookConfig> webhooks;  // each gets every change of an incident once
  std::string link_base;                         // in front of the incident's id; may be empty
  Millis refresh{60'000};
  Millis alert_lifetime{240'000};  // a missed refresh or two does not resolve it
};

class Notifier {
 public:
  Notifier(NotifierConfig config, store::Store& store, bus::Bus& bus, async::Scheduler& scheduler,
           metrics::Registry& metrics);
  ~Notifier();

  Status start();
  void stop(Millis limit);

  struct State;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace fleetward::notifier
