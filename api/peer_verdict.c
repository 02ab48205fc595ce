#include "api/peer_verdict.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/plant.h"

typedef struct verdict_peer {
    alv_peer_view view;
    alv_bytes suspects; /* what it said last */
    bool is_member;     /* while members are set */
} verdict_peer;

struct alv_peer_verdict {
    int64_t timeout_ms;
    alv_peer_changed changed;
    void *payload;
    verdict_peer *peers;
    size_t count;
};

const char *alv_peer_state_name(alv_peer_state state)
{
    static const char *const names[] = {"unknown", "alive", "suspected", "dead", "left"};
    ALV_ASSERT((size_t)state < sizeof names / sizeof names[0]);
    return names[state];
}

static verdict_peer *verdict_find(const alv_peer_verdict *verdict, const char *node_id)
{
    for (size_t i = 0; i < verdict->count; i++) {
        if (strcmp(verdict->peers[i].view.node_id, node_id) == 0) {
            return &verdict->peers[i];
        }
    }
    return NULL;
}

static void verdict_tell(alv_peer_verdict *verdict, const verdict_peer *peer, alv_peer_state from)
{
    verdict->changed(verdict->payload, &peer->view, from);
}

static bool verdict_may_move(alv_peer_state from, alv_peer_state to)
{
    static const bool moves[5][5] = {
        [ALV_PEER_UNKNOWN] = {[ALV_PEER_ALIVE] = true},
        [ALV_PEER_ALIVE] = {[ALV_PEER_SUSPECTED] = true, [ALV_PEER_DEAD] = true},
        [ALV_PEER_SUSPECTED] = {[ALV_PEER_ALIVE] = true, [ALV_PEER_DEAD] = true},
        [ALV_PEER_DEAD] = {[ALV_PEER_ALIVE] = true},
        [ALV_PEER_LEFT] = {[ALV_PEER_ALIVE] = true},
    };
    bool says_goodbye = to == ALV_PEER_LEFT && from != ALV_PEER_UNKNOWN;
    return moves[from][to] || to == ALV_PEER_UNKNOWN || says_goodbye;
}

static void verdict_move(alv_peer_verdict *verdict, verdict_peer *peer, alv_peer_state to)
{
    alv_peer_state from = peer->view.state;
    if (from == to || (ALV_PLANTED(STAY_DEAD) && from == ALV_PEER_DEAD && to == ALV_PEER_ALIVE)) {
        return;
    }
    ALV_ASSERT(verdict_may_move(from, to));
    peer->view.state = to;
    if (to != ALV_PEER_ALIVE && !ALV_PLANTED(KEEP_SAY)) {
        alv_bytes_clear(&peer->suspects); /* only those who are heard have a say */
    }
    verdict_tell(verdict, peer, from);
}

/* ---- members --------------------------------------------------------------------------------- */

static void verdict_forget(alv_peer_verdict *verdict, verdict_peer *peer)
{
    verdict_move(verdict, peer, ALV_PEER_UNKNOWN);
    alv_bytes_done(&peer->suspects);
}

static void verdict_add(alv_peer_verdict *verdict, const alv_peer_view *member)
{
    size_t size = (verdict->count + 1) * sizeof *verdict->peers;
    verdict->peers = alv_realloc(verdict->peers, size);
    verdict_peer *peer = &verdict->peers[verdict->count++];
    *peer = (verdict_peer){.is_member = true};
    peer->view.state = ALV_PLANTED(TRUST_UNHEARD) ? ALV_PEER_ALIVE : ALV_PEER_UNKNOWN;
    (void)snprintf(peer->view.node_id, sizeof peer->view.node_id, "%s", member->node_id);
    (void)snprintf(peer->view.address, sizeof peer->view.address, "%s", member->address);
}

/* Nobody was heard at the new address yet, so nothing there proves anything. */
static void verdict_set_address(alv_peer_verdict *verdict, verdict_peer *peer, const char *address)
{
    if (strcmp(peer->view.address, address) == 0) {
        return;
    }
    (void)snprintf(peer->view.address, sizeof peer->view.address, "%s", address);
    if (ALV_PLANTED(TRUST_MOVED)) {
        return;
    }
    peer->view.boot[0] = '\0';
    peer->view.heard_at_ms = 0;
    verdict_move(verdict, peer, ALV_PEER_UNKNOWN);
}

static void verdict_forget_others(alv_peer_verdict *verdict)
{
    size_t kept = 0;
    for (size_t i = 0; i < verdict->count; i++) {
        verdict_peer *peer = &verdict->peers[i];
        if (peer->is_member) {
            verdict->peers[kept++] = *peer;
        } else {
            verdict_forget(verdict, peer);
        }
    }
    verdict->count = kept;
}

void alv_peer_verdict_set_members(alv_peer_verdict *verdict, const alv_peer_view *members,
                                  size_t count)
{
    for (size_t i = 0; i < verdict->count; i++) {
        verdict->peers[i].is_member = false;
    }
    for (size_t i = 0; i < count; i++) {
        verdict_peer *peer = verdict_find(verdict, members[i].node_id);
        if (peer == NULL) {
            verdict_add(verdict, &members[i]);
            continue;
        }
        peer->is_member = true;
        verdict_set_address(verdict, peer, members[i].address);
    }
    verdict_forget_others(verdict);
}

/* ---- events ---------------------------------------------------------------------------------- */

