// Files of things that are to be imported: CSV with a heading, or JSON lines. Pure but for certificates named by path.
//
//   name,groups,type,attributes,certificate
//   cam-001,cameras;site-7,camera,firmware=1.2;vendor=Acme,certs/cam-001.pem
//   {"name": "cam-001", "groups": ["cameras"], "type": "camera", "attributes": {"firmware": "1.2"}, "certificate":
//   "9f…"}
//
// In CSV, lists are parted by ';' and what has a comma, quote or new line stands in quotes (RFC 4180). A certificate is
// its SHA-256 fingerprint, a PEM text, or the path of a PEM file relative to the import file (of a chain, the first).
// Limits: rows_max rows; line_bytes_max a row.
#pragma once

#include <istream>
#include <map>
#include <string>
#include <vector>

#include "core/result.hpp"

namespace fleetward::program {

constexpr std::size_t import_rows_max = 1'000'000;
constexpr std::size_t import_row_bytes_max = 64 * 1024;

struct ImportRow {
  std::size_t line = 0;  // where it begins, from 1
  std::string name;
  std::vector<std::string> groups;
  std::string type;
  std::map<std::string, std::string> attributes;
  std::string certificate;  // SHA-256 fingerprint, hex; empty: none
  // Where the certificate itself is, when more than its fingerprint was given: PEM, or the path of a file. A fleet's
  // certificates are not all held at once.
  std::string certificate_pem;
  std::string certificate_path;
};

struct ImportProblem {
  std::size_t line = 0;
  std::string text;
};

enum class ImportFormat { csv, json_lines };

// Rows and problems in the order of lines: every row that is wrong is told. A name that is there twice is a problem.
struct ImportFile {
  std::vector<ImportRow> rows;
  std::vector<ImportProblem> problems;
};
// The PEM of a row's certificate alone, read again where it is a file: an error when that has changed meanwhile. Empty:
// only its fingerprint is known.
Result<std::string> certificate_of(const ImportRow& row);

ImportFile read_import(std::istream& in, ImportFormat format, const std::string& folder);

// By its name: .csv, or .jsonl, .ndjson, .json.
Result<ImportFormat> import_format_of(const std::string& path);

}  // namespace fleetward::program
