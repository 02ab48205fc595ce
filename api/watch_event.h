/* watch_event.h — what a watcher is sent, as text (Server-Sent Events).
 *
 * Why:    the wire format of a watch stands in one place.
 * Thread: any; pure.
 * Owns:   results are appended to the caller's buffer.
 *
 *     retry: 500                        at the beginning
 *     : watching prefix "mall-1:"
 *     id: AVd...                        where to resume; no event yet
 *
 *     data: {"key":...,"type":...,"shard":3,"offset":17,"at":"...","state":{...}}
 *     id: AVd...                        a change
 *
 *     : alive                           nothing has happened for a while
 *     id: AVd...
 *
 *     event: reset                      something may have been missed
 *     data: {"reason":"..."}
 *
 * `state` is null when the entity was deleted. `at` is the time of the changelog's record.
 */
#ifndef ALV_API_WATCH_EVENT_H
#define ALV_API_WATCH_EVENT_H

#include "topics/record.h"

/* The data line of a change. The id comes behind it: a client that takes an event apart while it
 * arrives, and loses its connection in the middle, has not seen the id of what it has not seen. */
void alv_watch_event_change(const alv_record *record, alv_view type, alv_bytes *out);

/* A comment; line breaks in it become blanks. */
void alv_watch_event_comment(const char *text, alv_bytes *out);

/* The event that says what went wrong with resuming. It has no id of its own. */
void alv_watch_event_reset(const char *reason, alv_bytes *out);

#endif
