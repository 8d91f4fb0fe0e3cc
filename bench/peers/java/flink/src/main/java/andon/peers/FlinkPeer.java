package andon.peers;

import java.time.Duration;
import java.time.ZoneOffset;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.AggregateFunction;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.PipelineOptions;
import org.apache.flink.configuration.RestOptions;
import org.apache.flink.configuration.StateBackendOptions;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.core.execution.CheckpointingMode;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.windowing.ProcessWindowFunction;
import org.apache.flink.streaming.api.windowing.assigners.SlidingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.assigners.TumblingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.assigners.WindowAssigner;
import org.apache.flink.streaming.api.windowing.windows.TimeWindow;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.api.Schema;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;
import org.apache.flink.types.Row;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;

/**
 * The jobs on Flink, in one process with a local cluster. Windows are made by the DataStream API or, with --api=sql, by window functions of Flink SQL, which
 * share the panes of a sliding window. Event time is the record's timestamp, the default; both sides of the job are the same for both.
 */
public final class FlinkPeer {
  private static final TypeInformation<Tuple2<String, Double>> READING = Types.TUPLE(Types.STRING, Types.DOUBLE);
  private static final TypeInformation<Tuple2<byte[], byte[]>> RECORD =
      Types.TUPLE(PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO, PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO);

  public static void main(String[] args) throws Exception {
    Options o = new Options(args);
    Configuration c = new Configuration();
    c.set(StateBackendOptions.STATE_BACKEND, "hashmap");
    c.set(CheckpointingOptions.CHECKPOINT_STORAGE, "filesystem");
    c.set(CheckpointingOptions.CHECKPOINTS_DIRECTORY, "file://" + o.get("dir") + "/checkpoints");
    c.set(CheckpointingOptions.CHECKPOINTING_INTERVAL, o.millis("interval-ms"));
    c.set(CheckpointingOptions.CHECKPOINTING_CONSISTENCY_MODE, o.exactlyOnce() ? CheckpointingMode.EXACTLY_ONCE : CheckpointingMode.AT_LEAST_ONCE);
    c.set(PipelineOptions.OBJECT_REUSE, true);
    c.set(RestOptions.BIND_PORT, o.get("port"));
    StreamExecutionEnvironment env = StreamExecutionEnvironment.createLocalEnvironment(o.number("parallelism"), c);

    DataStream<Tuple2<byte[], byte[]>> results;
    if (o.get("job").equals("map")) {
      results = env.fromSource(source(o, new MapDecoder()), WatermarkStrategy.noWatermarks(), "records");
    } else {
      DataStream<Tuple2<String, Double>> readings =
          env.fromSource(source(o, new ReadingDecoder()), WatermarkStrategy.forBoundedOutOfOrderness(o.millis("lateness-ms")), "readings");
      results = o.get("api").equals("sql") ? sqlWindows(o, env, readings) : windows(o, readings);
    }
    results.sinkTo(sink(o)).name("results");
    env.execute(o.get("group"));
  }

  private static DataStream<Tuple2<byte[], byte[]>> windows(Options o, DataStream<Tuple2<String, Double>> readings) {
    Duration size = o.millis("size-ms");
    WindowAssigner<Object, TimeWindow> assigner =
        o.get("job").equals("sliding") ? SlidingEventTimeWindows.of(size, o.millis("slide-ms")) : TumblingEventTimeWindows.of(size);
    return readings
        .keyBy(r -> r.f0, Types.STRING)
        .window(assigner)
        .aggregate(new MeanFunction(), new Render(), Types.POJO(Mean.class), Types.POJO(Mean.class), RECORD);
  }

  private static DataStream<Tuple2<byte[], byte[]>> sqlWindows(
      Options o, StreamExecutionEnvironment env, DataStream<Tuple2<String, Double>> readings) {
    StreamTableEnvironment table = StreamTableEnvironment.create(env);
    table.getConfig().setLocalTimeZone(ZoneOffset.UTC);
    table.createTemporaryView(
        "readings",
        readings,
        Schema.newBuilder()
            .column("f0", DataTypes.STRING())
            .column("f1", DataTypes.DOUBLE())
            .columnByMetadata("event_time", DataTypes.TIMESTAMP_LTZ(3), "rowtime")
            .watermark("event_time", "SOURCE_WATERMARK()")
            .build());
    String windows =
        o.get("job").equals("sliding")
            ? "HOP(TABLE readings, DESCRIPTOR(event_time), " + seconds(o, "slide-ms") + ", " + seconds(o, "size-ms") + ")"
            : "TUMBLE(TABLE readings, DESCRIPTOR(event_time), " + seconds(o, "size-ms") + ")";
    DataStream<Row> rows =
        table.toDataStream(
            table.sqlQuery(
                "SELECT f0, window_start, COUNT(*), AVG(f1) FROM TABLE(" + windows + ") GROUP BY f0, window_start, window_end"));
    return rows.map(
            row -> {
              String asset = row.getFieldAs(0);
              java.time.LocalDateTime start = row.getFieldAs(1);
              long count = row.getFieldAs(2);
              double mean = row.getFieldAs(3);
              return Tuple2.of(asset.getBytes(), Json.window(asset, start.toInstant(ZoneOffset.UTC).toEpochMilli(), count, mean));
            })
        .returns(RECORD);
  }

