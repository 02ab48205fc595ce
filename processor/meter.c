#include "processor/meter.h"

#include "base/alloc.h"

alv_meter *alv_meter_new(void)
{
    return alv_alloc(sizeof(alv_meter));
}

void alv_meter_free(alv_meter *meter)
{
    alv_free(meter);
}
