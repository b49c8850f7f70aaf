// What the load client is asked to do. Private to the program.
#pragma once

#include <string>
#include <vector>

#include "core/result.hpp"
#include "core/time.hpp"

namespace fleetload {

enum class Kind { publish, connect, idle };

struct Options {
  Kind kind = Kind::publish;
  std::string devices_dir;  // a folder a device with cert.pem and key.pem; its name is the client id
  std::string ca_file;
  std::string host = "127.0.0.1";
  std::uint16_t port = 0;
  std::size_t connections = 500;  // how many at once
  fleetward::Millis duration{5'000};
  std::int64_t per_second = 0;  // publish: so many in all, evenly spread; 0: the next when the last is acknowledged
};

// An error names the argument.
fleetward::Result<Options> parse_options(const std::vector<std::string>& arguments);
std::string help_text();

}  // namespace fleetload
