package alluvium.streams;

/** What is wrong with a record: it becomes a dead letter. */
final class BadCommand extends Exception {
    private static final long serialVersionUID = 1L;

    final String reason;

    BadCommand(String reason, String detail) {
        super(detail, null, false, false);
        this.reason = reason;
    }
}
