/*
 * Asks the C library libinjection about many values. Reads values from stdin, each behind its length in four bytes,
 * lowest first; writes ten bytes for each: 1 or 0 for SQL injection, its fingerprint in eight bytes, 1 or 0 for
 * cross-site scripting.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libinjection.h"

/* The library looks a few bytes past the end and counts on zeros there. */
enum { PADDING = 16 };

int main(void)
{
    unsigned char size[4];
    while (fread(size, 1, sizeof size, stdin) == sizeof size) {
        size_t len = size[0] | (size_t)size[1] << 8 | (size_t)size[2] << 16 | (size_t)size[3] << 24;
        char *value = calloc(len + PADDING, 1);
        char answer[10] = {0};
        if (value == NULL || fread(value, 1, len, stdin) != len) {
            return 1;
        }
        answer[0] = (char)(libinjection_sqli(value, len, answer + 1) != 0);
        answer[9] = (char)(libinjection_xss(value, len) != 0);
        if (fwrite(answer, 1, sizeof answer, stdout) != sizeof answer) {
            return 1;
        }
        free(value);
    }
    return 0;
}
