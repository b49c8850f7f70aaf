package fleetward.bench;

import java.util.Arrays;

/** A list of ports or IPv4 addresses that keeps its memory from report to report. */
final class Numbers {
  int[] items = new int[64];
  int count;
  boolean present;

  void clear() {
    count = 0;
    present = false;
  }

  void add(int item) {
    if (count == items.length) items = Arrays.copyOf(items, 2 * count);
    items[count++] = item;
  }
}
