/*
 * Load for the proxy benchmark: an origin server and a closed-loop client, each one epoll thread, light enough that the
 * proxy between them is the slowest part.
 *
 *   load server PORT proxy|plain            origin on [::1]:PORT; with `proxy` every connection must begin with a PROXY v2 header
 *   load connect HOST PORT CONNS SECONDS    connect, ask for 6 bytes, read them, close; again
 *   load request HOST PORT CONNS SECONDS    connect once, then ask for 6 bytes again and again
 *   load bulk HOST PORT CONNS SECONDS       connect once, then ask for 64 MiB again and again
 *
 * A request is 8 bytes: 'q', 3 zero bytes, u32 length of the reply in network order. The client prints one JSON line.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_FD 65536
#define CHUNK (256 * 1024)
#define SMALL 6
#define BULK (64u << 20)

static int ep;
static char chunk[CHUNK];

static void die(const char *what) {
  perror(what);
  exit(1);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static void watch(int fd, uint32_t events) {
  struct epoll_event e = {.events = events, .data.fd = fd};
  if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e)) die("epoll_ctl");
}

/* ---- origin server ---- */

struct origin {
  uint32_t have; /* bytes of the unfinished header or request */
  uint32_t header; /* bytes of the PROXY header still to come; 16 at first, 0 when done */
  uint64_t owed; /* reply bytes still to be sent */
  unsigned char part[16];
};

static struct origin origins[MAX_FD];
static const unsigned char signature[12] = "\r\n\r\n\0\r\nQUIT\n";
static int want_proxy;

/* Takes input bytes; returns -1 when the peer broke the protocol. */
static int feed(struct origin *o, const unsigned char *p, size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (o->header > 16) { /* body of the PROXY header */
      o->header--;
      if (o->header == 16) o->header = 0;
      continue;
    }
    o->part[o->have++] = p[i];
    if (o->header == 16) {
      if (o->have < 16) continue;
      if (memcmp(o->part, signature, 12)) return -1;
      uint32_t body = o->part[14] << 8 | o->part[15];
      o->header = body ? 16 + body : 0;
      o->have = 0;
    } else if (o->have == 8) {
      if (o->part[0] != 'q') return -1;
      o->owed += (uint32_t)o->part[4] << 24 | o->part[5] << 16 | o->part[6] << 8 | o->part[7];
      o->have = 0;
    }
  }
  return 0;
}

static int flush_origin(int fd, struct origin *o) {
  while (o->owed) {
    ssize_t n = send(fd, chunk, o->owed < CHUNK ? o->owed : CHUNK, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) return errno == EAGAIN ? 0 : -1;
    o->owed -= n;
  }
  return 0;
}

