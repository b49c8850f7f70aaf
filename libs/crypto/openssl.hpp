// RAII handles over OpenSSL's objects and the one place that empties its error queue.
//
// Includes OpenSSL: only for .cpp files of crypto, net and pki. Each thread has its own error queue.
#pragma once

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/ocsp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>
#include <string_view>

#include "core/error.hpp"
#include "core/text.hpp"

namespace fleetward::crypto {

template <auto Free>
struct OpensslFree {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};

using BioHandle = std::unique_ptr<BIO, OpensslFree<BIO_free_all>>;
using BignumHandle = std::unique_ptr<BIGNUM, OpensslFree<BN_clear_free>>;
using CertHandle = std::unique_ptr<X509, OpensslFree<X509_free>>;
using CertRequestHandle = std::unique_ptr<X509_REQ, OpensslFree<X509_REQ_free>>;
using CertExtensionHandle = std::unique_ptr<X509_EXTENSION, OpensslFree<X509_EXTENSION_free>>;
using CertStoreHandle = std::unique_ptr<X509_STORE, OpensslFree<X509_STORE_free>>;
using CertStoreContextHandle = std::unique_ptr<X509_STORE_CTX, OpensslFree<X509_STORE_CTX_free>>;
using NameHandle = std::unique_ptr<X509_NAME, OpensslFree<X509_NAME_free>>;
using PkeyHandle = std::unique_ptr<EVP_PKEY, OpensslFree<EVP_PKEY_free>>;
using PkeyContextHandle = std::unique_ptr<EVP_PKEY_CTX, OpensslFree<EVP_PKEY_CTX_free>>;
using DigestContextHandle = std::unique_ptr<EVP_MD_CTX, OpensslFree<EVP_MD_CTX_free>>;
using IntegerHandle = std::unique_ptr<ASN1_INTEGER, OpensslFree<ASN1_INTEGER_free>>;
using TimeHandle = std::unique_ptr<ASN1_TIME, OpensslFree<ASN1_TIME_free>>;

// Takes all errors of this thread off OpenSSL's queue, oldest first, joined by "; ", made printable and bounded; empty
// when there were none. Call it after each failure, or the next reader sees old errors as its own.
std::string take_openssl_errors();

// `what` with the queue's content: "sign certificate: bad end line".
Error openssl_error(ErrorCode code, std::string_view what);

// A read-only BIO over memory that must outlive it; a writing one that grows; and what was written to it.
BioHandle bio_over(ByteView bytes);
BioHandle bio_to_write();
std::string bio_text(BIO* bio);

// DER of any OpenSSL object by its i2d function.
template <class T, class I2d>
Bytes to_der(const T* object, I2d i2d) {
  const int size = i2d(object, nullptr);
  if (size <= 0) return {};
  Bytes out(static_cast<std::size_t>(size));
  unsigned char* cursor = out.data();
  i2d(object, &cursor);
  return out;
}

}  // namespace fleetward::crypto
