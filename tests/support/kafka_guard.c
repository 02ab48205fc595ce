#include "tests/support/kafka_guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <librdkafka/rdkafka.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "tests/support/wait.h"

#define GUARD_ANSWER_MS 30000

struct alv_kafka_guard {
    rd_kafka_t *client;
    rd_kafka_queue_t *queue;
};

alv_kafka_guard *alv_kafka_guard_open(const char *brokers)
{
    char text[256];
    alv_kafka_guard *guard = alv_alloc(sizeof *guard);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    assert_int_equal(rd_kafka_conf_set(conf, "bootstrap.servers", brokers, text, sizeof text), 0);
    guard->client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    assert_non_null(guard->client);
    guard->queue = rd_kafka_queue_new(guard->client);
    return guard;
}

void alv_kafka_guard_close(alv_kafka_guard *guard)
{
    if (guard == NULL) {
        return;
    }
    rd_kafka_queue_destroy(guard->queue);
    rd_kafka_destroy(guard->client);
    alv_free(guard);
}

/* The caller destroys it. */
static rd_kafka_event_t *guard_answer(alv_kafka_guard *guard)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(guard->queue, GUARD_ANSWER_MS);
    assert_non_null(event);
    if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        fail_msg("the broker refuses: %s", rd_kafka_event_error_string(event));
    }
    return event;
}

static void guard_check(const rd_kafka_error_t *error)
{
    if (error != NULL && rd_kafka_error_code(error) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        fail_msg("the broker refuses: %s", rd_kafka_error_string(error));
    }
}

/* ---- users ----------------------------------------------------------------------------------- */

void alv_kafka_guard_add_user(alv_kafka_guard *guard, const char *user, const char *password)
{
    static const rd_kafka_ScramMechanism_t mechanisms[] = {RD_KAFKA_SCRAM_MECHANISM_SHA_256,
                                                           RD_KAFKA_SCRAM_MECHANISM_SHA_512};
    for (size_t i = 0; i < 2; i++) {
        rd_kafka_UserScramCredentialAlteration_t *change =
            rd_kafka_UserScramCredentialUpsertion_new(user, mechanisms[i], 4096,
                                                      (const unsigned char *)password,
                                                      strlen(password), NULL, 0);
        rd_kafka_AlterUserScramCredentials(guard->client, &change, 1, NULL, guard->queue);
        rd_kafka_event_t *event = guard_answer(guard);
        size_t count = 0;
        const rd_kafka_AlterUserScramCredentials_result_response_t **responses =
            rd_kafka_AlterUserScramCredentials_result_responses(
                rd_kafka_event_AlterUserScramCredentials_result(event), &count);
        assert_int_equal(count, 1);
        guard_check(rd_kafka_AlterUserScramCredentials_result_response_error(responses[0]));
        rd_kafka_event_destroy(event);
        rd_kafka_UserScramCredentialAlteration_destroy(change);
    }
}

/* ---- rights ---------------------------------------------------------------------------------- */

/* librdkafka's words for a right; a binding and the filter that finds it are one type. */
static rd_kafka_ResourceType_t guard_resource(alv_access_kind kind)
{
    static const rd_kafka_ResourceType_t types[] = {
        [ALV_ACCESS_TOPIC] = RD_KAFKA_RESOURCE_TOPIC,
        [ALV_ACCESS_GROUP] = RD_KAFKA_RESOURCE_GROUP,
        [ALV_ACCESS_TRANSACTIONAL_ID] = RD_KAFKA_RESOURCE_TRANSACTIONAL_ID,
    };
    return types[kind];
}

static rd_kafka_AclOperation_t guard_operation(alv_access_operation operation)
{
    static const rd_kafka_AclOperation_t operations[] = {
        [ALV_ACCESS_READ] = RD_KAFKA_ACL_OPERATION_READ,
        [ALV_ACCESS_WRITE] = RD_KAFKA_ACL_OPERATION_WRITE,
        [ALV_ACCESS_CREATE] = RD_KAFKA_ACL_OPERATION_CREATE,
        [ALV_ACCESS_DELETE] = RD_KAFKA_ACL_OPERATION_DELETE,
        [ALV_ACCESS_DESCRIBE] = RD_KAFKA_ACL_OPERATION_DESCRIBE,
        [ALV_ACCESS_DESCRIBE_CONFIGS] = RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS,
    };
    return operations[operation];
}

