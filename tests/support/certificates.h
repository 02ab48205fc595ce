/* certificates.h — a certificate authority of a test's own, made with the openssl program.
 *
 * Why:    TLS is tested with real certificates of real chains, made anew for each run, so that none expires
 *         in the tree and no key is kept.
 * Thread: one.
 * Owns:   the files below `directory`, which is the caller's to remove.
 * Fails:  what openssl refuses fails the running cmocka test.
 */
#ifndef ALV_TESTS_SUPPORT_CERTIFICATES_H
#define ALV_TESTS_SUPPORT_CERTIFICATES_H

/* Makes NAME.pem and NAME.key in `directory`: a certificate authority. */
void alv_certificates_make_ca(const char *directory, const char *name);

/* Makes NAME.pem and NAME.key, signed by the authority CA, for 127.0.0.1 and localhost; good for servers
 * and clients. */
void alv_certificates_make(const char *directory, const char *ca, const char *name);

#endif