  private static String seconds(Options o, String name) {
    return "INTERVAL '" + o.millis(name).toSeconds() + "' SECONDS";
  }

  private static <T> KafkaSource<T> source(Options o, KafkaRecordDeserializationSchema<T> decoder) {
    return KafkaSource.<T>builder()
        .setBootstrapServers(o.get("brokers"))
        .setTopics(o.get("input"))
        .setGroupId(o.get("group"))
        .setStartingOffsets(OffsetsInitializer.earliest())
        .setDeserializer(decoder)
        .setProperty("partition.discovery.interval.ms", "-1")
        .setProperty("isolation.level", "read_committed")
        .setProperty("max.poll.records", "5000")
        .setProperty("max.partition.fetch.bytes", String.valueOf(4 << 20))
        .build();
  }

  private static KafkaSink<Tuple2<byte[], byte[]>> sink(Options o) {
    String topic = o.get("output");
    KafkaRecordSerializationSchema<Tuple2<byte[], byte[]>> encoder =
        (record, context, timestamp) -> new ProducerRecord<>(topic, null, timestamp == null || timestamp < 0 ? null : timestamp, record.f0, record.f1);
    return KafkaSink.<Tuple2<byte[], byte[]>>builder()
        .setBootstrapServers(o.get("brokers"))
        .setRecordSerializer(encoder)
        .setDeliveryGuarantee(o.exactlyOnce() ? DeliveryGuarantee.EXACTLY_ONCE : DeliveryGuarantee.AT_LEAST_ONCE)
        .setTransactionalIdPrefix(o.get("group"))
        .setProperty("transaction.timeout.ms", "60000")
        .setProperty("compression.type", "lz4")
        .setProperty("linger.ms", "100")
        .setProperty("batch.size", String.valueOf(256 << 10))
        .setProperty("buffer.memory", String.valueOf(64 << 20))
        .build();
  }

  /** Decodes in the source's thread, so that only the asset and the value travel on. */
  private static final class ReadingDecoder implements KafkaRecordDeserializationSchema<Tuple2<String, Double>> {
    @Override
    public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<Tuple2<String, Double>> out) {
      Json.Reading r = Json.read(record.value());
      out.collect(Tuple2.of(r.asset(), r.value()));
    }

    @Override
    public TypeInformation<Tuple2<String, Double>> getProducedType() {
      return READING;
    }
  }

  private static final class MapDecoder implements KafkaRecordDeserializationSchema<Tuple2<byte[], byte[]>> {
    @Override
    public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<Tuple2<byte[], byte[]>> out) {
      byte[] mapped = Json.map(record.value());
      if (mapped != null) {
        out.collect(Tuple2.of(record.key(), mapped));
      }
    }

    @Override
    public TypeInformation<Tuple2<byte[], byte[]>> getProducedType() {
      return RECORD;
    }
  }

  /** The state of one window: changed in place, which the heap state backend allows. */
  public static final class Mean {
    public long count;
    public double sum;
  }

  private static final class MeanFunction implements AggregateFunction<Tuple2<String, Double>, Mean, Mean> {
    @Override
    public Mean createAccumulator() {
      return new Mean();
    }

    @Override
    public Mean add(Tuple2<String, Double> reading, Mean m) {
      m.count++;
      m.sum += reading.f1;
      return m;
    }

    @Override
    public Mean getResult(Mean m) {
      return m;
    }

    @Override
    public Mean merge(Mean a, Mean b) {
      a.count += b.count;
      a.sum += b.sum;
      return a;
    }
  }

  private static final class Render extends ProcessWindowFunction<Mean, Tuple2<byte[], byte[]>, String, TimeWindow> {
    @Override
    public void process(String asset, Context context, Iterable<Mean> means, Collector<Tuple2<byte[], byte[]>> out) {
      Mean m = means.iterator().next();
      out.collect(Tuple2.of(asset.getBytes(), Json.window(asset, context.window().getStart(), m.count, m.sum / m.count)));
    }
  }
}
