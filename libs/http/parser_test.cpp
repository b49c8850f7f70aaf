// The request parser by itself: what is a header, and what only looks like one.
#include "http/parser.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fleetward::http {
namespace {

// Fields behind a chunked body are no headers (RFC 9110 section 6.5.1): whoever stands in front of us judged the
// header, and has not seen them.
TEST(RequestParser, FieldsBehindTheBodyAreNoHeaders) {
  const std::string text =
      "POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"
      "Host: b\r\nAuthorization: Bearer x\r\nConnection: keep-alive\r\n\r\n";
  for (const std::size_t cut : {text.size(), std::size_t{1}, text.find("abc"), text.find("Host: b") + 3}) {
    RequestParser parser({});
    const auto first = parser.put(std::string_view(text).substr(0, cut));
    ASSERT_TRUE(first.ok()) << first.error().message;
    if (!parser.is_done()) ASSERT_TRUE(parser.put(std::string_view(text).substr(cut)).ok());
    ASSERT_TRUE(parser.is_done());
    EXPECT_FALSE(parser.keep_alive());
    const Request request = parser.take();
    EXPECT_EQ(request.body, "abc");
    EXPECT_EQ(*request.header("Host"), "a");
    EXPECT_EQ(request.header("Authorization"), nullptr);
    EXPECT_EQ(request.headers.size(), 3U);
  }
}

TEST(RequestParser, IsReadyForTheNextRequest) {
  RequestParser parser({});
  const std::string text = "GET /1 HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\nGET /2 HTTP/1.0\r\n\r\n";
  const auto used = parser.put(text);
  ASSERT_TRUE(used.ok() && parser.is_done());
  EXPECT_TRUE(parser.keep_alive());
  EXPECT_EQ(parser.take().headers.size(), 2U);
  ASSERT_TRUE(parser.put(std::string_view(text).substr(*used)).ok());
  ASSERT_TRUE(parser.is_done());
  EXPECT_FALSE(parser.keep_alive());
  const Request second = parser.take();
  EXPECT_EQ(second.target, "/2");
  EXPECT_TRUE(second.headers.empty());
}

}  // namespace
}  // namespace fleetward::http
