// The simulator's command line.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/result.hpp"
#include "core/time.hpp"

namespace fleetsim {

using fleetward::Millis;

// Reports from `first` to `last`, by number.
struct ReportRange {
  std::int64_t first = 1;
  std::int64_t last = 1;
};

struct Options {
  std::string host = "localhost";
  std::uint16_t port = 8883;
  std::string ca_file;
  std::string devices_dir;  // a folder a device, named after the thing, with cert.pem and key.pem
  std::size_t count = 0;    // the first so many devices by name; 0: all
  std::uint64_t seed = 1;
  Millis interval{30'000};  // between two reports of a device
  Millis duration{0};       // then it stops; 0: until SIGINT
  double connects_per_second = 200;
  Millis backoff_min{1'000};  // before a reconnect; doubled up to backoff_max
  Millis backoff_max{30'000};
  std::int64_t first_report_id = 1;
  std::string custom_metric = "cpu-usage";
  std::vector<std::string> attacked;        // things
  Millis attack_after{0};                   // from the start on, for good
  std::vector<ReportRange> attack_reports;  // if any: infected in these reports of theirs instead, whatever the time
  std::string acked_file;                   // JSON lines of what was acknowledged
  std::string events_file;                  // JSON lines of all else; empty: standard output
  bool quiet = false;                       // no progress line
  bool help = false;
};

// From the words behind the program's name; unset ones fall back to MQTT_HOST, MQTT_PORT, CA_FILE and DEVICES_DIR.
// invalid_argument says what is wrong.
fleetward::Result<Options> parse_options(const std::vector<std::string>& words,
                                         const std::map<std::string, std::string>& environment);
std::string help_text();

}  // namespace fleetsim
