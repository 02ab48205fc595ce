#include "tests/support/io_faults.h"

#include <stddef.h>

void alv_io_faults_arm(alv_io_faults *faults, int64_t at, int flavour)
{
    *faults = (alv_io_faults){.at = at, .flavour = flavour};
}

void alv_io_faults_disarm(alv_io_faults *faults)
{
    faults->at = ALV_IO_FAULTS_OFF;
}

bool alv_io_faults_hit(alv_io_faults *faults, const char *call)
{
    if (faults == NULL || faults->at == ALV_IO_FAULTS_OFF || faults->calls++ != faults->at) {
        return false;
    }
    faults->call = call;
    return true;
}
