#include "tests/sim/sim_marks.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "tests/sim/sim_trace.h"

/* More than any run brings about; crash_mark.c remembers so many. */
#define MARKS_COMMANDS_MAX 64

#define MARKS_FILE_BYTES_MAX 16384
#define MARKS_SECTOR_BYTES 512
#define MARKS_PATH_BYTES 256

/* In the place of an offset, of a timer. */
#define MARKS_TIMERS_FROM (INT64_C(1) << 62)

typedef struct marks_hand {
    bool may_have; /* something or nothing */
    bool has;      /* this: */
    alv_crash_count what;
} marks_hand;

typedef struct marks_node {
    char folder[MARKS_PATH_BYTES];
    char path[MARKS_PATH_BYTES];
    alv_crash_mark *mark; /* NULL = closed */
    marks_hand hands[SIM_LANES_MAX];
    bool has_died;
    bool is_damaged; /* something has happened to its file */
    char file[MARKS_FILE_BYTES_MAX];
    size_t file_size;                           /* when it died */
    alv_crash_count counts[MARKS_COMMANDS_MAX]; /* what the file must say */
    size_t count;
    alv_crash_count
        enough[MARKS_COMMANDS_MAX]; /* what was given up, whatever happens to the file */
    size_t enough_count;
} marks_node;

struct sim_marks {
    sim_broker *broker;
    sim_random *random;
    char folder[MARKS_PATH_BYTES / 2];
    marks_node nodes[SIM_NODES_MAX];
    sim_marks_counts sums;
};

/* ---- files ----------------------------------------------------------------------------------- */

static sim_marks *marks_current; /* for the end of a run that fails */

static void marks_remove_files(void)
{
    for (int i = 0; marks_current != NULL && i < SIM_NODES_MAX; i++) {
        (void)unlink(marks_current->nodes[i].path);
        (void)rmdir(marks_current->nodes[i].folder);
    }
    if (marks_current != NULL) {
        (void)rmdir(marks_current->folder);
    }
    marks_current = NULL;
}

static const char *marks_place(void)
{
    static const char memory[] = "/dev/shm";
    const char *wanted = getenv("TMPDIR");
    if (wanted != NULL && wanted[0] != '\0') {
        return wanted;
    }
    return access(memory, W_OK) == 0 ? memory : "/tmp";
}

static void marks_make_files(sim_marks *marks)
{
    (void)snprintf(marks->folder, sizeof marks->folder, "%s/alluvium-sim-XXXXXX", marks_place());
    const char *made = mkdtemp(marks->folder);
    ALV_ASSERT(made != NULL);
    for (int i = 0; i < SIM_NODES_MAX; i++) {
        marks_node *of = &marks->nodes[i];
        (void)snprintf(of->folder, sizeof of->folder, "%s/n%d", marks->folder, i);
        (void)snprintf(of->path, sizeof of->path, "%s/n%d/in-flight", marks->folder, i);
        int failed = mkdir(of->folder, 0700);
        ALV_ASSERT(failed == 0);
    }
    marks_current = marks;
    sim_trace_at_failure(marks_remove_files);
}

static void marks_read_file(marks_node *of)
{
    int fd = open(of->path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, of->file, sizeof of->file);
    ALV_ASSERT(size > 0 && size < (ssize_t)sizeof of->file);
    of->file_size = (size_t)size;
    (void)close(fd);
}

static void marks_write_file(const marks_node *of)
{
    int fd = open(of->path, O_WRONLY | O_TRUNC | O_CREAT | O_CLOEXEC, 0600);
    ssize_t size = fd < 0 ? -1 : write(fd, of->file, of->file_size);
    ALV_ASSERT(size == (ssize_t)of->file_size);
    (void)close(fd);
}

