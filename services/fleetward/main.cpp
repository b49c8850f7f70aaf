// The program `fleetward`: hands the words, the environment and the terminal to run_program().
#include <unistd.h>

#include <iostream>

#include "services/fleetward/api_client.hpp"
#include "services/fleetward/commands.hpp"

int main(int argc, char** argv) {
  using namespace fleetward::program;
  Environment environment;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text(*variable);
    const std::size_t equals = text.find('=');
    if (equals != std::string_view::npos) environment.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  const std::vector<std::string> words(argv + 1, argv + argc);
  return static_cast<int>(run_program(all_commands(), words, environment, connect_api, std::cout, std::cerr));
}
