#include "processor/readdress.h"

#include <string.h>

#include "base/logger.h"
#include "topics/kafka_evict.h"

static void readdress_find(const alv_settings *settings, const alv_members *members, alv_seats *out)
{
    for (size_t i = 0; i < members->count; i++) {
        const alv_member *member = &members->items[i];
        if (strcmp(member->node_id, settings->node_id) == 0 &&
            strcmp(member->address, settings->http_advertise) != 0) {
            alv_seats_add(out, member);
        }
    }
}

void alv_readdress(const alv_config *config, const alv_members *members)
{
    const alv_settings *settings = alv_config_settings(config);
    alv_seats seats = {.count = 0};
    readdress_find(settings, members, &seats);
    if (seats.count == 0) {
        return;
    }
    alv_error err = ALV_ERROR_NONE;
    if (alv_kafka_evict(config, seats.items, seats.count, NULL, &err) == ALV_OK) {
        alv_log(ALV_LOG_INFO, "readdressed", "node=%s lanes=%zu from=%s to=%s", settings->node_id,
                seats.count, seats.items[0].address, settings->http_advertise);
    } else {
        alv_log_error(ALV_LOG_WARN, "readdress-failed", &err,
                      "node=%s from=%s to=%s msg=\"others ask for this node at its former address; "
                      "restart it when it has been away for kafka.session.timeout.ms\"",
                      settings->node_id, seats.items[0].address, settings->http_advertise);
    }
}
