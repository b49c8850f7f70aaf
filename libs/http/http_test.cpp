#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "http/client.hpp"
#include "http/server.hpp"

namespace fleetward::http {
namespace {

using ::testing::HasSubstr;

constexpr Millis patience{15'000};

async::Task<Response> echo(Request request) {
  co_return text_response(200, fmt::format("{} {} {}", request.method, request.target, request.body));
}

class HttpTest : public ::testing::Test {
 protected:
  void open(ServerOptions options = {}) {
    async::run_on(loop_, [&] {
      auto opened = Server::open(loop_, {"127.0.0.1", 0}, nullptr, echo, metrics_, options);
      ASSERT_TRUE(opened.ok()) << opened.error().message;
      server_ = std::move(*opened);
    });
  }
  void TearDown() override {
    if (server_) EXPECT_TRUE(server_->stop(patience));
    async::run_on(loop_, [this] { server_.reset(); });
  }

  Result<Response> ask(ClientRequest what, ClientOptions options = {}) {
    std::promise<Result<Response>> promise;
    scope_.spawn("ask", ask_task(std::move(what), std::move(options), promise));
    return promise.get_future().get();
  }
  async::Task<void> ask_task(ClientRequest what, ClientOptions options, std::promise<Result<Response>>& promise) {
    Result<Response> answer = co_await request(loop_, std::move(what), std::move(options));
    promise.set_value(std::move(answer));
  }
  std::string url(std::string_view target) { return fmt::format("http://127.0.0.1:{}{}", server_->port(), target); }

  // Sends raw bytes and gives back all that comes until the server closes.
  std::string raw(std::string bytes) {
    auto done = std::make_shared<std::promise<std::string>>();
    auto text = std::make_shared<std::string>();
    async::run_on(loop_, [&] {
      net::Connection::Callbacks callbacks;
      auto connection = std::make_shared<std::shared_ptr<net::Connection>>();
      callbacks.open = [connection, bytes](const net::TlsInfo&) { (*connection)->write(bytes); };
      callbacks.data = [text](ByteView more) { text->append(as_text(more)); };
      callbacks.closed = [done, text, connection](const Error&) {
        connection->reset();
        done->set_value(*text);
      };
      *connection = net::connect(loop_, {"127.0.0.1", server_->port()}, nullptr, std::move(callbacks));
    });
    auto future = done->get_future();
    EXPECT_EQ(future.wait_for(patience), std::future_status::ready) << "the server did not close";
    return future.get();
  }

  metrics::Registry metrics_;
  async::LoopThread loop_{"http-test"};
  async::Scope scope_{loop_, "http-test"};
  std::unique_ptr<Server> server_;
};

TEST_F(HttpTest, AnswersWithTheRawTarget) {
  open();
  const auto answer = ask({"POST", url("/a%2Fb?x=1%202&y"), {{"Content-Type", "text/plain"}}, "hello"});
  ASSERT_TRUE(answer.ok()) << answer.error().message;
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->body, "POST /a%2Fb?x=1%202&y hello");
}

TEST_F(HttpTest, PipelinedRequestsAreAnsweredInOrder) {
  open();
  const std::string out =
      raw("GET /1 HTTP/1.1\r\nHost: x\r\n\r\nPOST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"
          "HEAD /3 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const auto first = out.find("GET /1 ");
  const auto second = out.find("POST /2 hi");
  EXPECT_NE(first, std::string::npos);
  EXPECT_LT(first, second);
  EXPECT_EQ(out.find("HEAD /3"), std::string::npos) << "an answer to HEAD has no body";
  EXPECT_THAT(out, HasSubstr("Connection: close"));
}

TEST_F(HttpTest, BytesMayComeOneByOne) {
  open();
  RequestParser parser({});
  const std::string text = "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
  for (const char c : text) ASSERT_TRUE(parser.put(std::string_view(&c, 1)).ok());
  ASSERT_TRUE(parser.is_done());
  EXPECT_EQ(parser.take().body, "abc");
}

TEST_F(HttpTest, HostileRequestsGetTheirStatus) {
  ServerOptions options;
  options.limits = {1024, 100};
  open(options);
  EXPECT_THAT(raw("GET / HTTP/1.1\r\nX: " + std::string(5000, 'a') + "\r\n\r\n"), HasSubstr(" 431 "));
  EXPECT_THAT(raw("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n"), HasSubstr(" 413 "));
  EXPECT_THAT(raw("nonsense\r\n\r\n"), HasSubstr(" 400 "));
  EXPECT_THAT(raw("GET / HTTP/1.1\nHost: a\n\n"), HasSubstr(" 400 "));
  EXPECT_THAT(raw("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
              HasSubstr(" 400 "));
  EXPECT_THAT(raw("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
              HasSubstr(" 400 "));
  EXPECT_THAT(raw("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), HasSubstr(" 400 "));
}

TEST_F(HttpTest, ASlowSenderIsEnded) {
  ServerOptions options;
  options.request_timeout = Millis(50);
  open(options);
  EXPECT_EQ(raw("GET / HTTP/1.1\r\nHo"), "");
  EXPECT_THAT(metrics_.to_prometheus_text(), HasSubstr("reason=\"slow\""));
}

TEST_F(HttpTest, ClientTellsWhatWentWrong) {
  open();
  EXPECT_EQ(ask({"GET", "ftp://x/"}).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(ask({"GET", "http://127.0.0.1:1/"}).error().code, ErrorCode::unavailable);
  ClientOptions tight;
  tight.limits.body_bytes_max = 3;
  EXPECT_EQ(ask({"GET", url("/long")}, tight).error().code, ErrorCode::resource_exhausted);
}

TEST(Url, PartsAndRefusals) {
  EXPECT_EQ(parse_url("https://[::1]:8443/a?b")->host, "::1");
  EXPECT_EQ(parse_url("https://h")->port, 443);
  EXPECT_EQ(parse_url("http://h?x")->target, "/?x");
  for (const char* bad : {"h:80", "http://", "http://u@h/", "http://h:99999/", "http://h:/", "http://[::1/"}) {
    EXPECT_FALSE(parse_url(bad).ok()) << bad;
  }
}

TEST(Query, IsDecodedInOrder) {
  Request r;
  r.target = "/x?b=1%2F2&a=&c";
  const auto pairs = r.query_pairs();
  ASSERT_TRUE(pairs.ok());
  EXPECT_THAT(*pairs, ::testing::ElementsAre(std::pair("b", "1/2"), std::pair("a", ""), std::pair("c", "")));
  r.target = "/x?a=%zz";
  EXPECT_FALSE(r.query_pairs().ok());
}

}  // namespace
}  // namespace fleetward::http
