#include "repository/signing_store.hpp"

#include "fleet/topics.hpp"
#include "repository/outbox.hpp"

namespace fleetward::repository {
namespace {

class SigningTransaction final : public store::Transaction {
 public:
  SigningTransaction(store::Transaction& inner, const store::Signer& signer) : inner_(inner), signer_(signer) {}
  const store::Signer* signer() const override { return &signer_; }
  Result<store::Rows> query(std::string_view sql, const store::Params& params) override {
    return inner_.query(sql, params);
  }
  Result<std::int64_t> execute(std::string_view sql, const store::Params& params) override {
    return inner_.execute(sql, params);
  }
  void notify(std::string_view channel) override { inner_.notify(channel); }

 private:
  store::Transaction& inner_;
  const store::Signer& signer_;
};

class SigningStore final : public store::Store {
 public:
  SigningStore(std::unique_ptr<store::Store> inner, std::shared_ptr<const store::Signer> signer)
      : inner_(std::move(inner)), signer_(std::move(signer)) {}
  Status migrate(const std::vector<store::Migration>& migrations) override { return inner_->migrate(migrations); }
  std::unique_ptr<store::Listener> listen(async::Scheduler& scheduler, std::string channel) override {
    return inner_->listen(scheduler, std::move(channel));
  }
  Status health() const override { return inner_->health(); }
  void run(std::function<Status(store::Transaction&)> work, std::function<void(Status)> done) override {
    inner_->run(
        [work = std::move(work), signer = signer_](store::Transaction& inner) {
          SigningTransaction tx(inner, *signer);
          return work(tx);
        },
        std::move(done));
  }

 private:
  std::unique_ptr<store::Store> inner_;
  std::shared_ptr<const store::Signer> signer_;
};

}  // namespace

RecordSigner::RecordSigner(std::vector<RoleKey> keys) {
  for (const RoleKey& k : keys) {
    for (const std::string& topic : access::topics_of_role(k.role)) by_topic_.try_emplace(topic, k.key);
  }
}

Result<std::string> RecordSigner::sign(std::string_view topic, std::string_view key, std::string_view version,
                                       std::string_view value) const {
  if (!access::is_signed_topic(topic)) return std::string();
  const auto ours = by_topic_.find(topic);
  if (ours == by_topic_.end())
    return Error(ErrorCode::failed_precondition,
                 fmt::format("no role of this process may sign records of {}: it cannot decide there", topic));
  return ours->second.sign({topic, key, version, value});
}

std::unique_ptr<store::Store> sign_in(std::unique_ptr<store::Store> store,
                                      std::shared_ptr<const store::Signer> signer) {
  return std::make_unique<SigningStore>(std::move(store), std::move(signer));
}

Result<std::string> sign_again(store::Transaction& tx, const access::Signers& signers, const std::string& topic,
                               const std::string& after, std::int64_t rows_max) {
  const auto rows = tx.query(
      "SELECT key, headers FROM outbox_latest WHERE topic=$1 AND key > $2 AND value IS NOT NULL ORDER BY key LIMIT $3",
      {topic, after, rows_max});
  if (!rows) return rows.error();
  for (const store::Row& row : *rows) {
    const auto headers = headers_from_text(row.text(1));
    if (!headers) return headers.error();
    const auto text = bus::find_header(*headers, fleet::header::signature);
    const auto signature = text ? access::parse_signature(*text) : Result<access::Signature>(ErrorCode::not_found, "");
    if (signature && signers.find(signature->key_id) != nullptr) continue;
    const auto said = say_again(tx, topic, row.text(0), true);
    if (!said) return said.error();
  }
  return static_cast<std::int64_t>(rows->size()) < rows_max ? std::string() : rows->back().text(0);
}

}  // namespace fleetward::repository
