#include "options.hpp"

#include <fmt/format.h>

#include <charconv>

namespace fleetload {

using fleetward::Error;
using fleetward::ErrorCode;
using fleetward::Millis;
using fleetward::Result;

namespace {

Result<std::int64_t> number(const std::string& name, const std::string& text, std::int64_t most) {
  std::int64_t value = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc() || end != text.data() + text.size() || value < 1 || value > most) {
    return Error(ErrorCode::invalid_argument, fmt::format("{}: a whole number from 1 to {} is expected", name, most));
  }
  return value;
}

Result<Kind> kind_of(const std::string& word) {
  if (word == "publish") return Kind::publish;
  if (word == "connect") return Kind::connect;
  if (word == "idle") return Kind::idle;
  return Error(ErrorCode::invalid_argument, "the first argument is publish, connect or idle");
}

fleetward::Status set(Options& options, const std::string& name, const std::string& value) {
  if (name == "--devices-dir") options.devices_dir = value;
  else if (name == "--ca-file") options.ca_file = value;
  else if (name == "--host") options.host = value;
  else {
    const bool is_port = name == "--port", is_count = name == "--connections", is_time = name == "--seconds",
               is_rate = name == "--per-second";
    if (!is_port && !is_count && !is_time && !is_rate)
      return Error(ErrorCode::invalid_argument, name + ": no such argument");
    const auto parsed = number(name, value, is_port ? 65'535 : is_count ? 100'000 : is_rate ? 1'000'000 : 3'600);
    if (!parsed) return parsed.error();
    if (is_port) options.port = static_cast<std::uint16_t>(*parsed);
    if (is_count) options.connections = static_cast<std::size_t>(*parsed);
    if (is_rate) options.per_second = *parsed;
    if (is_time) options.duration = Millis(*parsed * 1000);
  }
  return {};
}

}  // namespace

Result<Options> parse_options(const std::vector<std::string>& arguments) {
  if (arguments.empty()) return Error(ErrorCode::invalid_argument, "publish, connect or idle is expected");
  Options options;
  const auto kind = kind_of(arguments[0]);
  if (!kind) return kind.error();
  options.kind = *kind;
  for (std::size_t i = 1; i < arguments.size(); i += 2) {
    if (i + 1 == arguments.size()) return Error(ErrorCode::invalid_argument, arguments[i] + ": a value is expected");
    if (const auto done = set(options, arguments[i], arguments[i + 1]); !done) return done.error();
  }
  if (options.devices_dir.empty() || options.ca_file.empty() || options.port == 0)
    return Error(ErrorCode::invalid_argument, "--devices-dir, --ca-file and --port are needed");
  return options;
}

std::string help_text() {
  return R"(usage: bench_load publish|connect|idle --devices-dir DIR --ca-file FILE --port PORT [--host HOST]
                  [--connections N] [--seconds S] [--per-second R]

Loads an MQTT 3.1.1 server over mutual TLS and prints one JSON line.
  publish  N devices, one report of 1.2 KB in flight each, QoS 1; counts what was acknowledged in S seconds;
           with R, so many a second of all devices together instead (a device whose last is not acknowledged waits)
  connect  N devices at once, each connecting (TLS, CONNECT, CONNACK) and leaving again and again
  idle     N devices connect and stay; says so, and ends when its standard input does
)";
}

}  // namespace fleetload
