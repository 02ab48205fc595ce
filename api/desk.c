#include "api/desk.h"

#include <string.h>

#include "api/desk_internal.h"
#include "api/http_limits.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/logger.h"

/* With nothing to wait for, the thread only waits to be woken. */
#define DESK_IDLE_MS 1000

/* While a stop waits for the last replies, main looks this often whether they are there. */
#define DESK_DRAIN_LOOK_MS 10

int64_t alv_desk_now_us(const alv_desk *desk)
{
    return alv_monotonic_us(desk->options.clock);
}

void alv_desk_answer(alv_desk *desk, int32_t shard, alv_exchange *exchange, alv_answer *answer)
{
    alv_desk_share_leave(desk->share, shard); /* before, so that who is answered finds room */
    alv_exchange_answer(exchange, answer);
}

/* ---- messages -------------------------------------------------------------------------------- */

/* Commands are not freed here: somebody waits for each. */
void alv_desk_free_message(void *payload)
{
    desk_message *message = payload;
    alv_reply_box_done(&message->box);
    alv_bytes_done(&message->text);
    alv_desk_free_parcel(message->parcel);
    alv_free(message);
}

bool alv_desk_post(alv_desk *desk, desk_message *message)
{
    if (alv_inbox_try_post(desk->inbox, message)) {
        return true;
    }
    alv_desk_free_message(message);
    return false;
}

static void desk_take(alv_desk *desk, desk_message *message)
{
    switch (message->kind) {
    case DESK_COMMAND:
        alv_desk_produce(desk, &message->command);
        break;
    case DESK_REPLIES:
        alv_desk_deliver(desk, &message->box);
        break;
    case DESK_REPLIES_TEXT:
        alv_desk_deliver_text(desk, alv_bytes_view(&message->text));
        break;
    case DESK_UNSENT:
        alv_desk_send_again(desk, message->parcel);
        message->parcel = NULL;
        break;
    }
    alv_desk_free_message(message);
}

static void desk_take_inbox(alv_desk *desk)
{
    desk_message *message = NULL;
    while ((message = alv_inbox_take(desk->inbox)) != NULL) {
        desk_take(desk, message);
    }
}

/* ---- the thread ------------------------------------------------------------------------------ */

/* Gives up those who have waited long enough, or all. */
static void desk_give_up(alv_desk *desk, int64_t now_us, bool stopping)
{
    uint64_t ticket = 0;
    while (alv_desk_waiting_first(desk->waiting, &ticket)) {
        alv_desk_entry *first = alv_desk_waiting_get(desk->waiting, ticket);
        if (!stopping && first->deadline_us > now_us) {
            return;
        }
        alv_desk_entry entry;
        (void)alv_desk_waiting_take(desk->waiting, ticket, &entry); /* it is there */
        if (entry.offset != ALV_OFFSET_NONE) {
            alv_desk_share_late(desk->share, entry.shard);
        }
        alv_desk_give_up(desk, &entry, stopping);
    }
}

/* Milliseconds until something is due. */
static int desk_wait_ms(alv_desk *desk)
{
    int wait_ms = alv_desk_send_due(desk);
    uint64_t ticket = 0;
    if (wait_ms < 0 || wait_ms > DESK_IDLE_MS) {
        wait_ms = DESK_IDLE_MS;
    }
    if (alv_desk_waiting_first(desk->waiting, &ticket)) {
        int64_t left_us =
            alv_desk_waiting_get(desk->waiting, ticket)->deadline_us - alv_desk_now_us(desk);
        int64_t left_ms = left_us > 0 ? left_us / 1000 + 1 : 0;
        wait_ms = left_ms < wait_ms ? (int)left_ms : wait_ms;
    }
    return wait_ms;
}

/* One turn: 1. what came in; 2. what is overdue; 3. wait, for acknowledgements and for more. */
static void desk_turn(alv_desk *desk)
{
    desk_take_inbox(desk);
    desk_give_up(desk, alv_desk_now_us(desk), false);
    int wait_ms = desk_wait_ms(desk);
    if (desk->sender != NULL) {
        desk->sender->ops->serve(desk->sender, wait_ms);
    } else {
        (void)alv_inbox_wait(desk->inbox, wait_ms);
    }
}

static void *desk_run(void *payload)
{
    alv_desk *desk = payload;
    alv_log_set_thread("http-desk");
    while (!alv_inbox_is_closed(desk->inbox)) {
        desk_turn(desk);
    }
    desk_take_inbox(desk);
    desk_give_up(desk, 0, true);
    return NULL;
}

