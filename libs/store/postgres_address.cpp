#include "store/postgres_address.hpp"

#include <fmt/format.h>

namespace fleetward::store {
namespace {

// libpq's own quoting: https://www.postgresql.org/docs/15/libpq-connect.html#LIBPQ-CONNSTRING
std::string quoted(std::string_view value) {
  std::string out = "'";
  for (const char c : value) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

void add(std::string& text, std::string_view name, std::string_view value) {
  text += fmt::format("{}={} ", name, quoted(value));
}

Status check(const PostgresOptions& o) {
  const auto refuse = [](std::string words) { return Error(ErrorCode::invalid_argument, std::move(words)); };
  if (o.host.empty()) return refuse("the store has no host");
  if (o.port < 1 || o.port > 65535) return refuse(fmt::format("{} is no port for the store", o.port));
  for (const std::string* text : {&o.host, &o.database, &o.user, &o.password}) {
    if (text->find('\0') != std::string::npos) return refuse("a setting of the store holds a NUL");
  }
  if (!o.tls && !is_local(o))
    return refuse(fmt::format("the store at {} is on another machine: it needs TLS", name_of(o)));
  if (o.tls && !o.host.starts_with('/') && o.ca_file.empty())
    return refuse(fmt::format("TLS to the store at {} needs the file of its certificate's authority", name_of(o)));
  if (o.certificate_file.empty() != o.key_file.empty())
    return refuse("a certificate for the store needs its key, and the other way round");
  if (o.connections < 1) return refuse("the store needs at least one connection");
  return {};
}

// What the server itself shall hold to. A process of ours that stands still in a transaction loses it, and its locks.
std::string session_settings(const PostgresOptions& o) {
  const std::int64_t limit_ms = o.statement_limit.count();
  return fmt::format(
      "-c default_transaction_isolation=serializable -c statement_timeout={0} -c lock_timeout={1} "
      "-c idle_in_transaction_session_timeout={2} -c client_min_messages=warning -c bytea_output=hex "
      "-c extra_float_digits=1 -c TimeZone=UTC",
      limit_ms, std::max<std::int64_t>(limit_ms / 2, 1), limit_ms * 3);
}

}  // namespace

std::string name_of(const PostgresOptions& options) { return fmt::format("{}:{}", options.host, options.port); }

bool is_local(const PostgresOptions& options) {
  return options.host.starts_with('/') || options.host == "localhost" || options.host == "::1" ||
         options.host.starts_with("127.");
}

Result<std::string> connection_string(const PostgresOptions& o) {
  if (const Status sound = check(o); !sound) return sound.error();
  const std::int64_t connect_s = std::max<std::int64_t>((o.connect_limit.count() + 999) / 1000, 2);  // libpq's least
  std::string text;
  add(text, "host", o.host);
  add(text, "port", std::to_string(o.port));
  add(text, "dbname", o.database);
  add(text, "user", o.user);
  if (!o.password.empty()) add(text, "password", o.password);
  add(text, "passfile", "/dev/null");  // nothing from the home folder
  const bool uses_tls = o.tls && !o.host.starts_with('/');
  add(text, "sslmode", uses_tls ? "verify-full" : "disable");
  add(text, "gssencmode", "disable");
  if (uses_tls) {
    add(text, "sslrootcert", o.ca_file);
    add(text, "sslcert", o.certificate_file.empty() ? "/nonexistent" : o.certificate_file);
    if (!o.key_file.empty()) add(text, "sslkey", o.key_file);
    add(text, "ssl_min_protocol_version", "TLSv1.2");
  }
  add(text, "target_session_attrs", "read-write");  // of several hosts the one that is no standby
  add(text, "connect_timeout", std::to_string(connect_s));
  add(text, "keepalives_idle", "10");
  add(text, "keepalives_interval", "5");
  add(text, "keepalives_count", "3");
  add(text, "tcp_user_timeout", std::to_string(o.statement_limit.count()));
  add(text, "client_encoding", "UTF8");
  add(text, "application_name", "fleetward");
  add(text, "options", session_settings(o));
  return text;
}

}  // namespace fleetward::store
