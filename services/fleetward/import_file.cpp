#include "services/fleetward/import_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>

#include "config/suggest.hpp"
#include "core/text.hpp"
#include "fleet/names.hpp"
#include "json/json.hpp"
#include "pki/certificate.hpp"
#include "services/fleetward/files.hpp"

namespace fleetward::program {
namespace {

const std::vector<std::string> columns{"name", "groups", "type", "attributes", "certificate"};
constexpr std::size_t problems_max = 1'000;  // then the file is another one than was meant

Error wrong(std::string what) { return {ErrorCode::invalid_argument, std::move(what)}; }

// One record of RFC 4180, which may span lines.
class CsvReader {
 public:
  explicit CsvReader(std::istream& in) : in_(in) {}

  struct Record {
    std::size_t line = 0;
    std::vector<std::string> fields;
  };

  // Nothing at the end.
  Result<std::optional<Record>> next() {
    Record record{line_ + 1, {}};
    std::string field;
    std::size_t bytes = 0;
    bool quoted = false;      // inside quotes
    bool was_quoted = false;  // the field had some
    for (int c = in_.get(); c != std::istream::traits_type::eof(); c = in_.get()) {
      if (++bytes > import_row_bytes_max) return give_up();
      if (c == '\n') ++line_;
      if (quoted) {
        if (c != '"') field += static_cast<char>(c);
        else if (in_.peek() == '"') field += static_cast<char>(in_.get());
        else quoted = false;
      } else if (c == '"' && field.empty() && !was_quoted) {
        quoted = was_quoted = true;
      } else if (c == ',') {
        record.fields.push_back(std::move(field));
        field.clear();
        was_quoted = false;
      } else if (c == '\n') {
        return done(std::move(record), std::move(field));
      } else {
        field += static_cast<char>(c);
      }
    }
    if (quoted) return wrong("a quote is not closed");
    if (bytes == 0) return std::optional<Record>();
    ++line_;
    return done(std::move(record), std::move(field));
  }
  [[nodiscard]] std::size_t line() const { return line_; }

 private:
  static std::optional<Record> done(Record record, std::string field) {
    if (field.ends_with('\r')) field.pop_back();
    record.fields.push_back(std::move(field));
    return record;
  }
  // What follows cannot be parted any more: a quote may be open.
  static Error give_up() {
    return wrong(
        fmt::format("the row that begins here is longer than {} bytes (is a quote open?); the rest was not read",
                    import_row_bytes_max));
  }
  std::istream& in_;
  std::size_t line_ = 0;
};

std::vector<std::string> list_of(std::string_view text) {
  std::vector<std::string> out;
  for (const std::string_view item : split(text, ';')) {
    if (!trim(item).empty()) out.emplace_back(trim(item));
  }
  return out;
}

Status set_attributes(ImportRow& row, std::string_view text) {
  for (const std::string& item : list_of(text)) {
    const std::size_t equals = item.find('=');
    if (equals == std::string::npos) return wrong(fmt::format("attribute '{}' is not NAME=VALUE", printable(item, 64)));
    row.attributes[item.substr(0, equals)] = item.substr(equals + 1);
  }
  return {};
}

bool is_fingerprint(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
}

// From what stands in the file to the fingerprint, and where the certificate is.
Status take_certificate(ImportRow& row, const std::string& folder) {
  std::string text = std::move(row.certificate);
  if (is_fingerprint(text)) {
    row.certificate = to_lower(text);
    return {};
  }
  std::string pem = text;
  if (text.find("-----BEGIN CERTIFICATE-----") == std::string::npos) {
    const std::filesystem::path path(text);
    row.certificate_path = path.is_absolute() ? text : (std::filesystem::path(folder) / path).string();
    Result<std::string> read = read_file(row.certificate_path);
    if (!read) return read.error().with_context("certificate (neither a fingerprint nor PEM)");
    pem = std::move(*read);
  } else {
    row.certificate_pem = std::move(text);
  }
  const auto info = pki::read_certificate(pem);
  if (!info) return info.error().with_context("certificate");
  row.certificate = info->fingerprint;
  return {};
}

Status finish(ImportRow& row, const std::string& folder) {
  if (!fleet::is_valid_name(row.name)) {
    return wrong(fmt::format("name '{}' is not 1 to 128 of a-z A-Z 0-9 : _ -", printable(row.name, 64)));
  }
  for (const std::string& group : row.groups) {
    if (!fleet::is_valid_name(group)) return wrong(fmt::format("group '{}' is not a name", printable(group, 64)));
  }
  if (!row.type.empty() && !fleet::is_valid_name(row.type)) {
    return wrong(fmt::format("type '{}' is not a name", printable(row.type, 64)));
  }
  return row.certificate.empty() ? Status() : take_certificate(row, folder);
}

Result<ImportRow> row_of(const CsvReader::Record& record, const std::vector<std::string>& heading) {
  if (record.fields.size() != heading.size()) {
    return wrong(fmt::format("has {} fields, the heading {}", record.fields.size(), heading.size()));
  }
  ImportRow row;
  for (std::size_t i = 0; i < heading.size(); ++i) {
    const std::string value(trim(record.fields[i]));
    if (heading[i] == "name") row.name = value;
    else if (heading[i] == "groups") row.groups = list_of(value);
    else if (heading[i] == "type") row.type = value;
    else if (heading[i] == "certificate") row.certificate = value;
    else if (const Status set = set_attributes(row, value); !set) return set.error();
  }
  return row;
}

Result<ImportRow> row_of(const std::string& text) {
  const Result<json::Value> value = json::parse(text, {.bytes_max = import_row_bytes_max, .depth_max = 4});
  if (!value) return value.error();
  json::Reader r(*value, "");
  ImportRow row;
  row.name = r.text("name", 1, 128);
  row.groups = r.texts_or_empty("groups", 100, 128);
  row.type = r.text_or("type", "", 128);
  row.certificate = r.text_or("certificate", "", import_row_bytes_max);
  const json::Value* attributes = r.member("attributes");
  if (attributes != nullptr && !attributes->is_object()) r.problem("attributes", "is not an object of texts");
  if (attributes != nullptr && attributes->is_object()) {
    for (const auto& [name, one] : attributes->items()) {
      if (one.is_string()) row.attributes[name] = one.get<std::string>();
      else r.problem("attributes", "is not an object of texts");
    }
  }
  r.refuse_unknown();
  if (const Status good = r.finish(); !good) return good.error();
  return row;
}

// Takes rows in and keeps what is wrong with them.
class Collector {
 public:
  Collector(ImportFile& file, const std::string& folder) : file_(file), folder_(folder) {}

