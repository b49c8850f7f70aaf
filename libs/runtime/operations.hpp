// Own health over plain HTTP: /metrics (Prometheus text), /livez, /readyz.
//
// /livez answers as long as the listener's thread runs. /readyz is 200 when all modules are ready, else 503 with a line
// a module that is not, and why. Owns a thread of its own, so that it answers while others are busy. start() and stop()
// from the main thread. Limits: 64 connections, bodies of 1 KiB, requests within 10 seconds.
#pragma once

#include <memory>
#include <string>

#include "async/scheduler.hpp"
#include "http/server.hpp"
#include "metrics/metrics.hpp"
#include "net/connection.hpp"
#include "runtime/module.hpp"

namespace fleetward::runtime {

class OperationsServer {
 public:
  // `modules` and `metrics` outlive it.
  OperationsServer(const Modules& modules, metrics::Registry& metrics);
  ~OperationsServer();

  Status start(const net::Endpoint& at);
  void stop(Millis limit);
  [[nodiscard]] std::uint16_t port() const;

 private:
  async::Task<http::Response> handle(http::Request request);
  [[nodiscard]] http::Response answer(const http::Request& request) const;

  const Modules& modules_;
  metrics::Registry& metrics_;
  std::unique_ptr<async::LoopThread> loop_;
  std::unique_ptr<http::Server> server_;
};

}  // namespace fleetward::runtime
