/* Connect, request, response, close, over and over: how many times in some seconds, for the benchmark of packet paths.
 *
 * crr serve ADDRESS PORT            answers until it is killed
 * crr ask ADDRESS PORT SECONDS      prints how many times it was answered
 *
 * ADDRESS is of either family. Who asks closes by a reset, so that neither side keeps connections in TIME_WAIT.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what) {
    perror(what);
    exit(1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static struct addrinfo *resolved(char **words) {
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM}, *found;
    if (getaddrinfo(words[0], words[1], &hints, &found) != 0) die("getaddrinfo");
    return found;
}

static void serve(struct addrinfo *at) {
    int listener = socket(at->ai_family, SOCK_STREAM, 0), on = 1;
    char byte;
    if (listener < 0) die("socket");
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, at->ai_addr, at->ai_addrlen) < 0 || listen(listener, 128) < 0) die("bind");
    puts("ready");
    fflush(stdout);
    for (;;) {
        int connection = accept(listener, NULL, NULL);
        if (connection < 0) continue;
        if (read(connection, &byte, 1) == 1 && write(connection, &byte, 1) != 1) die("write");
        read(connection, &byte, 1); /* until it is reset */
        close(connection);
    }
}

static void ask(struct addrinfo *at, double seconds) {
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    double end = now() + seconds;
    long count = 0;
    char byte = 'x';
    int on = 1;
    while (now() < end) {
        int connection = socket(at->ai_family, SOCK_STREAM, 0);
        if (connection < 0) die("socket");
        setsockopt(connection, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (connect(connection, at->ai_addr, at->ai_addrlen) < 0) die("connect");
        if (write(connection, &byte, 1) != 1 || read(connection, &byte, 1) != 1) die("answer");
        close(connection);
        count++;
    }
    printf("%ld\n", count);
}

int main(int count, char **words) {
    if (count == 4 && strcmp(words[1], "serve") == 0) serve(resolved(words + 2));
    if (count == 5 && strcmp(words[1], "ask") == 0) {
        ask(resolved(words + 2), atof(words[4]));
        return 0;
    }
    fputs("crr serve ADDRESS PORT | crr ask ADDRESS PORT SECONDS\n", stderr);
    return 2;
}
