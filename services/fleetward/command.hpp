// The command line as one table of commands: what each takes, its help, and the function that does it.
//
// Parsing is pure; a command gets an Invocation (its arguments, options, environment and streams) and returns an exit
// code. Everything lives on the main thread. Limits: those of the operating system's command line.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.hpp"

namespace fleetward::program {

enum class ExitCode { ok = 0, failed = 1, usage = 2 };

struct Option {
  std::string_view name;   // without dashes
  std::string_view value;  // what stands for its value in help; empty: a switch
  std::string_view meaning;
};

class Invocation;
class ApiClient;

struct Command {
  std::string_view name;       // "things list"
  std::string_view arguments;  // for help: "DEVICE", "ROLE...|all"
  std::string_view summary;    // one line
  std::string_view detail;     // more lines, with examples
  std::vector<Option> options;
  std::size_t arguments_min = 0;
  std::size_t arguments_max = 0;
  bool takes_settings = false;  // takes --section.key=value
  // One of the two. With the API the command takes the options that say where it is, and -o.
  ExitCode (*run)(Invocation&) = nullptr;
  ExitCode (*run_with_api)(Invocation&, ApiClient&) = nullptr;
};

using Environment = std::map<std::string, std::string>;

// What one call of the program was asked to do, and where it may write.
class Invocation {
 public:
  Invocation(const Command& command, const Environment& environment, std::ostream& out, std::ostream& err)
      : out(out), err(err), command_(&command), environment_(&environment) {}

  std::ostream& out;
  std::ostream& err;

  [[nodiscard]] const Command& command() const { return *command_; }
  [[nodiscard]] const std::vector<std::string>& arguments() const { return arguments_; }
  // The last value given; environment() for those that have a variable.
  [[nodiscard]] std::optional<std::string> option(std::string_view name) const;
  [[nodiscard]] bool has(std::string_view name) const { return option(name).has_value(); }
  [[nodiscard]] std::optional<std::string> environment(std::string_view name) const;
  [[nodiscard]] const Environment& all_environment() const { return *environment_; }
  // A whole number, or `other` when the option was not given.
  [[nodiscard]] Result<std::int64_t> integer_option(std::string_view name, std::int64_t other, std::int64_t min,
                                                    std::int64_t max) const;
  [[nodiscard]] bool wants_json() const { return option("output").value_or("table") == "json"; }
  // --section.key=value, as config::Sources takes them.
  [[nodiscard]] const std::vector<std::pair<std::string, std::string>>& settings() const { return settings_; }

  // "fleetward: …" on err. Both made printable.
  ExitCode fail(const Error& error) const;
  ExitCode usage_error(std::string_view what) const;

 private:
  friend Status parse_arguments(Invocation&, const std::vector<std::string>&);
  const Command* command_;
  const Environment* environment_;
  std::vector<std::string> arguments_;
  std::map<std::string, std::string, std::less<>> options_;
  std::vector<std::pair<std::string, std::string>> settings_;
};

// Fills arguments, options and settings from what stands behind the command's name. invalid_argument says what is
// wrong.
Status parse_arguments(Invocation& invocation, const std::vector<std::string>& rest);

// The longest command whose words begin `words`; nullptr when there is none.
const Command* find_command(const std::vector<Command>& commands, const std::vector<std::string>& words,
                            std::size_t& words_used);

std::string help_of(const Command& command);
// All commands, or those below a first word ("things").
std::string help_overview(const std::vector<Command>& commands, std::string_view first_word = {});

// How a command gets its client: the real one, or a test's.
using Connect = std::function<Result<std::unique_ptr<ApiClient>>(const Invocation&)>;

// Finds, parses and runs. The whole program but for what main() gives it.
ExitCode run_program(const std::vector<Command>& commands, const std::vector<std::string>& words,
                     const Environment& environment, const Connect& connect, std::ostream& out, std::ostream& err);

}  // namespace fleetward::program
