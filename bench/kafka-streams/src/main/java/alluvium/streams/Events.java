package alluvium.streams;

import java.util.Collection;
import java.util.Map;
import java.util.Set;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentSkipListSet;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.TaskMetadata;
import org.apache.kafka.streams.ThreadMetadata;
import org.apache.kafka.streams.processor.StandbyUpdateListener;
import org.apache.kafka.streams.processor.StateRestoreListener;
import org.apache.kafka.streams.processor.TaskId;

/**
 * Says on stdout what a program that measures wants to know, one JSON object per line:
 *
 * <ul>
 * <li>{"event":"state",...} the client's state; RUNNING means that every task it executes is restored
 * <li>{"event":"restored",...} a partition of the changelog has been read to its end: how many records
 *     of all partitions have been restored by now, and how long ago the first of them began
 * <li>{"event":"tasks",...} the partitions it executes and those it follows, whenever that changes;
 *     "hot" are those of the latter that are almost as far as the changelog
 * </ul>
 */
final class Events
        implements KafkaStreams.StateListener, StateRestoreListener, StandbyUpdateListener {
    private static final int WATCH_MS = 20;
    private static final long HOT_RECORDS = 100;

    private final KafkaStreams streams;
    private final AtomicLong restored = new AtomicLong();
    private final Set<Integer> hot = new ConcurrentSkipListSet<>();
    private volatile String state = "CREATED";
    private long restoreBegan; /* ns; guarded by this, as is restoring */
    private boolean restoring;
    private Map<String, Object> lastTasks = Map.of();

    Events(KafkaStreams streams) {
        this.streams = streams;
    }

    private static synchronized void say(String event, Map<String, Object> fields) {
        Map<String, Object> line = new TreeMap<>(fields);
        line.put("event", event);
        line.put("at_ms", System.currentTimeMillis());
        System.out.println(new String(Json.bytes(line)));
    }

    @Override
    public void onChange(KafkaStreams.State now, KafkaStreams.State before) {
        state = now.name();
        say("state", Map.of("state", state));
    }

    /* ---- restores ---- */

    @Override
    public synchronized void onRestoreStart(TopicPartition partition, String store, long from,
            long to) {
        if (!restoring) {
            restoring = true;
            restoreBegan = System.nanoTime();
        }
    }

    @Override
    public void onBatchRestored(TopicPartition partition, String store, long to, long count) {
        restored.addAndGet(count);
    }

    @Override
    public synchronized void onRestoreEnd(TopicPartition partition, String store, long count) {
        long ms = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - restoreBegan);
        say("restored", Map.of("partition", partition.partition(), "records", restored.get(),
            "ms", ms));
    }

    /* ---- standbys ---- */

    @Override
    public void onUpdateStart(TopicPartition partition, String store, long from) {
        hot.remove(partition.partition());
    }

    @Override
    public void onBatchLoaded(TopicPartition partition, String store, TaskId task, long to,
            long count, long end) {
        if (end - to <= HOT_RECORDS) {
            hot.add(partition.partition());
        }
    }

    @Override
    public void onUpdateSuspended(TopicPartition partition, String store, long to, long end,
            StandbyUpdateListener.SuspendReason reason) {
        hot.remove(partition.partition());
    }

    /* ---- tasks ---- */

    /** Looks again and again until the program has ended. */
    void watch(CountDownLatch ended) throws InterruptedException {
        do {
            Map<String, Object> tasks = tasks();
            if (!tasks.equals(lastTasks)) {
                lastTasks = tasks;
                say("tasks", tasks);
            }
        } while (!ended.await(WATCH_MS, TimeUnit.MILLISECONDS));
    }

    private Map<String, Object> tasks() {
        SortedSet<Integer> active = new TreeSet<>();
        SortedSet<Integer> standby = new TreeSet<>();
        if (state.equals("RUNNING") || state.equals("REBALANCING")) {
            for (ThreadMetadata thread : streams.metadataForLocalThreads()) {
                addPartitions(thread.activeTasks(), active);
                addPartitions(thread.standbyTasks(), standby);
            }
        }
        SortedSet<Integer> ready = new TreeSet<>(standby);
        ready.retainAll(hot);
        return Map.of("state", state, "active", active, "standby", standby, "hot", ready);
    }

    private static void addPartitions(Collection<TaskMetadata> tasks, Set<Integer> to) {
        tasks.forEach(task -> to.add(task.taskId().partition()));
    }
}
