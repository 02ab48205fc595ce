package alluvium.streams;

import com.fasterxml.jackson.annotation.JsonPropertyOrder;
import java.util.ArrayList;
import java.util.List;

/** A customer of a mall: the state that is stored, as behaviors/user.c has it. */
@JsonPropertyOrder({"mallId", "userId", "nickname", "balance", "lastLogin", "lastCartUsedTime",
    "recentProducts", "marketingOptIn", "lastEventTime"})
public final class User {
    private static final int RECENT_PRODUCTS_MAX = 3;

    public String mallId;
    public String userId;
    public String nickname;
    public long balance;
    public String lastLogin;
    public String lastCartUsedTime;
    public List<String> recentProducts = new ArrayList<>(RECENT_PRODUCTS_MAX);
    public boolean marketingOptIn;
    public String lastEventTime;

    /** The key is mallId:userId, both not empty; the mall ends at the first colon. */
    static boolean accepts(String key) {
        int colon = key.indexOf(':');
        return colon > 0 && colon + 1 < key.length();
    }

    static User start(String key) {
        User user = new User();
        int colon = key.indexOf(':');
        user.mallId = key.substring(0, colon);
        user.userId = key.substring(colon + 1);
        return user;
    }

    /** Distinct, the newest first, and not too many. */
    void view(String product) {
        recentProducts.remove(product);
        recentProducts.add(0, product);
        if (recentProducts.size() > RECENT_PRODUCTS_MAX) {
            recentProducts.remove(RECENT_PRODUCTS_MAX);
        }
    }
}
