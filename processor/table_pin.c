#include "processor/table_pin.h"

#include "base/assert.h"
#include "base/plant.h"

/* Lanes run only once all tables are restored, so there is a view. */
static const json_t *pin_get(void *payload, const char *table, const char *key, bool *out_known)
{
    alv_table_pin *pin = payload;
    size_t number = ALV_TABLE_NONE;
    if (pin->tables != NULL) {
        number = alv_table_list_find(alv_tables_list(pin->tables), table);
    }
    *out_known = number != ALV_TABLE_NONE;
    if (!*out_known) {
        return NULL;
    }
    if (ALV_PLANTED(UNPINNED)) {
        alv_tables_release(pin->view);
        pin->view = NULL;
    }
    if (pin->view == NULL) {
        pin->view = alv_tables_take(pin->tables);
        ALV_ASSERT(pin->view != NULL);
    }
    pin->read |= UINT32_C(1) << number;
    return alv_table_map_get(&pin->view->items[number].rows, alv_view_of(key));
}

alv_table_lookup alv_table_pin_lookup(alv_table_pin *pin)
{
    return (alv_table_lookup){.get = pin_get, .payload = pin};
}

void alv_table_pin_release(alv_table_pin *pin)
{
    alv_tables_release(pin->view);
    pin->view = NULL;
    pin->read = 0;
}
