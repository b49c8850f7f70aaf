// The same report through JSON and through CBOR: taken or refused alike, for the same reason, and read the same. Over
// generated reports, good ones and ones with something wrong, and over many ways of writing them in CBOR.
#include <gtest/gtest.h>

#include <bit>
#include <random>

#include "report/test_reader.hpp"

namespace fleetward::report {
namespace {

using json::Value;

class Generator {
 public:
  explicit Generator(unsigned seed) : random_(seed) {}

  Value report() {
    wrong_one_in_ = below(3) == 0 ? 12 : 1'000'000;  // two in three are good throughout
    Value root = Value::object();
    put(root, "header", "hed", Value{{name("report_id", "rid"), counter(1)}, {name("version", "v"), "1.0"}});
    if (below(8) != 0) put(root, "metrics", "met", metrics());
    if (below(3) != 0) put(root, "custom_metrics", "cmet", customs());
    if (below(4) == 0) root["later"] = anything(0);
    return root;
  }

  // The value in CBOR, in one of the many ways that RFC 8949 has.
  std::string cbor(const Value& v) {
    if (v.is_null()) return "\xf6";
    if (v.is_boolean()) return v.get<bool>() ? "\xf5" : "\xf4";
    if (v.is_number_float()) return floating(v.get<double>());
    if (v.is_number_integer()) {
      const auto n = v.get<std::int64_t>();
      return n < 0 ? head(1, static_cast<std::uint64_t>(-1 - n)) : head(0, static_cast<std::uint64_t>(n));
    }
    if (v.is_string()) return text(v.get_ref<const std::string&>());
    const bool indefinite = below(2) == 0;
    const int major = v.is_array() ? 4 : 5;
    std::string out = indefinite ? std::string(1, static_cast<char>(major << 5 | 31)) : head(major, v.size());
    for (const auto& item : v.items()) out += (v.is_array() ? "" : text(item.key())) + cbor(item.value());
    return out + (indefinite ? "\xff" : "");
  }

 private:
  std::size_t below(std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random_); }
  bool is_wrong() { return below(wrong_one_in_) == 0; }
  std::string name(const char* a, const char* b) { return below(2) == 0 ? a : b; }
  void put(Value& object, const char* a, const char* b, Value v) { object[name(a, b)] = is_wrong() ? anything(0) : v; }

