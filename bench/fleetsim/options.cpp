#include "options.hpp"

#include <fmt/format.h>

#include <charconv>
#include <functional>

#include "core/text.hpp"

namespace fleetsim {

using fleetward::Error;
using fleetward::ErrorCode;
using fleetward::Result;
using fleetward::Status;

namespace {

struct Flag {
  std::string_view name;
  std::string_view value;
  std::string_view meaning;
  std::function<Status(Options&, const std::string&)> set;
};

Error wrong(std::string what) { return {ErrorCode::invalid_argument, std::move(what)}; }

Result<double> number(const std::string& text, double min, double max) {
  double value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size() || !(value >= min && value <= max)) {
    return wrong(fmt::format("must be a number from {} to {}", min, max));
  }
  return value;
}

template <class T>
Status set_number(T& target, const std::string& text, double min, double max) {
  const Result<double> value = number(text, min, max);
  if (!value) return value.error();
  target = static_cast<T>(*value);
  return {};
}

Status set_seconds(Millis& target, const std::string& text, double min) {
  const Result<double> seconds = number(text, min, 1e7);
  if (!seconds) return seconds.error();
  target = Millis(static_cast<std::int64_t>(*seconds * 1000));
  return {};
}

Status set_text(std::string& target, const std::string& text) {
  target = text;
  return {};
}

// 4-7,12: the fourth to the seventh report, and the twelfth.
Status set_ranges(std::vector<ReportRange>& target, const std::string& text) {
  constexpr double report_id_max = 9e15;
  for (const std::string_view part : fleetward::split(text, ',')) {
    const std::size_t dash = part.find('-');
    const std::string first(part.substr(0, dash));
    const std::string last(dash == std::string_view::npos ? part : part.substr(dash + 1));
    ReportRange range;
    if (const Status set = set_number(range.first, first, 1, report_id_max); !set) return set;
    if (const Status set = set_number(range.last, last, 1, report_id_max); !set) return set;
    if (range.last < range.first) return wrong("must be like 4-7,12: the first of a range before its last");
    target.push_back(range);
  }
  return {};
}

const std::vector<Flag>& flags() {
  static const std::vector<Flag> all{
      {"host", "NAME", "where the gateway is (default: $MQTT_HOST, else localhost)",
       [](Options& o, const std::string& v) { return set_text(o.host, v); }},
      {"port", "N", "its port (default: $MQTT_PORT, else 8883)",
       [](Options& o, const std::string& v) { return set_number(o.port, v, 1, 65535); }},
      {"ca-file", "FILE", "authority of the gateway's certificate (default: $CA_FILE)",
       [](Options& o, const std::string& v) { return set_text(o.ca_file, v); }},
      {"devices-dir", "DIR", "a folder a device with cert.pem and key.pem (default: $DEVICES_DIR)",
       [](Options& o, const std::string& v) { return set_text(o.devices_dir, v); }},
      {"count", "N", "only the first N devices by name",
       [](Options& o, const std::string& v) { return set_number(o.count, v, 1, 1e6); }},
      {"seed", "N", "what is sent depends on it alone (default: 1)",
       [](Options& o, const std::string& v) { return set_number(o.seed, v, 0, 9e15); }},
      {"interval", "SECONDS", "between two reports of a device (default: 30)",
       [](Options& o, const std::string& v) { return set_seconds(o.interval, v, 0.05); }},
      {"duration", "SECONDS", "stop after so long (default: at Ctrl-C)",
       [](Options& o, const std::string& v) { return set_seconds(o.duration, v, 0.001); }},
      {"connect-rate", "N", "new connections a second (default: 200)",
       [](Options& o, const std::string& v) { return set_number(o.connects_per_second, v, 0.1, 100'000); }},
      {"backoff", "SECONDS", "before the first reconnect, doubled each time (default: 1)",
       [](Options& o, const std::string& v) { return set_seconds(o.backoff_min, v, 0.05); }},
      {"backoff-max", "SECONDS", "longest wait before a reconnect (default: 30)",
       [](Options& o, const std::string& v) { return set_seconds(o.backoff_max, v, 0.05); }},
      {"first-report-id", "N", "id of each device's first report (default: 1)",
       [](Options& o, const std::string& v) { return set_number(o.first_report_id, v, 1, 9e15); }},
      {"custom-metric", "NAME", "custom metric of type number in each report; empty for none (default: cpu-usage)",
       [](Options& o, const std::string& v) { return set_text(o.custom_metric, v); }},
      {"attack", "DEVICE[,..]", "devices that get infected",
       [](Options& o, const std::string& v) -> Status {
         for (const std::string_view name : fleetward::split(v, ',')) o.attacked.emplace_back(name);
         return {};
       }},
      {"attack-after", "SECONDS", "when, from the start on (default: 0)",
       [](Options& o, const std::string& v) { return set_seconds(o.attack_after, v, 0); }},
      {"attack-reports", "N[-M][,..]", "infected in these reports of theirs only, whatever the time",
       [](Options& o, const std::string& v) { return set_ranges(o.attack_reports, v); }},
      {"acked", "FILE", "write a JSON line for each acknowledged report",
       [](Options& o, const std::string& v) { return set_text(o.acked_file, v); }},
      {"events", "FILE", "write the JSON lines of all other events there, not to standard output",
       [](Options& o, const std::string& v) { return set_text(o.events_file, v); }},
  };
  return all;
}

Status apply(Options& options, std::string name, std::string value) {
  for (const Flag& flag : flags()) {
    if (flag.name != name) continue;
    const Status taken = flag.set(options, value);
    if (!taken) return wrong(fmt::format("--{} {}", name, taken.error().message));
    return {};
  }
  return wrong(fmt::format("there is no option '--{}'", fleetward::printable(name, 64)));
}

Status apply_environment(Options& options, const std::map<std::string, std::string>& environment) {
  const std::pair<const char*, const char*> variables[] = {
      {"MQTT_HOST", "host"}, {"MQTT_PORT", "port"}, {"CA_FILE", "ca-file"}, {"DEVICES_DIR", "devices-dir"}};
  for (const auto& [variable, flag] : variables) {
    const auto found = environment.find(variable);
    if (found == environment.end() || found->second.empty()) continue;
    if (const Status taken = apply(options, flag, found->second); !taken) {
      return taken.error().with_context(variable);
    }
  }
  return {};
}

}  // namespace

Result<Options> parse_options(const std::vector<std::string>& words,
                              const std::map<std::string, std::string>& environment) {
  Options options;
  if (const Status taken = apply_environment(options, environment); !taken) return taken.error();
  for (std::size_t i = 0; i < words.size(); ++i) {
    std::string name = words[i];
    if (name == "--help" || name == "-h") {
      options.help = true;
      return options;
    }
    if (name == "--quiet") {
      options.quiet = true;
      continue;
    }
    if (!name.starts_with("--")) return wrong(fmt::format("'{}' is not an option", fleetward::printable(name, 64)));
    name.erase(0, 2);
    std::string value;
    if (const std::size_t equals = name.find('='); equals != std::string::npos) {
      value = name.substr(equals + 1);
      name.resize(equals);
    } else if (i + 1 < words.size()) {
      value = words[++i];
    } else {
      return wrong(fmt::format("--{} needs a value", fleetward::printable(name, 64)));
    }
    if (const Status taken = apply(options, name, value); !taken) return taken.error();
  }
  if (options.devices_dir.empty()) return wrong("--devices-dir (or DEVICES_DIR) is missing");
  if (options.ca_file.empty()) return wrong("--ca-file (or CA_FILE) is missing");
  if (options.backoff_max < options.backoff_min) options.backoff_max = options.backoff_min;
  return options;
}

std::string help_text() {
  std::string out =
      "usage: fleetsim [OPTION...]\n\n"
      "Many simulated devices in one process: real MQTT (3.1.1 and 5) over mutual TLS, Device Defender reports, and a\n"
      "Mirai infection on demand. What it sends depends on the seed alone.\n\n"
      "example: fleetsim --interval 2 --attack cam-018 --attack-after 10 --duration 60 --acked "
      "acked.jsonl\n\noptions:\n";
  std::size_t width = 0;
  for (const Flag& flag : flags()) width = std::max(width, flag.name.size() + flag.value.size() + 3);
  for (const Flag& flag : flags()) {
    out += fmt::format("  {:<{}}  {}\n", fmt::format("--{} {}", flag.name, flag.value), width, flag.meaning);
  }
  out += fmt::format("  {:<{}}  {}\n", "--quiet", width, "no progress line");
  out += "\nExit codes: 0 done, 1 failed, 2 called wrongly.\n";
  return out;
}

}  // namespace fleetsim
