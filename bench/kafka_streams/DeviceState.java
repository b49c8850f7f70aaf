package fleetward.bench;

import java.nio.ByteBuffer;

/**
 * What is kept of one device: one flat block, read and written in place, so that a store's get and put need no encoding.
 *
 * <p>The open pane; of each behavior its streaks, whether it is in alarm and since when; of each ring which panes are
 * present and their sums.
 */
final class DeviceState {
  private static final int HEAD = 8;
  private static final int BEHAVIOR = 1 + 1 + 1 + 8;
  private static final int BAD = 0;
  private static final int GOOD = 1;
  private static final int FLAGS = 2;
  private static final int START = 3;
  private static final int PRESENT = 2; // a ring's bit a pane; then the panes
  private static final byte DECIDED = 1;
  private static final byte IN_ALARM = 2;
  private static final int STREAK_MAX = 100;

  final byte[] bytes;
  private final ByteBuffer block;
  private final Rules rules;

  private DeviceState(Rules rules, byte[] bytes) {
    this.rules = rules;
    this.bytes = bytes;
    block = ByteBuffer.wrap(bytes);
  }

  static DeviceState fresh(Rules rules, long pane) {
    int size = HEAD + BEHAVIOR * rules.behaviorCount;
    for (Rules.Ring ring : rules.rings) size += PRESENT + 8 * ring.panes;
    DeviceState state = new DeviceState(rules, new byte[size]);
    state.block.putLong(0, pane);
    return state;
  }

  /** A copy: a store in memory gives out its own array. */
  static DeviceState copyOf(Rules rules, byte[] stored) {
    return new DeviceState(rules, stored.clone());
  }

  static long paneOf(byte[] stored) {
    return ByteBuffer.wrap(stored).getLong(0);
  }

  long pane() {
    return block.getLong(0);
  }

  // ---- behaviors

  private static int at(Behavior b) {
    return HEAD + BEHAVIOR * b.index;
  }

  int bad(Behavior b) {
    return block.get(at(b) + BAD);
  }

  int good(Behavior b) {
    return block.get(at(b) + GOOD);
  }

  void count(Behavior b, boolean conforms) {
    int good = conforms ? Math.min(good(b) + 1, STREAK_MAX) : 0;
    int bad = conforms ? 0 : Math.min(bad(b) + 1, STREAK_MAX);
    block.put(at(b) + GOOD, (byte) good);
    block.put(at(b) + BAD, (byte) bad);
  }

  boolean isInAlarm(Behavior b) {
    return is(b, IN_ALARM);
  }

  void setInAlarm(Behavior b, boolean value) {
    set(b, IN_ALARM, value);
  }

  /** The open pane has had its datapoint already. */
  boolean isDecided(Behavior b) {
    return is(b, DECIDED);
  }

  void setDecided(Behavior b, boolean value) {
    set(b, DECIDED, value);
  }

  long start(Behavior b) {
    return block.getLong(at(b) + START);
  }

  void setStart(Behavior b, long time) {
    block.putLong(at(b) + START, time);
  }

  private boolean is(Behavior b, byte flag) {
    return (block.get(at(b) + FLAGS) & flag) != 0;
  }

  private void set(Behavior b, byte flag, boolean value) {
    byte flags = block.get(at(b) + FLAGS);
    block.put(at(b) + FLAGS, (byte) (value ? flags | flag : flags & ~flag));
  }

  // ---- rings

  private int at(Rules.Ring ring) {
    int at = HEAD + BEHAVIOR * rules.behaviorCount;
    for (Rules.Ring other : rules.rings) {
      if (other == ring) break;
      at += PRESENT + 8 * other.panes;
    }
    return at;
  }

  void add(Rules.Ring ring, double value) {
    int at = at(ring);
    int slot = (int) (pane() % ring.panes);
    block.putShort(at, (short) (block.getShort(at) | 1 << slot));
    block.putDouble(at + PRESENT + 8 * slot, block.getDouble(at + PRESENT + 8 * slot) + value);
  }

  boolean isPresent(Rules.Ring ring) {
    return (block.getShort(at(ring)) >> pane() % ring.panes & 1) != 0;
  }

  /** Over the last panes up to the open one, oldest first. */
  double sum(Rules.Ring ring, int panes) {
    int at = at(ring);
    double total = 0;
    for (long p = pane() - panes + 1; p <= pane(); ++p) {
      total += block.getDouble(at + PRESENT + 8 * (int) (p % ring.panes));
    }
    return total;
  }

  /** Opens a later pane; what the rings no longer reach is forgotten. */
  void advance(long to) {
    for (Rules.Ring ring : rules.rings) {
      int at = at(ring);
      for (long p = Math.max(pane() + 1, to - ring.panes + 1); p <= to; ++p) {
        int slot = (int) (p % ring.panes);
        block.putShort(at, (short) (block.getShort(at) & ~(1 << slot)));
        block.putDouble(at + PRESENT + 8 * slot, 0);
      }
    }
    block.putLong(0, to);
  }
}
