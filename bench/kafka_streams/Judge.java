package fleetward.bench;

/** Judges the datapoints of a device as Device Defender means them: streaks, alarms, and the violations that come of them. */
final class Judge {
  /** Where violations go. */
  interface Output {
    void violation(Behavior behavior, boolean raised, long time, long start, int datapoints);
  }

  private final Rules rules;
  private final Output output;
  private DeviceState state;
  private long time; // of the datapoint

  Judge(Rules rules, Output output) {
    this.rules = rules;
    this.output = output;
  }

  void report(DeviceState state, ReportReader report, long time) {
    this.state = state;
    this.time = time;
    for (Behavior b : rules.onReport) {
      if (b.kind == Metric.Kind.STATE) {
        double value = report.values[b.place];
        if (!Double.isNaN(value)) datapoint(b, b.conforms(value), false);
      } else {
        Numbers list = report.list(b.place);
        if (list.present) datapoint(b, b.conforms(list), list.count == 0);
      }
    }
    for (Rules.Ring ring : rules.rings) {
      double value = report.values[ring.place];
      if (!Double.isNaN(value)) add(ring, value);
    }
  }

  /** A sum that its bound no longer allows decides the open pane now. */
  private void add(Rules.Ring ring, double value) {
    state.add(ring, value);
    for (Behavior b : ring.behaviors) {
      if (state.isDecided(b) || b.conforms(state.sum(ring, b.panes))) continue;
      state.setDecided(b, true);
      datapoint(b, false, false);
    }
  }

  /** The device's open pane is over: its datapoint, if it had none. */
  void closePane(DeviceState state, long time) {
    this.state = state;
    this.time = time;
    for (Rules.Ring ring : rules.rings) {
      for (Behavior b : ring.behaviors) {
        if (state.isDecided(b)) state.setDecided(b, false);
        else if (state.isPresent(ring)) datapoint(b, b.conforms(state.sum(ring, b.panes)), false);
      }
    }
  }

  private void datapoint(Behavior b, boolean conforms, boolean clearAtOnce) {
    state.count(b, conforms);
    boolean wasInAlarm = state.isInAlarm(b);
    if (!wasInAlarm && !conforms && state.bad(b) >= b.toAlarm) {
      state.setInAlarm(b, true);
      state.setStart(b, time);
      output.violation(b, true, time, time, state.bad(b));
    } else if (wasInAlarm && conforms && (state.good(b) >= b.toClear || clearAtOnce)) {
      state.setInAlarm(b, false);
      output.violation(b, false, time, state.start(b), state.good(b));
    }
  }
}
