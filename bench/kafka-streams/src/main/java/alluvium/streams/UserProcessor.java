package alluvium.streams;

import java.nio.charset.StandardCharsets;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/** One command after another: read the user, apply, write the user, answer who asked. */
final class UserProcessor implements Processor<String, byte[], String, byte[]> {
    static final String STORE = "users";
    static final String REPLIES = "replies";
    static final String DEAD_LETTERS = "dead-letters";
    private static final int KEY_BYTES_MAX = 512;

    private ProcessorContext<String, byte[]> context;
    private KeyValueStore<String, User> users;

    @Override
    public void init(ProcessorContext<String, byte[]> context) {
        this.context = context;
        this.users = context.getStateStore(STORE);
    }

    @Override
    public void process(Record<String, byte[]> record) {
        try {
            String key = checkedKey(record.key());
            Command command = Json.command(record.value());
            UserBehavior.Outcome outcome =
                UserBehavior.apply(key, users.get(key), command, record.timestamp());
            switch (outcome.effect()) {
                case CHANGED -> users.put(key, outcome.user());
                case DELETED -> users.delete(key);
                case NONE -> { }
            }
            reply(record, outcome);
        } catch (BadCommand e) {
            bury(record, e);
        }
    }

    private static String checkedKey(String key) throws BadCommand {
        if (key == null || key.isEmpty()) {
            throw new BadCommand("no-key", "there is no key");
        }
        /* A character takes three bytes at most: the bytes of a short key need not be counted. */
        if (key.length() > KEY_BYTES_MAX / 3
            && key.getBytes(StandardCharsets.UTF_8).length > KEY_BYTES_MAX) {
            throw new BadCommand("key-too-long", "the key is longer than " + KEY_BYTES_MAX);
        }
        if (!User.accepts(key)) {
            throw new BadCommand("bad-key", "a user's key is mall:user");
        }
        return key;
    }

    /** Who set both headers waits for a reply, under the correlation id. */
    private void reply(Record<String, byte[]> record, UserBehavior.Outcome outcome) {
        Header replyTo = record.headers().lastHeader("reply-to");
        Header correlation = record.headers().lastHeader("correlation-id");
        if (replyTo == null || correlation == null) {
            return;
        }
        String id = new String(correlation.value(), StandardCharsets.UTF_8);
        Headers headers = new RecordHeaders().add(replyTo);
        context.forward(
            new Record<>(id, Json.bytes(outcome.reply()), record.timestamp(), headers), REPLIES);
    }

    /** The command as it came, with what is wrong with it. */
    private void bury(Record<String, byte[]> record, BadCommand why) {
        Headers headers = new RecordHeaders(record.headers())
            .add("reason", why.reason.getBytes(StandardCharsets.UTF_8))
            .add("detail", String.valueOf(why.getMessage()).getBytes(StandardCharsets.UTF_8));
        context.forward(record.withHeaders(headers), DEAD_LETTERS);
    }
}
