package alluvium.streams;

import java.time.Duration;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.CloseOptions;
import org.apache.kafka.streams.CloseOptions.GroupMembershipOperation;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/**
 * The program: reads its settings, runs until SIGTERM, and says on stdout what happens (see Events).
 *
 * <p>An argument is name=value. The names of the program are in OWN; every other one is a setting of
 * Kafka Streams or of its clients, such as num.stream.threads, commit.interval.ms, state.dir.
 */
public final class Main {
    private static final String CLOSE_TIMEOUT = "close.timeout.ms";

    /** Settings of the program itself, with their defaults. */
    private static final Map<String, String> OWN = Map.of(
        "topics", "alluvium", /* prefix of the topics commands, replies and dead-letters */
        "caching", "false", /* a record cache before the store, of statestore.cache.max.bytes */
        CLOSE_TIMEOUT, "20000");

    private Main() {
    }

    static Topology topology(Map<String, String> own) {
        String topics = own.get("topics");
        StoreBuilder<?> users = users(Boolean.parseBoolean(own.get("caching")));
        return new Topology()
            .addSource("commands", Serdes.String().deserializer(),
                Serdes.ByteArray().deserializer(), topics + ".commands")
            .addProcessor("user", UserProcessor::new, "commands")
            .addStateStore(users, "user")
            .addSink(UserProcessor.REPLIES, topics + ".replies", Serdes.String().serializer(),
                Serdes.ByteArray().serializer(), "user")
            .addSink(UserProcessor.DEAD_LETTERS, topics + ".dead-letters",
                Serdes.String().serializer(), Serdes.ByteArray().serializer(), "user");
    }

    /** RocksDB with a compacted changelog topic, application.id + "-users-changelog". */
    private static StoreBuilder<?> users(boolean caching) {
        var builder = Stores.keyValueStoreBuilder(
            Stores.persistentKeyValueStore(UserProcessor.STORE), Serdes.String(), Json.userSerde());
        return caching ? builder.withCachingEnabled() : builder.withCachingDisabled();
    }

    private static Properties defaults() {
        Properties streams = new Properties();
        streams.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, "127.0.0.1:9092");
        streams.put(StreamsConfig.APPLICATION_ID_CONFIG, "alluvium-streams");
        streams.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        streams.put("auto.offset.reset", "earliest");
        return streams;
    }

    /** Sorts the arguments into settings of the program and of Kafka Streams. */
    private static void read(String[] args, Map<String, String> own, Properties streams) {
        for (String arg : args) {
            int equals = arg.indexOf('=');
            if (equals < 1) {
                System.err.println("not name=value: " + arg);
                System.exit(2);
            }
            String name = arg.substring(0, equals);
            String value = arg.substring(equals + 1);
            if (OWN.containsKey(name)) {
                own.put(name, value);
            } else {
                streams.put(name, value);
            }
        }
    }

    public static void main(String[] args) throws InterruptedException {
        Map<String, String> own = new TreeMap<>(OWN);
        Properties settings = defaults();
        read(args, own, settings);
        KafkaStreams streams = new KafkaStreams(topology(own), settings);
        CountDownLatch ended = new CountDownLatch(1);
        Events events = new Events(streams);
        streams.setStateListener(events);
        streams.setGlobalStateRestoreListener(events);
        streams.setStandbyUpdateListener(events);
        streams.setUncaughtExceptionHandler(e -> {
            e.printStackTrace();
            return StreamThreadExceptionResponse.REPLACE_THREAD;
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            streams.close(CloseOptions
                .groupMembershipOperation(GroupMembershipOperation.LEAVE_GROUP)
                .withTimeout(Duration.ofMillis(Long.parseLong(own.get(CLOSE_TIMEOUT)))));
            ended.countDown();
        }));
        streams.start();
        events.watch(ended);
    }
}
