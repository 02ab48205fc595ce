/* process.h — starts a program, waits for its end with a deadline, and never leaves it behind.
 *
 * Why:    cluster tests run real nodes and kill them. A test that fails or is killed itself must not
 *         leave one running: every child gets SIGKILL from the kernel when its parent's thread ends.
 * Thread: start and everything after it: the same thread, which must live as long as the child.
 * Owns:   the caller's struct; alv_process_done kills what still runs.
 * Fails:  what cannot work on a healthy machine (fork, open of the output file) ends the test program.
 */
#ifndef ALV_TESTS_SUPPORT_PROCESS_H
#define ALV_TESTS_SUPPORT_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

typedef struct alv_process {
    pid_t pid;       /* 0 = not running */
    int pid_fd;      /* becomes readable when the process ends */
    int exit_status; /* of the last run: 0..255, or minus the signal that killed it */
} alv_process;

/* Where the child's standard streams go. NULL means /dev/null; out and err may be the same path. The
 * files are appended to. */
typedef struct alv_process_files {
    const char *in;
    const char *out;
    const char *err;
} alv_process_files;

/* argv is NULL-terminated; argv[0] is a path or is looked for in PATH. */
void alv_process_start(alv_process *process, const char *const *argv, alv_process_files files);

/* Takes over a child that the caller forked, so that it can be waited for. It is not killed with the
 * test program. */
void alv_process_adopt(alv_process *process, pid_t pid);

bool alv_process_running(const alv_process *process);

/* Waits for the end; false when `timeout_ms` pass first. The status is in `exit_status`. */
bool alv_process_wait(alv_process *process, int timeout_ms);

/* Sends a signal; nothing happens when it has ended. */
void alv_process_signal(alv_process *process, int signal);

/* SIGKILL, and waits for the end. */
void alv_process_kill(alv_process *process);

/* Start, wait, done: the exit status. Ends the test program when `timeout_ms` pass. */
int alv_process_run(const char *const *argv, alv_process_files files, int timeout_ms);

void alv_process_done(alv_process *process);

#endif
