/* ledger_internal.h — what ledger.c (the two lists) and ledger_json.c (the record) share. */
#ifndef ALV_STATESTORE_LEDGER_INTERNAL_H
#define ALV_STATESTORE_LEDGER_INTERNAL_H

#include "statestore/ledger.h"

typedef struct ledger_answer {
    char *key;
    size_t key_size;
    char *reply; /* NULL = none */
    size_t reply_size;
    int64_t at_ms;
    bool accepted;
} ledger_answer;

typedef struct ledger_timer {
    char *name;
    char *command;
    size_t command_size;
    int64_t due_ms;
} ledger_timer;

struct alv_ledger {
    ledger_answer *answers;
    size_t answer_count;
    size_t answer_capacity;
    size_t answer_bytes; /* encoded, at most */
    ledger_timer *timers;
    size_t timer_count;
    size_t timer_capacity;
    size_t timer_bytes; /* encoded, at most */
    alv_expiry expiry;
    int64_t forget_due_ms;
};

#endif
