// A Storage in one SQLite file: a table per topic partition whose integer primary key is the offset.
//
// The writer has a connection of its own and the readers another one: in WAL mode a read never waits for a commit.
// Offsets never go back: the next one of each partition is kept beside the records, so what retention or compaction
// took away does not make numbers come again.
#pragma once

#include <memory>
#include <string>

#include "bus/storage.hpp"

namespace fleetward::bus {

// Makes the folder and the file. One process at a time (FileLock beside the file). corrupted: the file is damaged.
Result<std::unique_ptr<Storage>> open_sqlite_storage(const std::string& path);

// A copied file, to be read only: takes no lock, changes nothing at or beside it. write() answers unsupported. When a
// write-ahead log (-wal) lies beside it, both are read from a scratch copy.
Result<std::unique_ptr<Storage>> open_sqlite_storage_read_only(const std::string& path);

}  // namespace fleetward::bus
