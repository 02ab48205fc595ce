/* cli.h — the subcommands of `alluvium`: each is one file cli_<name>.c with one function.
 *
 * Why:    main.c is a table and nothing else; adding a subcommand is a row there, a line here, a file.
 * Thread: main.
 * Fails:  the result is the program's exit status, see alv_exit in cli_common.h. What went wrong has
 *         been said on stderr by then.
 */
#ifndef ALV_CLI_CLI_H
#define ALV_CLI_CLI_H

/* argv[0] is "alluvium NAME", as it appears in messages; the rest are the subcommand's arguments. */
typedef int (*alv_cli_run)(int argc, char **argv);

int alv_cli_node_run(int argc, char **argv);
int alv_cli_send_run(int argc, char **argv);
int alv_cli_get_run(int argc, char **argv);
int alv_cli_watch_run(int argc, char **argv);
int alv_cli_topics_run(int argc, char **argv);
int alv_cli_global_table_run(int argc, char **argv);
int alv_cli_acls_run(int argc, char **argv);
int alv_cli_dead_letters_run(int argc, char **argv);
int alv_cli_quarantine_run(int argc, char **argv);
int alv_cli_verify_run(int argc, char **argv);
int alv_cli_rebuild_run(int argc, char **argv);
int alv_cli_backup_run(int argc, char **argv);
int alv_cli_restore_run(int argc, char **argv);
int alv_cli_status_run(int argc, char **argv);
int alv_cli_behavior_run(int argc, char **argv);
int alv_cli_bench_run(int argc, char **argv);
int alv_cli_completion_run(int argc, char **argv);
int alv_cli_version_run(int argc, char **argv);

/* What `alluvium completion` needs of main.c, which alone knows all subcommands: prints them, one a line
 * with a tab and what it does; prints the options of one, and does not return then. */
typedef struct alv_cli_completion {
    void (*list_commands)(void);
    int (*list_options)(const char *name); /* the exit status when there is no such subcommand */
} alv_cli_completion;

extern const alv_cli_completion *alv_cli_completion_main; /* set by main */

#endif
