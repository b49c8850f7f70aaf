// Dimensions: versions that rise, manifests that name them, idempotent creation, and what keeps one from being deleted.
#include "repository/dimension_repository.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fleet/topics.hpp"
#include "repository/profile_repository.hpp"
#include "repository/store_fixture.hpp"

namespace fleetward::repository {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Tx = store::Transaction;
using Filters = std::vector<std::string>;

class DimensionTest : public StoreFixture<> {
 protected:
  Result<DimensionRow> create(const std::string& name, const Filters& filters, const std::string& token) {
    return in_store<DimensionRow>([&](Tx& tx) { return create_dimension(tx, {name, 0, filters}, token, now_); });
  }
  Result<DimensionRow> update(const std::string& name, const Filters& filters) {
    return in_store<DimensionRow>([&](Tx& tx) { return update_dimension(tx, name, filters, now_ + Millis(5'000)); });
  }
  Result<DimensionRow> put(const std::string& name, const Filters& filters) {
    return in_store<DimensionRow>([&](Tx& tx) { return put_dimension(tx, {name, 0, filters}, now_); });
  }
  Status remove(const std::string& name) {
    return in_store<void>([&](Tx& tx) { return delete_dimension(tx, name, now_); });
  }
  void make_profile(fleet::SecurityProfile profile) {
    ASSERT_TRUE(in_store<ProfileRow>([&](Tx& tx) { return create_profile(tx, profile, now_); }).ok());
  }
  void remove_profile(const std::string& name) {
    ASSERT_TRUE(in_store<void>([&](Tx& tx) { return delete_profile(tx, name, {}, now_); }).ok());
  }

  // What waits for the relay on topic rules: the keys in order, and the last manifest's dimensions.
  std::vector<std::string> keys() {
    const auto rows = in_store<std::vector<std::string>>([](Tx& tx) -> Result<std::vector<std::string>> {
      const auto found =
          tx.query("SELECT key FROM outbox WHERE topic=$1 ORDER BY id", {std::string(fleet::topic::rules)});
      if (!found) return found.error();
      std::vector<std::string> out;
      for (const auto& r : *found) out.push_back(r.text(0));
      return out;
    });
    EXPECT_TRUE(rows.ok());
    return *rows;
  }
  json::Value said(const std::string& key) {
    return *in_store<json::Value>([&](Tx& tx) -> Result<json::Value> {
      const auto found = tx.query("SELECT value FROM outbox WHERE key=$1", {key});
      if (!found) return found.error();
      return fleet::parse_cloud_event(found->at(0).text(0))->data;
    });
  }
  std::vector<fleet::DimensionVersion> in_force() {
    std::string last;
    for (const std::string& key : keys()) {
      if (key.starts_with("manifest/")) last = key;
    }
    return fleet::manifest_from_json(said(last))->dimensions;
  }

  const Instant now_ = instant_from_ms(1'795'000'000'000);
};

TEST_F(DimensionTest, AVersionIsThereBeforeTheManifestThatNamesIt) {
  const auto made = create("d", {"data/#"}, "t1");
  ASSERT_TRUE(made.ok()) << made.error().message;
  EXPECT_EQ(made->dimension, (fleet::Dimension{"d", 1, {"data/#"}}));
  const auto updated = update("d", {"data/#", "more/#"});
  ASSERT_TRUE(updated.ok());
  EXPECT_EQ(updated->dimension.version, 2);
  EXPECT_EQ(updated->created, now_);
  EXPECT_EQ(updated->modified, now_ + Millis(5'000));
  EXPECT_THAT(keys(), ElementsAre("dimension/d@1", "manifest/1", "dimension/d@2", "manifest/2"));
  EXPECT_THAT(in_force(), ElementsAre(fleet::DimensionVersion{"d", 2}));
  EXPECT_EQ(*fleet::dimension_from_json(said("dimension/d@1")), made->dimension) << "as it was, for a replay";
  ASSERT_TRUE(update("d", {"data/#", "more/#"}).ok());
  EXPECT_EQ(keys().size(), 4U) << "the same again is no change";
  EXPECT_EQ(update("e", {"a"}).error().code, ErrorCode::not_found);
  EXPECT_EQ(update("d", {"a/#/b"}).error().code, ErrorCode::invalid_argument);
}

TEST_F(DimensionTest, CreationIsIdempotentByItsToken) {
  ASSERT_TRUE(create("d", {"a"}, "t1").ok());
  EXPECT_EQ(create("d", {"a"}, "t1")->dimension.version, 1);
  EXPECT_EQ(create("d", {"b"}, "t1").error().code, ErrorCode::already_exists);
  EXPECT_EQ(create("d", {"a"}, "t2").error().code, ErrorCode::already_exists);
  EXPECT_THAT(create("e", {"a"}, "t1").error().message, HasSubstr("Dimension d was created with this"));
  EXPECT_EQ(keys().size(), 2U);
  ASSERT_TRUE(update("d", {"b"}).ok());
  EXPECT_EQ(create("d", {"b"}, "t1")->dimension.version, 2) << "the token is still that of its creation";
  ASSERT_TRUE(remove("d").ok());
  EXPECT_TRUE(create("e", {"a"}, "t1").ok()) << "it is nobody's any more";
}

TEST_F(DimensionTest, ADeletedOnesVersionsAreNotUsedAgain) {
  ASSERT_TRUE(create("d", {"a"}, "t1").ok());
  ASSERT_TRUE(remove("d").ok());
  EXPECT_THAT(in_force(), IsEmpty());
  const std::size_t told = keys().size();
  ASSERT_TRUE(remove("d").ok());
  ASSERT_TRUE(remove("never").ok());
  EXPECT_EQ(keys().size(), told) << "what is gone is gone";
  EXPECT_EQ(put("d", {"b"})->dimension.version, 2);
  EXPECT_EQ(put("d", {"b"})->dimension.version, 2);
  EXPECT_EQ(put("d", {"c"})->dimension.version, 3);
}

TEST_F(DimensionTest, IsKeptWhileAProfileNamesIt) {
  fleet::SecurityProfile judges;
  judges.name = "judges";
  judges.behaviors.emplace_back().dimension = fleet::MetricDimension{"d", true};
  judges.behaviors[0].name = "b";
  fleet::SecurityProfile retains;
  retains.name = "retains";
  retains.additional_metrics_to_retain = {{"aws:num-messages-sent", fleet::MetricDimension{"d", false}}};
  ASSERT_TRUE(create("d", {"a"}, "t1").ok());
  make_profile(judges);
  make_profile(retains);
  const Status used = remove("d");
  EXPECT_EQ(used.error().code, ErrorCode::failed_precondition);
  EXPECT_THAT(used.error().message, HasSubstr("security profile judges"));
  remove_profile("judges");
  EXPECT_THAT(remove("d").error().message, HasSubstr("security profile retains"));
  remove_profile("retains");
  EXPECT_TRUE(remove("d").ok());
}

TEST_F(DimensionTest, ThereAreOnlySoManyAndListsGoOn) {
  for (std::size_t i = 0; i < fleet::dimensions_max; ++i) {
    ASSERT_TRUE(create(fmt::format("d{}", i), {"a"}, fmt::format("t{}", i)).ok());
  }
  EXPECT_EQ(create("one-more", {"a"}, "t").error().code, ErrorCode::resource_exhausted);
  EXPECT_EQ(put("one-more", {"a"}).error().code, ErrorCode::resource_exhausted);
  EXPECT_TRUE(create("d3", {"a"}, "t3").ok()) << "the same again needs no room";
  const auto page = in_store<std::vector<DimensionRow>>([](Tx& tx) { return list_dimensions(tx, "d4", 2); });
  ASSERT_EQ(page->size(), 2U);
  EXPECT_EQ((*page)[0].dimension.name, "d5");
  ASSERT_TRUE(remove("d0").ok());
  EXPECT_TRUE(create("one-more", {"a"}, "t").ok());
}

}  // namespace
}  // namespace fleetward::repository
