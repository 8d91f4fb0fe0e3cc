package andon.peers;

import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.EmitStrategy;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Suppressed;
import org.apache.kafka.streams.kstream.Suppressed.BufferConfig;
import org.apache.kafka.streams.kstream.TimeWindowedKStream;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.Windowed;
import org.apache.kafka.streams.state.BuiltInDslStoreSuppliers;

/** The jobs in the Kafka Streams DSL. Event time is the record's timestamp, the default. The key is the asset, so nothing is repartitioned. */
public final class StreamsPeer {
  /** Count and sum of one window, 16 bytes in the store. */
  private record Mean(long count, double sum) {}

  public static void main(String[] args) throws InterruptedException {
    Options o = new Options(args);
    StreamsBuilder builder = new StreamsBuilder();
    if (o.get("job").equals("map")) {
      builder.stream(o.get("input"), Consumed.with(Serdes.ByteArray(), Serdes.ByteArray()))
          .mapValues(Json::map)
          .filter((key, value) -> value != null)
          .to(o.get("output"), Produced.with(Serdes.ByteArray(), Serdes.ByteArray()));
    } else {
      windows(o, builder);
    }
    KafkaStreams streams = new KafkaStreams(builder.build(), config(o));
    CountDownLatch stopped = new CountDownLatch(1);
    streams.setUncaughtExceptionHandler(
        e -> {
          e.printStackTrace();
          Runtime.getRuntime().halt(1);
          return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
    Runtime.getRuntime()
        .addShutdownHook(
            new Thread(
                () -> {
                  streams.close(Duration.ofSeconds(5));
                  stopped.countDown();
                }));
    streams.start();
    stopped.await();
  }

  private static void windows(Options o, StreamsBuilder builder) {
    TimeWindows windows = TimeWindows.ofSizeAndGrace(o.millis("size-ms"), o.millis("lateness-ms"));
    if (o.get("job").equals("sliding")) {
      windows = windows.advanceBy(o.millis("slide-ms"));
    }
    boolean atClose = o.get("emit").equals("close");
    TimeWindowedKStream<String, Double> grouped =
        builder.stream(o.get("input"), Consumed.with(Serdes.String(), Serdes.serdeFrom(Serdes.Double().serializer(), value())))
            .groupByKey(Grouped.with(Serdes.String(), Serdes.Double()))
            .windowedBy(windows);
    if (atClose) {
      grouped = grouped.emitStrategy(EmitStrategy.onWindowClose());
    }
    KTable<Windowed<String>, Mean> means =
        grouped.aggregate(() -> new Mean(0, 0), (asset, v, m) -> new Mean(m.count + 1, m.sum + v), Materialized.with(Serdes.String(), mean()));
    if (!atClose) {
      means = means.suppress(Suppressed.untilWindowCloses(BufferConfig.unbounded()));
    }
    means
        .toStream()
        .map((w, m) -> KeyValue.pair(w.key(), Json.window(w.key(), w.window().start(), m.count, m.sum / m.count)))
        .to(o.get("output"), Produced.with(Serdes.String(), Serdes.ByteArray()));
  }

  private static Deserializer<Double> value() {
    return (topic, data) -> Json.read(data).value();
  }

  private static Serde<Mean> mean() {
    return Serdes.serdeFrom(
        (topic, m) -> m == null ? null : ByteBuffer.allocate(16).putLong(m.count).putDouble(m.sum).array(),
        (topic, data) -> {
          if (data == null) {
            return null;
          }
          ByteBuffer b = ByteBuffer.wrap(data);
          return new Mean(b.getLong(), b.getDouble());
        });
  }

  private static Properties config(Options o) {
    Properties p = new Properties();
    p.put(StreamsConfig.APPLICATION_ID_CONFIG, o.get("group"));
    p.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, o.get("brokers"));
    p.put(StreamsConfig.STATE_DIR_CONFIG, o.get("dir"));
    p.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, o.exactlyOnce() ? StreamsConfig.EXACTLY_ONCE_V2 : StreamsConfig.AT_LEAST_ONCE);
    p.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, o.number("parallelism"));
    p.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, o.millis("interval-ms").toMillis());
    // The default cache of 10 MB does not hold the open windows, so that each update would go to the changelog.
    p.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 128L << 20);
    if (o.get("store").equals("memory")) {
      p.put(StreamsConfig.DSL_STORE_SUPPLIERS_CLASS_CONFIG, BuiltInDslStoreSuppliers.InMemoryDslStoreSuppliers.class);
    }
    p.put(StreamsConfig.TOPOLOGY_OPTIMIZATION_CONFIG, StreamsConfig.OPTIMIZE);
    p.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
    p.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
    p.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 5000);
    p.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG), 4 << 20);
    p.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
    p.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 256 << 10);
    p.put(StreamsConfig.producerPrefix(ProducerConfig.BUFFER_MEMORY_CONFIG), 64L << 20);
    return p;
  }
}
