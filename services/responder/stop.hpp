// The stop file: a switch that works with everything else down. While the file exists nothing begins by itself.
#pragma once

#include <optional>
#include <string>

namespace fleetward::responder {

constexpr std::size_t stop_words_max = 200;

// The first line of the file, made printable; none: it is not there. What cannot be looked at counts as there, for the
// same reason for which it exists. One look at the disk; an empty path is no file.
std::optional<std::string> words_of_stop_file(const std::string& path);

}  // namespace fleetward::responder
