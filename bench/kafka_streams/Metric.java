package fleetward.bench;

/** The device-side metrics of Device Defender. A custom metric is a number that has its place behind these. */
enum Metric {
  LISTENING_TCP_PORTS("aws:listening-tcp-ports", Kind.PORTS),
  LISTENING_UDP_PORTS("aws:listening-udp-ports", Kind.PORTS),
  DESTINATION_IP_ADDRESSES("aws:destination-ip-addresses", Kind.ADDRESSES),
  NUM_LISTENING_TCP_PORTS("aws:num-listening-tcp-ports", Kind.STATE),
  NUM_LISTENING_UDP_PORTS("aws:num-listening-udp-ports", Kind.STATE),
  NUM_ESTABLISHED_TCP_CONNECTIONS("aws:num-established-tcp-connections", Kind.STATE),
  ALL_BYTES_OUT("aws:all-bytes-out", Kind.SUMMED),
  ALL_BYTES_IN("aws:all-bytes-in", Kind.SUMMED),
  ALL_PACKETS_OUT("aws:all-packets-out", Kind.SUMMED),
  ALL_PACKETS_IN("aws:all-packets-in", Kind.SUMMED);

  enum Kind {
    PORTS,
    ADDRESSES,
    STATE, // a number that holds when it is told
    SUMMED // over panes of 300 seconds
  }

  static final int COUNT = values().length;

  final String fullName;
  final Kind kind;

  Metric(String fullName, Kind kind) {
    this.fullName = fullName;
    this.kind = kind;
  }

  /** Null: it is a custom one. */
  static Metric find(String name) {
    for (Metric metric : values()) {
      if (metric.fullName.equals(name)) return metric;
    }
    return null;
  }
}
