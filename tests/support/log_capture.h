/* log_capture.h — what the process logs for a while.
 *
 * Why:    where the outcome is that a person is told, the log's lines are what is to be checked.
 * Thread: one; what other threads log meanwhile is in it as well.
 * Owns:   the struct is the caller's; what it captured ends with alv_log_capture_done.
 * Fails:  what does not work fails the running cmocka test.
 */
#ifndef ALV_TESTS_SUPPORT_LOG_CAPTURE_H
#define ALV_TESTS_SUPPORT_LOG_CAPTURE_H

typedef struct alv_log_capture {
    int saved; /* stderr as it was */
    int file;  /* takes its place */
    char *text;
} alv_log_capture;

/* From now on stderr is a file. Nothing may fail until the end, for its message would be in there. */
void alv_log_capture_begin(alv_log_capture *capture);

/* All that was written since; borrowed until done. */
char *alv_log_capture_end(alv_log_capture *capture);
void alv_log_capture_done(alv_log_capture *capture);

#endif
