#include "services/pki/crl_feeds.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "connect/outbound.hpp"
#include "core/fault.hpp"
#include "log/log.hpp"
#include "pki/crl_view.hpp"
#include "repository/authority_feed.hpp"
#include "runtime/file_watch.hpp"

namespace fleetward::pki_role {
namespace {

using repository::AuthorityRow;

constexpr Millis list_every{5'000};  // what a wake that was missed costs
constexpr Millis said_again_every = std::chrono::hours(24);
constexpr Millis clock_skew{5 * 60'000};
constexpr std::size_t file_bytes_max = 2 * pki::crl_bytes_max;  // PEM is longer
constexpr std::size_t entries_a_transaction = 4'000;
constexpr std::size_t certificates_named_max = 100;

bool is_url(const std::string& source) { return source.starts_with("http://") || source.starts_with("https://"); }

// A plain file, whole; never waits for a writer.
Result<std::string> read_whole(const std::string& path) {
  const auto failed = [&path](ErrorCode code, std::string_view why) {
    return Error(code, fmt::format("{}: {}", printable(path), why));
  };
  const int fd = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return failed(ErrorCode::not_found, std::strerror(errno));
  const std::unique_ptr<const int, void (*)(const int*)> closing(&fd, [](const int* open) { ::close(*open); });
  struct stat facts {};
  if (::fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode)) return failed(ErrorCode::invalid_argument, "no plain file");
  if (static_cast<std::size_t>(facts.st_size) > file_bytes_max)
    return failed(ErrorCode::resource_exhausted, "too large for a CRL");
  std::string text(static_cast<std::size_t>(facts.st_size), '\0');
  std::size_t got = 0;
  while (got < text.size()) {
    const ssize_t n = ::read(fd, text.data() + got, text.size() - got);
    if (n <= 0) return failed(ErrorCode::unavailable, n == 0 ? "it became shorter meanwhile" : std::strerror(errno));
    got += static_cast<std::size_t>(n);
  }
  return text;
}

// Offsets of the entries, those of a bucket together: 4 bytes an entry instead of an object each.
struct Grouped {
  std::vector<std::uint32_t> offsets;
  std::array<std::size_t, repository::feed_buckets + 1> begins{};
};

Grouped group(const pki::CrlView& crl) {
  Grouped out;
  out.offsets.resize(crl.size());
  std::array<std::size_t, repository::feed_buckets> counts{};
  std::size_t offset = 0;
  while (const auto entry = crl.entry_at(offset)) ++counts[repository::feed_bucket(entry->serial)];
  for (std::size_t b = 0; b < counts.size(); ++b) out.begins[b + 1] = out.begins[b] + counts[b];
  std::array<std::size_t, repository::feed_buckets> at{};
  std::copy_n(out.begins.begin(), at.size(), at.begin());
  std::size_t before = offset = 0;
  while (const auto entry = crl.entry_at(offset)) {
    out.offsets[at[repository::feed_bucket(entry->serial)]++] = static_cast<std::uint32_t>(before);
    before = offset;
  }
  return out;
}

using Buckets = std::vector<std::pair<std::size_t, std::vector<repository::FeedEntry>>>;

// The next buckets from `bucket` on, some thousand entries of them; moves it behind them.
Buckets next_buckets(const pki::CrlView& crl, const Grouped& grouped, std::size_t& bucket) {
  Buckets out;
  for (std::size_t entries = 0; bucket < repository::feed_buckets && entries < entries_a_transaction; ++bucket) {
    auto& [number, list] = out.emplace_back(bucket, std::vector<repository::FeedEntry>());
    for (std::size_t i = grouped.begins[bucket]; i < grouped.begins[bucket + 1]; ++i) {
      std::size_t offset = grouped.offsets[i];
      const auto entry = crl.entry_at(offset);
      if (entry) list.push_back({std::string(as_text(entry->serial)), entry->at, entry->reason});
    }
    entries += list.size();
  }
  return out;
}

struct Feed {
  std::string source;
  std::optional<runtime::FileWatch> file;
  std::chrono::nanoseconds due{0};  // of the steady clock: a step of the other one must not put it off
  int failures = 0;
  std::string told;  // the failure that was logged last
  Instant told_at;
  std::string expired_digest;  // of the list whose expiry was logged last
  Instant expired_at;
  std::string digest;  // of the list that was read last with success
  std::string etag;    // of the answer that it came in
};

}  // namespace

struct CrlFeeds::State {
  State(CrlFeedsConfig c, store::Store& s, metrics::Registry& m)
      : config(std::move(c)),
        store(s),
        registry(m),
        wake(s.listen(loop, std::string(repository::authorities_channel))) {}

