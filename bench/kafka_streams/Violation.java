package fleetward.bench;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;

/** A violation as it is published: what of ours it is compared with, under the same names. */
final class Violation {
  private static final JsonFactory FACTORY = new JsonFactory();

  private Violation() {}

  static byte[] text(
      String thing, String behavior, boolean raised, long time, long start, int datapoints, int partition, long offset) {
    ByteArrayOutputStream out = new ByteArrayOutputStream(256);
    try (JsonGenerator g = FACTORY.createGenerator(out)) {
      g.writeStartObject();
      g.writeStringField("thingName", thing);
      g.writeStringField("behavior", behavior);
      g.writeStringField("violationEventType", raised ? "in-alarm" : "alarm-cleared");
      g.writeNumberField("violationEventTime", time);
      g.writeNumberField("violationStartTime", start);
      g.writeNumberField("datapoints", datapoints);
      g.writeNumberField("partition", partition);
      g.writeNumberField("offset", offset);
      g.writeEndObject();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return out.toByteArray();
  }
}
