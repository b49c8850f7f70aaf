package fleetward.bench;

import java.util.Arrays;

/** One rule of the profile with its constants. What its kind is says which of them are in use. Immutable. */
final class Behavior {
  /** Inclusive and exclusive bounds of numbers. */
  enum Bound {
    LESS_THAN,
    LESS_THAN_EQUALS,
    GREATER_THAN,
    GREATER_THAN_EQUALS
  }

  int index; // in the profile
  String name;
  int place; // of its metric's value in a report
  Metric.Kind kind;
  int toAlarm = 1;
  int toClear = 1;
  int panes = 1; // summed: over how many the sum goes
  Bound bound;
  double threshold;
  boolean negated; // not-in-...-set
  int[] ports = {}; // sorted
  int[] networks = {}; // IPv4
  int[] masks = {};

  boolean conforms(double value) {
    return switch (bound) {
      case LESS_THAN -> value < threshold;
      case LESS_THAN_EQUALS -> value <= threshold;
      case GREATER_THAN -> value > threshold;
      case GREATER_THAN_EQUALS -> value >= threshold;
    };
  }

  boolean isUpperBound() {
    return bound == Bound.LESS_THAN || bound == Bound.LESS_THAN_EQUALS;
  }

  boolean conforms(Numbers list) {
    for (int i = 0; i < list.count; ++i) {
      int item = list.items[i];
      boolean in = kind == Metric.Kind.PORTS ? Arrays.binarySearch(ports, item) >= 0 : contains(item);
      if (in == negated) return false;
    }
    return true;
  }

  private boolean contains(int address) {
    for (int i = 0; i < networks.length; ++i) {
      if ((address & masks[i]) == networks[i]) return true;
    }
    return false;
  }
}
