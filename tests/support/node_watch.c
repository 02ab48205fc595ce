#include "tests/support/node_watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "tests/support/http_call.h"
#include "tests/support/usage.h"

#define WATCH_PAUSE_MS 50
#define WATCH_ANSWER_MS 30000

struct alv_node_watch {
    const alv_cluster_node *node;
    pid_t pid;
    int64_t began_us;
    int64_t cpu_before_us;
    atomic_bool stopping;
    pthread_t thread;
    pthread_mutex_t lock; /* guards view */
    alv_node_watch_view view;
};

static void watch_ask(alv_node_watch *watch)
{
    static const char text[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    alv_bytes answer = ALV_BYTES_EMPTY;
    int64_t begin_us = alv_monotonic_us(alv_clock_system());
    int fd = alv_http_raw_open(watch->node->address);
    alv_http_raw_send(fd, text, sizeof text - 1);
    int status = alv_http_raw_read(fd, WATCH_ANSWER_MS, &answer);
    int64_t took_us = alv_monotonic_us(alv_clock_system()) - begin_us;
    (void)close(fd);
    alv_bytes_done(&answer);
    pthread_mutex_lock(&watch->lock);
    watch->view.looks++;
    watch->view.refused += status != 200;
    watch->view.longest_us = took_us > watch->view.longest_us ? took_us : watch->view.longest_us;
    pthread_mutex_unlock(&watch->lock);
}

static void watch_measure(alv_node_watch *watch)
{
    int64_t kib = alv_usage_resident_kib(watch->pid);
    pthread_mutex_lock(&watch->lock);
    watch->view.last_kib = kib;
    watch->view.peak_kib = kib > watch->view.peak_kib ? kib : watch->view.peak_kib;
    pthread_mutex_unlock(&watch->lock);
}

static void *watch_run(void *payload)
{
    alv_node_watch *watch = payload;
    while (!atomic_load(&watch->stopping)) {
        watch_measure(watch);
        watch_ask(watch);
        (void)poll(NULL, 0, WATCH_PAUSE_MS);
    }
    return NULL;
}

alv_node_watch *alv_node_watch_open(const alv_cluster_node *node)
{
    alv_node_watch *watch = alv_alloc(sizeof *watch);
    watch->node = node;
    watch->pid = node->process.pid;
    watch->began_us = alv_monotonic_us(alv_clock_system());
    watch->cpu_before_us = alv_usage_cpu_us(watch->pid);
    watch->view.first_kib = alv_usage_resident_kib(watch->pid);
    assert_int_equal(pthread_mutex_init(&watch->lock, NULL), 0);
    assert_int_equal(pthread_create(&watch->thread, NULL, watch_run, watch), 0);
    return watch;
}

alv_node_watch_view alv_node_watch_look(alv_node_watch *watch)
{
    pthread_mutex_lock(&watch->lock);
    watch->view.cpu_us = alv_usage_cpu_us(watch->pid) - watch->cpu_before_us;
    watch->view.passed_us = alv_monotonic_us(alv_clock_system()) - watch->began_us;
    alv_node_watch_view view = watch->view;
    pthread_mutex_unlock(&watch->lock);
    return view;
}

alv_node_watch_view alv_node_watch_close(alv_node_watch *watch)
{
    atomic_store(&watch->stopping, true);
    assert_int_equal(pthread_join(watch->thread, NULL), 0);
    alv_node_watch_view view = alv_node_watch_look(watch);
    (void)pthread_mutex_destroy(&watch->lock);
    alv_free(watch);
    return view;
}
