package fleetward.bench;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.util.concurrent.atomic.LongAdder;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.processor.api.RecordMetadata;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * The records of a partition of topic devices in, violations out; the state of each device in the store.
 *
 * <p>The clock is the largest append time read. When it enters another pane the devices are looked through for alarms that
 * the end of the pane clears; who brings none is left as it is and closes its pane with its next report, so that the end of
 * a pane writes little.
 */
final class Detector implements Processor<String, byte[], String, byte[]> {
  static final String STORE = "devices";
  private static final String PANE_KEY = "/pane"; // no thing is named so
  private static final long PANE_MS = Rules.PANE_SECONDS * 1000L;

  private final Rules rules;
  private final LongAdder applied;
  private final ReportReader report;
  private final Judge judge;
  private ProcessorContext<String, byte[]> context;
  private KeyValueStore<String, byte[]> store;
  private long clock;
  private long pane = -1;
  private String thing;
  private int violations; // of the record at hand

  Detector(Rules rules, LongAdder applied) {
    this.rules = rules;
    this.applied = applied;
    report = new ReportReader(rules.customs);
    judge = new Judge(rules, this::forward);
  }

  @Override
  public void init(ProcessorContext<String, byte[]> context) {
    this.context = context;
    store = context.getStateStore(STORE);
    byte[] stored = store.get(PANE_KEY);
    if (stored != null) pane = ByteBuffer.wrap(stored).getLong();
  }

  @Override
  public void process(Record<String, byte[]> record) {
    advanceClock(record.timestamp());
    if (record.key() == null) return; // a word of the partition's owner: the clock goes by it too
    thing = record.key();
    byte[] stored = store.get(thing);
    DeviceState state = stored == null ? DeviceState.fresh(rules, pane) : DeviceState.copyOf(rules, stored);
    if (state.pane() < pane) {
      judge.closePane(state, endOf(state.pane()));
      state.advance(pane);
    }
    try {
      report.read(record.value());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    judge.report(state, report, clock);
    store.put(thing, state.bytes);
    applied.increment();
  }

  private void advanceClock(long now) {
    clock = Math.max(clock, now);
    long to = clock / PANE_MS;
    if (to <= pane) return;
    if (pane >= 0) closePane(to);
    pane = to;
    store.put(PANE_KEY, ByteBuffer.allocate(Long.BYTES).putLong(pane).array());
  }

  private void closePane(long to) {
    try (KeyValueIterator<String, byte[]> devices = store.all()) {
      while (devices.hasNext()) {
        KeyValue<String, byte[]> device = devices.next();
        if (device.key.equals(PANE_KEY) || DeviceState.paneOf(device.value) != pane) continue;
        thing = device.key;
        violations = 0;
        DeviceState state = DeviceState.copyOf(rules, device.value);
        judge.closePane(state, endOf(pane));
        if (violations == 0) continue;
        state.advance(to);
        store.put(thing, state.bytes);
      }
    }
  }

  private static long endOf(long pane) {
    return (pane + 1) * PANE_MS;
  }

  private void forward(Behavior behavior, boolean raised, long time, long start, int datapoints) {
    ++violations;
    RecordMetadata at = context.recordMetadata().orElseThrow();
    byte[] text = Violation.text(thing, behavior.name, raised, time, start, datapoints, at.partition(), at.offset());
    context.forward(new Record<>(thing, text, clock));
  }
}
