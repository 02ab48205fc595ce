#include "tests/support/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static _Noreturn void process_die(const char *what)
{
    fprintf(stderr, "process: %s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

static int open_stream(const char *path, int flags)
{
    int fd = open(path != NULL ? path : "/dev/null", flags | O_CLOEXEC, 0600);
    if (fd < 0) {
        process_die(path);
    }
    return fd;
}

/* In the child: only calls that are safe after a fork of a program with threads. */
static _Noreturn void process_exec(const char *const *argv, const int streams[3], pid_t parent)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    bool ready = getppid() == parent; /* else the parent died before the line above */
    for (int i = 0; ready && i < 3; i++) {
        ready = dup2(streams[i], i) == i;
    }
    if (ready) {
        execvp(argv[0], (char *const *)(const void *)argv);
    }
    _exit(127);
}

void alv_process_start(alv_process *process, const char *const *argv, alv_process_files files)
{
    int streams[3] = {
        open_stream(files.in, O_RDONLY),
        open_stream(files.out, O_WRONLY | O_CREAT | O_APPEND),
        open_stream(files.err, O_WRONLY | O_CREAT | O_APPEND),
    };
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid < 0) {
        process_die("fork");
    }
    if (pid == 0) {
        process_exec(argv, streams, parent);
    }
    for (int i = 0; i < 3; i++) {
        (void)close(streams[i]);
    }
    alv_process_adopt(process, pid);
}

void alv_process_adopt(alv_process *process, pid_t pid)
{
    int pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pid_fd < 0) {
        process_die("pidfd_open");
    }
    *process = (alv_process){.pid = pid, .pid_fd = pid_fd};
}

bool alv_process_running(const alv_process *process)
{
    struct pollfd ended = {.fd = process->pid_fd, .events = POLLIN};
    return process->pid != 0 && poll(&ended, 1, 0) == 0;
}

bool alv_process_wait(alv_process *process, int timeout_ms)
{
    if (process->pid == 0) {
        return true;
    }
    struct pollfd ended = {.fd = process->pid_fd, .events = POLLIN};
    if (poll(&ended, 1, timeout_ms) <= 0) {
        return false;
    }
    int status = 0;
    if (waitpid(process->pid, &status, 0) != process->pid) {
        process_die("waitpid");
    }
    process->exit_status = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
    (void)close(process->pid_fd);
    process->pid = 0;
    return true;
}

void alv_process_signal(alv_process *process, int signal)
{
    if (process->pid != 0) {
        (void)kill(process->pid, signal);
    }
}

void alv_process_kill(alv_process *process)
{
    alv_process_signal(process, SIGKILL);
    (void)alv_process_wait(process, -1);
}

int alv_process_run(const char *const *argv, alv_process_files files, int timeout_ms)
{
    alv_process process;
    alv_process_start(&process, argv, files);
    if (!alv_process_wait(&process, timeout_ms)) {
        fprintf(stderr, "process: %s did not end within %d ms\n", argv[0], timeout_ms);
        alv_process_kill(&process);
        exit(EXIT_FAILURE);
    }
    return process.exit_status;
}

void alv_process_done(alv_process *process)
{
    alv_process_kill(process);
}
