#include "api/desk_waiting.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "api/http_limits.h"
#include "base/alloc.h"
#include "base/assert.h"

#define WAITING_NOBODY UINT32_MAX
#define WAITING_NONCE_BYTES 16 /* too many to guess */
#define WAITING_NONCE_TEXT (2 * WAITING_NONCE_BYTES)

/* A slot is used again and again; its generation tells the uses apart. */
typedef struct waiting_slot {
    alv_desk_entry entry;
    uint32_t generation;
    bool used;
    uint32_t next; /* in the list of those that wait, or of free ones */
    uint32_t previous;
} waiting_slot;

struct alv_desk_waiting {
    char nonce[WAITING_NONCE_TEXT + 1];
    waiting_slot slots[ALV_HTTP_COMMANDS_MAX];
    uint32_t free;
    uint32_t first; /* of those that wait: the one that was put in first */
    uint32_t last;
};

alv_desk_waiting *alv_desk_waiting_new(void)
{
    alv_desk_waiting *waiting = alv_alloc(sizeof *waiting);
    unsigned char random[WAITING_NONCE_BYTES];
    ssize_t size = getrandom(random, sizeof random, 0);
    ALV_ASSERT(size == (ssize_t)sizeof random); /* so few bytes always come */
    for (size_t i = 0; i < sizeof random; i++) {
        (void)snprintf(waiting->nonce + 2 * i, 3, "%02x", random[i]);
    }
    for (uint32_t i = 0; i < ALV_HTTP_COMMANDS_MAX; i++) {
        waiting->slots[i].next = i + 1 < ALV_HTTP_COMMANDS_MAX ? i + 1 : WAITING_NOBODY;
    }
    waiting->first = WAITING_NOBODY;
    waiting->last = WAITING_NOBODY;
    return waiting;
}

void alv_desk_waiting_free(alv_desk_waiting *waiting)
{
    ALV_ASSERT(waiting == NULL || waiting->first == WAITING_NOBODY);
    alv_free(waiting);
}

static uint64_t waiting_ticket(const alv_desk_waiting *waiting, uint32_t slot)
{
    return (uint64_t)waiting->slots[slot].generation << 32 | slot;
}

void alv_desk_waiting_add(alv_desk_waiting *waiting, const alv_desk_entry *entry,
                          char out_id[ALV_DESK_ID_BYTES], uint64_t *out_ticket)
{
    uint32_t number = waiting->free;
    ALV_ASSERT(number != WAITING_NOBODY);
    waiting_slot *slot = &waiting->slots[number];
    waiting->free = slot->next;
    slot->entry = *entry;
    slot->used = true;
    slot->generation++;
    slot->next = WAITING_NOBODY;
    slot->previous = waiting->last;
    if (waiting->last == WAITING_NOBODY) {
        waiting->first = number;
    } else {
        ALV_ASSERT(waiting->slots[waiting->last].entry.deadline_us <= entry->deadline_us);
        waiting->slots[waiting->last].next = number;
    }
    waiting->last = number;
    *out_ticket = waiting_ticket(waiting, number);
    (void)snprintf(out_id, ALV_DESK_ID_BYTES, "%s-%" PRIx64, waiting->nonce, *out_ticket);
}

/* Hexadecimal digits, as `add` has written them. */
static bool waiting_parse(alv_view text, uint64_t *out)
{
    static const char digits[] = "0123456789abcdef";
    uint64_t number = 0;
    for (size_t i = 0; i < text.size; i++) {
        const char *digit = memchr(digits, text.data[i], 16);
        if (digit == NULL || i == 16) {
            return false;
        }
        number = number << 4 | (uint64_t)(digit - digits);
    }
    *out = number;
    return text.size > 0;
}

static const waiting_slot *waiting_slot_of(const alv_desk_waiting *waiting, uint64_t ticket)
{
    uint64_t number = ticket & UINT32_MAX;
    if (number >= ALV_HTTP_COMMANDS_MAX) {
        return NULL;
    }
    const waiting_slot *slot = &waiting->slots[number];
    return slot->used && slot->generation == ticket >> 32 ? slot : NULL;
}

bool alv_desk_waiting_find(const alv_desk_waiting *waiting, alv_view id, uint64_t *out_ticket)
{
    if (id.size <= WAITING_NONCE_TEXT + 1 || id.data[WAITING_NONCE_TEXT] != '-' ||
        memcmp(id.data, waiting->nonce, WAITING_NONCE_TEXT) != 0) {
        return false;
    }
    alv_view rest = {id.data + WAITING_NONCE_TEXT + 1, id.size - WAITING_NONCE_TEXT - 1};
    return waiting_parse(rest, out_ticket) && waiting_slot_of(waiting, *out_ticket) != NULL;
}

alv_desk_entry *alv_desk_waiting_get(alv_desk_waiting *waiting, uint64_t ticket)
{
    bool waits = waiting_slot_of(waiting, ticket) != NULL;
    return waits ? &waiting->slots[ticket & UINT32_MAX].entry : NULL;
}

bool alv_desk_waiting_take(alv_desk_waiting *waiting, uint64_t ticket, alv_desk_entry *out)
{
    if (waiting_slot_of(waiting, ticket) == NULL) {
        return false;
    }
    uint32_t number = ticket & UINT32_MAX;
    waiting_slot *slot = &waiting->slots[number];
    if (slot->previous == WAITING_NOBODY) {
        waiting->first = slot->next;
    } else {
        waiting->slots[slot->previous].next = slot->next;
    }
    if (slot->next == WAITING_NOBODY) {
        waiting->last = slot->previous;
    } else {
        waiting->slots[slot->next].previous = slot->previous;
    }
    *out = slot->entry;
    slot->used = false;
    slot->next = waiting->free;
    waiting->free = number;
    return true;
}

bool alv_desk_waiting_first(const alv_desk_waiting *waiting, uint64_t *out_ticket)
{
    if (waiting->first == WAITING_NOBODY) {
        return false;
    }
    *out_ticket = waiting_ticket(waiting, waiting->first);
    return true;
}
