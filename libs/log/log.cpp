#include "log/log.hpp"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "core/text.hpp"
#include "core/time.hpp"

namespace fleetward::log {
namespace {

constexpr std::size_t value_bytes_max = 2048;

std::atomic<Level> min_level{Level::info};
std::atomic<Format> line_format{Format::text};

// Never destroyed: threads of libraries may log while the process is already ending.
spdlog::logger& logger() {
  static spdlog::logger& instance = *[] {
    auto* const made = new spdlog::logger("fleetward", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%v");
    made->set_level(spdlog::level::trace);
    return made;
  }();
  return instance;
}

std::function<void(const std::string&)>& sink() {
  static auto& instance = *new std::function<void(const std::string&)>();
  return instance;
}

std::string_view name_of(Level level) {
  switch (level) {
    case Level::debug:
      return "debug";
    case Level::info:
      return "info";
    case Level::warn:
      return "warn";
    case Level::error:
      return "error";
  }
  return "error";
}

// A JSON string literal of text that printable() has made safe: only quote and backslash are left to escape.
std::string quote(std::string_view text) {
  std::string out = "\"";
  for (const char c : printable(text, value_bytes_max)) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

}  // namespace

void configure(Level level, Format format) {
  min_level = level;
  line_format = format;
}

void set_sink(std::function<void(const std::string& line)> to) { sink() = std::move(to); }

Result<Level> parse_level(std::string_view name) {
  for (const Level level : {Level::debug, Level::info, Level::warn, Level::error}) {
    if (name == name_of(level)) return level;
  }
  return Error(ErrorCode::invalid_argument, "log level is one of debug, info, warn, error");
}

std::string format_line(Format format, Level level, std::string_view event, Fields fields) {
  std::string line = format == Format::json ? fmt::format("\"level\":\"{}\",\"event\":{}", name_of(level), quote(event))
                                            : fmt::format("{:5} {}", name_of(level), printable(event));
  for (const Field& field : fields) {
    if (format == Format::json) {
      line += fmt::format(",{}:{}", quote(field.name()), field.quoted() ? quote(field.value()) : field.value());
    } else {
      const bool plain = !field.quoted() || field.value().find_first_of(" \"=\\") == std::string::npos;
      line +=
          fmt::format(" {}={}", field.name(), plain ? printable(field.value(), value_bytes_max) : quote(field.value()));
    }
  }
  return line;
}

void write(Level level, std::string_view event, Fields fields) {
  if (level < min_level.load(std::memory_order_relaxed)) return;
  if (sink()) return sink()(format_line(Format::text, level, event, fields));
  const std::string time = to_rfc3339(std::chrono::time_point_cast<Millis>(std::chrono::system_clock::now()));
  const Format format = line_format;
  const std::string line = format_line(format, level, event, fields);
  logger().info(format == Format::json ? fmt::format("{{\"time\":\"{}\",{}}}", time, line)
                                       : fmt::format("{} {}", time, line));
}

}  // namespace fleetward::log
