/* scratch.h — a directory for one test, gone afterwards.
 *
 * Why:    stores need a place on a real file system.
 * Thread: any.
 * Fails:  what cannot work on a healthy machine fails the running cmocka test.
 */
#ifndef ALV_TESTS_SUPPORT_SCRATCH_H
#define ALV_TESTS_SUPPORT_SCRATCH_H

/* An empty directory under TMPDIR or /tmp; the path goes back through alv_scratch_remove. */
char *alv_scratch_make(void);

/* Removes the directory with all that is in it, and frees the path. NULL is fine. */
void alv_scratch_remove(char *path);

#endif