void alv_peer_verdict_hello(alv_peer_verdict *verdict, const char *node_id, const char *boot,
                            int64_t now_ms)
{
    verdict_peer *peer = verdict_find(verdict, node_id);
    if (peer == NULL) {
        return;
    }
    alv_peer_view *view = &peer->view;
    bool restarted = view->boot[0] != '\0' && strcmp(view->boot, boot) != 0;
    (void)snprintf(view->boot, sizeof view->boot, "%s", boot);
    view->heard_at_ms = now_ms;
    if (restarted && view->state == ALV_PEER_ALIVE) {
        verdict_tell(verdict, peer, ALV_PEER_ALIVE);
    }
    verdict_move(verdict, peer, ALV_PEER_ALIVE);
}

void alv_peer_verdict_beat(alv_peer_verdict *verdict, const char *node_id, alv_view suspects,
                           int64_t now_ms)
{
    verdict_peer *peer = verdict_find(verdict, node_id);
    if (peer == NULL || peer->view.state == ALV_PEER_UNKNOWN || peer->view.state == ALV_PEER_LEFT) {
        return; /* neither begins with a beat */
    }
    peer->view.heard_at_ms = now_ms;
    verdict_move(verdict, peer, ALV_PEER_ALIVE);
    alv_bytes_set(&peer->suspects, suspects.data, suspects.size);
}

void alv_peer_verdict_goodbye(alv_peer_verdict *verdict, const char *node_id)
{
    verdict_peer *peer = verdict_find(verdict, node_id);
    if (peer != NULL && peer->view.state != ALV_PEER_UNKNOWN) {
        verdict_move(verdict, peer, ALV_PEER_LEFT);
    }
}

void alv_peer_verdict_refused(alv_peer_verdict *verdict, const char *node_id)
{
    verdict_peer *peer = verdict_find(verdict, node_id);
    if (peer == NULL) {
        return;
    }
    if (ALV_PLANTED(DOUBT_PROOF)) {
        return; /* silence will tell */
    }
    if (peer->view.state == ALV_PEER_ALIVE || peer->view.state == ALV_PEER_SUSPECTED) {
        verdict_move(verdict, peer, ALV_PEER_DEAD);
    }
}

/* ---- time ------------------------------------------------------------------------------------ */

/* Whether `node_id` is one of the ids in `suspects`. */
static bool verdict_names(const alv_bytes *suspects, const char *node_id)
{
    alv_view wanted = alv_view_of(node_id);
    alv_view rest = alv_bytes_view(suspects);
    while (rest.size > 0) {
        const char *blank = memchr(rest.data, ' ', rest.size);
        size_t size = blank != NULL ? (size_t)(blank - rest.data) : rest.size;
        if (alv_view_equal((alv_view){rest.data, size}, wanted)) {
            return true;
        }
        size_t skip = blank != NULL ? size + 1 : size;
        rest = (alv_view){rest.data + skip, rest.size - skip};
    }
    return false;
}

static bool verdict_majority_agrees(const alv_peer_verdict *verdict, const verdict_peer *suspect)
{
    size_t members = verdict->count + 1;
    size_t agree = 1; /* this node */
    for (size_t i = 0; i < verdict->count; i++) {
        const verdict_peer *peer = &verdict->peers[i];
        if (peer != suspect && verdict_names(&peer->suspects, suspect->view.node_id)) {
            agree++;
        }
    }
    return 2 * agree > members || (ALV_PLANTED(HALF_CONVICTS) && 2 * agree == members);
}

void alv_peer_verdict_tick(alv_peer_verdict *verdict, int64_t now_ms)
{
    for (size_t i = 0; i < verdict->count; i++) {
        verdict_peer *peer = &verdict->peers[i];
        bool silent = now_ms - peer->view.heard_at_ms >= verdict->timeout_ms;
        if (peer->view.state == ALV_PEER_ALIVE && silent) {
            verdict_move(verdict, peer, ALV_PEER_SUSPECTED);
        }
    }
    for (size_t i = 0; i < verdict->count; i++) {
        verdict_peer *peer = &verdict->peers[i];
        if (peer->view.state == ALV_PEER_SUSPECTED && verdict_majority_agrees(verdict, peer)) {
            verdict_move(verdict, peer, ALV_PEER_DEAD);
        }
    }
}

/* ---- the rest -------------------------------------------------------------------------------- */

alv_peer_verdict *alv_peer_verdict_new(int64_t timeout_ms, alv_peer_changed changed, void *payload)
{
    ALV_ASSERT(timeout_ms > 0 && changed != NULL);
    alv_peer_verdict *verdict = alv_alloc(sizeof *verdict);
    verdict->timeout_ms = timeout_ms;
    verdict->changed = changed;
    verdict->payload = payload;
    return verdict;
}

void alv_peer_verdict_free(alv_peer_verdict *verdict)
{
    if (verdict == NULL) {
        return;
    }
    for (size_t i = 0; i < verdict->count; i++) {
        alv_bytes_done(&verdict->peers[i].suspects);
    }
    alv_free(verdict->peers);
    alv_free(verdict);
}

const alv_peer_view *alv_peer_verdict_find(const alv_peer_verdict *verdict, const char *node_id)
{
    const verdict_peer *peer = verdict_find(verdict, node_id);
    return peer != NULL ? &peer->view : NULL;
}

size_t alv_peer_verdict_list(const alv_peer_verdict *verdict, alv_peer_view *out, size_t capacity)
{
    for (size_t i = 0; i < verdict->count && i < capacity; i++) {
        out[i] = verdict->peers[i].view;
    }
    return verdict->count;
}

void alv_peer_verdict_write_suspects(const alv_peer_verdict *verdict, alv_bytes *out)
{
    for (size_t i = 0; i < verdict->count; i++) {
        const alv_peer_view *peer = &verdict->peers[i].view;
        if (peer->state == ALV_PEER_SUSPECTED || peer->state == ALV_PEER_DEAD) {
            alv_bytes_append_text(out, " ");
            alv_bytes_append_text(out, peer->node_id);
        }
    }
}
