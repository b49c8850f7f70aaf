// Records that are signed where they are decided, and what becomes of those that others sign.
#include "repository/signing_store.hpp"

#include <gmock/gmock.h>

#include "core/text.hpp"
#include "fleet/topics.hpp"
#include "repository/governor_repository.hpp"
#include "repository/outbox.hpp"
#include "repository/refused_records.hpp"
#include "repository/store_fixture.hpp"

namespace fleetward::repository {
namespace {

using access::Verdict;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const std::string holds(fleet::topic::access);
const std::string certificates(fleet::topic::certificates);

struct Row {
  std::string key, value;
  bus::Headers headers;
};

class SigningStoreTest : public StoreFixture<> {
 protected:
  SigningStoreTest() { list("responder", responder_); }
  void list(std::string_view role, const access::RecordKey& key) {
    ASSERT_TRUE(signers_.add(role, key.public_key()).ok());
  }
  static access::RecordKey new_key() { return access::RecordKey(*crypto::PrivateKey::generate()); }
  void sign_as(std::vector<RoleKey> keys) {
    store_ = sign_in(std::move(store_), std::make_shared<RecordSigner>(std::move(keys)));
  }
  Status say(const std::string& topic, const std::string& key, const std::string& word) {
    return change([&](store::Transaction& tx) -> Status {
      const auto version = next_version(tx, topic, key);
      if (!version) return version.error();
      const fleet::CloudEvent event{key + word, "/fleetward/test", "t", key, now_, {{"word", word}}};
      return publish(tx, {topic, *version, event, {}});
    });
  }
  std::vector<Row> waiting() {
    std::vector<Row> out;
    const auto rows = in_store<store::Rows>(
        [](store::Transaction& tx) { return tx.query("SELECT key, value, headers FROM outbox ORDER BY id"); });
    for (const store::Row& r : *rows) out.push_back({r.text(0), r.text(1), *headers_from_text(r.text(2))});
    return out;
  }
  void publish_all() {
    ASSERT_TRUE(change([](store::Transaction& tx) -> Status {
                  const auto gone = tx.execute("DELETE FROM outbox");
                  return gone.ok() ? Status() : Status(gone.error());
                }).ok());
  }
  Verdict verdict_of(const std::string& topic, const Row& row) {
    return signers_.check({topic, row.key, *bus::find_header(row.headers, fleet::header::version), row.value},
                          bus::find_header(row.headers, fleet::header::signature));
  }
  std::string sign_all_again() {
    return *in_store<std::string>([this](store::Transaction& tx) { return sign_again(tx, signers_, holds, "", 100); });
  }
  fleet::RefusedRecord refused(const Row& row, std::string_view reason) {
    fleet::RefusedRecord r;
    r.id = "r1";
    r.gateway = "g1";
    r.topic = holds;
    r.key = row.key;
    r.version = std::string(*bus::find_header(row.headers, fleet::header::version));
    r.reason = reason;
    const auto signature = bus::find_header(row.headers, fleet::header::signature).value_or("");
    r.mark = to_hex(access::mark_of({holds, row.key, r.version, row.value}, signature));
    r.value_digest = crypto::sha256_hex(row.value);
    return r;
  }
  Status note(const fleet::RefusedRecord& r) {
    return change([&](store::Transaction& tx) { return note_refused_record(tx, r, now_); });
  }
  std::vector<fleet::GovernorCondition> conditions() {
    return *in_store<std::vector<fleet::GovernorCondition>>(governor_conditions);
  }

