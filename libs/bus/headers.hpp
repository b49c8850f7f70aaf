// The headers of a record: names and values in one run of bytes, as they also stand in a bus file. Pure.
//
// A value type. One allocation however many there are: a record is copied several times on its way.
#pragma once

#include <initializer_list>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.hpp"

namespace fleetward::bus {

// What a Headers gives out is valid until that is changed or gone.
struct Header {
  std::string_view name;
  std::string_view value;
  friend bool operator==(const Header&, const Header&) = default;
};

class Headers {
 public:
  class const_iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = Header;
    using difference_type = std::ptrdiff_t;
    using pointer = const Header*;
    using reference = Header;

    const_iterator() = default;
    explicit const_iterator(std::string_view rest) : rest_(rest) {}
    Header operator*() const;
    const_iterator& operator++();
    const_iterator operator++(int) {
      const const_iterator before = *this;
      ++*this;
      return before;
    }
    friend bool operator==(const const_iterator& a, const const_iterator& b) {
      return a.rest_.size() == b.rest_.size();
    }

   private:
    std::string_view rest_;
  };
  using value_type = Header;
  using iterator = const_iterator;

  Headers() = default;
  Headers(std::initializer_list<Header> headers);
  // corrupted: the lengths do not fit the bytes.
  static Result<Headers> decode(std::string bytes);

  // Room for so many more bytes: names, values, and 8 for each header.
  void reserve_more(std::size_t bytes) { bytes_.reserve(bytes_.size() + bytes); }
  void push_back(const Header& header);
  // (u32 length, bytes) of name and value each, little endian.
  [[nodiscard]] const std::string& encoded() const { return bytes_; }
  [[nodiscard]] bool empty() const { return bytes_.empty(); }
  [[nodiscard]] const_iterator begin() const { return const_iterator(bytes_); }
  [[nodiscard]] const_iterator end() const { return {}; }
  friend bool operator==(const Headers&, const Headers&) = default;

 private:
  std::string bytes_;
};

std::optional<std::string_view> find_header(const Headers& headers, std::string_view name);

}  // namespace fleetward::bus
