#include "crypto/openssl.hpp"

#include <openssl/err.h>

#include <array>
#include <cstdlib>

namespace fleetward::crypto {

std::string take_openssl_errors() {
  constexpr std::size_t text_bytes_max = 512;
  std::string text;
  while (const unsigned long code = ERR_get_error()) {
    std::array<char, 160> line{};
    const char* reason = ERR_reason_error_string(code);
    if (reason == nullptr) {
      ERR_error_string_n(code, line.data(), line.size());
      reason = line.data();
    }
    if (text.size() < text_bytes_max) text.append(text.empty() ? "" : "; ").append(reason);
  }
  return printable(text, text_bytes_max);
}

Error openssl_error(ErrorCode code, std::string_view what) {
  const std::string details = take_openssl_errors();
  std::string message(what);
  if (!details.empty()) message.append(": ").append(details);
  return Error(code, std::move(message));
}

BioHandle bio_over(ByteView bytes) {
  // A null pointer would mean "no buffer" instead of "an empty one".
  const void* data = bytes.empty() ? "" : static_cast<const void*>(bytes.data());
  BioHandle bio(BIO_new_mem_buf(data, static_cast<int>(bytes.size())));
  if (!bio) std::abort();
  return bio;
}

BioHandle bio_to_write() {
  BioHandle bio(BIO_new(BIO_s_mem()));
  if (!bio) std::abort();
  return bio;
}

std::string bio_text(BIO* bio) {
  const char* data = nullptr;
  const long size = BIO_ctrl(bio, BIO_CTRL_INFO, 0, static_cast<void*>(&data));
  return data != nullptr && size > 0 ? std::string(data, static_cast<std::size_t>(size)) : std::string();
}

}  // namespace fleetward::crypto
