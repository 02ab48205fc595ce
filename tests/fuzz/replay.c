/* replay.c — runs a fuzz target over files: those of its corpus, or those that are named.
 *
 * Why:    inputs that were found, or thought of, are tests in every build and with every compiler. Each is
 *         put into memory of its own size, so that a sanitizer sees the byte behind it.
 * Usage:  build/tests/fuzz/command [FILE...]
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "tests/support/fuzz_target.h"

/* Hand-written or found, a few kB each. */
#define REPLAY_FILE_BYTES_MAX (1024 * 1024)

static char replay_file[4096]; /* the one in hand */

/* The process ends as it would have, after saying which input it was. */
static void replay_died(int number)
{
    static const char before[] = "\nreplay: with the input ";
    (void)!write(STDERR_FILENO, before, sizeof before - 1);
    (void)!write(STDERR_FILENO, replay_file, strlen(replay_file));
    (void)!write(STDERR_FILENO, "\n", 1);
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

static void replay_run(const char *path)
{
    (void)snprintf(replay_file, sizeof replay_file, "%s", path);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        perror(path);
        exit(1);
    }
    char *content = alv_alloc(REPLAY_FILE_BYTES_MAX);
    size_t size = fread(content, 1, REPLAY_FILE_BYTES_MAX, file);
    (void)fclose(file); /* only read from */
    uint8_t *input = alv_realloc(content, size > 0 ? size : 1);
    (void)LLVMFuzzerTestOneInput(input, size);
    alv_free(input);
}

static int replay_is_input(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int replay_corpus(const char *folder)
{
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, replay_is_input, alphasort);
    for (int i = 0; i < count; i++) {
        char *path = alv_format("%s/%s", folder, entries[i]->d_name);
        replay_run(path);
        alv_free(path);
        free(entries[i]);
    }
    free(entries);
    return count;
}

int main(int argc, char **argv)
{
    static const int deadly[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTERM};
    for (size_t i = 0; i < sizeof deadly / sizeof deadly[0]; i++) {
        (void)signal(deadly[i], replay_died);
    }
    (void)LLVMFuzzerTestOneInput(NULL, 0);
    for (int i = 1; i < argc; i++) {
        replay_run(argv[i]);
    }
    int count = argc > 1 ? argc - 1 : replay_corpus(ALV_FUZZ_CORPUS);
    printf("%d inputs\n", count);
    return count > 0 ? 0 : 1;
}
