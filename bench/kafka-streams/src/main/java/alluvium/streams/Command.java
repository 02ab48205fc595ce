package alluvium.streams;

/** The value of a command's record: the fields of all commands together. */
public final class Command {
    public String type;
    public Long time;
    public Long amount;
    public String transferId;
    public String productId;
    public Boolean optIn;
    public String nickname;

    /** The field, or the reason why the command cannot be executed. */
    static <T> T required(T field, String name) throws BadCommand {
        if (field == null) {
            throw new BadCommand("bad-field", name + " is missing");
        }
        return field;
    }

    long positiveAmount() throws BadCommand {
        if (required(amount, "amount") <= 0) {
            throw new BadCommand("bad-field", "amount must be greater than 0");
        }
        return amount;
    }
}
