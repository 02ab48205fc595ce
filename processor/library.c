#include "processor/library.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "processor/abi.h"

/* ---- who could have put it there --------------------------------------------------------------- */

/* Somebody else's folder above the file is no matter (what they put there is theirs, and refused for that), unless
 * everybody may exchange what is in it. A sticky folder such as /tmp lets only owners do so. */
static alv_status library_judge_folders(const char *path, alv_error *err)
{
    char folder[PATH_MAX];
    size_t size = strlen(path);
    memcpy(folder, path, size + 1);
    while (size > 1) {
        while (size > 1 && folder[size - 1] != '/') {
            size--;
        }
        size = size > 1 ? size - 1 : size;
        folder[size] = '\0';
        struct stat info;
        if (stat(folder, &info) != 0) {
            return alv_fail_from(err, ALV_REJECT, "errno", errno, "%s: %s", folder,
                                 strerror(errno));
        }
        if ((info.st_mode & S_IWOTH) != 0 && (info.st_mode & S_ISVTX) == 0) {
            return alv_fail(err, ALV_REJECT,
                            "every user may exchange files in %s: chmod o-w it, or keep the "
                            "library elsewhere",
                            folder);
        }
    }
    return ALV_OK;
}

static alv_status library_judge_file(const char *path, alv_error *err)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        return alv_fail_from(err, ALV_REJECT, "errno", errno, "%s", strerror(errno));
    }
    if (!S_ISREG(info.st_mode)) {
        return alv_fail(err, ALV_REJECT, "is no file: name the shared object itself");
    }
    if (info.st_uid != 0 && info.st_uid != geteuid()) {
        return alv_fail(err, ALV_REJECT,
                        "belongs to user %u, and only what belongs to root or to this user (%u) "
                        "is loaded: chown it if you trust it",
                        (unsigned)info.st_uid, (unsigned)geteuid());
    }
    if ((info.st_mode & S_IWOTH) != 0) {
        return alv_fail(err, ALV_REJECT, "every user may write to it: chmod o-w it");
    }
    return ALV_OK;
}

/* *out_real, without symbolic links, is what was judged and is to be loaded; PATH_MAX bytes. */
static alv_status library_judge(const char *path, char *out_real, alv_error *err)
{
    if (path[0] != '/') {
        return alv_fail(err, ALV_REJECT, "write its whole path, from / on");
    }
    if (realpath(path, out_real) == NULL) {
        return alv_fail_from(err, ALV_REJECT, "errno", errno,
                             "%s: build or install it, or correct the path", strerror(errno));
    }
    alv_status status = library_judge_file(out_real, err);
    return status == ALV_OK ? library_judge_folders(out_real, err) : status;
}

/* ---- what it says of itself -------------------------------------------------------------------- */

static bool library_is_text(const char *text)
{
    if (text == NULL || text[0] == '\0') {
        return false;
    }
    size_t size = strnlen(text, ALV_NAME_BYTES_MAX + 1);
    return size <= ALV_NAME_BYTES_MAX && alv_utf8_valid(text, size);
}

/* What the first version of the table had: less cannot be. */
#define LIBRARY_TABLE_BYTES_MIN                       \
    (offsetof(alv_behavior_library, behavior_count) + \
     sizeof(((alv_behavior_library *)0)->behavior_count))

static alv_status library_check_tests(const alv_behavior_library *table, alv_error *err)
{
    for (size_t i = 0; i < table->test_count; i++) {
        const alv_test_case *test = table->tests == NULL ? NULL : &table->tests[i];
        if (test == NULL || test->name == NULL || test->behavior == NULL || test->key == NULL ||
            test->run == NULL) {
            return alv_fail(err, ALV_REJECT,
                            "test %zu of its table lacks name, behavior, key or run", i + 1);
        }
    }
    return ALV_OK;
}

