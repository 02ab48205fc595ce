package alluvium.streams;

import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Collections;
import java.util.Map;

/** What a command does to a user: the same as behaviors/user.c. */
final class UserBehavior {
    private static final DateTimeFormatter TIME =
        DateTimeFormatter.ofPattern("uuuu-MM-dd'T'HH:mm:ss.SSS'Z'").withZone(ZoneOffset.UTC);
    /** The first and the last millisecond of the years 0 to 9999. */
    private static final long TIME_MIN = Instant.parse("0000-01-01T00:00:00Z").toEpochMilli();
    private static final long TIME_MAX = Instant.parse("9999-12-31T23:59:59.999Z").toEpochMilli();

    enum Effect { NONE, CHANGED, DELETED }

    /** What came out. {@code user} is the state afterwards when it has changed. */
    record Outcome(Effect effect, User user, Map<String, Object> reply) {
        static Outcome rejected(String why) {
            return new Outcome(Effect.NONE, null, Map.of("error", why));
        }

        static Outcome changed(User user, String event) {
            return new Outcome(Effect.CHANGED, user, Map.of("event", event));
        }
    }

    private UserBehavior() {
    }

    /** {@code before} is null when there is no such user. It is changed in place, also by a command
     * that is refused in the end: the store has a copy of its own. */
    static Outcome apply(String key, User before, Command command, long recordTime)
            throws BadCommand {
        return switch (command.type) {
            case "get_user_state" ->
                new Outcome(Effect.NONE, null, Collections.singletonMap("state", before));
            case "delete_user" -> new Outcome(before == null ? Effect.NONE : Effect.DELETED, null,
                Map.of("event", "deleted"));
            default -> change(before == null ? User.start(key) : before, command, recordTime);
        };
    }

    private static Outcome change(User user, Command command, long recordTime) throws BadCommand {
        long at = command.time != null ? command.time : recordTime;
        if (at < TIME_MIN || at > TIME_MAX) {
            return Outcome.rejected("time " + at + " is outside the years 0 to 9999");
        }
        String time = TIME.format(Instant.ofEpochMilli(at));
        Outcome outcome = switch (command.type) {
            case "login" -> {
                user.lastLogin = time;
                yield Outcome.changed(user, "login");
            }
            case "use_cart" -> {
                user.lastCartUsedTime = time;
                yield Outcome.changed(user, "cart_used");
            }
            case "view_product" -> {
                user.view(Command.required(command.productId, "productId"));
                yield Outcome.changed(user, "product_viewed");
            }
            case "set_marketing_opt_in" -> {
                user.marketingOptIn = Command.required(command.optIn, "optIn");
                yield Outcome.changed(user, "marketing_opt_in_set");
            }
            case "update_profile" -> {
                user.nickname = Command.required(command.nickname, "nickname");
                yield Outcome.changed(user, "profile_updated");
            }
            case "add_balance" -> credit(user, command.positiveAmount(), "balance_added");
            case "refund_balance" -> credit(user, command.positiveAmount(), "balance_refunded");
            case "deduct_balance" -> debit(user, command.positiveAmount());
            default -> throw new BadCommand("unknown-type", "there is no command " + command.type);
        };
        user.lastEventTime = time;
        return outcome;
    }

    private static Outcome credit(User user, long amount, String event) {
        if (user.balance > Long.MAX_VALUE - amount) {
            return Outcome.rejected("balance too large");
        }
        return balance(user, user.balance + amount, event);
    }

    private static Outcome debit(User user, long amount) {
        if (user.balance < amount) {
            return Outcome.rejected("insufficient balance");
        }
        return balance(user, user.balance - amount, "balance_deducted");
    }

    private static Outcome balance(User user, long balance, String event) {
        user.balance = balance;
        return new Outcome(Effect.CHANGED, user, Map.of("event", event, "balance", balance));
    }
}
