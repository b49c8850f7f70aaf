#include "services/fleetward/command.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <charconv>
#include <cstring>

#include "config/suggest.hpp"
#include "core/text.hpp"
#include "services/fleetward/api_client.hpp"

namespace fleetward::program {
namespace {

const std::vector<Option>& api_options() {
  static const std::vector<Option> options{
      {"output", "table|json", "how to print; -o is short for it (default: table)"},
      {"api", "URL", "where the API is (default: $FLEETWARD_API, else https://127.0.0.1:8443)"},
      {"token-file", "FILE", "file with the token (default: $FLEETWARD_TOKEN, else the administrator's in DATA_DIR)"},
      {"ca-file", "FILE", "authority that signed the API's certificate (default: $FLEETWARD_CA_FILE, else DATA_DIR's)"},
      {"data-dir", "DIR", "data folder of a server on this machine (default: $DATA_DIR)"},
  };
  return options;
}

std::vector<Option> options_of(const Command& command) {
  std::vector<Option> all = command.options;
  if (command.run_with_api != nullptr) all.insert(all.end(), api_options().begin(), api_options().end());
  return all;
}

const Option* find_option(const std::vector<Option>& options, std::string_view name) {
  for (const Option& option : options) {
    if (option.name == name) return &option;
  }
  return nullptr;
}

std::vector<std::string> option_names(const std::vector<Option>& options) {
  std::vector<std::string> names{"help"};
  for (const Option& option : options) names.emplace_back(option.name);
  return names;
}

Error usage(std::string what) { return {ErrorCode::invalid_argument, std::move(what)}; }

bool asks_for_help(const std::vector<std::string>& words) {
  for (const std::string& word : words) {
    if (word == "--") return false;
    if (word == "--help" || word == "-h") return true;
  }
  return false;
}

// The word by which commands are grouped in the overview.
std::string_view first_word_of(std::string_view name) { return name.substr(0, name.find(' ')); }

std::vector<std::string> words_of(std::string_view name) {
  std::vector<std::string> words;
  for (const std::string_view word : split(name, ' ')) words.emplace_back(word);
  return words;
}

ExitCode unknown_command(const std::vector<Command>& commands, const std::vector<std::string>& words,
                         std::ostream& err) {
  std::vector<std::string> first_words;
  std::vector<std::string> seconds;
  for (const Command& command : commands) {
    first_words.emplace_back(first_word_of(command.name));
    if (first_words.back() == words[0]) seconds.emplace_back(command.name.substr(words[0].size() + 1));
  }
  if (seconds.empty()) {
    err << fmt::format("fleetward: there is no command '{}'{}; `fleetward help` lists them\n", printable(words[0], 64),
                       config::suggestion(words[0], first_words));
  } else if (words.size() == 1 || words[1].starts_with("-")) {
    err << fmt::format("fleetward: {} what?\n{}", words[0], help_overview(commands, words[0]));
  } else {
    err << fmt::format("fleetward: there is no command '{} {}'{}\n{}", words[0], printable(words[1], 64),
                       config::suggestion(words[1], seconds), help_overview(commands, words[0]));
  }
  return ExitCode::usage;
}

}  // namespace

std::optional<std::string> Invocation::option(std::string_view name) const {
  const auto found = options_.find(name);
  return found == options_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<std::string> Invocation::environment(std::string_view name) const {
  const auto found = environment_->find(std::string(name));
  if (found == environment_->end() || found->second.empty()) return std::nullopt;
  return found->second;
}

Result<std::int64_t> Invocation::integer_option(std::string_view name, std::int64_t other, std::int64_t min,
                                                std::int64_t max) const {
  const std::optional<std::string> text = option(name);
  if (!text) return other;
  std::int64_t number = 0;
  const auto [end, code] = std::from_chars(text->data(), text->data() + text->size(), number);
  if (code != std::errc() || end != text->data() + text->size() || number < min || number > max) {
    return usage(fmt::format("--{} must be a whole number from {} to {}", name, min, max));
  }
  return number;
}

ExitCode Invocation::fail(const Error& error) const {
  // A message may hold several problems, one a line.
  for (const std::string_view line : split(error.message, '\n')) {
    err << "fleetward: " << printable(line, 16 * 1024) << "\n";
  }
  return ExitCode::failed;
}

ExitCode Invocation::usage_error(std::string_view what) const {
  err << fmt::format("fleetward {}: {}\nusage: fleetward {} {}\nSee `fleetward {} --help`.\n", command_->name,
                     printable(what, 4096), command_->name, command_->arguments, command_->name);
  return ExitCode::usage;
}

Status parse_arguments(Invocation& invocation, const std::vector<std::string>& rest) {
  const Command& command = invocation.command();
  const std::vector<Option> options = options_of(command);
  bool only_arguments = false;
  for (std::size_t i = 0; i < rest.size(); ++i) {
    const std::string& word = rest[i];
    if (only_arguments || word == "-" || !word.starts_with("-")) {
      invocation.arguments_.push_back(word);
      continue;
    }
    if (word == "--") {
      only_arguments = true;
      continue;
    }
    std::string name = word == "-o" ? "output" : word.substr(word.starts_with("--") ? 2 : 1);
    std::optional<std::string> value;
    if (const std::size_t equals = name.find('='); equals != std::string::npos) {
      value = name.substr(equals + 1);
      name.resize(equals);
    }
    const bool is_setting = command.takes_settings && name.find('.') != std::string::npos;
    const Option* option = is_setting ? nullptr : find_option(options, name);
    if (!is_setting && option == nullptr) {
      return usage(fmt::format("there is no option '{}'{}", printable(word, 64),
                               config::suggestion(name, option_names(options))));
    }
    const bool is_switch = !is_setting && option->value.empty();
    if (is_switch && value) return usage(fmt::format("--{} takes no value", name));
    if (!is_switch && !value) {
      if (i + 1 == rest.size()) return usage(fmt::format("--{} needs a value", name));
      value = rest[++i];
    }
    if (is_setting) {
      invocation.settings_.emplace_back(name, *value);
    } else {
      invocation.options_[name] = value.value_or("");
    }
  }
  const std::size_t count = invocation.arguments_.size();
  if (count < command.arguments_min) return usage(fmt::format("{} is missing", command.arguments));
  if (count > command.arguments_max) {
    return usage(fmt::format("'{}' is one argument too many", printable(invocation.arguments_.back(), 64)));
  }
  const std::string output = invocation.option("output").value_or("table");
  if (output != "table" && output != "json") return usage("-o must be table or json");
  return {};
}

const Command* find_command(const std::vector<Command>& commands, const std::vector<std::string>& words,
                            std::size_t& words_used) {
  const Command* best = nullptr;
  words_used = 0;
  for (const Command& command : commands) {
    const std::vector<std::string> name = words_of(command.name);
    if (name.size() > words.size() || name.size() <= words_used) continue;
    if (!std::equal(name.begin(), name.end(), words.begin())) continue;
    best = &command;
    words_used = name.size();
  }
  return best;
}

std::string help_of(const Command& command) {
  std::string out = fmt::format("usage: fleetward {}{}{}{}\n\n{}\n", command.name, command.arguments.empty() ? "" : " ",
                                command.arguments, options_of(command).empty() ? "" : " [OPTION...]", command.summary);
  if (!command.detail.empty()) out += fmt::format("\n{}\n", command.detail);
  const std::vector<Option> options = options_of(command);
  if (options.empty()) return out;
  std::size_t width = 0;
  for (const Option& option : options) width = std::max(width, option.name.size() + option.value.size() + 3);
  out += "\noptions:\n";
  for (const Option& option : options) {
    const std::string shown = fmt::format("--{}{}{}", option.name, option.value.empty() ? "" : " ", option.value);
    out += fmt::format("  {:<{}}  {}\n", shown, width, option.meaning);
  }
  return out;
}

std::string help_overview(const std::vector<Command>& commands, std::string_view first_word) {
  std::size_t width = 0;
  const auto shown = [&](const Command& command) {
    return first_word.empty() || first_word_of(command.name) == first_word;
  };
  const auto title = [](const Command& command) {
    return fmt::format("{}{}{}", command.name, command.arguments.empty() ? "" : " ", command.arguments);
  };
  for (const Command& command : commands) {
    if (shown(command)) width = std::max(width, title(command).size());
  }
  std::string out;
  if (first_word.empty()) out = "usage: fleetward COMMAND [ARGUMENT...] [OPTION...]\n\n";
  for (const Command& command : commands) {
    if (shown(command)) out += fmt::format("  {:<{}}  {}\n", title(command), width, command.summary);
  }
  if (first_word.empty()) {
    out +=
        "\n`fleetward COMMAND --help` tells more, with examples.\n"
        "Exit codes: 0 done, 1 failed, 2 called wrongly.\n";
  }
  return out;
}

namespace {

ExitCode run_words(const std::vector<Command>& commands, const std::vector<std::string>& words,
                   const Environment& environment, const Connect& connect, std::ostream& out, std::ostream& err) {
  if (words.empty()) {
    err << help_overview(commands);
    return ExitCode::usage;
  }
  if (words[0] == "--help" || words[0] == "-h") {
    out << help_overview(commands);
    return ExitCode::ok;
  }
  std::size_t used = 0;
  const std::vector<std::string> wanted = words[0] == "--version" ? std::vector<std::string>{"version"} : words;
  const Command* command = find_command(commands, wanted, used);
  if (command == nullptr) {
    const std::string overview = help_overview(commands, wanted[0]);
    if (!asks_for_help(wanted) || overview.empty()) return unknown_command(commands, wanted, err);
    out << overview;
    return ExitCode::ok;
  }
  const std::vector<std::string> rest(wanted.begin() + static_cast<std::ptrdiff_t>(used), wanted.end());
  if (asks_for_help(rest)) {
    out << help_of(*command);
    return ExitCode::ok;
  }
  Invocation invocation(*command, environment, out, err);
  if (const Status parsed = parse_arguments(invocation, rest); !parsed) {
    return invocation.usage_error(parsed.error().message);
  }
  if (command->run_with_api == nullptr) return command->run(invocation);
  const Result<std::unique_ptr<ApiClient>> api = connect(invocation);
  if (!api) return invocation.fail(api.error());
  return command->run_with_api(invocation, **api);
}

}  // namespace

ExitCode run_program(const std::vector<Command>& commands, const std::vector<std::string>& words,
                     const Environment& environment, const Connect& connect, std::ostream& out, std::ostream& err) {
  const ExitCode code = run_words(commands, words, environment, connect, out, err);
  // Who reads a file that was cut short takes it for the whole answer.
  errno = 0;
  out.flush();
  if (out) return code;
  err << fmt::format("fleetward: the output could not be written{}{}\n", errno == 0 ? "" : ": ",
                     errno == 0 ? "" : std::strerror(errno));
  return code == ExitCode::ok ? ExitCode::failed : code;
}

}  // namespace fleetward::program