/* It is lost, cut off, has a hole, or is something else. */
static void marks_damage(sim_marks *marks, marks_node *of)
{
    int64_t sectors = (int64_t)of->file_size / MARKS_SECTOR_BYTES;
    size_t at = (size_t)sim_random_below(marks->random, sectors + 1) * MARKS_SECTOR_BYTES;
    int64_t choice = sim_random_below(marks->random, 4);
    of->is_damaged = true;
    marks->sums.damaged++;
    if (choice == 0) {
        (void)unlink(of->path);
        return;
    }
    if (choice == 1) {
        of->file_size = at;
    } else if (choice == 2) {
        memset(of->file + at, 0, of->file_size - at);
    } else {
        memset(of->file, (int)sim_random_between(marks->random, 1, 255), of->file_size);
    }
    marks_write_file(of);
}

/* ---- what must be in them ---------------------------------------------------------------------- */

static alv_crash_count *marks_find(alv_crash_count *counts, size_t count, int32_t shard,
                                   int64_t offset)
{
    for (size_t i = 0; i < count; i++) {
        if (counts[i].shard == shard && counts[i].offset == offset) {
            return &counts[i];
        }
    }
    return NULL;
}

/* As crash_mark.h says it. */
static bool marks_suffice(const alv_crash_count *of)
{
    return of->crashes * ALV_DEATHS_MAX + of->deaths * ALV_CRASHES_MAX >=
           ALV_CRASHES_MAX * ALV_DEATHS_MAX;
}

bool sim_marks_is_enough(const sim_marks *marks, int node, int32_t shard, int64_t offset)
{
    const marks_node *of = &marks->nodes[node];
    for (size_t i = 0; i < of->enough_count; i++) {
        if (of->enough[i].shard == shard && of->enough[i].offset == offset) {
            return true;
        }
    }
    return false;
}

static void marks_add(marks_node *of, const alv_crash_count *what)
{
    alv_crash_count *known = marks_find(of->counts, of->count, what->shard, what->offset);
    if (known == NULL) {
        ALV_ASSERT(of->count < MARKS_COMMANDS_MAX);
        known = &of->counts[of->count++];
        *known = (alv_crash_count){.shard = what->shard, .offset = what->offset};
    }
    known->crashes += what->crashes;
    known->deaths += what->deaths;
}

/* How many lanes may have had something in hand that is not known. */
static int marks_take_hands(marks_node *of)
{
    int unknown = 0;
    for (int lane = 0; lane < SIM_LANES_MAX && of->has_died; lane++) {
        if (of->hands[lane].has) {
            marks_add(of, &of->hands[lane].what);
        } else {
            unknown += of->hands[lane].may_have;
        }
    }
    return unknown;
}

static bool marks_is_in_log(const sim_marks *marks, const alv_crash_count *of)
{
    return of->offset >= MARKS_TIMERS_FROM ||
           (of->shard >= 0 && of->shard < marks->broker->shard_count && of->offset >= 0 &&
            of->offset < sim_broker_partition(marks->broker, ALV_TOPIC_COMMANDS, of->shard)->end);
}

/* A file that something has happened to may say less, never more. */
static void marks_compare(sim_marks *marks, int node, const alv_crash_count *found, size_t count,
                          int unknown)
{
    marks_node *of = &marks->nodes[node];
    int by_chance = 0;
    for (size_t i = 0; i < count; i++) {
        const alv_crash_count *must =
            marks_find(of->counts, of->count, found[i].shard, found[i].offset);
        int crashes = must == NULL ? 0 : must->crashes;
        int deaths = must == NULL ? 0 : must->deaths;
        by_chance += found[i].deaths > deaths ? found[i].deaths - deaths : 0;
        if (found[i].crashes > crashes || !marks_is_in_log(marks, &found[i]) ||
            (!of->is_damaged && (found[i].crashes < crashes || found[i].deaths < deaths))) {
            sim_fail("crash mark",
                     "n%d shard %d offset %" PRId64 ": counts %d crashes and %d deaths, "
                     "there were %d and %d",
                     node, (int)found[i].shard, found[i].offset, found[i].crashes, found[i].deaths,
                     crashes, deaths);
        }
    }
    if (by_chance > unknown) {
        sim_fail("crash mark",
                 "n%d: %d commands were in hand when it died, at most %d can have been", node,
                 by_chance, unknown);
    }
    for (size_t i = 0; i < of->count && !of->is_damaged; i++) {
        const alv_crash_count *must = &of->counts[i];
        bool is_there = false;
        for (size_t j = 0; j < count; j++) {
            is_there =
                is_there || (found[j].shard == must->shard && found[j].offset == must->offset);
        }
        if (!is_there) {
            sim_fail("crash mark", "n%d shard %d offset %" PRId64 ": was in hand, is forgotten",
                     node, (int)must->shard, must->offset);
        }
    }
    marks->sums.chance += by_chance;
}

