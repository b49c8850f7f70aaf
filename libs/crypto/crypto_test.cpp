#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include <set>

#include "crypto/digest.hpp"
#include "crypto/key.hpp"
#include "crypto/openssl.hpp"
#include "crypto/random.hpp"

namespace fleetward::crypto {
namespace {

// FIPS 180-4 examples and RFC 4231 test cases 1, 2 and 6.
TEST(Digest, KnownAnswers) {
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(to_hex(sha1(as_bytes("abc"))), "a9993e364706816aba3e25717850c26c9cd0d89d");
  EXPECT_EQ(to_hex(hmac_sha256(Bytes(20, 0x0b), "Hi There")),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(to_hex(hmac_sha256(as_bytes("Jefe"), "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(to_hex(hmac_sha256(Bytes(131, 0xaa), "Test Using Larger Than Block-Size Key - Hash Key First")),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
  EXPECT_EQ(to_hex(hmac_sha256({}, "")), "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

TEST(Digest, PiecesMakeTheWhole) {
  Sha256 hash;
  hash.update("a");
  hash.update("");
  hash.update("bc");
  EXPECT_EQ(hash.finish(), sha256("abc"));
  hash.update("abc");
  EXPECT_EQ(hash.finish(), sha256("abc")) << "starts anew after finish";
}

TEST(Digest, ConstantTimeEquality) {
  EXPECT_TRUE(equal_constant_time("", ""));
  EXPECT_TRUE(equal_constant_time("secret", "secret"));
  EXPECT_FALSE(equal_constant_time("secret", "secreT"));
  EXPECT_FALSE(equal_constant_time("secret", "secret2"));
}

// The values are on disks and topics: they must never change.
TEST(IdFrom, IsPinnedAndKeepsPartsApart) {
  EXPECT_EQ(id_from("violation", "thing-1"), id_from({"violation", "thing-1"}));
  EXPECT_EQ(id_from("ab", "c").size(), 32U);
  EXPECT_NE(id_from("ab", "c"), id_from("a", "bc"));
  EXPECT_NE(id_from("a"), id_from("a", ""));
  Bytes input = {0, 0, 0, 0, 0, 0, 0, 2, 'a', 'b', 0, 0, 0, 0, 0, 0, 0, 1, 'c'};
  EXPECT_EQ(id_from("ab", "c"), sha256_hex(ByteView(input)).substr(0, 32));
}

TEST(Random, SeededRepeatsAndDiffersBySeed) {
  SeededRandom a(7), b(7), c(8);
  EXPECT_EQ(a.hex(40), b.hex(40));
  EXPECT_NE(a.hex(40), b.hex(16) + b.hex(24));
  EXPECT_NE(SeededRandom(7).hex(16), c.hex(16));
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 200; ++i) seen.insert(a.below(3));
  EXPECT_EQ(seen, (std::set<std::uint64_t>{0, 1, 2}));
}

TEST(Random, SystemFills) {
  SystemRandom random;
  EXPECT_NE(random.hex(16), random.hex(16));
  EXPECT_EQ(random.token(32).size(), 43U);
  EXPECT_EQ(random.bytes(3 << 20).size(), std::size_t{3} << 20);
}

TEST(Key, RoundTripAndSignature) {
  const PrivateKey key = PrivateKey::generate().value();
  const PrivateKey again = PrivateKey::from_pem(key.to_pem()).value();
  const Bytes signature = again.sign(as_bytes("message")).value();
  const PublicKey public_key = PublicKey::from_pem(key.public_key().to_pem()).value();
  EXPECT_TRUE(public_key.verify(as_bytes("message"), signature));
  EXPECT_FALSE(public_key.verify(as_bytes("massage"), signature));
  EXPECT_FALSE(public_key.verify(as_bytes("message"), {}));
  EXPECT_FALSE(PrivateKey::generate()->public_key().verify(as_bytes("message"), signature));
  Bytes broken = signature;
  broken.back() ^= 1;
  EXPECT_FALSE(public_key.verify(as_bytes("message"), broken));
  EXPECT_EQ(PublicKey::from_der(public_key.to_der())->to_der(), public_key.to_der());
  EXPECT_EQ(ERR_peek_error(), 0U) << "no error stays behind";
}

TEST(Key, RefusesWhatIsNotOurs) {
  EXPECT_EQ(PrivateKey::from_pem("").error().code, ErrorCode::invalid_argument);
  EXPECT_FALSE(PrivateKey::from_pem("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"));
  EXPECT_FALSE(PrivateKey::from_pem(std::string(key_pem_bytes_max + 1, 'x')));
  const PkeyHandle other_curve(EVP_EC_gen("P-384"));
  const BioHandle bio = bio_to_write();
  ASSERT_EQ(PEM_write_bio_PUBKEY(bio.get(), other_curve.get()), 1);
  EXPECT_FALSE(PublicKey::from_pem(bio_text(bio.get())));
  Bytes trailing = PrivateKey::generate()->public_key().to_der();
  trailing.push_back(0);
  EXPECT_FALSE(PublicKey::from_der(trailing));
}

TEST(Key, AnEncryptedKeyIsRefusedWithoutAsking) {
  const PrivateKey key = PrivateKey::generate().value();
  const BioHandle bio = bio_to_write();
  ASSERT_EQ(PEM_write_bio_PKCS8PrivateKey(bio.get(), key.native(), EVP_aes_256_cbc(), "pass", 4, nullptr, nullptr), 1);
  EXPECT_FALSE(PrivateKey::from_pem(bio_text(bio.get())));
}

TEST(OpensslErrors, AreTakenAndBounded) {
  ERR_raise_data(ERR_LIB_USER, ERR_R_INTERNAL_ERROR, "x");
  EXPECT_NE(take_openssl_errors(), "");
  EXPECT_EQ(take_openssl_errors(), "");
  EXPECT_EQ(openssl_error(ErrorCode::internal, "sign").message, "sign");
}

}  // namespace
}  // namespace fleetward::crypto
