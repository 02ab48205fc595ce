/* Goal: what a disk does to a node costs as little as it must. Damaged or missing files cost the shard that
 * they belong to, which is restored whole, and it is said; the other shards read nothing. A full disk stops
 * shards until there is room, and loses nothing. State of an unknown format is refused, not touched.
 *
 * Method: one node and a model of its users computed without the product's code. Files of its database are
 * damaged and removed by hand while it is stopped: which shard a file belongs to stands in it. The full disk
 * is a small tmpfs; where none can be mounted that test is skipped, with the reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tests/support/cluster.h"
#include "tests/support/cluster_view.h"
#include "tests/support/user_model.h"
#include "tests/support/wait.h"
#include "tests/support/wire.h"

#define USERS 4000
#define COMMANDS 12000
#define SHARDS 4
#define TIMEOUT_MS 60000

static const char *const settings[] = {"lanes=1", "shards=4", NULL};

static struct {
    alv_cluster cluster;
    alv_cluster_node *node;
    alv_wire *wire;
    alv_user_model *users;
    uint64_t random;
    int64_t time_ms; /* of the next command */
    char *disk;      /* the small one, once it is mounted */
    int tests_passed;
} job;

/* ---- the load and the model ------------------------------------------------------------------ */

static void send_to(alv_user_model *user)
{
    alv_user_command command;
    alv_user_model_step(user, &job.random, job.time_ms++, &command);
    alv_wire_record record = {.topic = alv_cluster_topic(&job.cluster, "commands"),
                              .partition = -1,
                              .timestamp_ms = command.timestamp_ms,
                              .key = alv_view_of(command.key),
                              .value = alv_view_of(command.value)};
    alv_wire_send(job.wire, &record);
}

static void send_commands(int count)
{
    for (int i = 0; i < count; i++) {
        send_to(&job.users[alv_user_model_random(&job.random) % USERS]);
    }
    alv_wire_flush(job.wire);
}

static void send_to_everybody(void)
{
    for (int i = 0; i < USERS; i++) {
        send_to(&job.users[i]);
    }
    alv_wire_flush(job.wire);
}

static void check_states(const alv_cluster_node *node)
{
    alv_cluster_wait_consumed(&job.cluster, TIMEOUT_MS);
    json_t *keys = json_array();
    json_t *expected = json_object();
    char key[64];
    for (int i = 0; i < USERS; i++) {
        json_t *state = alv_user_model_json(&job.users[i]);
        alv_user_model_key(&job.users[i], key, sizeof(key));
        json_array_append_new(keys, json_string(key));
        if (state != NULL) {
            json_object_set_new(expected, key, state);
        }
    }
    json_t *changelog = alv_cluster_changelog_states(&job.cluster);
    alv_cluster_assert_states(changelog, expected, "changelog");
    json_t *states = alv_cluster_http_states(node, keys);
    alv_cluster_assert_states(states, expected, "HTTP");
    json_decref(states);
    json_decref(changelog);
    json_decref(expected);
    json_decref(keys);
}

/* ---- the node -------------------------------------------------------------------------------- */

static void start_node(void)
{
    alv_cluster_start_node(job.node, settings);
    alv_cluster_wait_ready(job.node);
}

static int64_t restored_records(int32_t number)
{
    int status = 0;
    json_t *shards = alv_cluster_http(job.node, "/v1/shards", &status);
    assert_int_equal(status, 200);
    json_t *restored = json_object_get(json_array_get(shards, (size_t)number), "restored");
    assert_true(json_is_integer(restored));
    int64_t records = json_integer_value(restored);
    json_decref(shards);
    return records;
}

/* One shard was restored whole, and it was said; the others had nothing to read. */
static void expect_restored(int32_t damaged)
{
    char text[64];
    for (int32_t shard = 0; shard < SHARDS; shard++) {
        (void)snprintf(text, sizeof(text), "event=shard-wiped shard=%" PRId32 " ", shard);
        if (shard == damaged) {
            assert_true(alv_cluster_log_has(job.node, text));
            assert_true(restored_records(shard) >= USERS / SHARDS / 2);
        } else {
            assert_int_equal(restored_records(shard), 0);
        }
    }
}

