/* readdress.h — a node that comes back under another address gives up the seats it has under the former one.
 *
 * Why:    the group remembers a static member by what it joined with (its client.id, which tells the others
 *         where the node's API is), and a member that takes its own seat back within its session does not change
 *         that. So the others would ask at the former address, where nobody is or somebody else, for as long as
 *         the node lives. A seat that was given up is taken as by a new member.
 * Thread: main, before any lane has joined.
 * Owns:   nothing after the call.
 * Limits: ALV_EVICT_MS.
 */
#ifndef ALV_PROCESSOR_READDRESS_H
#define ALV_PROCESSOR_READDRESS_H

#include "base/config.h"
#include "topics/kafka.h"

/* `members` are those of the group; http.advertise of `config` is what the others are to be told. Does nothing
 * where the addresses agree, which is nearly always. The shards of those seats go to other nodes until this one
 * joins. What fails is logged, and the start goes on: the others do not find this node's API then. */
void alv_readdress(const alv_config *config, const alv_members *members);

#endif
