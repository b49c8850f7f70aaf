// Whether a file of SQLite is whole, asked before it is opened for writing: opening takes in its write-ahead log, and
// what of that is damaged is dropped without a word.
#pragma once

#include <cstdint>
#include <string>

#include "core/result.hpp"

namespace fleetward::sqlite {

// corrupted, with what is wrong. A file that is not there, or is empty, is whole. Of a file over `bytes_max` only the
// write-ahead log and the size are looked at: reading it all would take long. Nobody may write it meanwhile.
Status check_whole(const std::string& path, std::uint64_t bytes_max);

}  // namespace fleetward::sqlite