/* ---- files ----------------------------------------------------------------------------------- */

/* The whole file; the caller frees it. */
static char *read_file(const char *path, size_t *out_size)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    struct stat about;
    assert_int_equal(fstat(fileno(file), &about), 0);
    *out_size = (size_t)about.st_size;
    char *data = alv_alloc(*out_size + 1);
    assert_int_equal(fread(data, 1, *out_size, file), *out_size);
    (void)fclose(file);
    return data;
}

/* The largest table of a shard. The caller frees the path. */
static char *table_of(int32_t shard, size_t *out_size)
{
    char name[32];
    (void)snprintf(name, sizeof(name), "shard-%" PRId32, shard);
    char *folder = alv_format("%s/rocksdb", job.node->state_dir);
    char *largest = NULL;
    *out_size = 0;
    DIR *listing = opendir(folder);
    assert_non_null(listing);
    for (struct dirent *entry = readdir(listing); entry != NULL; entry = readdir(listing)) {
        if (strstr(entry->d_name, ".sst") == NULL) {
            continue;
        }
        size_t size = 0;
        char *path = alv_format("%s/%s", folder, entry->d_name);
        char *data = read_file(path, &size);
        if (memmem(data, size, name, strlen(name)) != NULL && size > *out_size) {
            alv_free(largest);
            largest = alv_strdup(path);
            *out_size = size;
        }
        alv_free(data);
        alv_free(path);
    }
    (void)closedir(listing);
    alv_free(folder);
    assert_non_null(largest);
    return largest;
}

/* ---- damage ---------------------------------------------------------------------------------- */

/* Found when somebody reads what is there: at the latest when every user gets a command. */
static void disk__a_damaged_file_costs_its_shard(void **state)
{
    (void)state;
    size_t size = 0;
    alv_cluster_stop_node(job.node);
    char *path = table_of(2, &size);
    int file = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(file >= 0);
    assert_true(size > 40000);
    char rubbish[20000];
    memset(rubbish, 0xde, sizeof(rubbish));
    assert_int_equal(pwrite(file, rubbish, sizeof(rubbish), (off_t)(size / 4)), sizeof(rubbish));
    assert_int_equal(close(file), 0);
    alv_free(path);

    start_node();
    send_to_everybody();
    check_states(job.node);
    expect_restored(2);
    job.tests_passed++;
}

/* RocksDB does not open then: what can be is saved. */
static void disk__a_missing_file_costs_its_shard(void **state)
{
    (void)state;
    size_t size = 0;
    alv_cluster_stop_node(job.node);
    char *path = table_of(1, &size);
    assert_int_equal(unlink(path), 0);
    alv_free(path);
    start_node();
    expect_restored(1);
    send_commands(COMMANDS);
    check_states(job.node);
    job.tests_passed++;
}

/* ---- format ---------------------------------------------------------------------------------- */

static void write_version(const char *text)
{
    char *path = alv_format("%s/VERSION", job.node->state_dir);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    alv_free(path);
}

static void disk__an_unknown_format_is_refused_and_left_alone(void **state)
{
    (void)state;
    size_t size = 0;
    alv_cluster_stop_node(job.node);
    char *path = alv_format("%s/VERSION", job.node->state_dir);
    char *version = read_file(path, &size);
    write_version("alluvium-state 2\napplication=later\n");
    alv_cluster_start_node(job.node, settings);
    assert_true(alv_process_wait(&job.node->process, TIMEOUT_MS));
    assert_int_equal(job.node->process.exit_status, 1);
    assert_true(alv_cluster_log_has(job.node, "has format 2, this program knows 1"));
    write_version(version);
    start_node();
    for (int32_t shard = 0; shard < SHARDS; shard++) {
        assert_int_equal(restored_records(shard), 0);
    }
    check_states(job.node);
    alv_cluster_stop_node(job.node);
    alv_free(version);
    alv_free(path);
    job.tests_passed++;
}

/* ---- a full disk ----------------------------------------------------------------------------- */

