// An owner that stands still, or is killed, in the middle of its work, in a process of its own: whoever takes its
// partition over is not disturbed by it, nor kept waiting for longer than a transaction may take.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "contract/bus_fixture.hpp"
#include "contract/child_process.hpp"

namespace fleetward::contract {
namespace {

using bus::Position;
using ::testing::ElementsAre;
using ::testing::SizeIs;

class KafkaZombieTest : public BusTest {
 protected:
  // m1, which has read the one record and is about to commit.
  std::unique_ptr<ChildProcess> start_owner(const std::string& fault = {}) {
    append({record("one", "a", "1")});
    const std::string program =
        (std::filesystem::read_symlink("/proc/self/exe").parent_path() / "kafka_member").string();
    std::vector<std::string> arguments{
        program, KafkaCluster::shared().about("bootstrap"), name("group"), name("one"), name("table"), "m1"};
    auto owner = std::make_unique<ChildProcess>(std::move(arguments), "FLEETWARD_FAULT=" + fault);
    EXPECT_EQ(owner->read_line(), "ready");
    return owner;
  }

  void commit_fresh(bus::Consumer& taker) {
    auto work = taker.begin();
    work->append(record("table", "a", "fresh", 0));
    work->set_offset(0, 1);
    const auto done = await(work->commit());
    ASSERT_TRUE(done.ok()) << done.error().message;
  }

  void expect_only_fresh() {
    const auto all = read_to_end("table");
    ASSERT_THAT(all, SizeIs(1));
    EXPECT_EQ(all[0].value, "fresh");
    EXPECT_THAT(committed("one"), ElementsAre(Position{0, 1}));
  }
};
INSTANTIATE_TEST_SUITE_P(Backends, KafkaZombieTest, ::testing::Values(Backend::kafka), name_of);

TEST_P(KafkaZombieTest, AnOwnerThatStoodStillIsFenced) {
  auto owner = start_owner();
  owner->signal(SIGSTOP);
  auto taker = subscribe("one", "m2");
  const auto taken = poll_until(*taker, [](const auto& r) { return r.records.size() == 1; });
  EXPECT_THAT(taken.assigned, ElementsAre(Position{0, 0}));
  commit_fresh(*taker);
  owner->write_line("go");
  owner->signal(SIGCONT);
  EXPECT_EQ(owner->read_line(), "fenced");
  expect_only_fresh();
}

TEST_P(KafkaZombieTest, AnOwnerThatStoodStillInItsTransactionIsFenced) {
  auto owner = start_owner("bus.kafka_stop_in_transaction");
  owner->write_line("go");
  ASSERT_TRUE(owner->wait_stopped()) << owner->read_line();
  auto taker = subscribe("one", "m2");
  const auto taken = poll_until(*taker, [](const auto& r) { return r.records.size() == 1; });
  EXPECT_THAT(taken.assigned, ElementsAre(Position{0, 0}));
  commit_fresh(*taker);
  owner->signal(SIGCONT);
  EXPECT_EQ(owner->read_line(), "fenced");
  expect_only_fresh();
}

TEST_P(KafkaZombieTest, WhoComesBackUnderItsNameEndsTheTransactionThatItsLifeBeforeLeftOpen) {
  auto owner = start_owner("bus.kafka_stop_in_transaction");
  owner->write_line("go");
  ASSERT_TRUE(owner->wait_stopped()) << owner->read_line();
  owner->signal(SIGKILL);
  auto again = subscribe("one", "m1");
  const auto taken = poll_until(*again, [](const auto& r) { return r.records.size() == 1; });
  EXPECT_THAT(taken.assigned, ElementsAre(Position{0, 0}));
  commit_fresh(*again);
  expect_only_fresh();
}

}  // namespace
}  // namespace fleetward::contract