  async::Task<void> run(bool of_addresses);
  async::Task<void> list();
  async::Task<void> look(AuthorityRow authority, std::shared_ptr<Feed> feed);
  async::Task<Status> read(AuthorityRow authority, std::shared_ptr<Feed> feed);
  async::Task<Result<std::string>> get(std::string url, std::shared_ptr<Feed> feed, std::string& etag);
  async::Task<Result<std::string>> take(AuthorityRow authority, std::string source, std::string bytes);
  async::Task<Status> put_in_force(std::string authority, std::string digest, const pki::CrlView& crl);
  async::Task<void> note_failed(std::string authority, std::shared_ptr<Feed> feed, Error error);
  void say_expired(const AuthorityRow& authority, Feed& feed);
  void measure(const AuthorityRow& authority);
  metrics::Gauge& gauge(std::string_view name, std::string_view help, const std::string& authority) {
    return registry.gauge(name, help, {{"authority", authority}});
  }
  void count_read(const std::string& authority, std::string_view result) {
    registry
        .counter("fleetward_pki_feed_reads_total", "Looks at CRLs of registered authorities.",
                 {{"authority", authority}, {"result", std::string(result)}})
        .add();
  }
  void count_changes(const std::string& authority, std::string_view change, std::size_t n) {
    registry
        .counter("fleetward_pki_feed_certificates_total", "Certificates whose standing a CRL has changed.",
                 {{"authority", authority}, {"change", std::string(change)}})
        .add(n);
  }
  [[nodiscard]] std::string path_of(const std::string& source) const { return config.folder + "/" + source; }

