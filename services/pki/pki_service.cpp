#include "services/pki/pki_service.hpp"

#include "core/fault.hpp"
#include "http/server.hpp"
#include "log/log.hpp"
#include "repository/certificate_repository.hpp"
#include "services/pki/authority_files.hpp"

namespace fleetward::pki_role {
namespace {

constexpr std::int64_t requests_a_batch = 100;
constexpr Millis look_every{1'000};
constexpr Millis pause_after_failure{500};
constexpr Millis requests_kept = std::chrono::hours(24);
constexpr Millis responder_looked_at_every = std::chrono::hours(1);

std::string http_date(Instant t) {
  const std::time_t seconds = static_cast<std::time_t>(to_ms(t) / 1000);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 64> text{};
  std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return text.data();
}

// If-None-Match of RFC 9110 section 13.1.2: any, or one of a list, weak or strong.
bool is_known(const http::Request& request, std::string_view tag) {
  const std::string* known = request.header("If-None-Match");
  if (known == nullptr) return false;
  for (std::string_view one : split(*known, ',')) {
    one = trim(one);
    if (one.starts_with("W/")) one.remove_prefix(2);
    if (one == "*" || one == tag) return true;
  }
  return false;
}

http::Response ocsp_http(const pki::OcspAnswer& answer, bool is_cacheable) {
  return {200,
          {{"Content-Type", "application/ocsp-response"},
           {"Cache-Control", is_cacheable ? "public, max-age=60" : "no-store"}},
          std::string(as_text(answer.der))};
}

// What the folder's files hold.
struct Material {
  static Result<Material> load(const std::string& folder);

  pki::Issuer issuer;
  std::string issuer_id;  // fingerprint
  pki::OcspResponder responder;
  std::string responder_pem;
  std::string root_pem;
};

// Page by page: the revoked ones are many, and the list of them is large enough.
Result<Bytes> crl_of(store::Transaction& tx, const pki::Issuer& by, const repository::CrlRow& crl, Millis lifetime) {
  auto writer = pki::CrlWriter::begin(by, crl.number, crl.this_update, crl.next_update,
                                      static_cast<std::size_t>(crl.revocations));
  if (!writer) return writer.error();
  for (std::string after;;) {
    const auto page = repository::revoked_entries(tx, crl.this_update, lifetime, after);
    if (!page) return page.error();
    for (const pki::RevokedEntry& e : *page) {
      if (const Status added = writer->add(e.serial, e.at, e.reason); !added) return added.error();
    }
    if (page->size() < repository::revoked_page) return std::move(*writer).finish();
    after = page->back().serial;
  }
}

}  // namespace

struct PkiService::State : std::enable_shared_from_this<PkiService::State> {
  State(PkiConfig c, store::Store& s, async::Scheduler& sch, metrics::Registry& m)
      : config(std::move(c)),
        store(s),
        scheduler(sch),
        registry(m),
        scope(sch, "pki"),
        wake(s.listen(sch, std::string(repository::pki_channel))),
        signed_total(m.counter("fleetward_pki_signed_total", "Certificates signed.")),
        failed_total(m.counter("fleetward_pki_sign_failed_total", "Signing requests that failed.")),
        ocsp_total(m.counter("fleetward_pki_ocsp_total", "OCSP answers.")),
        ocsp_throttled_total(
            m.counter("fleetward_pki_ocsp_throttled_total", "OCSP requests answered tryLater: over the signing rate.")),
        crl_number(m.gauge("fleetward_pki_crl_number", "Number of the CRL in force.")),
        crl_age(m.gauge("fleetward_pki_crl_validity_used_ratio",
                        "Part of the CRL's validity that has passed: over 0.5 its renewal has stalled.")) {}

  void renew_responder_when_due();
  void measure();
  bool may_sign_ocsp();
  async::Task<void> run();
  async::Task<Status> sign_open_requests();
  async::Task<Status> renew_crl();
  async::Task<http::Response> handle(http::Request request);
  http::Response crl_response(const http::Request& request) const;
  async::Task<http::Response> ocsp_response(http::Request request);
  Result<std::string> certificate_for(const repository::SigningRequest& request, Instant now);

