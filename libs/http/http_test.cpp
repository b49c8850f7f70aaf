#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "async/eventually.hpp"
#include "http/client.hpp"
#include "http/server.hpp"

namespace fleetward::http {
namespace {

using ::testing::HasSubstr;

constexpr Millis patience{15'000};

async::Task<Response> echo(Request request) {
  if (request.target == "/large") co_return text_response(200, std::string(1 << 20, 'x'));
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
  static async::Task<Response> wait_then_answer(async::Event& go_on, std::promise<void>& begun) {
    begun.set_value();
    co_await go_on.wait(patience);
    co_return text_response(200, "late");
  }
  static bool eventually(const std::function<bool()>& holds) {
    return async::testing_support::eventually(holds, patience);
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

TEST_F(HttpTest, WhatTwoReadersCouldReadDifferentlyIsRefused) {
  open();
  const std::string smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
  for (const std::string head : {
           "Host: a\r\nTransfer-Encoding: gzip\r\n",
           "Host: a\r\nTransfer-Encoding: identity\r\n",
           "Host: a\r\nTransfer-Encoding: gzip, chunked\r\n",
           "Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
           "Host: a\r\nTransfer-Encoding : chunked\r\n",
           "Host: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n",
           "Host: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n",
           "Host: a\r\nContent-Length: +5\r\n",
           "Host: a\r\nContent-Length: 0x5\r\n",
           "Host: a\r\nContent-Length: 5, 6\r\n",
           "Host: a\r\nX: a\nTransfer-Encoding: chunked\r\n",
           "Host: a\r\nHost: b\r\n",
           "X: no host\r\n",
       }) {
    const std::string out = raw("POST /x HTTP/1.1\r\n" + head + "\r\n" + smuggled);
    EXPECT_THAT(out, HasSubstr(" 400 ")) << head;
    EXPECT_EQ(out.find("GET /smuggled"), std::string::npos) << head;
  }
  EXPECT_THAT(raw("POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), HasSubstr(" 400 "));
  EXPECT_THAT(raw("GET /old HTTP/1.0\r\n\r\n"), HasSubstr("GET /old"));
}

TEST_F(HttpTest, ContinueIsSaidToWhoWaitsForIt) {
  open();
  auto text = std::make_shared<std::string>();
  auto done = std::make_shared<std::promise<void>>();
  async::run_on(loop_, [&] {
    auto connection = std::make_shared<std::shared_ptr<net::Connection>>();
    net::Connection::Callbacks callbacks;
    callbacks.open = [connection](const net::TlsInfo&) {
      (*connection)
          ->write(
              "POST /c HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nConnection: close\r\n"
              "Content-Length: 4\r\n\r\n");
    };
    callbacks.data = [connection, text](ByteView more) {
      if (text->empty()) (*connection)->write("body");
      text->append(as_text(more));
    };
    callbacks.closed = [connection, done](const Error&) {
      connection->reset();
      done->set_value();
    };
    *connection = net::connect(loop_, {"127.0.0.1", server_->port()}, nullptr, std::move(callbacks));
  });
  ASSERT_EQ(done->get_future().wait_for(patience), std::future_status::ready);
  EXPECT_TRUE(text->starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")) << *text;
  EXPECT_THAT(*text, HasSubstr("POST /c body"));
}

TEST_F(HttpTest, APipeliningClientThatDoesNotReadIsGivenUp) {
  ServerOptions options;
  options.request_timeout = Millis(200);
  open(options);
  auto closed = std::make_shared<std::promise<void>>();
  std::shared_ptr<net::Connection> connection;
  async::run_on(loop_, [&] {
    net::Connection::Callbacks callbacks;
    callbacks.open = [&connection](const net::TlsInfo&) {
      connection->pause_reading();
      std::string many;
      for (int i = 0; i < 500; ++i) many += "GET /large HTTP/1.1\r\nHost: a\r\n\r\n";
      connection->write(many);
    };
    callbacks.closed = [closed](const Error&) { closed->set_value(); };
    connection = net::connect(loop_, {"127.0.0.1", server_->port()}, nullptr, std::move(callbacks));
  });
  auto& slow = metrics_.counter("fleetward_http_refused_total", "", {{"server", "http"}, {"reason", "slow"}});
  EXPECT_TRUE(eventually([&] { return slow.value() > 0; }));
  EXPECT_EQ(slow.value(), 1U);
  auto& answered = metrics_.counter("fleetward_http_requests_total", "", {{"server", "http"}, {"status", "2xx"}});
  EXPECT_LT(answered.value(), 100U) << "answers are not made for who does not take them";
  async::run_on(loop_, [&] { connection->resume_reading(); });
  EXPECT_EQ(closed->get_future().wait_for(patience), std::future_status::ready);
  async::run_on(loop_, [&] { connection.reset(); });
}

TEST_F(HttpTest, AReaderThatIsSlowGetsAllOfIt) {
  open();
  std::string many;
  for (int i = 0; i < 20; ++i) many += "GET /large HTTP/1.1\r\nHost: a\r\n\r\n";
  const std::string out = raw(many + "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_GT(out.size(), std::size_t{20} << 20);
  EXPECT_TRUE(out.ends_with("GET /last "));
}

TEST_F(HttpTest, RequestsOfAConnectionAreLimited) {
  ServerOptions options;
  options.requests_per_connection_max = 2;
  open(options);
  const std::string out =
      raw("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(out, HasSubstr("GET /2"));
  EXPECT_EQ(out.find("GET /3"), std::string::npos);
}

// Whoever holds all connections and asks nothing, or asks it for ever, does not keep others out.
TEST_F(HttpTest, ConnectionsThatAskNothingGiveWay) {
  ServerOptions options;
  options.connections_max = 3;
  open(options);
  std::vector<std::shared_ptr<net::Connection>> silent(10);
  std::atomic<int> closed{0};
  for (std::size_t i = 0; i < silent.size(); ++i) {
    std::promise<void> opened;
    async::run_on(loop_, [&] {
      net::Connection::Callbacks callbacks;
      callbacks.open = [&](const net::TlsInfo&) {
        if (i % 2 == 1) silent[i]->write("GET / HTTP/1.1\r\nHo");
        opened.set_value();
      };
      callbacks.closed = [&closed](const Error&) { ++closed; };
      silent[i] = net::connect(loop_, {"127.0.0.1", server_->port()}, nullptr, std::move(callbacks));
    });
    opened.get_future().wait();
  }
  for (int i = 0; i < 5; ++i) {
    const auto answer = ask({"GET", url("/still")});
    ASSERT_TRUE(answer.ok()) << answer.error().message;
    EXPECT_EQ(answer->status, 200);
  }
  EXPECT_TRUE(eventually([&] { return closed >= 8; })) << "two of three places at most, and one for who asks";
  EXPECT_THAT(metrics_.to_prometheus_text(), HasSubstr("reason=\"displaced\""));
  async::run_on(loop_, [&] {
    for (auto& c : silent) c->abort();
  });
  EXPECT_TRUE(eventually([&] { return closed >= 10; }));
  EXPECT_EQ(closed, 10);
  async::run_on(loop_, [&] { silent.clear(); });
}

class DrainTest : public HttpTest {};

TEST_F(DrainTest, StopLetsARunningRequestFinish) {
  async::Event go_on(loop_);
  std::promise<void> begun;
  async::run_on(loop_, [&] {
    auto opened = Server::open(
        loop_, {"127.0.0.1", 0}, nullptr,
        [&](Request) -> async::Task<Response> { return wait_then_answer(go_on, begun); }, metrics_);
    ASSERT_TRUE(opened.ok());
    server_ = std::move(*opened);
  });
  std::promise<Result<Response>> answer;
  scope_.spawn("ask", ask_task({"GET", url("/")}, {}, answer));
  begun.get_future().wait();
  std::promise<bool> stopped;
  std::thread stopper([&] { stopped.set_value(server_->stop(patience)); });
  auto stop_result = stopped.get_future();
  EXPECT_EQ(stop_result.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  EXPECT_EQ(ask({"GET", url("/")}).error().code, ErrorCode::unavailable) << "nobody new is let in";
  go_on.notify();
  const Result<Response> response = answer.get_future().get();
  ASSERT_TRUE(response.ok()) << response.error().message;
  EXPECT_EQ(response->body, "late");
  EXPECT_TRUE(stop_result.get());
  stopper.join();
}

TEST_F(DrainTest, WhoIsBeingAnsweredIsNotSentAway) {
  async::Event go_on(loop_);
  std::promise<void> begun;
  async::run_on(loop_, [&] {
    ServerOptions options;
    options.connections_max = 1;
    auto opened = Server::open(
        loop_, {"127.0.0.1", 0}, nullptr,
        [&](Request) -> async::Task<Response> { return wait_then_answer(go_on, begun); }, metrics_, options);
    ASSERT_TRUE(opened.ok());
    server_ = std::move(*opened);
  });
  std::promise<Result<Response>> answer;
  scope_.spawn("ask", ask_task({"GET", url("/")}, {}, answer));
  begun.get_future().wait();
  EXPECT_EQ(raw("GET /more HTTP/1.1\r\nHost: a\r\n\r\n"), "") << "there is no room";
  EXPECT_THAT(metrics_.to_prometheus_text(), HasSubstr("reason=\"connections_max\""));
  go_on.notify();
  const Result<Response> response = answer.get_future().get();
  ASSERT_TRUE(response.ok()) << response.error().message;
  EXPECT_EQ(response->body, "late");
}

// Answers that wait for readers who do not read are bounded together; small ones are still given.
TEST_F(HttpTest, AnswersThatWaitForSlowReadersAreBounded) {
  ServerOptions options;
  options.draining_bytes_max = 3 << 20;
  open(options);
  std::vector<std::shared_ptr<net::Connection>> lazy(8);
  std::string many;
  for (int i = 0; i < 40; ++i) many += "GET /large HTTP/1.1\r\nHost: a\r\n\r\n";
  async::run_on(loop_, [&] {
    for (auto& c : lazy) {
      net::Connection::Callbacks callbacks;
      callbacks.open = [&c, &many](const net::TlsInfo&) {
        c->pause_reading();
        c->write(many);
      };
      c = net::connect(loop_, {"127.0.0.1", server_->port()}, nullptr, std::move(callbacks));
    }
  });
  const auto is_bounded = [this] { return metrics_.to_prometheus_text().find("slow_readers") != std::string::npos; };
  EXPECT_TRUE(eventually(is_bounded));
  EXPECT_EQ(ask({"GET", url("/small")})->status, 200);
  EXPECT_EQ(ask({"GET", url("/large")})->status, 503);
  async::run_on(loop_, [&] {
    for (auto& c : lazy) c->abort();
    lazy.clear();
  });
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
