/*
 * libmodsecurity3 as the other side of the comparison. Loads one rules file, then for each line on
 * standard input, the path of a file of exchanges, runs them all once and answers with the CPU time
 * that took and how many of them were stopped.
 *
 *   ready CPU_NANOSECONDS RESIDENT_KIB      after the rules are loaded
 *   CPU_NANOSECONDS STOPPED                 after each file
 *
 * An exchanges file holds, one exchange after the other: method, target, request fields, request
 * body, status, response fields, response body. A text is its length (32 bits, little-endian) and
 * its bytes; fields are their number, then name and value of each; the status is a number.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <modsecurity/modsecurity.h>
#include <modsecurity/rules_set.h>
#include <modsecurity/transaction.h>

struct text {
    const unsigned char *bytes;
    uint32_t length;
};

static void fail(const char *what, const char *why) {
    fprintf(stderr, "peer: %s: %s\n", what, why == NULL ? "unknown error" : why);
    exit(1);
}

static uint64_t cpu_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static long resident_kib(void) {
    char line[256];
    long kib = 0;
    FILE *status = fopen("/proc/self/status", "r");
    if (status == NULL) return 0;
    while (fgets(line, sizeof line, status) != NULL)
        if (sscanf(line, "VmRSS: %ld", &kib) == 1) break;
    fclose(status);
    return kib;
}

/* Nothing that a rule has to say is printed: the comparison is of rules, not of terminals. */
static void quiet(void *data, const void *message) {
    (void)data;
    (void)message;
}

static uint32_t take_number(const unsigned char **at) {
    uint32_t number = (uint32_t)(*at)[0] | (uint32_t)(*at)[1] << 8 | (uint32_t)(*at)[2] << 16 |
                      (uint32_t)(*at)[3] << 24;
    *at += 4;
    return number;
}

static struct text take_text(const unsigned char **at) {
    struct text text;
    text.length = take_number(at);
    text.bytes = *at;
    *at += text.length;
    return text;
}

/* The library wants some texts ended by a zero. */
static const char *ended(struct text text, char *room, size_t size) {
    size_t length = text.length < size ? text.length : size - 1;
    memcpy(room, text.bytes, length);
    room[length] = 0;
    return room;
}

static int stopped(Transaction *transaction) {
    ModSecurityIntervention it;
    memset(&it, 0, sizeof it);
    it.status = 200;
    int yes = msc_intervention(transaction, &it) != 0;
    free(it.url);
    free(it.log);
    return yes;
}

/* One exchange as a proxy drives it: a phase is left out once the exchange was stopped. */
static int run(ModSecurity *library, RulesSet *rules, const unsigned char **at) {
    char method[32], target[8192];
    int over = 0;
    Transaction *transaction = msc_new_transaction(library, rules, NULL);
    msc_process_connection(transaction, "127.0.0.1", 40000, "127.0.0.1", 443);
    ended(take_text(at), method, sizeof method);
    ended(take_text(at), target, sizeof target);
    msc_process_uri(transaction, target, method, "1.1");
    for (uint32_t fields = take_number(at); fields > 0; fields--) {
        struct text name = take_text(at), value = take_text(at);
        msc_add_n_request_header(transaction, name.bytes, name.length, value.bytes, value.length);
    }
    msc_process_request_headers(transaction);
    over = stopped(transaction);
    struct text body = take_text(at);
    if (!over) {
        if (body.length > 0) msc_append_request_body(transaction, body.bytes, body.length);
        msc_process_request_body(transaction);
        over = stopped(transaction);
    }
    int status = (int)take_number(at);
    for (uint32_t fields = take_number(at); fields > 0; fields--) {
        struct text name = take_text(at), value = take_text(at);
        if (!over) msc_add_n_response_header(transaction, name.bytes, name.length, value.bytes, value.length);
    }
    if (!over) {
        msc_process_response_headers(transaction, status, "HTTP/1.1");
        over = stopped(transaction);
    }
    body = take_text(at);
    if (!over) {
        if (body.length > 0) msc_append_response_body(transaction, body.bytes, body.length);
        msc_process_response_body(transaction);
        over = stopped(transaction);
    }
    msc_process_logging(transaction);
    msc_transaction_cleanup(transaction);
    return over;
}

static unsigned char *whole_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) fail(path, "cannot be opened");
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    unsigned char *bytes = malloc(*size + 1);
    if (bytes == NULL || fread(bytes, 1, *size, file) != *size) fail(path, "cannot be read");
    fclose(file);
    return bytes;
}

int main(int count, char **arguments) {
    if (count != 2) fail("usage", "peer RULES");
    const char *error = NULL;
    long before = resident_kib();
    uint64_t start = cpu_nanoseconds();
    ModSecurity *library = msc_init();
    msc_set_log_cb(library, quiet);
    RulesSet *rules = msc_create_rules_set();
    if (msc_rules_add_file(rules, arguments[1], &error) < 0) fail(arguments[1], error);
    printf("ready %llu %ld\n", (unsigned long long)(cpu_nanoseconds() - start), resident_kib() - before);
    fflush(stdout);
    char path[4096];
    while (fgets(path, sizeof path, stdin) != NULL) {
        size_t size, over = 0;
        path[strcspn(path, "\n")] = 0;
        unsigned char *bytes = whole_file(path, &size);
        const unsigned char *at = bytes;
        start = cpu_nanoseconds();
        while (at < bytes + size) over += (size_t)run(library, rules, &at);
        printf("%llu %zu\n", (unsigned long long)(cpu_nanoseconds() - start), over);
        fflush(stdout);
        free(bytes);
    }
    msc_rules_cleanup(rules);
    msc_cleanup(library);
    return 0;
}
