/* cart_tests.c — what a cart does, command by command, without a broker. */
#include "cart.h"

#include <alluvium/behavior_test.h>

#define DAY_MS (INT64_C(24) * 3600 * 1000)

static void put_tea(alv_test *test)
{
    alv_test_given(test, ALV_JSON({"status": "open", "orders": 0,
                                   "items": [{"sku": "tea", "quantity": 2, "price": 5}]}));
}

static void adds_and_removes(alv_test *test)
{
    alv_test_when(test, ALV_JSON({"type": "add", "sku": "tea", "quantity": 2, "price": 5}));
    alv_test_expect_reply(test, ALV_JSON({"items": 1}));
    alv_test_when(test, ALV_JSON({"type": "add", "sku": "mug", "quantity": 1, "price": 7}));
    alv_test_when(test, ALV_JSON({"type": "add", "sku": "tea", "quantity": 1, "price": 4}));
    alv_test_expect_state(test, ALV_JSON({"status": "open", "orders": 0,
                                          "items": [{"sku": "mug", "quantity": 1, "price": 7},
                                                    {"sku": "tea", "quantity": 3, "price": 4}]}));
    alv_test_when(test, ALV_JSON({"type": "remove", "sku": "mug"}));
    alv_test_expect_reply(test, ALV_JSON({"items": 1}));
    alv_test_when(test, ALV_JSON({"type": "remove", "sku": "mug"}));
    alv_test_expect_rejected(test, "there is none in the cart");
    alv_test_expect_nothing_more(test);
}

static void takes_no_more_than_it_can_count(alv_test *test)
{
    put_tea(test);
    alv_test_when(test, ALV_JSON({"type": "add", "sku": "tea", "quantity": 999, "price": 5}));
    alv_test_expect_rejected(test, "at most 100 items of 1000 pieces, 1000000 each");
    alv_test_when(test, ALV_JSON({"type": "add", "sku": "tea", "quantity": 0, "price": 5}));
    alv_test_expect_dead_letter(test, "bad-field");
}

static void an_order_is_paid_and_placed_once(alv_test *test)
{
    put_tea(test);
    alv_test_when(test, ALV_JSON({"type": "checkout"}));
    alv_test_expect_reply(test, ALV_JSON({"total": 10}));
    alv_test_expect_emitted(test, "mall-1:ada",
                            ALV_JSON({"type": "deduct_balance", "amount": 10}), "cart/mall-1:ada/1",
                                     "settled");
    alv_test_expect_nothing_more(test);
    alv_test_when(test, ALV_JSON({"type": "checkout"}));
    alv_test_expect_rejected(test, "the cart is being paid");

    alv_test_on_reply(test, "mall-1:ada", ALV_JSON({"event": "balance_deducted", "balance": 90}));
    alv_test_expect_published(test,
                              ALV_JSON({"event": "order_placed", "order": 1, "total": 10,
                                              "items": [{"sku": "tea", "quantity": 2,
                                                         "price": 5}]}));
    alv_test_expect_state(test, ALV_JSON({"status": "open", "orders": 1, "items": []}));
    alv_test_expect_nothing_more(test);
    alv_test_when(test, ALV_JSON({"type": "checkout"}));
    alv_test_expect_rejected(test, "the cart is empty");
}

static void who_cannot_pay_keeps_the_items(alv_test *test)
{
    put_tea(test);
    alv_test_when(test, ALV_JSON({"type": "checkout"}));
    alv_test_on_refusal(test, "mall-1:ada", "balance too small");
    alv_test_expect_state(test, ALV_JSON({"status": "open", "orders": 0,
                                          "items": [{"sku": "tea", "quantity": 2, "price": 5}]}));
    alv_test_expect_timer(test, "abandoned", ALV_TEST_START_MS + DAY_MS,
                          ALV_JSON({"type": "abandon"}));
    alv_test_expect_nothing_more(test);
}

/* Only the entity that was asked can say that it has paid, and only while it is asked. */
static void nobody_else_can_pay(alv_test *test)
{
    put_tea(test);
    alv_test_when(test, ALV_JSON({"type": "checkout"}));
    alv_test_when_from(
        test, "mall-1:eve", NULL,
        ALV_JSON({"type": "settled", "accepted": true,
                                 "idempotencyKey": "cart/mall-1:ada/1"}));
    alv_test_expect_nothing_more(test);
    alv_test_when_from(
        test, "mall-1:ada", NULL,
        ALV_JSON({"type": "settled", "accepted": true,
                                 "idempotencyKey": "cart/mall-1:ada/7"}));
    alv_test_expect_nothing_more(test);
    alv_test_expect_state(test, ALV_JSON({"status": "paying", "orders": 0,
                                          "items": [{"sku": "tea", "quantity": 2, "price": 5}]}));
}

static void a_cart_is_abandoned_a_day_after_its_last_change(alv_test *test)
{
    alv_test_when(test, ALV_JSON({"type": "add", "sku": "tea", "quantity": 1, "price": 5}));
    alv_test_at(test, ALV_TEST_START_MS + 1000);
    alv_test_when(test, ALV_JSON({"type": "add", "sku": "tea", "quantity": 1, "price": 5}));
    alv_test_expect_timer(test, "abandoned", ALV_TEST_START_MS + 1000 + DAY_MS,
                          ALV_JSON({"type": "abandon"}));
    alv_test_when(test,
                  ALV_JSON({"type": "abandon"})); /* from outside: it is for the timer to say */
    alv_test_expect_nothing_more(test);

    alv_test_run_timer(test, "abandoned");
    alv_test_expect_published(test,
                              ALV_JSON({"event": "cart_abandoned",
                                              "items": [{"sku": "tea", "quantity": 2,
                                                         "price": 5}]}));
    alv_test_expect_state(test, ALV_JSON({"status": "open", "orders": 0, "items": []}));
    alv_test_expect_no_timer(test, NULL);
    alv_test_expect_nothing_more(test);
}

static void states_of_version_1_go_on(alv_test *test)
{
    alv_test_given_version(
        test, 1,
        ALV_JSON({"status": "open", "orders": 3,
                                              "items": ["tea", "mug", "tea"],
                                              "prices": {"tea": 5, "mug": 7}}));
    alv_test_when(test, ALV_JSON({"type": "checkout"}));
    alv_test_expect_reply(test, ALV_JSON({"total": 17}));
    alv_test_expect_state(test, ALV_JSON({"status": "paying", "orders": 3,
                                          "items": [{"sku": "tea", "quantity": 2, "price": 5},
                                                    {"sku": "mug", "quantity": 1, "price": 7}]}));
}

const alv_test_case cart_tests[CART_TESTS] = {
    {"adds and removes", &cart_behavior, "cart/mall-1:ada", adds_and_removes},
    {"takes no more than it can count", &cart_behavior, "cart/mall-1:ada",
     takes_no_more_than_it_can_count},
    {"an order is paid and placed once", &cart_behavior, "cart/mall-1:ada",
     an_order_is_paid_and_placed_once},
    {"who cannot pay keeps the items", &cart_behavior, "cart/mall-1:ada",
     who_cannot_pay_keeps_the_items},
    {"nobody else can pay", &cart_behavior, "cart/mall-1:ada", nobody_else_can_pay},
    {"a cart is abandoned a day after its last change", &cart_behavior, "cart/mall-1:ada",
     a_cart_is_abandoned_a_day_after_its_last_change},
    {"states of version 1 go on", &cart_behavior, "cart/mall-1:ada", states_of_version_1_go_on},
};
