#include "api/scan_page.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

void alv_scan_page_init(alv_scan_page *page, size_t limit, size_t bytes_max)
{
    ALV_ASSERT(limit > 0);
    *page = (alv_scan_page){.limit = limit, .bytes_max = bytes_max};
    page->entries = alv_alloc_array(limit + 1, sizeof *page->entries);
}

void alv_scan_page_done(alv_scan_page *page)
{
    for (size_t i = 0; i < page->count; i++) {
        alv_free(page->entries[i].key);
    }
    alv_free(page->entries);
    alv_bytes_done(&page->bound);
    *page = (alv_scan_page){.limit = 0};
}

alv_view alv_scan_page_key(const alv_scan_page *page, size_t index)
{
    ALV_ASSERT(index < page->count);
    return (alv_view){page->entries[index].key, page->entries[index].key_size};
}

alv_view alv_scan_page_text(const alv_scan_page *page, size_t index)
{
    ALV_ASSERT(index < page->count);
    const alv_scan_entry *entry = &page->entries[index];
    return (alv_view){entry->key + entry->key_size, entry->text_size};
}

/* The order of the store: bytes, the shorter one first. */
static int page_compare(alv_view left, alv_view right)
{
    size_t size = left.size < right.size ? left.size : right.size;
    int order = size > 0 ? memcmp(left.data, right.data, size) : 0;
    return order != 0 ? order : (left.size > right.size) - (left.size < right.size);
}

/* The place of the first key that is not before `key`. */
static size_t page_find(const alv_scan_page *page, alv_view key)
{
    size_t low = 0;
    size_t high = page->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (page_compare(alv_scan_page_key(page, middle), key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

bool alv_scan_page_wants(alv_scan_page *page, alv_view key)
{
    bool full = page->count == page->limit &&
                page_compare(key, alv_scan_page_key(page, page->count - 1)) > 0;
    bool behind = page->more && page_compare(key, alv_bytes_view(&page->bound)) >= 0;
    if (full && !page->more) {
        alv_bytes_set(&page->bound, key.data, key.size);
    }
    page->more = page->more || full;
    return !full && !behind;
}

static void page_drop_last(alv_scan_page *page)
{
    alv_scan_entry *last = &page->entries[--page->count];
    alv_bytes_set(&page->bound, last->key, last->key_size); /* before all that was behind it */
    page->more = true;
    page->bytes -= last->text_size;
    alv_free(last->key);
}

void alv_scan_page_put(alv_scan_page *page, alv_view key, alv_view text)
{
    size_t at = page_find(page, key);
    if (at < page->count && page_compare(alv_scan_page_key(page, at), key) == 0) {
        return;
    }
    memmove(page->entries + at + 1, page->entries + at, (page->count - at) * sizeof *page->entries);
    char *copy = alv_alloc(key.size + text.size + 1);
    memcpy(copy, key.data, key.size);
    memcpy(copy + key.size, text.data, text.size);
    page->entries[at] = (alv_scan_entry){copy, key.size, text.size};
    page->count++;
    page->bytes += text.size;
    while (page->count > page->limit || (page->bytes > page->bytes_max && page->count > 1)) {
        page_drop_last(page);
    }
}

void alv_scan_page_cut(alv_scan_page *page, alv_view key)
{
    while (page->count > 0 && page_compare(alv_scan_page_key(page, page->count - 1), key) > 0) {
        page_drop_last(page);
    }
    if (page->more && page_compare(alv_bytes_view(&page->bound), key) <= 0) {
        return; /* it ends before that already */
    }
    page->more = true;
    alv_bytes_set(&page->bound, key.data, key.size);
    alv_bytes_append(&page->bound, "", 1); /* the next key after it */
}
