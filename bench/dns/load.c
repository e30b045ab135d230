/*
 * What the DNS benchmarks need beside dnsperf and nsupdate, lean enough not to be what is measured.
 *
 *   load echo PORT                       answers every UDP datagram with itself, QR set: the limit for a server's CPU per query
 *   load send PORT FILE CLIENTS          sends the messages of FILE (u16 length, bytes) by UDP, each client (a socket) one at a
 *                                        time, and waits for each reply; a rcode other than NOERROR ends it
 *   load axfr PORT FILE RECORDS          sends the one message of FILE by TCP and reads until so many records have come
 *   load sync FILE COUNT                 appends 4 KiB and calls fdatasync, COUNT times: what the disk can do
 *
 * All on 127.0.0.1. Prints one JSON object; `echo` prints "ready" and runs until it is killed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define MESSAGE 4096
#define MAX_CLIENTS 64
/* A lost datagram is sent again after this. */
#define RESEND_MS 1000
#define MAX_RESENDS 5

static void die(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

static struct sockaddr_in local(int port) {
  return (struct sockaddr_in){
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void echo(int port) {
  int s = socket(AF_INET, SOCK_DGRAM, 0), size = 4 << 20;
  struct sockaddr_in a = local(port);
  setsockopt(s, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  if (bind(s, (void *)&a, sizeof a)) die("bind");
  static unsigned char bytes[BATCH][MESSAGE];
  static struct sockaddr_in names[BATCH];
  struct iovec vectors[BATCH];
  struct mmsghdr headers[BATCH];
  puts("ready");
  fflush(stdout);
  for (;;) {
    for (int i = 0; i < BATCH; i++) {
      vectors[i] = (struct iovec){bytes[i], MESSAGE};
      headers[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &names[i],
                                                .msg_namelen = sizeof names[i],
                                                .msg_iov = &vectors[i],
                                                .msg_iovlen = 1}};
    }
    int count = recvmmsg(s, headers, BATCH, MSG_WAITFORONE, NULL);
    if (count < 0) die("recvmmsg");
    for (int i = 0; i < count; i++) {
      vectors[i].iov_len = headers[i].msg_len;
      bytes[i][2] |= 0x80;
    }
    for (int sent = 0; sent < count;) {
      int n = sendmmsg(s, headers + sent, count - sent, 0);
      sent += n > 0 ? n : 1;
    }
  }
}

static unsigned char *read_file(const char *path, size_t *length) {
  struct stat st;
  int fd = open(path, O_RDONLY);
  if (fd < 0 || fstat(fd, &st)) die(path);
  unsigned char *bytes = malloc(st.st_size);
  *length = st.st_size;
  if (!bytes || read(fd, bytes, st.st_size) != st.st_size) die(path);
  close(fd);
  return bytes;
}

struct client {
  const unsigned char *message;
  double sent;
  int resends;
};

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void send_all(int port, const char *path, int count) {
  size_t length;
  unsigned char *at = read_file(path, &length), *end = at + length;
  struct sockaddr_in a = local(port);
  struct pollfd fds[MAX_CLIENTS];
  struct client clients[MAX_CLIENTS] = {0};
  double *times = malloc(sizeof(double) * (length / 14 + 1));
  long done = 0, resent = 0;
  int open = 0;
  double start = now();
  for (int i = 0; i < count; i++) {
    fds[i] = (struct pollfd){.fd = socket(AF_INET, SOCK_DGRAM, 0), .events = POLLIN};
    if (fds[i].fd < 0 || connect(fds[i].fd, (void *)&a, sizeof a)) die("connect");
  }
  for (int i = 0; i < count; i++) {
    if (at >= end) {
      fds[i].fd = -1;
      continue;
    }
    clients[i] = (struct client){.message = at, .sent = now()};
    if (send(fds[i].fd, at + 2, at[0] << 8 | at[1], 0) < 0) die("send");
    at += 2 + (at[0] << 8 | at[1]);
    open++;
  }
  while (open > 0) {
    int ready = poll(fds, count, RESEND_MS);
    if (ready < 0) die("poll");
    for (int i = 0; i < count; i++) {
      struct client *c = &clients[i];
      if (fds[i].fd < 0) continue;
      if (!(fds[i].revents & POLLIN)) {
        if (now() - c->sent < RESEND_MS / 1e3) continue;
        if (c->resends++ == MAX_RESENDS) {
          errno = ETIMEDOUT;
          die("no reply");
        }
        resent++;
        c->sent = now();
        if (send(fds[i].fd, c->message + 2, c->message[0] << 8 | c->message[1], 0) < 0) die("send");
        continue;
      }
      unsigned char in[MESSAGE];
      ssize_t n = recv(fds[i].fd, in, sizeof in, MSG_DONTWAIT);
      if (n < 0) die("recv");
      /* An answer to a message sent twice comes twice. */
      if (n < 12 || in[0] != c->message[2] || in[1] != c->message[3]) continue;
      if ((in[3] & 15) != 0) {
        fprintf(stderr, "rcode %d to message %ld\n", in[3] & 15, done);
        exit(1);
      }
      times[done++] = now() - c->sent;
      c->resends = 0;
      if (at >= end) {
        fds[i].fd = -1;
        open--;
        continue;
      }
      c->message = at;
      c->sent = now();
      if (send(fds[i].fd, at + 2, at[0] << 8 | at[1], 0) < 0) die("send");
      at += 2 + (at[0] << 8 | at[1]);
    }
  }
  double took = now() - start;
  qsort(times, done, sizeof(double), compare);
  printf("{\"done\":%ld,\"resent\":%ld,\"seconds\":%.6f,\"p50Ms\":%.4f,\"p99Ms\":%.4f,\"worstMs\":%.4f}\n", done, resent,
         took, done ? times[done / 2] * 1e3 : 0, done ? times[done * 99 / 100] * 1e3 : 0,
         done ? times[done - 1] * 1e3 : 0);
}

static void fill(int fd, unsigned char *to, size_t want) {
  for (size_t have = 0; have < want;) {
    ssize_t n = recv(fd, to + have, want - have, 0);
    if (n == 0) errno = ECONNRESET;
    if (n <= 0) die("recv");
    have += n;
  }
}

static void axfr(int port, const char *path, long records) {
  size_t length;
  unsigned char *message = read_file(path, &length);
  static unsigned char in[65536];
  struct sockaddr_in a = local(port);
  int s = socket(AF_INET, SOCK_STREAM, 0);
  double start = now();
  if (connect(s, (void *)&a, sizeof a)) die("connect");
  if (send(s, message, length, 0) != (ssize_t)length) die("send");
  long got = 0, messages = 0, bytes = 0;
  double first = 0;
  while (got < records) {
    fill(s, in, 2);
    size_t size = in[0] << 8 | in[1];
    fill(s, in, size);
    if (size < 12 || (in[3] & 15) != 0) {
      fprintf(stderr, "rcode %d after %ld records\n", in[3] & 15, got);
      exit(1);
    }
    if (messages++ == 0) first = now() - start;
    got += in[6] << 8 | in[7];
    bytes += size + 2;
  }
  printf("{\"records\":%ld,\"messages\":%ld,\"bytes\":%ld,\"firstMs\":%.3f,\"seconds\":%.6f}\n", got, messages, bytes,
         first * 1e3, now() - start);
}

static void sync_all(const char *path, int count) {
  static char page[4096];
  int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
  if (fd < 0) die(path);
  double start = now();
  for (int i = 0; i < count; i++) {
    if (write(fd, page, sizeof page) != sizeof page || fdatasync(fd)) die(path);
  }
  double took = now() - start;
  unlink(path);
  printf("{\"done\":%d,\"seconds\":%.6f}\n", count, took);
}

int main(int argc, char **argv) {
  if (argc == 3 && !strcmp(argv[1], "echo")) echo(atoi(argv[2]));
  else if (argc == 5 && !strcmp(argv[1], "send") && atoi(argv[4]) <= MAX_CLIENTS) {
    send_all(atoi(argv[2]), argv[3], atoi(argv[4]));
  } else if (argc == 5 && !strcmp(argv[1], "axfr")) axfr(atoi(argv[2]), argv[3], atol(argv[4]));
  else if (argc == 4 && !strcmp(argv[1], "sync")) sync_all(argv[2], atoi(argv[3]));
  else {
    fprintf(stderr, "usage: load echo PORT | send PORT FILE CLIENTS | axfr PORT FILE RECORDS | sync FILE COUNT\n");
    return 2;
  }
  return 0;
}