  CrlFeedsConfig config;
  store::Store& store;
  metrics::Registry& registry;
  async::LoopThread loop{"crl-feeds"};
  async::Scope scope{loop, "crl-feeds"};
  std::unique_ptr<store::Listener> wake;
  std::vector<AuthorityRow> authorities;
  std::chrono::nanoseconds listed{0};
  std::map<std::string, std::shared_ptr<Feed>> feeds;  // by authority; who looks at one holds it
};

async::Task<void> CrlFeeds::State::list() {
  std::function<Result<std::vector<AuthorityRow>>(store::Transaction&)> read = repository::list_authorities;
  auto rows = co_await store::transact<std::vector<AuthorityRow>>(store, loop, read);
  listed = loop.steady_now();
  if (!rows) {
    log::error("authorities_not_listed", {{"error", rows.error().message}});
    co_return;
  }
  authorities = std::move(*rows);
  std::map<std::string, std::shared_ptr<Feed>> kept;
  for (const AuthorityRow& a : authorities) {
    if (a.crl_source.empty()) continue;
    const auto known = feeds.find(a.id);
    // Forgotten: the place was another one for a while, unseen by us, or the authority was registered anew.
    const bool is_forgotten = known != feeds.end() && !known->second->digest.empty() && a.feed.digest.empty();
    const bool is_same = known != feeds.end() && known->second->source == a.crl_source && !is_forgotten;
    const auto feed = is_same ? known->second : std::make_shared<Feed>();
    if (!is_same) {
      feed->source = a.crl_source;
      if (!is_url(a.crl_source)) feed->file.emplace(std::vector<std::string>{path_of(a.crl_source)});
    }
    kept.emplace(a.id, feed);
  }
  for (const auto& [id, feed] : feeds) {
    if (kept.contains(id)) continue;
    AuthorityRow none;
    none.id = id;
    measure(none);  // what it showed is no more
  }
  feeds = std::move(kept);
}

// Addresses have a task of their own: one that answers slowly, or never, holds no file up.
async::Task<void> CrlFeeds::State::run(bool of_addresses) {
  bool is_woken = true;
  while (!scope.stopping()) {
    if (is_woken || loop.steady_now() - listed >= list_every) co_await list();
    const std::vector<AuthorityRow> rows = authorities;
    for (const AuthorityRow& a : rows) {
      const auto feed = feeds.find(a.id);
      if (feed == feeds.end() || is_url(feed->second->source) != of_addresses || scope.stopping()) continue;
      co_await look(a, feed->second);
    }
    is_woken = co_await wake->wait(config.look_every);
  }
}

async::Task<void> CrlFeeds::State::look(AuthorityRow authority, std::shared_ptr<Feed> feed) {
  say_expired(authority, *feed);
  measure(authority);
  const bool has_changed = feed->file && feed->file->has_changed();
  if (!has_changed && loop.steady_now() < feed->due) co_return;
  const Status done = co_await read(authority, feed);
  if (done) {
    feed->failures = 0;
    feed->told.clear();
    feed->due = loop.steady_now() + authority.crl_every;
  } else if (done.error().code != ErrorCode::fenced && !scope.stopping()) {  // fenced: somebody else was first
    const int doublings = std::min(feed->failures++, 20);
    feed->due =
        loop.steady_now() + std::min<Millis>(config.retry_min * (std::int64_t{1} << doublings), config.retry_max);
    co_await note_failed(authority.id, feed, done.error());
  }
  co_await list();
}

// Good: it was read, or is as it was.
async::Task<Status> CrlFeeds::State::read(AuthorityRow authority, std::shared_ptr<Feed> feed) {
  std::string etag;
  const bool is_in_force = authority.feed.applied && authority.feed.digest == feed->digest;
  if (!is_in_force) feed->etag.clear();  // "not modified" would not help
  if (feed->file) feed->file->mark_read();
  Result<std::string> bytes = Error(ErrorCode::internal, "");
  if (feed->file) bytes = read_whole(path_of(feed->source));
  else bytes = co_await get(feed->source, feed, etag);
  if (!bytes) co_return bytes.error();
  if (bytes->empty() && !feed->file) {  // not modified
    const std::string id = authority.id;
    const std::string digest = feed->digest;
    const Instant now = loop.now();
    std::function<Status(store::Transaction&)> note = [id, digest, now](store::Transaction& tx) {
      return repository::note_feed_read(tx, id, digest, now);
    };
    const Status noted = co_await store::transact(store, loop, note);
    if (noted) count_read(id, "unchanged");
    co_return noted;
  }
  const Result<std::string> taken = co_await take(std::move(authority), feed->source, std::move(*bytes));
  if (!taken) co_return taken.error();
  feed->digest = *taken;
  feed->etag = std::move(etag);
  co_return Status();
}

// Empty: not modified.
async::Task<Result<std::string>> CrlFeeds::State::get(std::string url, std::shared_ptr<Feed> feed, std::string& etag) {
  const auto place = connect::Outbound::open({url, config.ca_pem, config.allow_private});
  if (!place) co_return place.error();
  http::ClientRequest request{"GET", {}, {{"User-Agent", "Fleetward"}, {"Accept", "application/pkix-crl, */*"}}, {}};
  if (!feed->etag.empty()) request.headers.push_back({"If-None-Match", feed->etag});
  http::ParserLimits limits;
  limits.body_bytes_max = file_bytes_max;
  Result<http::Response> response = co_await place->request(loop, std::move(request), limits, config.download_limit);
  if (!response) co_return response.error().with_context(printable(url));
  if (response->status == 304 && !feed->etag.empty()) co_return std::string();
  if (response->status != 200) {
    const std::string_view hint =
        response->status >= 300 && response->status < 400 ? " (redirects are not followed)" : "";
    co_return Error(ErrorCode::unavailable, fmt::format("{} answers {}{}", printable(url), response->status, hint));
  }
  if (response->body.empty()) co_return Error(ErrorCode::invalid_argument, printable(url) + ": the answer is empty");
  if (const std::string* tag = http::find_header(response->headers, "ETag")) etag = *tag;
  co_return std::move(response->body);
}

// The digest of what is in force now.
async::Task<Result<std::string>> CrlFeeds::State::take(AuthorityRow authority, std::string source, std::string bytes) {
  const auto decoded = pki::decode_crl_pem(as_bytes(bytes));
  if (!decoded) co_return decoded.error();
  if (*decoded) std::string().swap(bytes);
  const ByteView der = *decoded ? ByteView(**decoded) : as_bytes(bytes);
  const auto crl = pki::CrlView::open(der, authority.pem);
  if (!crl) co_return crl.error();
  const Instant now = loop.now();
  if (crl->this_update() > now + clock_skew)
    co_return Error(ErrorCode::failed_precondition, "the CRL is of the future: " + to_rfc3339(crl->this_update()));
  const std::string id = authority.id;
  const repository::FeedCrl facts{crl->number(),
                                  crypto::sha256_hex(der),
                                  crl->this_update(),
                                  crl->next_update(),
                                  static_cast<std::int64_t>(crl->size()),
                                  source};
  std::function<Result<bool>(store::Transaction&)> begin = [id, facts, now](store::Transaction& tx) {
    return repository::begin_feed(tx, id, facts, now);
  };
  const Result<bool> is_new = co_await store::transact<bool>(store, loop, begin);
  if (!is_new) co_return is_new.error();
  if (!*is_new) {
    count_read(id, "unchanged");
    co_return facts.digest;
  }
  const Status done = co_await put_in_force(id, facts.digest, *crl);
  if (!done) co_return done.error();
  count_read(id, "applied");
  log::info("crl_of_authority_in_force", {{"authority", id},
                                          {"subject", printable(authority.subject)},
                                          {"number", facts.number},
                                          {"entries", facts.entries},
                                          {"unusable", crl->unusable()},
                                          {"next_update", to_rfc3339(facts.next_update)}});
  co_return facts.digest;
}

async::Task<Status> CrlFeeds::State::put_in_force(std::string authority, std::string digest, const pki::CrlView& crl) {
  const Grouped grouped = group(crl);
  for (std::size_t bucket = 0; bucket < repository::feed_buckets;) {
    if (scope.stopping()) co_return Error(ErrorCode::cancelled, "stopping");
    const auto some = std::make_shared<const Buckets>(next_buckets(crl, grouped, bucket));
    const Instant now = loop.now();
    std::function<Result<repository::FeedChange>(store::Transaction&)> apply =
        [authority, digest, some, now](store::Transaction& tx) -> Result<repository::FeedChange> {
      repository::FeedChange all;
      for (const auto& [number, entries] : *some) {
        auto change = repository::apply_feed(tx, authority, digest, number, entries, now);
        if (!change) return change.error();
        for (auto part :
             {&repository::FeedChange::revoked, &repository::FeedChange::held, &repository::FeedChange::lifted})
          (all.*part).insert((all.*part).end(), (*change.*part).begin(), (*change.*part).end());
      }
      return all;
    };
    const auto change = co_await store::transact<repository::FeedChange>(store, loop, apply);
    if (!change) co_return change.error();
    fault::crash_here("pki.in_the_midst_of_a_feed");
    const std::pair<std::string_view, const std::vector<std::string>&> kinds[] = {
        {"revoked", change->revoked}, {"held", change->held}, {"lifted", change->lifted}};
    for (const auto& [kind, certificates] : kinds) {
      count_changes(authority, kind, certificates.size());
      for (std::size_t i = 0; i < std::min(certificates.size(), certificates_named_max); ++i)
        log::info("certificate_changed_by_its_authority",
                  {{"change", kind}, {"certificate", certificates[i]}, {"authority", authority}});
    }
  }
  const Instant now = loop.now();
  std::function<Status(store::Transaction&)> finish = [authority, digest, now](store::Transaction& tx) {
    return repository::finish_feed(tx, authority, digest, now);
  };
  const Status finished = co_await store::transact(store, loop, finish);
  co_return finished;
}

async::Task<void> CrlFeeds::State::note_failed(std::string authority, std::shared_ptr<Feed> feed, Error error) {
  count_read(authority, "failed");
  const Instant now = loop.now();
  const std::string why = printable(error.message, 500);
  if (why != feed->told || now - feed->told_at >= said_again_every) {
    log::error("crl_of_authority_not_read",
               {{"authority", authority}, {"source", printable(feed->source)}, {"error", why}});
    feed->told = why;
    feed->told_at = now;
  }
  std::function<Status(store::Transaction&)> note = [authority, why, now](store::Transaction& tx) {
    return repository::note_feed_failed(tx, authority, why, now);
  };
  const Status noted = co_await store::transact(store, loop, note);
  if (!noted) log::error("crl_failure_not_noted", {{"authority", authority}, {"error", noted.error().message}});
}

// It stays in force, but what was revoked since is not known.
void CrlFeeds::State::say_expired(const AuthorityRow& a, Feed& feed) {
  const Instant now = loop.now();
  if (a.feed.digest.empty() || now < a.feed.next_update) return;
  if (feed.expired_digest == a.feed.digest && now - feed.expired_at < said_again_every) return;
  feed.expired_digest = a.feed.digest;
  feed.expired_at = now;
  log::error("crl_of_authority_expired", {{"authority", a.id},
                                          {"subject", printable(a.subject)},
                                          {"source", printable(a.crl_source)},
                                          {"next_update", to_rfc3339(a.feed.next_update)}});
}

void CrlFeeds::State::measure(const AuthorityRow& a) {
  const bool has_crl = !a.feed.digest.empty();
  gauge("fleetward_pki_feed_entries", "Entries of the CRL in force of a registered authority.", a.id)
      .set(static_cast<double>(a.feed.entries));
  gauge("fleetward_pki_feed_next_update_seconds", "When the CRL in force expires, in Unix time; 0: there is none.",
        a.id)
      .set(has_crl ? static_cast<double>(to_ms(a.feed.next_update)) / 1000 : 0);
  gauge("fleetward_pki_feed_expired", "1 while the CRL in force has expired.", a.id)
      .set(has_crl && loop.now() >= a.feed.next_update ? 1 : 0);
  gauge("fleetward_pki_feed_failing", "1 while the CRL cannot be read, or is refused: the last one is in force.", a.id)
      .set(a.feed.error.empty() ? 0 : 1);
}

CrlFeeds::CrlFeeds(CrlFeedsConfig config, store::Store& store, metrics::Registry& metrics)
    : state_(std::make_unique<State>(std::move(config), store, metrics)) {}
CrlFeeds::~CrlFeeds() = default;

Status CrlFeeds::start() {
  state_->scope.spawn("files", state_->run(false));
  state_->scope.spawn("addresses", state_->run(true));
  return {};
}

void CrlFeeds::stop(Millis limit) {
  state_->scope.request_stop();
  state_->wake->wake();
  if (!state_->scope.join(limit)) log::error("crl_feeds_did_not_stop", {});
  state_->loop.stop();  // a download that has not ended goes no further: what it would use may be gone by then
}

}  // namespace fleetward::pki_role
