/*
 * The limit for the proxy benchmark: a relay of one thread that does what no proxy may do without, and nothing else. It accepts
 * on [HOST]:PORT, connects to [::1]:ORIGIN, introduces the client with a PROXY v2 header and moves bytes: small ones by recv
 * and send, bulk by splice. No timeouts, no checks, no log, no limits.
 *
 *   relay PORT ORIGIN
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_FD 65536
#define CHUNK 65536
#define BULK 32768
#define PIPE (256 * 1024)
#define HEADER 28

/* One side of a session: what is read from its socket goes to `other`. */
struct side {
  int other; /* descriptor of the other side; -1 when free */
  int connected;
  int eof, finished;
  int bulk; /* large reads in a row */
  int pipe[2];
  uint32_t piped, kept, sent;
  char *pending;
  struct sockaddr_in peer;
};

static struct side sides[MAX_FD];
static int ep, port;
static char chunk[HEADER + CHUNK];

static void die(const char *what) {
  perror(what);
  exit(1);
}

static void watch(int fd) {
  struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.fd = fd};
  if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e)) die("epoll_ctl");
}

static void drop(int fd) {
  int other = sides[fd].other;
  for (int i = 0; i < 2; i++) {
    int each = i ? other : fd;
    struct side *s = &sides[each];
    if (s->pipe[0]) close(s->pipe[0]), close(s->pipe[1]);
    free(s->pending);
    close(each);
    *s = (struct side){.other = -1};
  }
}

/* Sends from memory and keeps what is not taken. 0: all gone; 1: some left; -1: broken. */
static int put(struct side *s, const char *bytes, uint32_t length) {
  ssize_t n = send(s->other, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n < 0 && errno != EAGAIN) return -1;
  if (n < 0) n = 0;
  if (n == length) return 0;
  s->kept = length - n;
  s->sent = 0;
  s->pending = malloc(s->kept);
  memcpy(s->pending, bytes + n, s->kept);
  return 1;
}

static int flush_side(struct side *s) {
  if (s->pending) {
    ssize_t n = send(s->other, s->pending + s->sent, s->kept - s->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN ? 1 : -1;
    s->sent += n;
    if (s->sent < s->kept) return 1;
    free(s->pending);
    s->pending = 0;
  }
  while (s->piped) {
    ssize_t n = splice(s->pipe[0], 0, s->other, 0, s->piped, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (n < 0) return errno == EAGAIN ? 1 : -1;
    s->piped -= n;
  }
  return 0;
}

/* Moves what there is. -1: the session is over. */
static int pump(int fd, int hung_up) {
  struct side *s = &sides[fd];
  for (int reads = 0; reads < 16 || hung_up;) {
    int r = flush_side(s);
    if (r) return r < 0 ? -1 : 0;
    if (s->eof) {
      s->finished = 1;
      if (sides[s->other].finished) return -1;
      shutdown(s->other, SHUT_WR);
      return 0;
    }
    ssize_t n;
    if (s->bulk >= 2) {
      if (!s->pipe[0]) {
        if (pipe2(s->pipe, O_NONBLOCK)) die("pipe2");
        fcntl(s->pipe[1], F_SETPIPE_SZ, PIPE);
      }
      n = splice(fd, 0, s->pipe[1], 0, PIPE, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
      if (n > 0) s->piped = n;
    } else n = recv(fd, chunk + HEADER, CHUNK, MSG_DONTWAIT);
    if (n < 0) return errno == EAGAIN ? 0 : -1;
    if (n == 0) {
      s->eof = 1;
      continue;
    }
    int piped = s->bulk >= 2;
    s->bulk = n >= BULK ? s->bulk + 1 : 0;
    if (piped) continue;
    r = put(s, chunk + HEADER, n);
    if (r) return r < 0 ? -1 : 0;
    if (n < CHUNK && !hung_up) return 0;
    reads++;
  }
  return 0;
}

/* The member is there: PROXY header and the client's first bytes in one send. */
static int begin(int fd, int client) {
  static const unsigned char head[16] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c";
  struct side *s = &sides[client];
  sides[fd].connected = s->connected = 1;
  memcpy(chunk, head, 16);
  memcpy(chunk + 16, &s->peer.sin_addr, 4);
  *(uint32_t *)(chunk + 20) = htonl(INADDR_LOOPBACK);
  memcpy(chunk + 24, &s->peer.sin_port, 2);
  *(uint16_t *)(chunk + 26) = htons(port);
  ssize_t n = recv(client, chunk + HEADER, CHUNK, MSG_DONTWAIT);
  if (n < 0 && errno != EAGAIN) return -1;
  if (n == 0) s->eof = 1;
  if (put(s, chunk, HEADER + (n > 0 ? n : 0)) < 0) return -1;
  watch(client);
  return 0;
}

static void accept_some(int l, const struct sockaddr_in6 *origin) {
  for (int i = 0; i < 64; i++) {
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;
    int c = accept4(l, (void *)&peer, &length, SOCK_NONBLOCK);
    if (c < 0) return;
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0 || fd >= MAX_FD || c >= MAX_FD) die("socket");
    if (connect(fd, (const void *)origin, sizeof *origin) && errno != EINPROGRESS) die("connect");
    sides[c] = (struct side){.other = fd, .peer = peer};
    sides[fd] = (struct side){.other = c};
    watch(fd);
  }
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: relay PORT ORIGIN\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN); /* splice has no MSG_NOSIGNAL */
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  port = atoi(argv[1]);
  struct sockaddr_in6 origin = {.sin6_family = AF_INET6, .sin6_port = htons(atoi(argv[2])), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  ep = epoll_create1(0);
  int l = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
  setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  setsockopt(l, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (bind(l, (void *)&a, sizeof a) || listen(l, 4096)) die("bind");
  struct epoll_event e = {.events = EPOLLIN, .data.fd = l}, events[256];
  if (epoll_ctl(ep, EPOLL_CTL_ADD, l, &e)) die("epoll_ctl");
  for (;;) {
    int count = epoll_wait(ep, events, 256, -1);
    int knocked = 0;
    for (int i = 0; i < count; i++) {
      int fd = events[i].data.fd;
      uint32_t what = events[i].events;
      struct side *s = &sides[fd];
      if (fd == l) {
        knocked = 1;
        continue;
      }
      int other = s->other;
      if (other < 0) continue; /* closed earlier in this batch */
      if (!s->connected) {
        if (what & (EPOLLERR | EPOLLHUP) || begin(fd, other)) drop(fd);
        continue;
      }
      int hung_up = (what & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
      if (what & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR) && pump(fd, hung_up)) {
        drop(fd);
        continue;
      }
      if (what & EPOLLOUT && (sides[other].pending || sides[other].piped) && pump(other, 0)) drop(fd);
    }
    /* Last, so that no event of the batch can be taken for one of a new connection with an old number. */
    if (knocked) accept_some(l, &origin);
  }
}
