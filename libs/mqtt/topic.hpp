// Topic names and filters (section 4.7). Pure, thread-safe; time is linear in the text.
#pragma once

#include <string_view>

namespace fleetward::mqtt {

// Not empty, at most 65,535 bytes, no wildcard and no NUL. Whether it is UTF-8 is the decoder's business.
bool is_topic_name(std::string_view topic);
// '#' only as the last whole level, '+' only as a whole level.
bool is_topic_filter(std::string_view filter);
// Whole levels; a filter that starts with a wildcard does not match a topic that starts with '$'.
bool matches(std::string_view filter, std::string_view topic);

}  // namespace fleetward::mqtt
