package fleetward.bench;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** The profile that topic rules has, compiled into flat arrays. What it cannot judge it refuses. Immutable. */
final class Rules {
  static final int PANE_SECONDS = 300;

  /** The last panes of a summed metric. */
  static final class Ring {
    final int place;
    int panes = 1;
    final List<Behavior> behaviors = new ArrayList<>();

    Ring(int place) {
      this.place = place;
    }
  }

  final List<Behavior> onReport = new ArrayList<>(); // not summed
  final List<Ring> rings = new ArrayList<>();
  final List<String> customs = new ArrayList<>();
  int behaviorCount;

  static Rules read(File profile) throws IOException {
    Rules rules = new Rules();
    for (JsonNode behavior : new ObjectMapper().readTree(profile).required("behaviors")) rules.add(behavior);
    return rules;
  }

  private void add(JsonNode from) {
    Behavior b = new Behavior();
    b.index = behaviorCount++;
    b.name = from.required("name").asText();
    String name = from.required("metric").asText();
    Metric metric = Metric.find(name);
    b.kind = metric == null ? Metric.Kind.STATE : metric.kind;
    b.place = metric == null ? placeOfCustom(name) : metric.ordinal();
    JsonNode criteria = from.required("criteria");
    b.toAlarm = criteria.path("consecutiveDatapointsToAlarm").asInt(1);
    b.toClear = criteria.path("consecutiveDatapointsToClear").asInt(1);
    compare(b, criteria.required("comparisonOperator").asText(), criteria.required("value"));
    if (b.kind != Metric.Kind.SUMMED) {
      onReport.add(b);
      return;
    }
    if (!b.isUpperBound()) throw new IllegalArgumentException(b.name + ": too little traffic is not judged here");
    b.panes = criteria.required("durationSeconds").asInt() / PANE_SECONDS;
    Ring ring = ringOf(b.place);
    ring.panes = Math.max(ring.panes, b.panes);
    ring.behaviors.add(b);
  }

  private int placeOfCustom(String name) {
    if (!customs.contains(name)) customs.add(name);
    return Metric.COUNT + customs.indexOf(name);
  }

  private Ring ringOf(int place) {
    for (Ring ring : rings) {
      if (ring.place == place) return ring;
    }
    rings.add(new Ring(place));
    return rings.get(rings.size() - 1);
  }

  private static void compare(Behavior b, String operator, JsonNode value) {
    b.negated = operator.startsWith("not-in-");
    switch (operator) {
      case "in-port-set", "not-in-port-set" -> {
        b.ports = new int[value.required("ports").size()];
        for (int i = 0; i < b.ports.length; ++i) b.ports[i] = value.required("ports").get(i).asInt();
        Arrays.sort(b.ports);
      }
      case "in-cidr-set", "not-in-cidr-set" -> {
        int count = value.required("cidrs").size();
        b.networks = new int[count];
        b.masks = new int[count];
        for (int i = 0; i < count; ++i) addCidr(b, i, value.required("cidrs").get(i).asText());
      }
      default -> {
        b.bound = Behavior.Bound.valueOf(operator.toUpperCase().replace('-', '_'));
        b.threshold = (value.has("count") ? value.get("count") : value.required("number")).asDouble();
      }
    }
  }

  private static void addCidr(Behavior b, int at, String cidr) {
    int slash = cidr.indexOf('/');
    int bits = Integer.parseInt(cidr.substring(slash + 1));
    char[] address = cidr.substring(0, slash).toCharArray();
    b.masks[at] = bits == 0 ? 0 : -1 << (32 - bits);
    b.networks[at] = ReportReader.address(address, 0, address.length) & b.masks[at];
  }
}