static alv_status library_read_table(alv_library *library, alv_error *err)
{
    const alv_behavior_library *table = dlsym(library->handle, ALV_LIBRARY_SYMBOL);
    if (table == NULL) {
        return alv_fail(err, ALV_REJECT,
                        "exports no \"%s\": define that table as alluvium/behavior.h shows, and "
                        "link without hiding it",
                        ALV_LIBRARY_SYMBOL);
    }
    /* First of all: with another ABI nothing else in the table means what it says. */
    if (table->abi != ALV_BEHAVIOR_ABI) {
        return alv_fail(err, ALV_REJECT, ALV_ABI_OTHER, table->abi, ALV_BEHAVIOR_ABI);
    }
    if (table->size < LIBRARY_TABLE_BYTES_MIN) {
        return alv_fail(err, ALV_REJECT, "its table does not begin with ALV_LIBRARY_HEAD");
    }
    if (!alv_abi_copy(table, table->size, &library->table, sizeof library->table)) {
        return alv_fail(err, ALV_REJECT, ALV_ABI_TOO_NEW);
    }
    if (!library_is_text(library->table.name) || !library_is_text(library->table.version)) {
        return alv_fail(err, ALV_REJECT, "its table lacks name or version, 1 to %d bytes",
                        ALV_NAME_BYTES_MAX);
    }
    if (library->table.behaviors == NULL || library->table.behavior_count == 0) {
        return alv_fail(err, ALV_REJECT, "its table names no behavior");
    }
    return library_check_tests(&library->table, err);
}

static alv_status library_register(const alv_library *library, alv_registry *registry,
                                   alv_error *err)
{
    const alv_origin origin = {.library = library->path, .version = library->table.version};
    for (size_t i = 0; i < library->table.behavior_count; i++) {
        const alv_behavior *behavior = library->table.behaviors[i];
        if (behavior == NULL) {
            return alv_fail(err, ALV_REJECT, "behavior %zu of its table is NULL", i + 1);
        }
        alv_status status = alv_registry_add_from(registry, behavior, &origin, err);
        if (status != ALV_OK) {
            return status;
        }
    }
    return ALV_OK;
}

/* ---- loading ----------------------------------------------------------------------------------- */

/* All symbols at once: what is missing is found now and not in the middle of a command. Nothing of one library is
 * seen by another. */
static alv_status library_open_handle(alv_library *library, const char *real, alv_error *err)
{
    library->handle = dlopen(real, RTLD_NOW | RTLD_LOCAL);
    if (library->handle == NULL) {
        return alv_fail_from(err, ALV_REJECT, "dlopen", 0,
                             "%s: build it for this machine, and link it with all that it calls",
                             dlerror());
    }
    return ALV_OK;
}

static alv_status library_open(alv_library *library, alv_registry *registry, alv_error *err)
{
    char real[PATH_MAX];
    alv_status status = library_judge(library->path, real, err);
    if (status == ALV_OK) {
        status = library_open_handle(library, real, err);
    }
    if (status == ALV_OK) {
        status = library_read_table(library, err);
    }
    return status == ALV_OK ? library_register(library, registry, err) : status;
}

alv_status alv_library_load(const char *paths, alv_registry *registry, alv_library **out,
                            alv_error *err)
{
    alv_library *first = NULL;
    alv_library **end = &first;
    size_t count = 0;
    for (const char *at = paths; at != NULL && *at != '\0'; at += *at == ',' ? 1 : 0) {
        size_t size = strcspn(at, ",");
        alv_library *library = alv_alloc(sizeof *library);
        library->path = alv_strndup(at, size);
        *end = library;
        end = &library->next;
        alv_error why = ALV_ERROR_NONE;
        alv_status status = library_open(library, registry, &why);
        if (status == ALV_OK && ++count > ALV_LIBRARIES_MAX) {
            status = alv_fail(&why, ALV_REJECT, "at most %d libraries fit", ALV_LIBRARIES_MAX);
        }
        if (status != ALV_OK) {
            (void)alv_fail_from(err, status, why.source, why.code, "library %s: %s", library->path,
                                why.text);
            alv_library_close(first);
            return status;
        }
        at += size;
    }
    *out = first;
    return ALV_OK;
}

void alv_library_close(alv_library *library)
{
    while (library != NULL) {
        alv_library *next = library->next;
        if (library->handle != NULL) {
            (void)dlclose(library->handle);
        }
        alv_free(library->path);
        alv_free(library);
        library = next;
    }
}
