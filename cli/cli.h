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
int alv_cli_topics_run(int argc, char **argv);
int alv_cli_verify_run(int argc, char **argv);
int alv_cli_rebuild_run(int argc, char **argv);
int alv_cli_backup_run(int argc, char **argv);
int alv_cli_restore_run(int argc, char **argv);
int alv_cli_version_run(int argc, char **argv);

#endif
