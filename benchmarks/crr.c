/* Three ways to use TCP, and how often each comes round in some seconds, for the benchmark of packet paths.
 *
 * crr serve ADDRESS PORT            answers until it is killed
 * crr crr ADDRESS PORT SECONDS      connects, asks, hears the answer, closes: prints how many times
 * crr rr ADDRESS PORT SECONDS       asks and hears the answer on one connection: prints how many times
 * crr stream ADDRESS PORT SECONDS   sends all it can on one connection: prints how many megabits
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

static void answer(int connection) {
    static char buffer[1 << 16];
    ssize_t count;
    while ((count = read(connection, buffer, sizeof buffer)) > 0)
        if (count == 1 && write(connection, buffer, 1) != 1) break; /* a single byte is a question */
    close(connection);
}

static void serve(struct addrinfo *at) {
    int listener = socket(at->ai_family, SOCK_STREAM, 0), on = 1;
    if (listener < 0) die("socket");
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, at->ai_addr, at->ai_addrlen) < 0 || listen(listener, 128) < 0) die("bind");
    puts("ready");
    fflush(stdout);
    for (;;) {
        int connection = accept(listener, NULL, NULL);
        if (connection < 0) continue;
        setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        answer(connection);
    }
}

static int connected(struct addrinfo *at) {
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    int on = 1, connection = socket(at->ai_family, SOCK_STREAM, 0);
    if (connection < 0) die("socket");
    setsockopt(connection, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(connection, at->ai_addr, at->ai_addrlen) < 0) die("connect");
    return connection;
}

static void ask(int connection) {
    char byte = 'x';
    if (write(connection, &byte, 1) != 1 || read(connection, &byte, 1) != 1) die("answer");
}

static double crr(struct addrinfo *at, double end) {
    double count = 0;
    for (; now() < end; count++) {
        int connection = connected(at);
        ask(connection);
        close(connection);
    }
    return count;
}

static double rr(struct addrinfo *at, double end) {
    double count = 0;
    int connection = connected(at);
    for (; now() < end; count++) ask(connection);
    close(connection);
    return count;
}

static double stream(struct addrinfo *at, double end) {
    static char buffer[1 << 16];
    double bytes = 0;
    int connection = connected(at);
    while (now() < end) {
        ssize_t count = write(connection, buffer, sizeof buffer);
        if (count < 0) die("write");
        bytes += count;
    }
    close(connection);
    return bytes * 8 / 1e6;
}

int main(int count, char **words) {
    if (count == 4 && strcmp(words[1], "serve") == 0) serve(resolved(words + 2));
    if (count == 5) {
        struct addrinfo *at = resolved(words + 2);
        double end = now() + atof(words[4]);
        if (strcmp(words[1], "crr") == 0) return printf("%.0f\n", crr(at, end)) < 0;
        if (strcmp(words[1], "rr") == 0) return printf("%.0f\n", rr(at, end)) < 0;
        if (strcmp(words[1], "stream") == 0) return printf("%.0f\n", stream(at, end)) < 0;
    }
    fputs("crr serve ADDRESS PORT | crr crr|rr|stream ADDRESS PORT SECONDS\n", stderr);
    return 2;
}
