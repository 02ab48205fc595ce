/* faulty_peer.h — stands in front of a node, and lets what others ask of it fail.
 *
 * Why:    "what if this request fails?" is asked of every request between nodes, in each way in which a peer can
 *         fail: one that is away, one that dies in the middle, one that hangs, and somebody else at its address.
 *         Real sockets, because what libcurl makes of each is a part of the answer.
 * Thread: one per connection and one that accepts; all functions: the test's.
 * Owns:   its sockets. Faults and addresses are borrowed.
 * Fails:  what cannot work on a healthy machine fails the running cmocka test.
 */
#ifndef ALV_TESTS_SUPPORT_FAULTY_PEER_H
#define ALV_TESTS_SUPPORT_FAULTY_PEER_H

#include <pthread.h>
#include <stdbool.h>

/* How a request fails. */
typedef enum alv_peer_fault {
    ALV_PEER_REFUSES,     /* nobody listens any more, until it is mended */
    ALV_PEER_RESETS,      /* the connection is reset */
    ALV_PEER_CLOSES,      /* it is closed without an answer */
    ALV_PEER_CUTS_HEAD,   /* closed within the head of the answer */
    ALV_PEER_CUTS_BODY,   /* within its body */
    ALV_PEER_IS_SILENT,   /* nothing comes until the asker gives up */
    ALV_PEER_STALLS,      /* the head and half of the body come, and nothing more */
    ALV_PEER_BABBLES,     /* what comes is no HTTP */
    ALV_PEER_SPOILS,      /* a node's answer with a body that makes no sense */
    ALV_PEER_FLOODS,      /* a node's answer that does not end */
    ALV_PEER_IS_BROKEN,   /* 502 and a page, from something in between */
    ALV_PEER_HAS_NOTHING, /* 404, from a web server that has the address now */
    ALV_PEER_HAS_ALL,     /* 200 and {}, from one that answers everything */
    ALV_PEER_REDIRECTS,   /* 302 */
    ALV_PEER_SHUTS_OUT,   /* 401 */
    ALV_PEER_STRANGER,    /* a node of another application has the address now */
    ALV_PEER_OLD,         /* a process that has not heard that it is not the node any more */
    ALV_PEER_OTHER,       /* another node of the application */
    ALV_PEER_FAULTS,
} alv_peer_fault;

extern const char *const alv_peer_fault_names[ALV_PEER_FAULTS];

/* Which of all requests, to whichever peers, fails. */
typedef struct alv_peer_faults {
    pthread_mutex_t lock;
    alv_peer_fault fault;
    int at;      /* the first that fails, from 0; -1 = none */
    bool always; /* and all that follow */
    int asked;   /* so far, since it was armed */
    int failed;
} alv_peer_faults;

void alv_peer_faults_init(alv_peer_faults *faults);
void alv_peer_faults_arm(alv_peer_faults *faults, alv_peer_fault fault, int at, bool always);

/* How many requests there have been. */
int alv_peer_faults_asked(alv_peer_faults *faults);

/* None fails any more; how many did. */
int alv_peer_faults_disarm(alv_peer_faults *faults);

/* Who answers at the peer's address; "host:port". NULL: the request is answered as by ALV_PEER_IS_BROKEN. */
typedef struct alv_peer_seats {
    const char *node;
    const char *stranger;
    const char *old;
    const char *other;
} alv_peer_seats;

typedef struct alv_faulty_peer alv_faulty_peer;

alv_faulty_peer *alv_faulty_peer_start(alv_peer_faults *faults, const alv_peer_seats *seats);

/* Where it listens, also while it refuses. */
const char *alv_faulty_peer_address(const alv_faulty_peer *peer);

/* Listens again, if it refused, and ends all connections. */
void alv_faulty_peer_mend(alv_faulty_peer *peer);

void alv_faulty_peer_stop(alv_faulty_peer *peer);

#endif
