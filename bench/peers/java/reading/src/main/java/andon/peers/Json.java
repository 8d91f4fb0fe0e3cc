package andon.peers;

import com.fasterxml.jackson.core.JsonEncoding;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonFactoryBuilder;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.core.StreamWriteFeature;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;

/**
 * Reads records and writes results with Jackson's streaming API, the fastest one it has: no tree, no data binding, the fast number parser and writer. A
 * record is always read to its end, as a reader that must refuse a broken record has to.
 */
public final class Json {
  /** The field whose mean is taken and that the map job looks at. */
  public static final String FIELD = "s_5";

  /** The map job lets readings below it pass, nine of ten. */
  public static final double LIMIT = 910;

  private static final JsonFactory FACTORY =
      new JsonFactoryBuilder().enable(StreamReadFeature.USE_FAST_DOUBLE_PARSER).enable(StreamWriteFeature.USE_FAST_DOUBLE_WRITER).build();

  private Json() {}

  /** What a window needs of a record. */
  public record Reading(String asset, double value) {}

  public static Reading read(byte[] data) {
    String asset = null;
    double value = Double.NaN;
    try (JsonParser p = FACTORY.createParser(data)) {
      p.nextToken();
      for (String name = p.nextFieldName(); name != null; name = p.nextFieldName()) {
        p.nextToken();
        switch (name) {
          case "asset" -> asset = p.getText();
          case FIELD -> value = p.getDoubleValue();
          default -> p.skipChildren();
        }
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return new Reading(asset, value);
  }

  /** The record with the field s_5_f added, or null for one that is filtered out. Numbers that are only passed on keep their text. */
  public static byte[] map(byte[] data) {
    double value = Double.NaN;
    ByteArrayOutputStream out = new ByteArrayOutputStream(data.length + 40);
    try (JsonParser p = FACTORY.createParser(data);
        JsonGenerator g = FACTORY.createGenerator(out, JsonEncoding.UTF8)) {
      p.nextToken();
      g.writeStartObject();
      for (String name = p.nextFieldName(); name != null; name = p.nextFieldName()) {
        g.writeFieldName(name);
        JsonToken t = p.nextToken();
        if (t != JsonToken.VALUE_NUMBER_INT && t != JsonToken.VALUE_NUMBER_FLOAT) {
          g.copyCurrentStructure(p);
          continue;
        }
        g.writeNumber(p.getTextCharacters(), p.getTextOffset(), p.getTextLength());
        if (name.equals(FIELD)) {
          value = p.getDoubleValue();
          if (value >= LIMIT) {
            return null;
          }
        }
      }
      g.writeNumberField(FIELD + "_f", value * 1.8 + 32);
      g.writeEndObject();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return out.toByteArray();
  }

  public static byte[] window(String asset, long start, long count, double mean) {
    ByteArrayOutputStream out = new ByteArrayOutputStream(120);
    try (JsonGenerator g = FACTORY.createGenerator(out, JsonEncoding.UTF8)) {
      g.writeStartObject();
      g.writeStringField("asset", asset);
      g.writeNumberField("start", start);
      g.writeNumberField("count", count);
      g.writeNumberField("mean", mean);
      g.writeEndObject();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return out.toByteArray();
  }
}