static void marks_adopt(marks_node *of, const alv_crash_count *found, size_t count)
{
    of->count = count;
    for (size_t i = 0; i < count; i++) {
        of->counts[i] = found[i];
        if (marks_suffice(&found[i]) &&
            marks_find(of->enough, of->enough_count, found[i].shard, found[i].offset) == NULL) {
            ALV_ASSERT(of->enough_count < MARKS_COMMANDS_MAX);
            of->enough[of->enough_count++] = found[i];
        }
    }
}

/* ---- the life of a process --------------------------------------------------------------------- */

alv_crash_mark *sim_marks_open(sim_marks *marks, int node)
{
    marks_node *of = &marks->nodes[node];
    alv_crash_count found[MARKS_COMMANDS_MAX];
    alv_status status = alv_crash_mark_open(of->folder, &of->mark, NULL);
    ALV_ASSERT(status == ALV_OK);
    int unknown = marks_take_hands(of);
    size_t count = alv_crash_mark_list(of->mark, found, MARKS_COMMANDS_MAX);
    marks_compare(marks, node, found, count, unknown);
    marks_adopt(of, found, count);
    memset(of->hands, 0, sizeof of->hands);
    of->has_died = of->is_damaged = false;
    return of->mark;
}

void sim_marks_set_writing(sim_marks *marks, int node, int lane, bool writing)
{
    marks_node *of = &marks->nodes[node];
    if (!of->has_died) {
        of->hands[lane].may_have = writing;
    }
}

void sim_marks_die_with(sim_marks *marks, int node, int lane, int32_t shard, int64_t offset,
                        bool crashes)
{
    marks_node *of = &marks->nodes[node];
    ALV_ASSERT(!of->has_died);
    const alv_crash_count *known = marks_find(of->counts, of->count, shard, offset);
    if (known != NULL && marks_suffice(known)) {
        sim_fail("I8", "n%d shard %d offset %" PRId64 ": executed after %d crashes and %d deaths",
                 node, (int)shard, offset, known->crashes, known->deaths);
    }
    of->hands[lane] = (marks_hand){
        .has = true,
        .what = {.shard = shard, .offset = offset, .crashes = crashes, .deaths = !crashes}};
    marks->sums.crashes += crashes;
    marks->sums.deaths += !crashes;
    if (crashes) { /* the thread is this lane's for as long as that takes */
        alv_crash_mark_enter(of->mark, lane);
        alv_crash_mark_note_crash();
        alv_crash_mark_leave();
    }
}

void sim_marks_died(sim_marks *marks, int node)
{
    marks_node *of = &marks->nodes[node];
    of->has_died = true;
    marks_read_file(of);
}

void sim_marks_close(sim_marks *marks, int node, int64_t loses_per_mille)
{
    marks_node *of = &marks->nodes[node];
    alv_crash_mark_close(of->mark);
    of->mark = NULL;
    if (!of->has_died) {
        return;
    }
    if (sim_random_chance(marks->random, loses_per_mille)) {
        marks_damage(marks, of);
    } else {
        marks_write_file(of);
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

sim_marks *sim_marks_new(sim_broker *broker, sim_random *random)
{
    sim_marks *marks = alv_alloc(sizeof *marks);
    marks->broker = broker;
    marks->random = random;
    marks_make_files(marks);
    return marks;
}

void sim_marks_free(sim_marks *marks)
{
    for (int i = 0; i < SIM_NODES_MAX; i++) {
        ALV_ASSERT(marks->nodes[i].mark == NULL);
    }
    marks_remove_files();
    sim_trace_at_failure(NULL);
    alv_free(marks);
}

void sim_marks_count(const sim_marks *marks, sim_marks_counts *out)
{
    *out = marks->sums;
}
