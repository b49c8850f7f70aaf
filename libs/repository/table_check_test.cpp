// What a relay writes again of a table that others may have written to.
#include "repository/table_check.hpp"

#include <gmock/gmock.h>

#include "fleet/topics.hpp"
#include "repository/outbox.hpp"
#include "repository/signing_store.hpp"
#include "repository/store_fixture.hpp"

namespace fleetward::repository {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const std::string holds(fleet::topic::access);

class TableCheckTest : public StoreFixture<> {
 protected:
  TableCheckTest() : signers_(std::make_shared<access::Signers>()) {
    EXPECT_TRUE(signers_->add("responder", key_.public_key()).ok());
  }
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(StoreFixture::SetUp());
    store_ = sign_in(std::move(store_), std::make_shared<RecordSigner>(std::vector<RoleKey>{{"responder", key_}}));
  }
  // Said, published, and so on the bus.
  bus::Record say(const std::string& key, const std::string& word) {
    bus::Record out;
    EXPECT_TRUE(change([&](store::Transaction& tx) -> Status {
                  const auto version = next_version(tx, holds, key);
                  const fleet::CloudEvent event{key + word, "/test", "t", key, {}, {{"word", word}}};
                  if (const Status said = publish(tx, {holds, *version, event, {}}); !said) return said;
                  const auto rows = tx.query("SELECT value, headers FROM outbox ORDER BY id DESC LIMIT 1");
                  out = record(key, rows->at(0).text(0), *headers_from_text(rows->at(0).text(1)));
                  const auto gone = tx.execute("DELETE FROM outbox");
                  return gone.ok() ? Status() : Status(gone.error());
                }).ok());
    bus_.push_back(out);
    return out;
  }
  static bus::Record record(const std::string& key, std::optional<std::string> value, bus::Headers headers) {
    bus::Record r;
    r.topic = holds;
    r.key = key;
    r.value = std::move(value);
    r.headers = std::move(headers);
    return r;
  }
  void put(const bus::Record& r) { bus_.push_back(r); }
  static bus::Headers version(int n) { return {{fleet::header::version, std::to_string(n)}}; }

  std::vector<bus::OutRecord> check() {
    TableView view(holds, signers_);
    auto out =
        in_store<std::vector<bus::OutRecord>>([&](store::Transaction& tx) -> Result<std::vector<bus::OutRecord>> {
          for (bool more = true; more;) {
            const auto read = view.read_said(tx, 2);
            if (!read) return read.error();
            more = *read;
          }
          for (const bus::Record& r : bus_) view.note(r);
          return to_rewrite(tx, view);
        });
    EXPECT_TRUE(out.ok());
    forged_ = view.forged();
    for (const bus::OutRecord& r : *out) put(record(r.key, r.value, r.headers));
    return *out;
  }
  std::int64_t next(const std::string& key) {
    return *in_store<std::int64_t>([&](store::Transaction& tx) { return next_version(tx, holds, key); });
  }

  const access::RecordKey key_{*crypto::PrivateKey::generate()};
  std::shared_ptr<access::Signers> signers_;
  std::vector<bus::Record> bus_;
  std::uint64_t forged_ = 0;
};

TEST_F(TableCheckTest, WhatComesLastAsItWasSaidIsLeftAlone) {
  for (const char* key : {"dev1", "dev2", "dev3", "dev4", "dev5"}) say(key, "held");
  say("dev1", "free");
  EXPECT_THAT(check(), IsEmpty());
  EXPECT_EQ(forged_, 0U);
}

TEST_F(TableCheckTest, AForgedRecordIsNotWhatCompactionLeaves) {
  const auto truth = say("dev1", "held");
  for (const auto& forged : {record("dev1", "free", version(99)), record("dev1", "free", version(1)),
                             record("dev1", truth.value, version(2)), record("dev1", std::nullopt, {})}) {
    put(forged);
    const auto again = check();
    ASSERT_THAT(again, SizeIs(1));
    EXPECT_EQ(again[0].value, truth.value);
    EXPECT_EQ(again[0].headers, truth.headers);
    EXPECT_THAT(check(), IsEmpty()) << "once";
  }
  EXPECT_EQ(next("dev1"), 2) << "the store does not count on from a version that somebody made up";
  EXPECT_EQ(forged_, 2U) << "those above what was said";
}

TEST_F(TableCheckTest, AnOldTrueRecordThatIsReplayedIsOvertakenAgain) {
  const auto old = say("dev1", "free");
  const auto truth = say("dev1", "held");
  put(old);
  const auto again = check();
  ASSERT_THAT(again, SizeIs(1));
  EXPECT_EQ(again[0].value, truth.value);
}

TEST_F(TableCheckTest, WhatTheStoreNeverNamedIsTakenAway) {
  put(record("nobody", "free", version(1)));
  const auto again = check();
  ASSERT_THAT(again, SizeIs(1));
  EXPECT_FALSE(again[0].value);
  EXPECT_THAT(check(), IsEmpty());
}

TEST_F(TableCheckTest, AStoreFromABackupCountsOnFromWhatARoleHasSigned) {
  bus::Record newer = record("dev1", "{}", version(41));
  newer.headers.push_back({fleet::header::signature, *key_.sign({holds, "dev1", "41", "{}"})});
  put(newer);
  put(record("dev2", "{}", version(41)));
  const auto again = check();
  ASSERT_THAT(again, SizeIs(1));
  EXPECT_EQ(again[0].key, "dev2");
  EXPECT_EQ(next("dev1"), 42);
  EXPECT_EQ(next("dev2"), 1);
}

TEST_F(TableCheckTest, WithoutSignersWhateverIsNewerIsBelieved) {
  signers_.reset();
  put(record("dev1", "{}", version(41)));
  EXPECT_THAT(check(), IsEmpty());
  EXPECT_EQ(next("dev1"), 42);
}

TEST_F(TableCheckTest, WhatTheBusLostIsWrittenAgain) {
  const auto truth = say("dev1", "held");
  bus_.clear();
  const auto again = check();
  ASSERT_THAT(again, SizeIs(1));
  EXPECT_EQ(again[0].value, truth.value);
}

}  // namespace
}  // namespace fleetward::repository
