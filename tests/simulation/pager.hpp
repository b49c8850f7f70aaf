// An Alertmanager that takes pages over the simulated network, refuses some, and checks them: one identity an incident,
// and what is resolved stays resolved until it is said to be open again.
#pragma once

#include <map>

#include "http/server.hpp"
#include "json/json.hpp"
#include "simulation/universe.hpp"

namespace fleetward::simulation {

class Pager {
 public:
  struct Page {
    std::string labels;
    std::int64_t times = 0;
    Instant ends_at;
  };

  Pager(Universe& universe, Loop& loop, const net::Endpoint& at, std::function<bool()> refuses);
  void drop() { server_.reset(); }

  [[nodiscard]] const std::map<std::string, Page>& pages() const { return pages_; }  // by incident

 private:
  async::Task<http::Response> handle(http::Request request);
  void take(const json::Value& alert);

  Universe& universe_;
  std::function<bool()> refuses_;
  metrics::Registry metrics_;
  std::map<std::string, Page> pages_;
  std::unique_ptr<http::Server> server_;
};

}  // namespace fleetward::simulation
