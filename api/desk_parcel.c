/* desk_parcel.c — replies on their way to the nodes that wait for them.
 *
 * A node whose address is not known yet (it has just joined), or that does not answer, is tried again as
 * long as somebody may still wait there. Replies go to members of the group only, whatever a command's
 * headers say.
 */
#include <string.h>

#include "api/desk_internal.h"
#include "api/http_limits.h"
#include "base/alloc.h"
#include "base/logger.h"

#define PARCEL_PATH "/v1/replies"

void alv_desk_free_parcel(desk_parcel *parcel)
{
    if (parcel == NULL) {
        return;
    }
    atomic_fetch_sub(&parcel->desk->parcels, 1);
    alv_bytes_done(&parcel->body);
    alv_free(parcel->node_id);
    alv_free(parcel);
}

static desk_parcel *parcel_new(alv_desk *desk, alv_view node_id)
{
    desk_parcel *parcel = alv_alloc(sizeof *parcel);
    parcel->desk = desk;
    parcel->node_id = alv_strndup(node_id.data, node_id.size);
    parcel->expires_us = alv_desk_now_us(desk) + ALV_HTTP_COMMAND_WAIT_MS * 1000;
    atomic_fetch_add(&desk->parcels, 1);
    return parcel;
}

void alv_desk_pack(alv_desk *desk, desk_parcel **parcels, const alv_result *result)
{
    alv_bytes *text = &desk->scratch;
    alv_bytes_clear(text);
    alv_desk_write_result(result, text);
    desk_parcel *parcel = *parcels;
    while (parcel != NULL && (!alv_view_equal(alv_view_of(parcel->node_id), result->node) ||
                              parcel->body.size + text->size + 2 > ALV_HTTP_REPLIES_BYTES_MAX)) {
        parcel = parcel->next;
    }
    if (parcel == NULL) {
        parcel = parcel_new(desk, result->node);
        parcel->next = *parcels;
        *parcels = parcel;
    }
    alv_bytes_append_text(&parcel->body, parcel->reply_count == 0 ? "[" : ",");
    alv_bytes_append(&parcel->body, text->data, text->size);
    parcel->reply_count++;
}

static void parcel_drop(desk_parcel *parcel, const char *why)
{
    alv_log(ALV_LOG_WARN, "replies-dropped", "node=%s replies=%zu msg=\"%s\"", parcel->node_id,
            parcel->reply_count, why);
    alv_desk_free_parcel(parcel);
}

/* On the client's thread. */
static void parcel_answered(void *payload, alv_status status, alv_answer *answer,
                            const alv_error *err)
{
    (void)err;
    desk_parcel *parcel = payload;
    bool delivered = status == ALV_OK && answer->status == 200;
    alv_answer_done(answer);
    if (delivered) {
        alv_desk_free_parcel(parcel);
        return;
    }
    desk_message *message = alv_alloc(sizeof *message);
    message->kind = DESK_UNSENT;
    message->parcel = parcel;
    (void)alv_desk_post(parcel->desk, message); /* refused while stopping only: too late then */
}

/* The body is sent as a copy: it may have to be sent again. */
static bool parcel_send(desk_parcel *parcel)
{
    alv_desk *desk = parcel->desk;
    char address[ALV_PEER_ADDRESS_BYTES];
    if (!alv_peers_address(desk->options.peers, alv_view_of(parcel->node_id), address)) {
        alv_peers_refresh_soon(desk->options.peers);
        return false;
    }
    alv_bytes body = ALV_BYTES_EMPTY;
    alv_bytes_append(&body, parcel->body.data, parcel->body.size);
    return alv_http_client_post(desk->options.client, address, ALV_VIEW(PARCEL_PATH), &body, NULL,
                                0, parcel_answered, parcel);
}

static void parcel_send_or_keep(alv_desk *desk, desk_parcel *parcel)
{
    if (parcel_send(parcel)) {
        return;
    }
    if (atomic_load(&desk->parcels) > ALV_HTTP_REPLIES_WAITING_MAX) {
        parcel_drop(parcel, "too many wait for their nodes");
        return;
    }
    alv_desk_send_again(desk, parcel);
}

void alv_desk_send_parcels(alv_desk *desk, desk_parcel *parcels)
{
    while (parcels != NULL) {
        desk_parcel *parcel = parcels;
        parcels = parcel->next;
        alv_bytes_append_text(&parcel->body, "]");
        parcel_send_or_keep(desk, parcel);
    }
}

void alv_desk_send_again(alv_desk *desk, desk_parcel *parcel)
{
    int64_t now_us = alv_desk_now_us(desk);
    if (now_us >= parcel->expires_us) {
        parcel_drop(parcel, "the node that waits could not be reached");
        return;
    }
    parcel->again_us = now_us + ALV_HTTP_REPLIES_AGAIN_MS * 1000;
    parcel->next = desk->unsent;
    desk->unsent = parcel;
}

int alv_desk_send_due(alv_desk *desk)
{
    int64_t now_us = alv_desk_now_us(desk);
    desk_parcel *all = desk->unsent;
    desk->unsent = NULL;
    while (all != NULL) {
        desk_parcel *parcel = all;
        all = parcel->next;
        if (parcel->again_us <= now_us) {
            parcel_send_or_keep(desk, parcel);
        } else {
            parcel->next = desk->unsent;
            desk->unsent = parcel;
        }
    }
    return desk->unsent == NULL ? -1 : ALV_HTTP_REPLIES_AGAIN_MS;
}