  void take(std::size_t line, Result<ImportRow> row) {
    if (!row) return problem(line, row.error().message);
    row->line = line;
    if (const Status good = finish(*row, folder_); !good) return problem(line, good.error().message);
    const auto [known, is_new] = names_.emplace(row->name, line);
    if (!is_new) return problem(line, fmt::format("{} is in line {} already", row->name, known->second));
    file_.rows.push_back(std::move(*row));
  }
  void problem(std::size_t line, std::string text) { file_.problems.push_back({line, std::move(text)}); }
  [[nodiscard]] bool is_full(std::size_t line) {
    if (file_.problems.size() >= problems_max) return true;
    if (file_.rows.size() < import_rows_max) return false;
    problem(line, fmt::format("there are more than {} rows: part the file", import_rows_max));
    return true;
  }

 private:
  ImportFile& file_;
  const std::string& folder_;
  std::map<std::string, std::size_t> names_;
};

Result<std::vector<std::string>> heading_of(const CsvReader::Record& record) {
  std::vector<std::string> heading;
  for (const std::string& field : record.fields) {
    std::string name = to_lower(trim(field));
    if (heading.empty() && name.starts_with("\xEF\xBB\xBF")) name.erase(0, 3);  // as spreadsheets write it
    if (std::find(columns.begin(), columns.end(), name) == columns.end()) {
      return wrong(fmt::format("the heading has '{}'{}; columns are name, groups, type, attributes, certificate",
                               printable(name, 64), config::suggestion(name, columns)));
    }
    if (std::find(heading.begin(), heading.end(), name) != heading.end())
      return wrong("the heading has '" + name + "' twice");
    heading.push_back(std::move(name));
  }
  if (std::find(heading.begin(), heading.end(), "name") == heading.end())
    return wrong("the heading has no column 'name'");
  return heading;
}

void read_csv(std::istream& in, Collector& collector) {
  CsvReader reader(in);
  const auto first = reader.next();
  if (!first || !*first) return collector.problem(1, first ? "the file is empty" : first.error().message);
  const auto heading = heading_of(**first);
  if (!heading) return collector.problem(1, heading.error().message);
  while (true) {
    const std::size_t line = reader.line() + 1;
    const auto record = reader.next();
    if (!record) return collector.problem(line, record.error().message);
    if (!*record || collector.is_full(line)) return;
    const bool is_blank = (**record).fields.size() == 1 && trim((**record).fields[0]).empty();
    if (!is_blank) collector.take(line, row_of(**record, *heading));
  }
}

void read_json_lines(std::istream& in, Collector& collector) {
  std::string text;
  for (std::size_t line = 1; std::getline(in, text); ++line) {
    if (collector.is_full(line)) return;
    if (!trim(text).empty()) collector.take(line, row_of(std::string(trim(text))));
  }
}

}  // namespace

Result<std::string> certificate_of(const ImportRow& row) {
  std::string text = row.certificate_pem;
  if (!row.certificate_path.empty()) {
    Result<std::string> read = read_file(row.certificate_path);
    if (!read) return read.error().with_context("certificate");
    text = std::move(*read);
  }
  if (text.empty()) return text;
  const auto der = pki::der_of_pem(text);
  if (!der) return der.error().with_context("certificate");
  std::string pem = pki::pem_of_der(*der);
  const auto info = pki::read_certificate(pem);
  if (info && info->fingerprint == row.certificate) return pem;
  return Error(ErrorCode::conflict, "the file of its certificate has changed meanwhile");
}

ImportFile read_import(std::istream& in, ImportFormat format, const std::string& folder) {
  ImportFile file;
  Collector collector(file, folder);
  if (format == ImportFormat::csv) read_csv(in, collector);
  else read_json_lines(in, collector);
  return file;
}

Result<ImportFormat> import_format_of(const std::string& path) {
  if (path.ends_with(".csv")) return ImportFormat::csv;
  for (const char* ending : {".jsonl", ".ndjson", ".json"}) {
    if (path.ends_with(ending)) return ImportFormat::json_lines;
  }
  return wrong("the file's name ends neither in .csv nor in .jsonl: give --format");
}

}  // namespace fleetward::program
