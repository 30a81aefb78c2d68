// Loaded into every process of a run (LD_PRELOAD): writes down each name that is looked up and each address that is
// connected to or sent to beyond this machine, natively or by Python, and lets none of them through.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void note(const char *what, const char *where) {
    const char *path = getenv("CONNECTIONS_LOG");
    char name[256] = "", line[1024];
    ssize_t length = readlink("/proc/self/exe", name, sizeof name - 1);
    if (!path || length < 0) return;
    int saved = errno, file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (file >= 0) {
        int size = snprintf(line, sizeof line, "%s %s (%s, process %d)\n", what, where, name, getpid());
        if (write(file, line, size < (int)sizeof line ? size : (int)sizeof line - 1) < 0) _exit(97);
        close(file);
    }
    errno = saved;
}

static int local_name(const char *name) {
    struct in_addr four;
    struct in6_addr six;
    if (!name || !*name || !strcmp(name, "localhost") || !strcmp(name, "0.0.0.0") || !strcmp(name, "::")) return 1;
    if (inet_pton(AF_INET, name, &four) == 1) return 1;  // an address and no look-up: connect decides
    return inet_pton(AF_INET6, name, &six) == 1;
}

static int own_name(const char *name) {
    char own[256] = "";
    return gethostname(own, sizeof own - 1) == 0 && name && !strcmp(name, own);
}

static int beyond(const struct sockaddr *address) {
    char text[INET6_ADDRSTRLEN] = "", where[128];
    unsigned port = 0;
    if (!address) return 0;
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *four = (const void *)address;
        if ((ntohl(four->sin_addr.s_addr) >> 24) == 127 || four->sin_addr.s_addr == 0) return 0;
        inet_ntop(AF_INET, &four->sin_addr, text, sizeof text);
        port = ntohs(four->sin_port);
    } else if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const void *)address;
        if (IN6_IS_ADDR_LOOPBACK(&six->sin6_addr) || IN6_IS_ADDR_UNSPECIFIED(&six->sin6_addr)) return 0;
        if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr) && six->sin6_addr.s6_addr[12] == 127) return 0;
        inet_ntop(AF_INET6, &six->sin6_addr, text, sizeof text);
        port = ntohs(six->sin6_port);
    } else {
        return 0;
    }
    snprintf(where, sizeof where, "%s:%u", text, port);
    note("connection", where);
    return 1;
}

#define NEXT(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))

int connect(int socket, const struct sockaddr *address, socklen_t length) {
    if (beyond(address)) { errno = ENETUNREACH; return -1; }
    return NEXT(connect)(socket, address, length);
}

ssize_t sendto(int socket, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length) {
    if (beyond(to)) { errno = ENETUNREACH; return -1; }
    return NEXT(sendto)(socket, data, size, flags, to, length);
}

ssize_t sendmsg(int socket, const struct msghdr *message, int flags) {
    if (beyond(message->msg_name)) { errno = ENETUNREACH; return -1; }
    return NEXT(sendmsg)(socket, message, flags);
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    if (!local_name(node) && !own_name(node)) { note("look-up", node); return EAI_NONAME; }
    return NEXT(getaddrinfo)(node, service, hints, found);
}

struct hostent *gethostbyname(const char *name) {
    if (!local_name(name) && !own_name(name)) { note("look-up", name); return NULL; }
    return NEXT(gethostbyname)(name);
}

struct hostent *gethostbyname2(const char *name, int family) {
    if (!local_name(name) && !own_name(name)) { note("look-up", name); return NULL; }
    return NEXT(gethostbyname2)(name, family);
}

int gethostbyname_r(const char *name, struct hostent *host, char *buffer, size_t size, struct hostent **found,
                    int *problem) {
    if (!local_name(name) && !own_name(name)) { note("look-up", name); *found = NULL; return ENOENT; }
    return NEXT(gethostbyname_r)(name, host, buffer, size, found, problem);
}

int gethostbyname2_r(const char *name, int family, struct hostent *host, char *buffer, size_t size,
                     struct hostent **found, int *problem) {
    if (!local_name(name) && !own_name(name)) { note("look-up", name); *found = NULL; return ENOENT; }
    return NEXT(gethostbyname2_r)(name, family, host, buffer, size, found, problem);
}
