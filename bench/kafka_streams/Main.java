package fleetward.bench;

import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.LongAdder;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.state.KeyValueBytesStoreSupplier;
import org.apache.kafka.streams.state.Stores;

/**
 * The static profile judged by Kafka Streams: what the detector is measured beside.
 *
 * <p>usage: Main BOOTSTRAP rocksdb|memory INPUT OUTPUT PROFILE.json FOLDER. Prints a JSON line when it is ready and one for
 * each line of its standard input (pause, resume, look), and one when it has stopped, which it does at the end of its input.
 * Its log goes to standard error.
 *
 * <p>Everything is as Kafka Streams comes, but for the guarantee: exactly once.
 */
public final class Main {
  private Main() {}

  public static void main(String[] arguments) throws Exception {
    if (arguments.length != 6) {
      System.err.println("usage: Main BOOTSTRAP rocksdb|memory INPUT OUTPUT PROFILE.json FOLDER");
      System.exit(2);
    }
    Rules rules = Rules.read(new File(arguments[4]));
    Properties settings = settings(arguments[0], arguments[1], arguments[5]);
    makeTopic(settings, arguments[3]);
    LongAdder applied = new LongAdder();
    Topology topology = topology(arguments[1], arguments[2], arguments[3], rules, applied);
    try (KafkaStreams streams = new KafkaStreams(topology, settings)) {
      start(streams);
      tell("ready", applied);
      serve(streams, applied);
      if (!streams.close(Duration.ofSeconds(120))) throw new IllegalStateException("it did not stop");
    }
    tell("stopped", applied);
  }

  private static Properties settings(String bootstrap, String kind, String folder) {
    Properties settings = new Properties();
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, "peer-" + kind);
    settings.put(StreamsConfig.STATE_DIR_CONFIG, folder);
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    return settings;
  }

  private static void makeTopic(Properties settings, String name) throws Exception {
    try (Admin admin = Admin.create(settings)) {
      admin.createTopics(List.of(new NewTopic(name, 1, (short) 1))).all().get();
    }
  }

  private static Topology topology(String kind, String input, String output, Rules rules, LongAdder applied) {
    KeyValueBytesStoreSupplier store =
        switch (kind) {
          case "rocksdb" -> Stores.persistentKeyValueStore(Detector.STORE);
          case "memory" -> Stores.inMemoryKeyValueStore(Detector.STORE);
          default -> throw new IllegalArgumentException("neither rocksdb nor memory: " + kind);
        };
    return new Topology()
        .addSource("reports", Serdes.String().deserializer(), Serdes.ByteArray().deserializer(), input)
        .addProcessor("detector", () -> new Detector(rules, applied), "reports")
        .addStateStore(
            Stores.keyValueStoreBuilder(store, Serdes.String(), Serdes.ByteArray()).withLoggingEnabled(Map.of()), "detector")
        .addSink("violations", output, Serdes.String().serializer(), Serdes.ByteArray().serializer(), "detector");
  }

  /** Returns when it runs. Ends the process when it ceases to by itself. */
  private static void start(KafkaStreams streams) throws InterruptedException {
    CountDownLatch running = new CountDownLatch(1);
    streams.setUncaughtExceptionHandler(
        e -> {
          e.printStackTrace();
          return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
    streams.setStateListener(
        (now, before) -> {
          if (now == KafkaStreams.State.RUNNING) running.countDown();
          if (now == KafkaStreams.State.ERROR) Runtime.getRuntime().halt(1);
        });
    streams.start();
    running.await();
  }

  private static void serve(KafkaStreams streams, LongAdder applied) throws Exception {
    BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
    for (String line = input.readLine(); line != null; line = input.readLine()) {
      switch (line) {
        case "pause" -> streams.pause();
        case "resume" -> streams.resume();
        case "look" -> {}
        default -> throw new IllegalArgumentException("not a word of mine: " + line);
      }
      tell("looked", applied);
    }
  }

  private static void tell(String event, LongAdder applied) {
    System.out.println("{\"event\":\"" + event + "\",\"applied\":" + applied.sum() + "}");
  }
}