  Value anything(int depth) {
    switch (below(depth > 4 ? 5 : 8)) {
      case 0:
        return nullptr;
      case 1:
        return below(2) == 0;
      case 2:
        return static_cast<std::int64_t>(below(100'000)) - 50'000;
      case 3:
        return static_cast<double>(below(1000)) / 8 - 10;
      case 4:
        return std::string(below(30), 'a') + "\xC3\xA9";
      case 5:
        return Value::array({anything(depth + 1), anything(depth + 1)});
      case 6:
        return Value{{"a", anything(depth + 1)}, {"t", anything(depth + 1)}};
      default:
        return Value::array();
    }
  }
  Value counter(std::int64_t min = 0) {
    const auto n = static_cast<std::int64_t>(below(2) == 0 ? below(300) : random_() * 1000ULL) + min;
    if (is_wrong()) return -n;
    if (below(4) == 0) return static_cast<double>(n);
    return n;
  }
  Value port() {
    const std::size_t n = is_wrong() ? 70'000 : 1 + below(65'535);
    if (below(3) == 0) return std::to_string(n);
    if (below(3) == 0) return static_cast<double>(n);
    return n;
  }
  Value ports() {
    Value list = Value::array();
    for (std::size_t i = below(5); i > 0; --i) {
      Value entry = Value::object();
      if (!is_wrong()) entry[name("port", "pt")] = port();
      if (below(2) == 0) entry[name("interface", "if")] = below(3) == 0 ? Value(nullptr) : Value("eth0");
      list.push_back(entry);
    }
    Value block = {{name("total", "t"), counter()}};
    if (below(4) != 0) put(block, "ports", "pts", list);
    return block;
  }
  Value connections() {
    Value list = Value::array();
    for (std::size_t i = below(4); i > 0; --i) {
      Value entry = {{name("remote_addr", "rad"), is_wrong() ? "nowhere" : below(2) == 0 ? "10.0.0.1:443" : "[::1]:1"}};
      if (below(2) == 0) entry[name("local_port", "lp")] = below(4) == 0 ? Value(nullptr) : port();
      list.push_back(entry);
    }
    Value established = Value::object();
    put(established, "connections", "cs", list);
    put(established, "total", "t", counter());
    return {{name("established_connections", "ec"), established}};
  }
  Value metrics() {
    Value m = Value::object();
    if (below(2) == 0) put(m, "listening_tcp_ports", "tp", ports());
    if (below(2) == 0) put(m, "listening_udp_ports", "up", ports());
    if (below(2) == 0) put(m, "tcp_connections", "tc", connections());
    if (below(2) == 0) {
      Value net = Value::object();
      put(net, "bytes_in", "bi", counter());
      put(net, "bytes_out", "bo", counter());
      if (below(6) == 0) net[is_wrong() ? "bi" : "packets_in"] = counter();
      put(m, "network_stats", "ns", net);
    }
    if (below(5) == 0) m["later"] = anything(0);
    return m;
  }
  Value customs() {
    Value c = Value::object();
    const auto one = [&](const char* member, Value v) {
      return Value::array({Value{{member, is_wrong() ? anything(0) : v}}});
    };
    if (below(2) == 0) c["cpu"] = one("number", static_cast<double>(below(10'000)) / 16);
    if (below(2) == 0) c["cores"] = one("number_list", {1, -2.5, counter()});
    if (below(2) == 0) c["if"] = one("string_list", {"eth0", below(6) == 0 ? "b c" : "lo"});
    if (below(2) == 0) c["dns"] = one("ip_list", {"9.9.9.9", below(6) == 0 ? "9.9.9" : "::1"});
    if (below(3) == 0) c["unknown"] = one("number", 1);
    if (below(4) == 0) c["cpu"] = anything(0);
    return c;
  }

  std::string head(int major, std::uint64_t n) {
    int width = n < 24 ? 0 : n < 0x100 ? 1 : n < 0x10000 ? 2 : n < 0x100000000 ? 4 : 8;
    if (below(4) == 0) width = width == 0 ? 1 : std::min(width * 2, 8);  // longer than needed is well-formed
    if (width == 0) return std::string(1, static_cast<char>(static_cast<std::uint64_t>(major) << 5 | n));
    const int info = width == 1 ? 24 : width == 2 ? 25 : width == 4 ? 26 : 27;
    std::string out(1, static_cast<char>(major << 5 | info));
    for (int shift = (width - 1) * 8; shift >= 0; shift -= 8) out += static_cast<char>(n >> shift & 0xff);
    return out;
  }
  std::string text(const std::string& t) {
    if (below(4) != 0) return head(3, t.size()) + t;
    std::size_t cut = below(t.size() + 1);
    while (cut < t.size() && (t[cut] & 0xC0) == 0x80) ++cut;  // not within a character
    return "\x7f" + head(3, cut) + t.substr(0, cut) + head(3, t.size() - cut) + t.substr(cut) + "\xff";
  }
  std::string floating(double d) {
    std::string out;
    if (static_cast<double>(static_cast<float>(d)) == d && below(2) == 0) {
      const auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(d));
      out = "\xfa";
      for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(bits >> shift & 0xff);
      return out;
    }
    const auto bits = std::bit_cast<std::uint64_t>(d);
    out = "\xfb";
    for (int shift = 56; shift >= 0; shift -= 8) out += static_cast<char>(bits >> shift & 0xff);
    return out;
  }

  std::mt19937 random_;
  std::size_t wrong_one_in_ = 1;
};

TEST(Encodings, AreTakenAndRefusedAlikeAndReadTheSame) {
  Generator generator(20261124);
  ReportParser parser;
  int accepted = 0;
  int refused = 0;
  for (int i = 0; i < 30'000; ++i) {
    const Value value = generator.report();
    const std::string text = json::dump(value);
    const std::string bytes = generator.cbor(value);
    SCOPED_TRACE(text + " as " + to_hex(as_bytes(bytes)));
    const auto plain = testing::read_plainly(value, testing::customs());

    std::vector<std::string> words;
    for (const auto& [payload, encoding] : {std::pair(&text, Encoding::json), std::pair(&bytes, Encoding::cbor)}) {
      const auto report = parser.parse(as_bytes(*payload), testing::customs(), encoding);
      ASSERT_EQ(report.ok(), plain.has_value()) << (report ? "" : report.error().message);
      std::string said = report ? "" : report.error().message;
      if (report) {
        ASSERT_EQ(testing::difference(**report, *plain), "");
        for (const CustomMetricProblem& p : (*report)->problems) said += p.name + " " + p.reason + "; ";
      }
      words.push_back(said + fmt::format(" id {}", parser.report_id().value_or(-1)));
    }
    // Members stand in one order in both: nlohmann's.
    ASSERT_EQ(words[0], words[1]);
    ++(plain ? accepted : refused);
  }
  EXPECT_GT(accepted, 10'000);
  EXPECT_GT(refused, 2'000);
}

}  // namespace
}  // namespace fleetward::report
