/* scan_page.h — the smallest keys of a scan, in order, with what is shown of each.
 *
 * Why:    a scan meets keys shard by shard and node by node, and shows them in key order; only the first
 *         ones are kept, so that the page stays small whatever there is.
 * Thread: one at a time.
 * Owns:   copies of keys and texts.
 * Limits: `limit` entries and `bytes_max` bytes of texts, but one entry at least.
 *
 * A page knows up to where it is complete: whatever was dropped, or not looked at, is behind its last key.
 */
#ifndef ALV_API_SCAN_PAGE_H
#define ALV_API_SCAN_PAGE_H

#include "base/bytes.h"

typedef struct alv_scan_entry {
    char *key; /* with its text behind it, in one piece */
    size_t key_size;
    size_t text_size;
} alv_scan_entry;

typedef struct alv_scan_page {
    size_t limit;
    size_t bytes_max;
    alv_scan_entry *entries; /* by key */
    size_t count;
    size_t bytes;
    bool more;       /* there are keys behind the page */
    alv_bytes bound; /* with more: keys from here on are not in it */
} alv_scan_page;

void alv_scan_page_init(alv_scan_page *page, size_t limit, size_t bytes_max);
void alv_scan_page_done(alv_scan_page *page);

/* Whether `key` would be in the page as it is now. When not, there is more. */
bool alv_scan_page_wants(alv_scan_page *page, alv_view key);

/* Puts a key that is wanted in; the last ones may be dropped for it. One that is there already stays. */
void alv_scan_page_put(alv_scan_page *page, alv_view key, alv_view text);

/* Nothing is known of keys behind `key`: those are dropped. */
void alv_scan_page_cut(alv_scan_page *page, alv_view key);

alv_view alv_scan_page_key(const alv_scan_page *page, size_t index);
alv_view alv_scan_page_text(const alv_scan_page *page, size_t index);

#endif
