// Tables for the terminal: columns as wide as their widest cell, hostile text made harmless.
#pragma once

#include <string>
#include <vector>

namespace fleetward::program {

class Table {
 public:
  explicit Table(std::vector<std::string> headings) : headings_(std::move(headings)) {}
  // As many cells as headings; each is made printable and cut at 120 bytes.
  void add(std::vector<std::string> cells);
  // With headings; "nothing" said by the caller's words when there is no row.
  [[nodiscard]] std::string to_text(std::string_view when_empty) const;

 private:
  std::vector<std::string> headings_;
  std::vector<std::vector<std::string>> rows_;
};

// "key: value" lines with the values in one column.
std::string to_pairs(const std::vector<std::pair<std::string, std::string>>& pairs);

}  // namespace fleetward::program
