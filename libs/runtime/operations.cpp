#include "runtime/operations.hpp"

#include <fmt/format.h>

#include "core/fault.hpp"

namespace fleetward::runtime {
namespace {

http::Response readiness_response(const Modules& modules) {
  std::string body;
  for (const ModuleReadiness& module : modules.readiness()) {
    body += module.ready ? fmt::format("{}: ready\n", module.name)
                         : fmt::format("{}: not ready: {}\n", module.name, printable(module.reason));
  }
  for (const std::string& name : fault::armed()) body += fmt::format("fault point armed: {}\n", printable(name));
  const bool ready = modules.is_ready();
  return http::text_response(ready ? 200 : 503, (ready ? "ready\n" : "not ready\n") + body);
}

}  // namespace

OperationsServer::OperationsServer(const Modules& modules, metrics::Registry& metrics)
    : modules_(modules), metrics_(metrics) {}

OperationsServer::~OperationsServer() { stop(Millis(0)); }

Status OperationsServer::start(const net::Endpoint& at) {
  loop_ = std::make_unique<async::LoopThread>("operations");
  Status opened;
  async::run_on(*loop_, [&] {
    auto server = http::Server::open(*loop_, at, nullptr,
                                     [this](http::Request request) { return handle(std::move(request)); }, metrics_,
                                     {.name = "operations",
                                      .limits = {16 << 10, 1 << 10},
                                      .connections_max = 256,
                                      .request_timeout = Millis(5'000),
                                      .idle_timeout = Millis(5'000)});
    if (server) {
      server_ = std::move(*server);
    } else {
      opened = server.error();
    }
  });
  if (!opened) loop_.reset();
  return opened;
}

void OperationsServer::stop(Millis limit) {
  if (loop_ == nullptr) return;
  if (server_ != nullptr) server_->stop(limit);
  server_.reset();
  loop_->stop();
  loop_.reset();
}

std::uint16_t OperationsServer::port() const { return server_ == nullptr ? 0 : server_->port(); }

async::Task<http::Response> OperationsServer::handle(http::Request request) { co_return answer(request); }

http::Response OperationsServer::answer(const http::Request& request) const {
  if (request.method != "GET" && request.method != "HEAD") return http::text_response(405, "only GET\n");
  if (request.path() == "/livez") return http::text_response(200, "alive\n");
  if (request.path() == "/readyz") return readiness_response(modules_);
  if (request.path() == "/metrics") {
    return http::text_response(200, metrics_.to_prometheus_text(), "text/plain; version=0.0.4; charset=utf-8");
  }
  return http::text_response(404, "there are /metrics, /livez and /readyz\n");
}

}  // namespace fleetward::runtime
