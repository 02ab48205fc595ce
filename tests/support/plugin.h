/* plugin.h — the shared objects of tests/plugins, as the build made them.
 *
 * Thread: any.
 * Fails:  what cannot work on a healthy machine fails the running cmocka test.
 */
#ifndef ALV_TESTS_SUPPORT_PLUGIN_H
#define ALV_TESTS_SUPPORT_PLUGIN_H

/* The absolute path of tests/plugins/<name>.c, compiled. The caller frees it with alv_free. */
char *alv_plugin_path(const char *name);

/* The folder of the build that this program is of. The caller frees it. */
char *alv_plugin_build_folder(void);

/* The same of the test kit, as authors of behaviors link it. */
char *alv_plugin_test_kit(void);

#endif
