#include "services/fleetward/table.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/text.hpp"

namespace fleetward::program {
namespace {

constexpr std::size_t cell_bytes_max = 120;

// Characters that take a place on the terminal: code points, which is right for all but wide scripts.
std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

void append_padded(std::string& out, std::string_view text, std::size_t width, bool last) {
  out += text;
  if (!last) out.append(width - width_of(text) + 2, ' ');
}

}  // namespace

void Table::add(std::vector<std::string> cells) {
  cells.resize(headings_.size());
  for (std::string& cell : cells) cell = cell.empty() ? "-" : printable(cell, cell_bytes_max);
  rows_.push_back(std::move(cells));
}

std::string Table::to_text(std::string_view when_empty) const {
  if (rows_.empty()) return fmt::format("{}\n", when_empty);
  std::vector<std::size_t> widths;
  for (const std::string& heading : headings_) widths.push_back(width_of(heading));
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  }
  std::string out;
  const auto append_row = [&](const std::vector<std::string>& row) {
    for (std::size_t i = 0; i < row.size(); ++i) append_padded(out, row[i], widths[i], i + 1 == row.size());
    out += '\n';
  };
  append_row(headings_);
  for (const auto& row : rows_) append_row(row);
  return out;
}

std::string to_pairs(const std::vector<std::pair<std::string, std::string>>& pairs) {
  std::size_t width = 0;
  for (const auto& [key, value] : pairs) width = std::max(width, width_of(key));
  std::string out;
  for (const auto& [key, value] : pairs) {
    append_padded(out, key + ":", width + 1, false);
    out += value.empty() ? "-" : printable(value, 2048);
    out += '\n';
  }
  return out;
}

}  // namespace fleetward::program
