#include "services/fleetward/fetch.hpp"

#include <csignal>
#include <future>

#include "async/scope.hpp"

namespace fleetward::program {
namespace {

using Answer = std::promise<Result<http::Response>>;

std::unique_ptr<async::LoopThread> make_quiet_loop() {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  auto loop = std::make_unique<async::LoopThread>("fetch");
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return loop;
}

async::Task<void> run(async::Scheduler& loop, http::ClientRequest request, http::ClientOptions options,
                      Answer& answer) {
  Result<http::Response> response = co_await http::request(loop, std::move(request), std::move(options));
  answer.set_value(std::move(response));
}

}  // namespace

Fetcher::Fetcher() : loop_(make_quiet_loop()) {}

Result<http::Response> Fetcher::send(http::ClientRequest request, http::ClientOptions options) {
  async::Scope scope(*loop_, "fetch");
  Answer answer;
  std::future<Result<http::Response>> future = answer.get_future();
  scope.spawn("fetch", run(*loop_, std::move(request), std::move(options), answer));
  Result<http::Response> response = future.get();
  scope.join(Millis(1'000));
  return response;
}

Result<http::Response> Fetcher::get(const std::string& url, const std::string& ca_pem, Millis limit,
                                    http::Headers headers) {
  http::ClientOptions options;
  options.timeout = limit;
  options.limits.body_bytes_max = 1 << 20;
  if (url.starts_with("https://")) {
    auto tls = http::tls_for(url, ca_pem);
    if (!tls) return tls.error();
    options.tls = std::move(*tls);
  }
  return send({"GET", url, std::move(headers), ""}, std::move(options));
}

}  // namespace fleetward::program
