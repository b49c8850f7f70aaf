// One HTTP request from the main thread, waited for: for commands that look at servers.
//
// Owns a thread that gets no signals (Ctrl-C is the main thread's). Limits: the time given; an answer of 1 MiB.
#pragma once

#include <memory>
#include <string>

#include "async/scheduler.hpp"
#include "http/client.hpp"

namespace fleetward::program {

class Fetcher {
 public:
  Fetcher();
  // `ca_pem` says whom to trust where the address is https.
  Result<http::Response> get(const std::string& url, const std::string& ca_pem, Millis limit,
                             http::Headers headers = {});
  Result<http::Response> send(http::ClientRequest request, http::ClientOptions options);

 private:
  std::unique_ptr<async::LoopThread> loop_;
};

}  // namespace fleetward::program
