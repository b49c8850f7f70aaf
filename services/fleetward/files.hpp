// Small files that must be whole or not there: keys, certificates, tokens.
#pragma once

#include <string>
#include <string_view>

#include "core/result.hpp"

namespace fleetward::program {

// Written beside, made durable, then renamed over `path`. Secrets are readable by the owner alone (0600) from the first
// byte on; other files are 0644.
enum class Secrecy { secret, open };
Status write_file(const std::string& path, std::string_view content, Secrecy secrecy);

// not_found when there is none. Limit: 1 MiB.
Result<std::string> read_file(const std::string& path);

// The same of a file that must be readable by its owner alone, else failed_precondition.
Result<std::string> read_secret_file(const std::string& path);
// PEM of whom to trust: the file's, or the system's list when `path` is empty.
Result<std::string> read_authorities(const std::string& path);

bool file_exists(const std::string& path);
// With its parents, for the owner alone (0700) where it was missing.
Status make_folder(const std::string& path);

}  // namespace fleetward::program
