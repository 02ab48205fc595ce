/* scan_read.c — the entities of one shard of this node. */
#include "api/answer.h"
#include "api/scan_internal.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "processor/quarantine_record.h"

typedef struct scan_visit {
    scan_request *request;
    alv_scan_page page; /* of this shard alone */
    int32_t shard;
} scan_visit;

/* {"key","type","shard","state"}; the state, or what says that it is quarantined, goes in as it is stored. */
static void read_write_entity(const scan_visit *visit, alv_view key, alv_view stored,
                              alv_answer *text)
{
    const scan_request *request = visit->request;
    alv_bytes_append_text(&text->body, "{\"key\":");
    alv_answer_append_string(text, key);
    alv_bytes_append_text(&text->body, ",\"type\":");
    alv_answer_append_string(text, alv_registry_type(request->scan->options.registry, key));
    alv_bytes_printf(&text->body, ",\"shard\":%d,\"%s\":", (int)visit->shard,
                     request->list == ALV_SCAN_QUARANTINE ? "quarantine" : "state");
    alv_bytes_append(&text->body, stored.data, stored.size);
    alv_bytes_append_text(&text->body, "}");
}

/* Keys come in order: the first that is not wanted ends the shard. */
static bool read_entity(scan_visit *visit, alv_view key, alv_view stored)
{
    if (!alv_scan_page_wants(&visit->request->page, key) ||
        !alv_scan_page_wants(&visit->page, key)) {
        return false;
    }
    alv_answer text = ALV_ANSWER_NONE;
    read_write_entity(visit, key, stored, &text);
    alv_scan_page_put(&visit->page, key, alv_bytes_view(&text.body));
    alv_answer_done(&text);
    return true;
}

static bool read_visit_state(void *payload, alv_view key, alv_view state)
{
    return read_entity(payload, key, state);
}

/* Records of entities whose failures are only counted are passed over. */
static bool read_visit_quarantine(void *payload, alv_view key, alv_view record)
{
    return !alv_quarantine_is_held(record) ||
           read_entity(payload, alv_quarantine_entity(key), record);
}

static alv_status read_scan(scan_visit *visit)
{
    const scan_request *request = visit->request;
    alv_store *store = request->scan->options.store;
    alv_view prefix = alv_bytes_view(&request->prefix);
    alv_view after = alv_bytes_view(&request->after);
    if (request->list == ALV_SCAN_ENTITIES) {
        return store->ops->scan(store, visit->shard, ALV_STORE_STATE, prefix, after,
                                read_visit_state, visit, NULL);
    }
    alv_bytes from = ALV_BYTES_EMPTY;
    alv_bytes behind = ALV_BYTES_EMPTY;
    alv_quarantine_key(prefix, &from);
    if (after.size > 0) {
        alv_quarantine_key(after, &behind);
    }
    alv_status status =
        store->ops->scan(store, visit->shard, ALV_STORE_LEDGER, alv_bytes_view(&from),
                         alv_bytes_view(&behind), read_visit_quarantine, visit, NULL);
    alv_bytes_done(&from);
    alv_bytes_done(&behind);
    return status;
}

/* Into the page of the whole request, once it is certain that the shard was here all the time. */
static void read_take(scan_visit *visit)
{
    alv_scan_page *page = &visit->request->page;
    for (size_t i = 0; i < visit->page.count; i++) {
        alv_view key = alv_scan_page_key(&visit->page, i);
        if (!alv_scan_page_wants(page, key)) {
            return;
        }
        alv_scan_page_put(page, key, alv_scan_page_text(&visit->page, i));
    }
    if (visit->page.more) {
        alv_scan_page_cut(page, alv_scan_page_key(&visit->page, visit->page.count - 1));
    }
}

/* The position is read first: what is read is at least as new (I4). */
bool alv_scan_read_shard(scan_request *request, int32_t shard)
{
    alv_store *store = request->scan->options.store;
    alv_position position;
    scan_visit visit = {.request = request, .shard = shard};
    if (!alv_scan_is_active(request->scan, shard)) {
        return false;
    }
    alv_scan_page_init(&visit.page, request->page.limit, request->page.bytes_max);
    bool good = store->ops->position(store, shard, &position, NULL) == ALV_OK &&
                position.commands >= request->floors[shard].commands &&
                read_scan(&visit) == ALV_OK && alv_scan_is_active(request->scan, shard);
    if (good) {
        read_take(&visit);
        request->positions[shard] = (alv_read_position){position.commands, position.changelog};
    }
    alv_scan_page_done(&visit.page);
    return good;
}
