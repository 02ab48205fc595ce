/* cli_common.h — what all subcommands do the same way: options, configuration, messages, exit codes.
 *
 * Why:    `-c`, `-X`, `--json` and the wording of errors are learnt once by whoever uses them.
 * Thread: main.
 * Owns:   alv_cli_options borrows from argv, apart from its list, which alv_cli_options_done frees.
 */
#ifndef ALV_CLI_CLI_COMMON_H
#define ALV_CLI_CLI_COMMON_H

#include <argp.h>

#include "base/config.h"

typedef enum alv_exit {
    ALV_EXIT_DONE = 0,
    ALV_EXIT_FAILED = 1, /* it was tried and did not work */
    ALV_EXIT_USAGE = 2,  /* the command line or the configuration is wrong; nothing was tried */
} alv_exit;

/* What the common options said. */
typedef struct alv_cli_options {
    const char *name;         /* "alluvium node", in front of messages */
    const char *config_path;  /* NULL = no file */
    const char **assignments; /* of -X, in the order given */
    size_t assignment_count;
    bool json;
} alv_cli_options;

/* The common options, to be made the first child of a subcommand's argp; its input is an
 * alv_cli_options, which the subcommand's parser passes on at ARGP_KEY_INIT. */
extern const struct argp alv_cli_argp;

/* The children of a subcommand's argp that has no others. */
extern const struct argp_child alv_cli_argp_children[];

/* Parses the command line. Prints help and exits 0, or a message and exits ALV_EXIT_USAGE. `input` is
 * handed to the subcommand's parser. */
void alv_cli_parse(const struct argp *argp, int argc, char **argv, void *input);

/* Reads an option's number; one that is none, or outside of low to high, ends the program with a usage message, which
 * begins with `option` unless that is NULL. */
double alv_cli_number(struct argp_state *state, const char *option, const char *argument,
                      double low, double high);

void alv_cli_options_done(alv_cli_options *options);

/* Builds the configuration from the file and the assignments. NULL when something is wrong with it,
 * which has then been said. The caller frees it. */
alv_config *alv_cli_config(const alv_cli_options *options);

/* Prints "NAME: text" on stderr. `next_step`, when there is one, follows on a line of its own. Returns
 * `status`, so that failing is one line. */
int alv_cli_fail(const alv_cli_options *options, alv_exit status, const char *next_step,
                 const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The same with an error's text. Something wrong that a person can change is still ALV_EXIT_FAILED:
 * it was tried. */
int alv_cli_fail_error(const alv_cli_options *options, const alv_error *err, const char *next_step);

/* The address of the node to ask: `given`, or that of the node that the configuration describes. NULL when it
 * has none, which has then been said; ALV_EXIT_USAGE. Borrowed. */
const char *alv_cli_node_address(const alv_cli_options *options, const char *given,
                                 const alv_config *config);

/* Flushes stdout; whether it took all that was printed since the program began. What goes there unbuffered, or
 * was flushed before, leaves nothing to flush when it is refused, so the last flush alone does not tell. */
bool alv_cli_printed(void);

/* Flushes stdout; a full disk or a closed pipe makes a successful result a failed one. */
int alv_cli_finish(const alv_cli_options *options, int status);

#endif
