package fleetward.bench;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;

/**
 * Reads a JSON report with Jackson's streaming parser into flat values, which the next one overwrites.
 *
 * <p>Knows what the benchmark's reports hold: long names, IPv4, custom metrics that are numbers. It builds no tree, makes no
 * string of a value, and does not look for repeated keys.
 */
final class ReportReader {
  final double[] values; // by place; not a number: the report has none
  final Numbers tcpPorts = new Numbers();
  final Numbers udpPorts = new Numbers();
  final Numbers addresses = new Numbers();

  private final JsonFactory factory = new JsonFactory();
  private final List<String> customs;

  ReportReader(List<String> customs) {
    this.customs = customs;
    values = new double[Metric.COUNT + customs.size()];
  }

  Numbers list(int place) {
    if (place == Metric.LISTENING_TCP_PORTS.ordinal()) return tcpPorts;
    return place == Metric.LISTENING_UDP_PORTS.ordinal() ? udpPorts : addresses;
  }

  void read(byte[] report) throws IOException {
    Arrays.fill(values, Double.NaN);
    tcpPorts.clear();
    udpPorts.clear();
    addresses.clear();
    try (JsonParser p = factory.createParser(report)) {
      expect(p, p.nextToken(), JsonToken.START_OBJECT);
      for (String name = p.nextFieldName(); name != null; name = p.nextFieldName()) {
        p.nextToken();
        switch (name) {
          case "metrics" -> metrics(p);
          case "custom_metrics" -> customs(p);
          default -> p.skipChildren();
        }
      }
    }
  }

  private void metrics(JsonParser p) throws IOException {
    for (String name = p.nextFieldName(); name != null; name = p.nextFieldName()) {
      p.nextToken();
      switch (name) {
        case "listening_tcp_ports" -> ports(p, tcpPorts, Metric.NUM_LISTENING_TCP_PORTS);
        case "listening_udp_ports" -> ports(p, udpPorts, Metric.NUM_LISTENING_UDP_PORTS);
        case "network_stats" -> traffic(p);
        case "tcp_connections" -> connections(p);
        default -> p.skipChildren();
      }
    }
  }

  private void ports(JsonParser p, Numbers out, Metric total) throws IOException {
    for (String name = p.nextFieldName(); name != null; name = p.nextFieldName()) {
      p.nextToken();
      switch (name) {
        case "ports" -> {
          out.present = true;
          while (p.nextToken() == JsonToken.START_OBJECT) {
            for (String of = p.nextFieldName(); of != null; of = p.nextFieldName()) {
              p.nextToken();
              if (of.equals("port")) out.add(p.getIntValue());
              else p.skipChildren();
            }
          }
        }
        case "total" -> values[total.ordinal()] = p.getLongValue();
        default -> p.skipChildren();
      }
    }
  }

  private void traffic(JsonParser p) throws IOException {
    for (String name = p.nextFieldName(); name != null; name = p.nextFieldName()) {
      p.nextToken();
      switch (name) {
        case "bytes_in" -> values[Metric.ALL_BYTES_IN.ordinal()] = p.getLongValue();
        case "bytes_out" -> values[Metric.ALL_BYTES_OUT.ordinal()] = p.getLongValue();
        case "packets_in" -> values[Metric.ALL_PACKETS_IN.ordinal()] = p.getLongValue();
        case "packets_out" -> values[Metric.ALL_PACKETS_OUT.ordinal()] = p.getLongValue();
        default -> p.skipChildren();
      }
    }
  }

  private void connections(JsonParser p) throws IOException {
    for (String name = p.nextFieldName(); name != null; name = p.nextFieldName()) {
      p.nextToken();
      if (name.equals("established_connections")) established(p);
      else p.skipChildren();
    }
  }

  private void established(JsonParser p) throws IOException {
    for (String name = p.nextFieldName(); name != null; name = p.nextFieldName()) {
      p.nextToken();
      switch (name) {
        case "connections" -> {
          addresses.present = true;
          while (p.nextToken() == JsonToken.START_OBJECT) connection(p);
        }
        case "total" -> values[Metric.NUM_ESTABLISHED_TCP_CONNECTIONS.ordinal()] = p.getLongValue();
        default -> p.skipChildren();
      }
    }
  }

  private void connection(JsonParser p) throws IOException {
    for (String name = p.nextFieldName(); name != null; name = p.nextFieldName()) {
      p.nextToken();
      if (!name.equals("remote_addr")) {
        p.skipChildren();
        continue;
      }
      char[] text = p.getTextCharacters();
      int begin = p.getTextOffset();
      int end = begin + p.getTextLength();
      while (end > begin && text[end - 1] != ':') --end; // the port is not judged
      addresses.add(address(text, begin, end - 1));
    }
  }

  private void customs(JsonParser p) throws IOException {
    for (String name = p.nextFieldName(); name != null; name = p.nextFieldName()) {
      p.nextToken();
      int custom = customs.indexOf(name);
      if (custom < 0) {
        p.skipChildren();
        continue;
      }
      while (p.nextToken() == JsonToken.START_OBJECT) {
        for (String of = p.nextFieldName(); of != null; of = p.nextFieldName()) {
          p.nextToken();
          if (of.equals("number")) values[Metric.COUNT + custom] = p.getDoubleValue();
          else p.skipChildren();
        }
      }
    }
  }

  /** An IPv4 address as a number. */
  static int address(char[] text, int begin, int end) {
    int out = 0;
    int part = 0;
    int dots = 0;
    for (int i = begin; i < end; ++i) {
      if (text[i] == '.') {
        out = out << 8 | part;
        part = 0;
        ++dots;
      } else {
        part = part * 10 + Character.digit(text[i], 10);
        if (part < 0 || part > 255) throw notAnAddress(text, begin, end);
      }
    }
    if (dots != 3) throw notAnAddress(text, begin, end);
    return out << 8 | part;
  }

  private static IllegalArgumentException notAnAddress(char[] text, int begin, int end) {
    return new IllegalArgumentException("not an IPv4 address: " + new String(text, begin, Math.max(0, end - begin)));
  }

  private static void expect(JsonParser p, JsonToken token, JsonToken wanted) throws IOException {
    if (token != wanted) throw new IOException("a report is not an object: " + p.currentLocation());
  }
}
