/*
 * Load for the proxy benchmark: an origin server and a closed-loop client, each one epoll thread, light enough that the
 * proxy between them is the slowest part.
 *
 *   load server PORT proxy|plain            origin on [::1]:PORT; with `proxy` every connection must begin with a PROXY header
 *   load connect HOST PORT CONNS SECONDS    connect, ask for 6 bytes, read them, close; again
 *   load request HOST PORT CONNS SECONDS    connect once, then ask for 6 bytes again and again
 *   load bulk HOST PORT CONNS SECONDS       connect once, then ask for 64 MiB again and again
 *
 * A request is 8 bytes: 'q', 3 zero bytes, u32 length of the reply in network order. The client prints one JSON line.
 */
#define _GNU_SOURCE
#include "client.h"

#define CHUNK (256 * 1024)
#define SMALL 6
#define BULK (64u << 20)

static char chunk[CHUNK];

/* ---- origin server ---- */

struct origin {
  uint32_t have; /* bytes of the unfinished header or request */
  uint32_t header; /* bytes of the PROXY header still to come; 16 at first, 0 when done */
  int text; /* the header is of version 1, which ends with its line */
  uint64_t owed; /* reply bytes still to be sent */
  unsigned char part[16];
};

static struct origin origins[MAX_FD];
static const unsigned char signature[12] = "\r\n\r\n\0\r\nQUIT\n";
static int want_proxy;

/* Takes input bytes; returns -1 when the peer broke the protocol. */
static int feed(struct origin *o, const unsigned char *p, size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (o->text) {
      if (p[i] == '\n') o->text = o->header = 0;
      continue;
    }
    if (o->header > 16) { /* body of the PROXY header */
      o->header--;
      if (o->header == 16) o->header = 0;
      continue;
    }
    o->part[o->have++] = p[i];
    if (o->header == 16) {
      if (o->part[0] == 'P') {
        o->text = 1;
        o->have = 0;
        continue;
      }
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
static uint32_t reply_bytes;
static uint64_t done, failed, received;
static float *latency;
#define MAX_LATENCY (4u << 20)

static void ask(int fd) {
  clients[fd].left = reply_bytes;
  if (ask_for(fd, reply_bytes)) failed++;
}

static void open_client(void) {
  double asked = now();
  int fd = begin_connect();
  clients[fd] = (struct client){.left = UINT64_MAX, .asked = asked};
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
  report(done, failed, received, took, latency, kept);
}

int main(int argc, char **argv) {
  prepare();
  if (argc == 4 && !strcmp(argv[1], "server")) {
    want_proxy = !strcmp(argv[3], "proxy");
    serve(atoi(argv[2]));
  }
  if (argc != 6) {
    fprintf(stderr, "usage: load server PORT proxy|plain | load connect|request|bulk HOST PORT CONNS SECONDS\n");
    return 2;
  }
  set_target(argv[2], argv[3]);
  reply_bytes = strcmp(argv[1], "bulk") ? SMALL : BULK;
  load(atoi(argv[4]), atof(argv[5]), strcmp(argv[1], "connect"));
  return 0;
}
