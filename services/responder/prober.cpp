#include "services/responder/prober.hpp"

#include "http/client.hpp"
#include "mqtt/decode.hpp"
#include "mqtt/encode.hpp"
#include "pki/certificate.hpp"
#include "pki/ocsp.hpp"

namespace fleetward::responder {
namespace {

// One CONNECT and its CONNACK; owned by its connection's callbacks.
class ConnectProbe : public std::enable_shared_from_this<ConnectProbe> {
 public:
  struct Answer {
    std::uint8_t code = 0;
    std::map<std::string, std::string> facts;
  };
  using Done = std::function<void(Result<Answer>)>;

  ConnectProbe(async::Scheduler& scheduler, std::string thing, Done done)
      : scheduler_(scheduler), thing_(std::move(thing)), done_(std::move(done)) {}

  void start(const net::Endpoint& to, std::shared_ptr<const net::TlsContext> tls, Millis limit) {
    const auto self = shared_from_this();
    net::Connection::Callbacks callbacks;
    callbacks.open = [self](const net::TlsInfo&) {
      self->connection_->write(mqtt::encode_connect({mqtt::Version::v5, self->thing_, 30, true}));
    };
    callbacks.data = [self](ByteView bytes) { self->on_data(bytes); };
    callbacks.closed = [self](const Error& e) { self->finish(Error(ErrorCode::unavailable, e.message)); };
    timer_ = scheduler_.call_after(
        limit, [self] { self->finish(Error(ErrorCode::deadline_exceeded, "the gateway did not answer the probe")); });
    connection_ = net::connect(scheduler_, to, std::move(tls), std::move(callbacks));
  }

 private:
  void on_data(ByteView bytes) {
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
    mqtt::Failure failure;
    const auto frame = mqtt::next_frame(buffer_, 64 << 10, failure);
    if (!frame && failure.reason_code == mqtt::reason::success) return;
    const auto connack = frame ? mqtt::decode_connack(*frame, mqtt::Version::v5, failure) : std::nullopt;
    if (!connack)
      return finish(Error(ErrorCode::invalid_argument, "the gateway's answer is not a CONNACK: " + failure.text));
    Answer answer{connack->code, {}};
    for (const auto& p : connack->properties.user) answer.facts[std::string(p.name)] = std::string(p.value);
    finish(std::move(answer));
  }

  void finish(Result<Answer> result) {
    if (!done_) return;
    const Done done = std::exchange(done_, {});
    scheduler_.cancel(timer_);
    if (connection_) connection_->abort();
    connection_.reset();
    done(std::move(result));
  }

