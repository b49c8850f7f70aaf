#include "runtime/operations.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "async/scope.hpp"
#include "core/fault.hpp"
#include "http/client.hpp"

namespace fleetward::runtime {
namespace {

using testing::HasSubstr;

class Operations : public testing::Test {
 protected:
  Operations() : server_(modules_, metrics_) {
    modules_.add({.name = "gateway",
                  .start = [] { return Status(); },
                  .ready = [this]() -> Status {
                    if (ready_) return {};
                    return {ErrorCode::unavailable, "reading\ntables"};
                  }});
  }

  static async::Task<void> fetch(async::Scheduler& loop, http::ClientRequest request,
                                 std::promise<http::Response>& answer) {
    Result<http::Response> got = co_await http::request(loop, std::move(request), http::ClientOptions());
    answer.set_value(got ? std::move(*got) : http::text_response(0, to_string(got.error())));
  }

  http::Response get(std::string_view path, std::string method = "GET") {
    async::LoopThread loop("client");
    async::Scope scope(loop, "client");
    std::promise<http::Response> answer;
    auto future = answer.get_future();
    scope.spawn("fetch",
                fetch(loop, {std::move(method), fmt::format("http://127.0.0.1:{}{}", server_.port(), path)}, answer));
    http::Response response = future.get();
    EXPECT_TRUE(scope.join(Millis(5000)));
    return response;
  }

  std::atomic<bool> ready_{false};
  Modules modules_;
  metrics::Registry metrics_;
  OperationsServer server_;
};

TEST_F(Operations, TellsLifeReadinessAndMetrics) {
  metrics_.counter("fleetward_test_total", "A test").add(3);
  ASSERT_TRUE(server_.start({"127.0.0.1", 0}));
  EXPECT_EQ(get("/livez").status, 200);
  EXPECT_EQ(get("/readyz").status, 503) << "nothing was started yet";
  ASSERT_TRUE(modules_.start_all(Millis(1000)));
  const http::Response waiting = get("/readyz");
  EXPECT_EQ(waiting.status, 503);
  EXPECT_THAT(waiting.body, HasSubstr("gateway: not ready: reading\\x0atables"));
  ready_ = true;
  EXPECT_EQ(get("/readyz").status, 200);
#ifdef FLEETWARD_FAULT_POINTS
  EXPECT_THAT(get("/readyz").body, testing::Not(HasSubstr("fault")));
  fault::arm("runtime.test");
  EXPECT_THAT(get("/readyz").body, HasSubstr("fault point armed: runtime.test"));
  fault::disarm("runtime.test");
#endif
  const http::Response metrics = get("/metrics");
  EXPECT_THAT(metrics.body, HasSubstr("fleetward_test_total 3"));
  ASSERT_NE(http::find_header(metrics.headers, "Content-Type"), nullptr);
  EXPECT_THAT(*http::find_header(metrics.headers, "Content-Type"), HasSubstr("version=0.0.4"));
  EXPECT_EQ(get("/").status, 404);
  EXPECT_EQ(get("/livez", "POST").status, 405);
  EXPECT_TRUE(modules_.stop_all(Millis(1000)));
  EXPECT_EQ(get("/readyz").status, 503);
}

TEST_F(Operations, ATakenPortIsAnError) {
  ASSERT_TRUE(server_.start({"127.0.0.1", 0}));
  OperationsServer second(modules_, metrics_);
  const Status started = second.start({"127.0.0.1", server_.port()});
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, ErrorCode::unavailable);
}

}  // namespace
}  // namespace fleetward::runtime
