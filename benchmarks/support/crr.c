/* TCP load generator: a server, and three kinds of load with their rates, for the benchmark of packet paths.
 *
 * crr serve ADDRESS PORT                            answers requests until it is killed
 * crr crr PORT SECONDS ROUNDS ADDRESS...            connect, request, response, close: connections per second
 * crr rr PORT SECONDS ROUNDS ADDRESS...             requests on one connection: responses per second
 * crr stream PORT SECONDS ROUNDS ADDRESS...         send at full speed on one connection: megabits per second
 *
 * In each round, each server is measured for SECONDS. Each round starts with another server, because the load on one
 * server still slows the next. The output has a line for each round, with the rates of the servers in the given order.
 * An ADDRESS is IPv4 or IPv6. The client closes with a reset, so that neither side keeps connections in TIME_WAIT.
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

static struct addrinfo *resolved(const char *address, const char *port) {
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM}, *found;
    if (getaddrinfo(address, port, &hints, &found) != 0) die("getaddrinfo");
    return found;
}

static void answer(int connection) {
    static char buffer[1 << 16];
    ssize_t count;
    while ((count = read(connection, buffer, sizeof buffer)) > 0)
        if (count == 1 && write(connection, buffer, 1) != 1) break; /* a single byte is a request */
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

static double crr(struct addrinfo *at, double seconds) {
    double count = 0, begin = now(), end = begin;
    for (; end < begin + seconds; count++, end = now()) {
        int connection = connected(at);
        ask(connection);
        close(connection);
    }
    return count / (end - begin);
}

static double rr(struct addrinfo *at, double seconds) {
    int connection = connected(at);
    double count = 0, begin = now(), end = begin;
    for (; end < begin + seconds; count++, end = now()) ask(connection);
    close(connection);
    return count / (end - begin);
}

static double stream(struct addrinfo *at, double seconds) {
    static char buffer[1 << 16];
    int connection = connected(at);
    double bytes = 0, begin = now(), end = begin;
    for (; end < begin + seconds; end = now()) {
        ssize_t count = write(connection, buffer, sizeof buffer);
        if (count < 0) die("write");
        bytes += count;
    }
    close(connection);
    return bytes * 8 / 1e6 / (end - begin);
}

static double measured(const char *kind, struct addrinfo *at, double seconds) {
    if (strcmp(kind, "crr") == 0) return crr(at, seconds);
    return strcmp(kind, "rr") == 0 ? rr(at, seconds) : stream(at, seconds);
}

int main(int count, char **words) {
    if (count == 4 && strcmp(words[1], "serve") == 0) serve(resolved(words[2], words[3]));
    if (count < 6) {
        fputs("crr serve ADDRESS PORT | crr crr|rr|stream PORT SECONDS ROUNDS ADDRESS...\n", stderr);
        return 2;
    }
    int servers = count - 5, rounds = atoi(words[4]);
    struct addrinfo *at[servers];
    double found[servers], seconds = atof(words[3]);
    for (int each = 0; each < servers; each++) at[each] = resolved(words[5 + each], words[2]);
    for (int round = 0; round < rounds; round++) {
        for (int turn = 0; turn < servers; turn++) {
            int each = (round + turn) % servers;
            found[each] = measured(words[1], at[each], seconds);
        }
        for (int each = 0; each < servers; each++) printf("%.3f%c", found[each], each + 1 < servers ? ' ' : '\n');
    }
    return 0;
}