/* The inbox wakes who waits in it by itself. */
static void desk_wake(void *payload)
{
    alv_desk *desk = payload;
    if (desk->sender != NULL) {
        desk->sender->ops->wake(desk->sender);
    }
}

/* ---- what others call ------------------------------------------------------------------------ */

void alv_desk_replied(alv_desk *desk, alv_reply_box *box)
{
    desk_message *message = alv_alloc(sizeof *message);
    message->kind = DESK_REPLIES;
    alv_reply_box_take(box, &message->box);
    if (!alv_desk_post(desk, message)) {
        alv_log(ALV_LOG_WARN, "replies-dropped", "msg=\"the reply desk is behind or has closed\"");
    }
}

void alv_desk_take_replies(alv_desk *desk, alv_exchange *exchange)
{
    desk_message *message = alv_alloc(sizeof *message);
    message->kind = DESK_REPLIES_TEXT;
    alv_exchange_take_body(exchange, &message->text);
    alv_answer answer = ALV_ANSWER_NONE;
    if (alv_desk_post(desk, message)) {
        alv_answer_begin_json(&answer, 200);
        alv_bytes_append_text(&answer.body, "{}");
    } else {
        alv_answer_set_problem(&answer, 503, "this node's reply desk is behind or has closed");
    }
    alv_exchange_answer(exchange, &answer);
}

/* ---- life ------------------------------------------------------------------------------------ */

alv_status alv_desk_start(const alv_desk_options *options, alv_desk **out, alv_error *err)
{
    alv_desk *desk = alv_alloc(sizeof *desk);
    desk->options = *options;
    desk->waiting = alv_desk_waiting_new();
    desk->share = alv_desk_share_new(options->shard_count);
    desk->inbox =
        alv_inbox_new(ALV_HTTP_COMMANDS_MAX + ALV_INBOX_MESSAGES_MAX, alv_desk_free_message);
    alv_log_port *log = options->log;
    alv_status status =
        log == NULL ? ALV_OK : log->ops->open_sender(log, "http", &desk->sender, err);
    if (status != ALV_OK) {
        alv_desk_free(desk);
        return status;
    }
    alv_inbox_set_wake(desk->inbox, desk_wake, desk);
    int code = pthread_create(&desk->thread, NULL, desk_run, desk);
    desk->started = code == 0;
    if (code != 0) {
        alv_desk_free(desk);
        return alv_fail_from(err, ALV_FATAL, "errno", code, "no thread: %s", strerror(code));
    }
    *out = desk;
    return ALV_OK;
}

/* The lanes of this node have left: what waits is executed elsewhere, within the time a hand-over takes,
 * and whoever waits should not take a planned stop for an error. */
static void desk_drain(alv_desk *desk)
{
    int64_t until_us = alv_desk_now_us(desk) + ALV_HTTP_COMMANDS_DRAIN_MS * 1000;
    alv_inbox *nothing = alv_inbox_new(1, NULL);
    while ((alv_desk_share_under_way(desk->share) > 0 || atomic_load(&desk->parcels) > 0) &&
           alv_desk_now_us(desk) < until_us) {
        (void)alv_inbox_wait(nothing, DESK_DRAIN_LOOK_MS);
    }
    alv_inbox_free(nothing);
}

void alv_desk_stop(alv_desk *desk)
{
    if (!desk->started) {
        return;
    }
    atomic_store(&desk->draining, true);
    desk_drain(desk);
    alv_inbox_close(desk->inbox);
    desk_wake(desk);
    int failed = pthread_join(desk->thread, NULL);
    ALV_ASSERT(failed == 0);
    desk->started = false;
}

void alv_desk_free(alv_desk *desk)
{
    if (desk == NULL) {
        return;
    }
    alv_desk_stop(desk);
    if (desk->sender != NULL) {
        desk->sender->ops->close(desk->sender); /* its last callbacks find nobody who waits */
    }
    while (desk->unsent != NULL) {
        desk_parcel *parcel = desk->unsent;
        desk->unsent = parcel->next;
        alv_desk_free_parcel(parcel);
    }
    alv_inbox_free(desk->inbox);
    alv_desk_waiting_free(desk->waiting);
    alv_desk_share_free(desk->share);
    alv_bytes_done(&desk->scratch);
    alv_free(desk);
}