static void serve(int port) {
  int l = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
  setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  setsockopt(l, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  if (bind(l, (void *)&a, sizeof a) || listen(l, 4096)) die("bind");
  watch(l, EPOLLIN);
  puts("ready");
  fflush(stdout);
  static unsigned char in[65536];
  struct epoll_event events[256];
  for (;;) {
    int count = epoll_wait(ep, events, 256, -1);
    for (int i = 0; i < count; i++) {
      int fd = events[i].data.fd;
      if (fd == l) {
        for (int k = 0; k < 64; k++) {
          int c = accept4(l, 0, 0, SOCK_NONBLOCK);
          if (c < 0) break;
          if (c >= MAX_FD) {
            close(c);
            continue;
          }
          origins[c] = (struct origin){.header = want_proxy ? 16 : 0};
          watch(c, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
        }
        continue;
      }
      struct origin *o = &origins[fd];
      int gone = 0;
      for (;;) {
        ssize_t n = recv(fd, in, sizeof in, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN) break;
        if (n <= 0 || feed(o, in, n)) {
          gone = 1;
          break;
        }
        if (n < (ssize_t)sizeof in && !(events[i].events & (EPOLLRDHUP | EPOLLHUP))) break;
      }
      if (gone || flush_origin(fd, o)) close(fd);
    }
  }
}

/* ---- client ---- */

struct client {
  uint64_t left; /* reply bytes still to come */
  double asked;
};

static struct client clients[MAX_FD];
static struct sockaddr_storage target;
static socklen_t target_length;
static uint32_t reply_bytes;
static uint64_t done, failed, received;
static float *latency;
#define MAX_LATENCY (4u << 20)

static void ask(int fd) {
  unsigned char q[8] = {'q', 0, 0, 0, reply_bytes >> 24, reply_bytes >> 16, reply_bytes >> 8, reply_bytes};
  clients[fd].left = reply_bytes;
  if (send(fd, q, 8, MSG_NOSIGNAL) != 8) failed++;
}

static void open_client(void) {
  int fd = socket(target.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
  if (fd < 0 || fd >= MAX_FD) die("socket");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  clients[fd] = (struct client){.left = UINT64_MAX, .asked = now()};
  if (connect(fd, (void *)&target, target_length) && errno != EINPROGRESS) die("connect");
  watch(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

static int compare(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

static void load(int connections, double seconds, int again) {
  latency = malloc(sizeof(float) * MAX_LATENCY);
  for (int i = 0; i < connections; i++) open_client();
  struct epoll_event events[256];
  static char in[CHUNK];
  double start = now(), end = start + seconds;
  while (now() < end) {
    int count = epoll_wait(ep, events, 256, 100);
    for (int i = 0; i < count; i++) {
      int fd = events[i].data.fd;
      struct client *c = &clients[fd];
      if (events[i].events & (EPOLLERR | EPOLLHUP)) {
        failed++;
        close(fd);
        open_client();
        continue;
      }
      if (c->left == UINT64_MAX && (events[i].events & EPOLLOUT)) ask(fd);
      for (;;) {
        ssize_t n = recv(fd, in, sizeof in, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN) break;
        if (n <= 0) {
          failed++;
          close(fd);
          open_client();
          break;
        }
        received += n;
        c->left -= n;
        if (c->left == 0) {
          double t = now();
          if (done < MAX_LATENCY) latency[done] = t - c->asked;
          done++;
          c->asked = t;
          if (again) {
            ask(fd);
            break;
          }
          close(fd);
          open_client();
          break;
        }
        if (n < (ssize_t)sizeof in) break;
      }
    }
  }
  double took = now() - start;
  uint64_t kept = done < MAX_LATENCY ? done : MAX_LATENCY;
  qsort(latency, kept, sizeof(float), compare);
  printf("{\"done\":%llu,\"failed\":%llu,\"bytes\":%llu,\"seconds\":%.3f,\"p50Ms\":%.3f,\"p99Ms\":%.3f}\n",
         (unsigned long long)done, (unsigned long long)failed, (unsigned long long)received, took,
         kept ? latency[kept / 2] * 1e3 : 0, kept ? latency[kept * 99 / 100] * 1e3 : 0);
}

int main(int argc, char **argv) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  ep = epoll_create1(0);
  if (argc == 4 && !strcmp(argv[1], "server")) {
    want_proxy = !strcmp(argv[3], "proxy");
    serve(atoi(argv[2]));
  }
  if (argc != 6) {
    fprintf(stderr, "usage: load server PORT proxy|plain | load connect|request|bulk HOST PORT CONNS SECONDS\n");
    return 2;
  }
  struct sockaddr_in *v4 = (void *)&target;
  struct sockaddr_in6 *v6 = (void *)&target;
  if (inet_pton(AF_INET, argv[2], &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(atoi(argv[3]));
    target_length = sizeof *v4;
  } else if (inet_pton(AF_INET6, argv[2], &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(atoi(argv[3]));
    target_length = sizeof *v6;
  } else {
    fprintf(stderr, "%s is no address\n", argv[2]);
    return 2;
  }
  reply_bytes = strcmp(argv[1], "bulk") ? SMALL : BULK;
  load(atoi(argv[4]), atof(argv[5]), strcmp(argv[1], "connect"));
  return 0;
}
