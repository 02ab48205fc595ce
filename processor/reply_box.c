#include "processor/reply_box.h"

#include "base/alloc.h"
#include "base/assert.h"

#define REPLY_BOX_ITEMS_FIRST 16

/* The views of a reply as places in `bytes`, which moves when it grows. */
typedef struct reply_box_item {
    alv_result reply; /* its views are not set */
    size_t at;        /* of the node; id and text follow it */
    size_t node_size;
    size_t id_size;
    size_t text_size;
} reply_box_item;

void alv_reply_box_init(alv_reply_box *box)
{
    *box = (alv_reply_box){.items = NULL};
}

void alv_reply_box_done(alv_reply_box *box)
{
    alv_free(box->items);
    alv_bytes_done(&box->bytes);
    alv_reply_box_init(box);
}

void alv_reply_box_add(alv_reply_box *box, const alv_result *reply)
{
    if (box->count == box->capacity) {
        box->capacity = box->capacity == 0 ? REPLY_BOX_ITEMS_FIRST : 2 * box->capacity;
        box->items = alv_realloc(box->items, box->capacity * sizeof *box->items);
    }
    box->items[box->count++] = (reply_box_item){.reply = *reply,
                                                .at = box->bytes.size,
                                                .node_size = reply->node.size,
                                                .id_size = reply->id.size,
                                                .text_size = reply->text.size};
    alv_bytes_append(&box->bytes, reply->node.data, reply->node.size);
    alv_bytes_append(&box->bytes, reply->id.data, reply->id.size);
    alv_bytes_append(&box->bytes, reply->text.data, reply->text.size);
}

alv_result alv_reply_box_get(const alv_reply_box *box, size_t index)
{
    ALV_ASSERT(index < box->count);
    const reply_box_item *item = &box->items[index];
    const char *at = alv_bytes_view(&box->bytes).data + item->at;
    alv_result reply = item->reply;
    reply.node = (alv_view){at, item->node_size};
    reply.id = (alv_view){at + item->node_size, item->id_size};
    reply.text = (alv_view){at + item->node_size + item->id_size, item->text_size};
    return reply;
}

void alv_reply_box_set_position(alv_reply_box *box, size_t index, const alv_position *position)
{
    ALV_ASSERT(index < box->count);
    box->items[index].reply.position = *position;
}

/* The bytes stay until the box is cleared; this happens to a few replies on a bad day. */
void alv_reply_box_drop_shard(alv_reply_box *box, int32_t shard)
{
    size_t kept = 0;
    for (size_t i = 0; i < box->count; i++) {
        if (box->items[i].reply.shard != shard) {
            box->items[kept++] = box->items[i];
        }
    }
    box->count = kept;
}

void alv_reply_box_clear(alv_reply_box *box)
{
    box->count = 0;
    alv_bytes_clear(&box->bytes);
}

void alv_reply_box_take(alv_reply_box *box, alv_reply_box *out)
{
    ALV_ASSERT(out->items == NULL && out->bytes.data == NULL);
    *out = *box;
    alv_reply_box_init(box);
}