  Instant now_ = instant_from_ms(1'000'000);
  const access::RecordKey responder_ = new_key(), pki_ = new_key();
  access::Signers signers_;
};

TEST_F(SigningStoreTest, ARecordIsSignedInTheTransactionThatDecides) {
  sign_as({{"responder", responder_}});
  ASSERT_TRUE(say(holds, "dev1", "held").ok());
  ASSERT_TRUE(say(certificates, "aa", "revoked").ok());
  ASSERT_TRUE(say(std::string(fleet::topic::actions), "dev1", "step").ok());
  const auto rows = waiting();
  ASSERT_THAT(rows, SizeIs(3));
  EXPECT_EQ(verdict_of(holds, rows[0]), Verdict::good);
  EXPECT_EQ(verdict_of(certificates, rows[1]), Verdict::good);
  EXPECT_FALSE(bus::find_header(rows[2].headers, fleet::header::signature)) << "steps of actions cut nobody";
}

TEST_F(SigningStoreTest, WhoHoldsNoKeyCannotDecide) {
  list("pki", pki_);
  sign_as({{"pki", pki_}});
  const Status said = say(holds, "dev1", "held");
  ASSERT_FALSE(said.ok());
  EXPECT_EQ(said.error().code, ErrorCode::failed_precondition);
  EXPECT_THAT(said.error().message, HasSubstr("fleetward.access"));
  ASSERT_TRUE(say(certificates, "aa", "issued").ok());
  const auto rows = waiting();
  ASSERT_THAT(rows, SizeIs(1)) << "nothing of what failed is left";
  EXPECT_EQ(verdict_of(certificates, rows[0]), Verdict::good);
}

TEST_F(SigningStoreTest, WhatWasSaidUnsignedOrByAKeyThatIsGoneIsSignedAgainAtItsVersion) {
  ASSERT_TRUE(say(holds, "dev1", "before keys").ok());
  const access::RecordKey old = new_key();
  sign_as({{"responder", old}});
  ASSERT_TRUE(say(holds, "dev2", "by an old key").ok());
  sign_as({{"responder", responder_}});
  ASSERT_TRUE(say(holds, "dev3", "good").ok());
  publish_all();
  EXPECT_EQ(sign_all_again(), "") << "that was all";
  const auto rows = waiting();
  ASSERT_THAT(rows, SizeIs(2));
  for (const Row& row : rows) {
    EXPECT_EQ(verdict_of(holds, row), Verdict::good) << row.key;
    EXPECT_EQ(bus::find_header(row.headers, fleet::header::version), "1");
  }
  publish_all();
  EXPECT_EQ(sign_all_again(), "");
  EXPECT_THAT(waiting(), IsEmpty()) << "once";
}

TEST_F(SigningStoreTest, AForgedRecordIsRecordedOnceAndTheTrueOneSaidAgain) {
  sign_as({{"responder", responder_}});
  ASSERT_TRUE(say(holds, "dev1", "held").ok());
  const Row truth = waiting().at(0);
  publish_all();
  const Row forged{"dev1", "free", {{fleet::header::version, "2"}}};
  ASSERT_TRUE(note(refused(forged, "unsigned")).ok());
  auto rows = waiting();
  const auto step = std::find_if(rows.begin(), rows.end(), [](const Row& r) { return r.key == "governor"; });
  ASSERT_NE(step, rows.end()) << "the notifier hears of it";
  rows.erase(step);
  ASSERT_THAT(rows, SizeIs(1));
  EXPECT_EQ(rows[0].value, truth.value);
  EXPECT_EQ(rows[0].headers, truth.headers);
  ASSERT_THAT(conditions(), SizeIs(1));
  EXPECT_EQ(conditions()[0].kind, fleet::GovernorKind::forged_record);
  EXPECT_EQ(conditions()[0].subject, holds);
  EXPECT_THAT(conditions()[0].why, HasSubstr("dev1"));
  publish_all();
  ASSERT_TRUE(note(refused(forged, "unsigned")).ok());
  EXPECT_THAT(conditions(), SizeIs(1));
  EXPECT_THAT(waiting(), SizeIs(1)) << "no second page";
  now_ += forged_record_told;
  ASSERT_TRUE(change([this](store::Transaction& tx) { return tend_governor(tx, now_); }).ok());
  EXPECT_THAT(conditions(), IsEmpty()) << "what goes on is told again";
}

TEST_F(SigningStoreTest, ARecordOfAKeyThatTheStoreNeverNamedIsTakenAway) {
  sign_as({{"responder", responder_}});
  ASSERT_TRUE(note(refused({"nobody", "free", {{fleet::header::version, "2"}}}, "unsigned")).ok());
  const auto rows = waiting();
  ASSERT_THAT(conditions(), SizeIs(1));
  const auto gone = std::find_if(rows.begin(), rows.end(), [](const Row& r) { return r.key == "nobody"; });
  ASSERT_NE(gone, rows.end());
  EXPECT_EQ(gone->value, tombstone);
}

TEST_F(SigningStoreTest, WhatOnlyTheBusHasIsNotTakenAway) {
  sign_as({{"responder", responder_}});
  ASSERT_TRUE(change([](store::Transaction& tx) { return raise_version(tx, holds, "dev1", 41); }).ok());
  ASSERT_TRUE(note(refused({"dev1", "free", {{fleet::header::version, "42"}}}, "unsigned")).ok());
  const auto rows = waiting();
  EXPECT_TRUE(std::none_of(rows.begin(), rows.end(), [](const Row& r) { return r.key == "dev1"; }));
  EXPECT_THAT(conditions(), SizeIs(1));
}

TEST_F(SigningStoreTest, WhatSaysTheSameAsTheStoreIsNoForgery) {
  ASSERT_TRUE(say(holds, "dev1", "held").ok());
  const Row before = waiting().at(0);
  sign_as({{"responder", responder_}});
  ASSERT_EQ(sign_all_again(), "");
  const Row truth = waiting().at(0);
  publish_all();
  ASSERT_TRUE(note(refused(before, "unsigned")).ok()) << "as it was before the upgrade";
  EXPECT_THAT(waiting(), SizeIs(1));
  publish_all();
  ASSERT_TRUE(note(refused(truth, "unknown_key")).ok()) << "the gateway does not know the key";
  EXPECT_THAT(waiting(), IsEmpty()) << "it would refuse it again, and again";
  EXPECT_THAT(conditions(), IsEmpty());
}

TEST_F(SigningStoreTest, WhatIsToldOfOtherTopicsIsNotBelieved) {
  sign_as({{"responder", responder_}});
  auto told = refused({"dev1", "x", {{fleet::header::version, "2"}}}, "unsigned");
  told.topic = "fleetward.rules";
  ASSERT_TRUE(note(told).ok());
  EXPECT_THAT(waiting(), IsEmpty());
  EXPECT_THAT(conditions(), IsEmpty());
}

}  // namespace
}  // namespace fleetward::repository