/* NULL when it cannot be mounted. */
static char *mount_small_disk(void)
{
    char *path = alv_cluster_path(&job.cluster, "small-disk");
    assert_int_equal(mkdir(path, 0700), 0);
    if (mount("tmpfs", path, "tmpfs", 0, "size=40m") != 0) {
        print_message("skipped: no small file system can be mounted here: %s\n", strerror(errno));
        alv_free(path);
        return NULL;
    }
    return path;
}

/* Takes all the room there is. */
static void fill(const char *path)
{
    static char block[64 * 1024];
    int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    memset(block, 'x', sizeof(block));
    size_t size = sizeof(block);
    while (size > 0) { /* the last bytes one by one */
        size = write(file, block, size) > 0 ? size : size / 2;
    }
    (void)close(file);
}

/* "store-failed" when a command met it, "restore-waits" when a restore did. */
static bool has_met_the_full_disk(void *payload)
{
    const alv_cluster_node *node = payload;
    send_commands(COMMANDS / 4);
    return alv_cluster_log_has(node, "event=store-failed") &&
           alv_cluster_log_has(node, "No space left on device");
}

static void disk__a_full_one_stops_shards_until_there_is_room(void **state)
{
    (void)state;
    job.cluster.passed = job.tests_passed == 3; /* should this one be skipped */
    job.disk = mount_small_disk();
    if (job.disk == NULL) {
        skip();
    }
    job.cluster.passed = false;
    char *state_dir = alv_format("state.dir=%s/state", job.disk);
    char *filler = alv_format("%s/filler", job.disk);
    /* So little memory that states go to the disk all the time. */
    const char *const small[] = {"lanes=1", "shards=4", "state.memory.bytes=4MiB", state_dir, NULL};
    alv_cluster_start_node(job.node, small);
    alv_cluster_wait_ready(job.node);
    fill(filler);
    assert_true(alv_wait_until(has_met_the_full_disk, job.node, TIMEOUT_MS));
    assert_true(alv_process_running(&job.node->process));

    assert_int_equal(unlink(filler), 0);
    alv_cluster_wait_ready(job.node);
    send_to_everybody();
    check_states(job.node);
    alv_cluster_stop_node(job.node);
    alv_free(filler);
    alv_free(state_dir);
    job.cluster.passed = true;
}

/* ---- set-up ---------------------------------------------------------------------------------- */

static void choose_seed(void)
{
    const char *given = getenv("ALLUVIUM_TEST_SEED");
    job.random =
        given != NULL ? strtoull(given, NULL, 10) : (uint64_t)alv_monotonic_us(alv_clock_system());
    job.random += job.random == 0;
    print_message("seed: ALLUVIUM_TEST_SEED=%" PRIu64 "\n", job.random);
}

static int start_job(void **state)
{
    (void)state;
    choose_seed();
    job.users = alv_alloc_array(USERS, sizeof(*job.users));
    for (unsigned i = 0; i < USERS; i++) {
        alv_user_model_init(&job.users[i], i);
    }
    job.time_ms = alv_now_ms(alv_clock_system()) - 60 * 60 * 1000;
    alv_cluster_open(&job.cluster, "disk");
    job.node = alv_cluster_add_node(&job.cluster);
    job.wire = alv_wire_open(job.cluster.brokers);
    start_node();
    send_to_everybody();
    send_commands(COMMANDS);
    check_states(job.node);
    return 0;
}

static int end_job(void **state)
{
    (void)state;
    alv_process_kill(&job.node->process);
    if (job.disk != NULL) {
        (void)umount(job.disk);
        alv_free(job.disk);
    }
    alv_wire_close(job.wire);
    alv_cluster_close(&job.cluster);
    alv_free(job.users);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(disk__a_damaged_file_costs_its_shard),
        cmocka_unit_test(disk__a_missing_file_costs_its_shard),
        cmocka_unit_test(disk__an_unknown_format_is_refused_and_left_alone),
        cmocka_unit_test(disk__a_full_one_stops_shards_until_there_is_room),
    };
    return cmocka_run_group_tests(tests, start_job, end_job);
}