static rd_kafka_ResourcePatternType_t guard_pattern(const alv_access *right)
{
    return right->is_prefix ? RD_KAFKA_RESOURCE_PATTERN_PREFIXED
                            : RD_KAFKA_RESOURCE_PATTERN_LITERAL;
}

static rd_kafka_AclBindingFilter_t *guard_filter(const char *principal, const alv_access *right)
{
    char text[256];
    rd_kafka_AclBindingFilter_t *filter = rd_kafka_AclBindingFilter_new(
        guard_resource(right->kind), right->name, guard_pattern(right), principal, "*",
        guard_operation(right->operation), RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW, text, sizeof text);
    assert_non_null(filter);
    return filter;
}

/* How many bindings there are of the kind that the filter finds. */
static size_t guard_count(alv_kafka_guard *guard, rd_kafka_AclBindingFilter_t *filter)
{
    size_t count = 0;
    rd_kafka_DescribeAcls(guard->client, filter, NULL, guard->queue);
    rd_kafka_event_t *event = guard_answer(guard);
    (void)rd_kafka_DescribeAcls_result_acls(rd_kafka_event_DescribeAcls_result(event), &count);
    rd_kafka_event_destroy(event);
    return count;
}

/* The controller has it; the broker learns of it a moment later. */
static void guard_wait(alv_kafka_guard *guard, const char *principal, const alv_access *right,
                       size_t expected)
{
    rd_kafka_AclBindingFilter_t *filter = guard_filter(principal, right);
    int64_t deadline = alv_wait_deadline(GUARD_ANSWER_MS);
    while (guard_count(guard, filter) != expected) {
        assert_false(alv_wait_expired(deadline));
    }
    rd_kafka_AclBinding_destroy(filter);
}

void alv_kafka_guard_allow(alv_kafka_guard *guard, const char *principal, const alv_access *right)
{
    char text[256];
    rd_kafka_AclBinding_t *binding = rd_kafka_AclBinding_new(
        guard_resource(right->kind), right->name, guard_pattern(right), principal, "*",
        guard_operation(right->operation), RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW, text, sizeof text);
    assert_non_null(binding);
    rd_kafka_CreateAcls(guard->client, &binding, 1, NULL, guard->queue);
    rd_kafka_event_t *event = guard_answer(guard);
    size_t count = 0;
    const rd_kafka_acl_result_t **results =
        rd_kafka_CreateAcls_result_acls(rd_kafka_event_CreateAcls_result(event), &count);
    assert_int_equal(count, 1);
    guard_check(rd_kafka_acl_result_error(results[0]));
    rd_kafka_event_destroy(event);
    rd_kafka_AclBinding_destroy(binding);
    guard_wait(guard, principal, right, 1);
}

void alv_kafka_guard_forbid(alv_kafka_guard *guard, const char *principal, const alv_access *right)
{
    rd_kafka_AclBindingFilter_t *filter = guard_filter(principal, right);
    assert_int_equal(guard_count(guard, filter), 1);
    rd_kafka_DeleteAcls(guard->client, &filter, 1, NULL, guard->queue);
    rd_kafka_event_destroy(guard_answer(guard));
    rd_kafka_AclBinding_destroy(filter);
    guard_wait(guard, principal, right, 0);
}

void alv_kafka_guard_allow_role(alv_kafka_guard *guard, const char *principal, alv_access_role role,
                                const alv_settings *settings)
{
    alv_access rights[ALV_ACCESS_MAX];
    size_t count = alv_access_list(role, settings, rights);
    for (size_t i = 0; i < count; i++) {
        alv_kafka_guard_allow(guard, principal, &rights[i]);
    }
}