  async::Scheduler& scheduler_;
  std::string thing_;
  Done done_;
  Bytes buffer_;
  std::shared_ptr<net::Connection> connection_;
  async::TimerId timer_ = async::no_timer;
};

std::int64_t number_of(const std::map<std::string, std::string>& facts, const std::string& name) {
  const auto found = facts.find(name);
  return found == facts.end() ? -1 : std::atoll(found->second.c_str());
}

bool is_another(const ConnectProbe::Answer& answer, const std::string& instance) {
  const auto found = answer.facts.find("fleetward-gateway");
  return found != answer.facts.end() && found->second != instance;
}

struct Judgement {
  Weight weight = Weight::unknown;
  std::string text;
};

// What the answer says of the thing's standing.
Judgement judge(const ConnectProbe::Answer& answer, const std::string& instance, fleet::HoldLevel level,
                std::int64_t access_version) {
  if (is_another(answer, instance)) return {Weight::unknown, "another gateway answered"};
  const bool kept_out = level >= fleet::HoldLevel::isolate;
  if (kept_out && answer.code == mqtt::reason::success)
    return {Weight::contrary, "the probe was let through: the thing may connect"};
  if (answer.code != mqtt::reason::banned && answer.code != mqtt::reason::success)
    return {Weight::unknown, fmt::format("the probe was refused for another reason (0x{:02X})", answer.code)};
  if (kept_out && number_of(answer.facts, "fleetward-sessions") != 0)
    return {Weight::contrary, "a session of the thing is still open"};
  if (number_of(answer.facts, "fleetward-access-version") < access_version)
    return {Weight::unknown, "the gateway has not applied the record yet"};
  return {Weight::proof,
          kept_out ? "a new connection is refused with 0x8A, no session is open" : "the restriction is applied"};
}

async::Task<Result<ConnectProbe::Answer>> connect_as(async::Scheduler& scheduler, fleet::GatewayHeartbeat gateway,
                                                     ProbeIdentity identity, std::string ca_pem, std::string thing,
                                                     Millis limit) {
  net::TlsClientConfig config{
      std::move(ca_pem), std::move(identity.certificate_pem), std::move(identity.key_pem), gateway.probe_host, {}};
  const auto tls = net::TlsContext::for_client(config);
  if (!tls) co_return tls.error();
  const net::Endpoint to{gateway.probe_host, static_cast<std::uint16_t>(gateway.probe_port)};
  std::function<void(ConnectProbe::Done)> start = [&](ConnectProbe::Done done) {
    std::make_shared<ConnectProbe>(scheduler, thing, std::move(done))->start(to, *tls, limit);
  };
  Result<ConnectProbe::Answer> answer = co_await async::from_callback<Result<ConnectProbe::Answer>>(scheduler, start);
  co_return answer;
}

async::Task<Result<http::Response>> fetch(async::Scheduler& scheduler, http::ClientRequest what, Millis limit) {
  http::ClientOptions options;
  options.timeout = limit;
  options.limits.body_bytes_max = 256 << 20;  // a CRL of a large fleet
  Result<http::Response> response = co_await http::request(scheduler, std::move(what), options);
  if (response.ok() && response->status != 200)
    co_return Error(ErrorCode::unavailable, fmt::format("HTTP status {}", response->status));
  co_return response;
}

}  // namespace

async::Task<Finding> probe_gateway(async::Scheduler& scheduler, fleet::GatewayHeartbeat gateway, ProbeIdentity identity,
                                   std::string ca_pem, std::string thing, fleet::HoldLevel level,
                                   std::int64_t access_version, Millis limit) {
  const std::string instance = gateway.instance;
  const auto answer = co_await connect_as(scheduler, std::move(gateway), std::move(identity), ca_pem, thing, limit);
  const Judgement judgement = answer.ok() ? judge(*answer, instance, level, access_version)
                                          : Judgement{Weight::unknown, answer.error().message};
  co_return finding(scheduler.now(), "probe", instance, judgement.weight, judgement.text);
}

async::Task<std::string> probe_for_free_thing(async::Scheduler& scheduler, fleet::GatewayHeartbeat gateway,
                                              ProbeIdentity identity, std::string ca_pem, std::string thing,
                                              Millis limit) {
  const std::string instance = gateway.instance;
  const auto answer = co_await connect_as(scheduler, std::move(gateway), std::move(identity), ca_pem, thing, limit);
  if (!answer) co_return "the probe could not connect: " + answer.error().message;
  if (is_another(*answer, instance)) co_return "another gateway answered the probe";
  if (answer->code == mqtt::reason::success) co_return "";
  co_return fmt::format("a probe for {}, which is free, was refused, too (0x{:02X})", thing, answer->code);
}

async::Task<Finding> look_at_crl(async::Scheduler& scheduler, std::string url, std::string issuer_pem,
                                 std::vector<RevokedCertificate> certificates, Millis limit) {
  const Result<http::Response> response = co_await fetch(scheduler, {"GET", url, {}, {}}, limit);
  const Instant now = scheduler.now();
  if (!response) co_return finding(now, "crl", url, Weight::unknown, "CRL: " + response.error().message);
  const auto crl = pki::read_crl(as_bytes(response->body), issuer_pem);
  if (!crl) co_return finding(now, "crl", url, Weight::unknown, "CRL: " + crl.error().message);
  if (now > crl->next_update)
    co_return finding(now, "crl", url, Weight::unknown, "CRL: the one that is served has expired");
  for (const RevokedCertificate& c : certificates) {
    if (crl->revoked.contains(c.serial)) continue;
    co_return finding(now, "crl", url, Weight::contrary,
                      fmt::format("CRL {} that is served does not hold serial {}", crl->number, c.serial));
  }
  co_return finding(now, "crl", url, Weight::proof, fmt::format("CRL {} holds the certificate", crl->number));
}

async::Task<Finding> ask_ocsp(async::Scheduler& scheduler, std::string url, std::string issuer_pem,
                              RevokedCertificate certificate, Millis limit) {
  const auto question = pki::make_ocsp_request(certificate.pem, issuer_pem);
  if (!question) co_return finding(scheduler.now(), "ocsp", url, Weight::unknown, "OCSP: " + question.error().message);
  http::ClientRequest request{
      "POST", url, {{"Content-Type", "application/ocsp-request"}}, std::string(as_text(*question))};
  const Result<http::Response> response = co_await fetch(scheduler, std::move(request), limit);
  const Instant now = scheduler.now();
  if (!response) co_return finding(now, "ocsp", url, Weight::unknown, "OCSP: " + response.error().message);
  const auto state = pki::read_ocsp_answer(as_bytes(response->body), certificate.pem, issuer_pem, now);
  if (!state) co_return finding(now, "ocsp", url, Weight::unknown, "OCSP: " + state.error().message);
  if (state->kind == pki::CertificateState::Kind::revoked)
    co_return finding(now, "ocsp", url, Weight::proof, "OCSP answers revoked");
  co_return finding(now, "ocsp", url, Weight::contrary, "OCSP does not answer revoked");
}

}  // namespace fleetward::responder