  PkiConfig config;
  store::Store& store;
  async::Scheduler& scheduler;
  metrics::Registry& registry;
  async::Scope scope;
  std::unique_ptr<store::Listener> wake;
  std::unique_ptr<http::Server> server;
  crypto::SystemRandom random;
  std::optional<Material> material;                     // from start() on
  std::shared_ptr<const repository::CrlRow> crl;        // with its bytes
  std::shared_ptr<const repository::CrlRow> first_crl;  // of this start, while the stale-CRL fault is to serve it
  metrics::Counter& signed_total;
  metrics::Counter& failed_total;
  metrics::Counter& ocsp_total;
  metrics::Counter& ocsp_throttled_total;
  metrics::Gauge& crl_number;
  metrics::Gauge& crl_age;
  std::int64_t ocsp_second = 0;  // of the steady clock, and what was signed in it
  int ocsp_in_second = 0;
  std::optional<Instant> responder_looked_at;
  std::atomic<bool> has_crl{false};
  std::atomic<std::uint16_t> port{0};
};

Result<Material> Material::load(const std::string& folder) {
  std::map<std::string, std::string> files;
  for (const auto& [name, secret] : {std::pair{"root.crt", false},
                                     {"issuing.crt", false},
                                     {"issuing.key", true},
                                     {"ocsp.crt", false},
                                     {"ocsp.key", true}}) {
    auto text = read_authority_file(folder, name, secret);
    if (!text) return text.error();
    files[name] = std::move(*text);
  }
  const auto issuing_key = crypto::PrivateKey::from_pem(files["issuing.key"]);
  if (!issuing_key) return issuing_key.error().with_context("issuing.key");
  const auto ocsp_key = crypto::PrivateKey::from_pem(files["ocsp.key"]);
  if (!ocsp_key) return ocsp_key.error().with_context("ocsp.key");
  auto responder = pki::OcspResponder::make({*ocsp_key, files["ocsp.crt"], files["issuing.crt"]});
  if (!responder) return responder.error().with_context("ocsp.crt");
  const auto info = pki::read_certificate(files["issuing.crt"]);
  if (!info) return info.error().with_context("issuing.crt");
  return Material{{*issuing_key, files["issuing.crt"]},
                  info->fingerprint,
                  std::move(*responder),
                  files["ocsp.crt"],
                  files["root.crt"]};
}

// A process may outlive its responder's certificate, which lives for weeks.
void PkiService::State::renew_responder_when_due() {
  const Instant now = scheduler.now();
  if (responder_looked_at && !has_passed(*responder_looked_at, now, responder_looked_at_every)) return;
  responder_looked_at = now;
  const Status renewed = renew_responder(config.folder, now, random);
  const auto pem = renewed.ok() ? read_authority_file(config.folder, "ocsp.crt") : Result<std::string>(renewed.error());
  if (!pem) return log::error("ocsp_certificate_not_renewed", {{"error", pem.error().message}});
  if (*pem == material->responder_pem) return;
  auto loaded = Material::load(config.folder);  // whole, or what we have stays, and is looked at again
  if (!loaded) return log::error("ocsp_certificate_not_renewed", {{"error", loaded.error().message}});
  material = std::move(*loaded);
  log::info("ocsp_certificate_renewed", {});
}

void PkiService::State::measure() {
  if (!crl) return;
  crl_number.set(static_cast<double>(crl->number));
  crl_age.set(static_cast<double>((scheduler.now() - crl->this_update).count()) /
              static_cast<double>((crl->next_update - crl->this_update).count()));
}

bool PkiService::State::may_sign_ocsp() {
  const std::int64_t second = scheduler.steady_now() / std::chrono::seconds(1);
  if (second != ocsp_second) ocsp_in_second = 0;
  ocsp_second = second;
  return ++ocsp_in_second <= config.ocsp_per_second_max;
}

Result<std::string> PkiService::State::certificate_for(const repository::SigningRequest& request, Instant now) {
  const auto key = crypto::PublicKey::from_pem(request.public_key_pem);
  if (!key) return key.error();
  pki::LeafRequest leaf;
  leaf.purpose = request.probe ? pki::Purpose::probe : pki::Purpose::device;
  leaf.common_name = request.thing.empty() ? "AWS IoT Certificate" : request.thing;
  if (!request.thing.empty())
    leaf.uris = {request.probe ? pki::probe_uri(request.thing) : pki::thing_uri(request.thing)};
  leaf.lifetime = request.probe ? config.probe_lifetime : config.device_lifetime;
  leaf.crl_url = config.public_url + "/crl/issuing.crl";
  leaf.ocsp_url = config.public_url + "/ocsp";
  return pki::issue(material->issuer, *key, leaf, now, random);
}

async::Task<Status> PkiService::State::sign_open_requests() {
  std::function<Result<std::vector<repository::SigningRequest>>(store::Transaction&)> read =
      [](store::Transaction& tx) { return repository::open_signing_requests(tx, requests_a_batch); };
  const auto requests = co_await store::transact<std::vector<repository::SigningRequest>>(store, scheduler, read);
  if (!requests) co_return requests.error();
  if (requests->empty()) co_return Status();
  const Instant now = scheduler.now();
  std::vector<std::pair<repository::SigningRequest, Result<std::string>>> outcomes;
  for (const auto& request : *requests) {
    outcomes.emplace_back(request, certificate_for(request, now));
    (outcomes.back().second.ok() ? signed_total : failed_total).add();
  }
  const std::string by = material->issuer_id;
  std::function<Status(store::Transaction&)> write = [&outcomes, by, now](store::Transaction& tx) -> Status {
    for (const auto& [request, pem] : outcomes) {
      const Status written = pem.ok() ? repository::finish_signing(tx, request, *pem, by, now)
                                      : repository::fail_signing(tx, request, pem.error().message);
      if (!written) return written;
    }
    return repository::forget_old_requests(tx, now - requests_kept);
  };
  const Status written = co_await store::transact(store, scheduler, write);
  if (!written) co_return written;
  if (static_cast<std::int64_t>(requests->size()) == requests_a_batch) wake->wake();
  co_return Status();
}

async::Task<Status> PkiService::State::renew_crl() {
  const Instant now = scheduler.now();
  const Millis lifetime = config.crl_lifetime;
  const Millis every = config.crl_every;
  const pki::Issuer by = material->issuer;
  const std::int64_t known = crl ? crl->number : 0;
  std::function<Result<repository::CrlRow>(store::Transaction&)> work =
      [=](store::Transaction& tx) -> Result<repository::CrlRow> {
    const auto count = repository::revocation_count(tx);
    if (!count) return count.error();
    auto last = repository::load_crl(tx, known);
    if (!last) return last.error();
    const bool due = !*last || (**last).revocations != *count || has_passed((**last).this_update, now, every);
    if (!due || (*last && fault::is_armed("pki.crl_not_renewed"))) return std::move(**last);
    repository::CrlRow next{*last ? (**last).number + 1 : 1, {}, now, now + lifetime, *count};
    auto der = crl_of(tx, by, next, lifetime);
    if (!der) return der.error();
    next.der = std::move(*der);
    fault::crash_here("pki.before_crl_saved");
    if (const Status saved = repository::save_crl(tx, next); !saved) return saved.error();
    return next;
  };
  Result<repository::CrlRow> row = co_await store::transact<repository::CrlRow>(store, scheduler, work);
  if (!row) co_return row.error();
  if (crl && row->number != crl->number) fault::crash_here("pki.after_crl_saved");
  if (!crl || row->number != crl->number)
    log::info("crl_in_force", {{"number", row->number}, {"revoked_ever", row->revocations}});
  if (!row->der.empty()) crl = std::make_shared<const repository::CrlRow>(std::move(*row));  // else we have it
  if (!first_crl && fault::is_armed("pki.serve_stale_crl")) first_crl = crl;
  has_crl = true;
  co_return Status();
}

async::Task<void> PkiService::State::run() {
  while (!scope.stopping()) {
    const Status signed_ones = co_await sign_open_requests();
    const Status renewed = co_await renew_crl();
    measure();  // also when renewing failed: that is what its alarm is for
    renew_responder_when_due();
    if (!signed_ones) log::error("signing_failed", {{"error", signed_ones.error().message}});
    if (!renewed) log::error("crl_failed", {{"error", renewed.error().message}});
    if (!signed_ones || !renewed) {
      co_await scope.sleep(pause_after_failure);
    }
    co_await wake->wait(look_every);
  }
}

http::Response PkiService::State::crl_response(const http::Request& request) const {
  const auto& served = fault::is_armed("pki.serve_stale_crl") ? first_crl : crl;
  if (!served) return http::text_response(503, "the CRL is being made\n");
  const std::string tag = fmt::format("\"{}\"", served->number);
  http::Response response{200,
                          {{"Content-Type", "application/pkix-crl"},
                           {"ETag", tag},
                           {"Last-Modified", http_date(served->this_update)},
                           {"Cache-Control", "public, max-age=60"},
                           {"Expires", http_date(scheduler.now() + std::chrono::minutes(1))}},
                          {}};
  if (is_known(request, tag)) response.status = 304;
  else response.body = as_text(served->der);
  return response;
}

async::Task<http::Response> PkiService::State::ocsp_response(http::Request request) {
  Bytes asked = to_bytes(request.body);
  if (request.method == "GET") {  // RFC 6960 appendix A.1: url-encoded base64 behind the path
    const auto text = percent_decode(request.path().substr(std::string_view("/ocsp/").size()));
    auto decoded = text.ok() ? from_base64(*text) : Result<Bytes>(text.error());
    if (!decoded) co_return http::text_response(400, "not a base64 OCSP request\n");
    asked = std::move(*decoded);
  }
  if (!may_sign_ocsp()) {
    ocsp_throttled_total.add();
    co_return ocsp_http(pki::ocsp_try_later(), false);
  }
  const pki::OcspResponder by = material->responder;  // it may be renewed meanwhile
  const Instant now = scheduler.now();
  const Millis validity = config.ocsp_validity;
  std::function<Result<pki::OcspAnswer>(store::Transaction&)> work =
      [&](store::Transaction& tx) -> Result<pki::OcspAnswer> {
    std::optional<Error> failed;
    const auto look_up = [&](const std::string& serial) {
      const auto state = repository::state_of_serial(tx, serial);
      if (!state) failed = state.error();
      return state.value_or({});
    };
    pki::OcspAnswer answer = by.answer(asked, look_up, now, validity);
    if (failed) return *failed;
    return answer;
  };
  const Result<pki::OcspAnswer> answer = co_await store::transact<pki::OcspAnswer>(store, scheduler, work);
  if (!answer) co_return http::text_response(503, "try again later\n");
  ocsp_total.add();
  co_return ocsp_http(*answer, request.method == "GET" && !answer->has_nonce && !answer->is_error);
}

async::Task<http::Response> PkiService::State::handle(http::Request request) {
  const std::string path(request.path());
  const bool reads = request.method == "GET" || request.method == "HEAD";
  if (path == "/ocsp" && request.method == "POST") {
    http::Response response = co_await ocsp_response(std::move(request));
    co_return response;
  }
  if (path.starts_with("/ocsp/") && request.method == "GET") {
    http::Response response = co_await ocsp_response(std::move(request));
    co_return response;
  }
  if (reads && path == "/crl/issuing.crl") co_return crl_response(request);
  if (reads && path == "/ca/issuing.crt")
    co_return http::text_response(200, material->issuer.certificate_pem, "application/x-pem-file");
  if (reads && path == "/ca/root.crt") co_return http::text_response(200, material->root_pem, "application/x-pem-file");
  co_return http::text_response(404, "here are /crl/issuing.crl, /ocsp, /ca/issuing.crt and /ca/root.crt\n");
}

PkiService::PkiService(PkiConfig config, store::Store& store, async::Scheduler& scheduler, metrics::Registry& metrics)
    : state_(std::make_shared<State>(std::move(config), store, scheduler, metrics)) {}
PkiService::~PkiService() = default;

Status PkiService::start() {
  auto loaded = Material::load(state_->config.folder);
  if (!loaded) return loaded.error();
  state_->material = std::move(*loaded);
  Status opened;
  async::run_on(state_->scheduler, [&] {
    State* state = state_.get();
    http::ServerOptions options;
    options.name = "pki";
    options.limits.body_bytes_max = pki::ocsp_request_bytes_max;
    auto server = http::Server::open(
        state->scheduler, {state->config.address, state->config.port}, nullptr,
        [state](http::Request r) { return state->handle(std::move(r)); }, state->registry, options);
    if (!server) {
      opened = server.error();
      return;
    }
    state->server = std::move(*server);
    state->port = state->server->port();
    state->scope.spawn("run", state->run());
  });
  return opened;
}

void PkiService::stop(Millis limit) {
  state_->scope.request_stop();
  state_->wake->wake();
  if (!state_->server->stop(limit) || !state_->scope.join(limit)) log::error("pki_did_not_stop", {});
  async::run_on(state_->scheduler, [this] { state_->server.reset(); });
}

Status PkiService::ready() const {
  return state_->has_crl ? Status() : Status(Error(ErrorCode::unavailable, "there is no CRL yet"));
}
std::uint16_t PkiService::port() const { return state_->port; }

}  // namespace fleetward::pki_role
