/* What the load generators of the proxy benchmark share. */
#ifndef CLIENT_H
#define CLIENT_H
#include <arpa/inet.h>
#include <errno.h>
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

static int ep;
static struct sockaddr_storage target;
static socklen_t target_length;

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

/* As many descriptors as may be had, and an epoll. */
static void prepare(void) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  ep = epoll_create1(0);
}

static void set_target(const char *host, const char *port) {
  struct sockaddr_in *v4 = (void *)&target;
  struct sockaddr_in6 *v6 = (void *)&target;
  if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(atoi(port));
    target_length = sizeof *v4;
  } else if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(atoi(port));
    target_length = sizeof *v6;
  } else {
    fprintf(stderr, "%s is no address\n", host);
    exit(2);
  }
}

/* A socket that connects, watched. */
static int begin_connect(void) {
  int fd = socket(target.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
  if (fd < 0 || fd >= MAX_FD) die("socket");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (connect(fd, (void *)&target, target_length) && errno != EINPROGRESS) die("connect");
  watch(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
  return fd;
}

/* Asks for so many bytes. -1 when the request does not leave whole. */
static int ask_for(int fd, uint32_t bytes) {
  unsigned char q[8] = {'q', 0, 0, 0, bytes >> 24, bytes >> 16, bytes >> 8, bytes};
  return send(fd, q, 8, MSG_NOSIGNAL) == 8 ? 0 : -1;
}

static int compare(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

/* Sorts `latency`, in seconds, and prints the one line that the benchmark reads. */
static void report(uint64_t done, uint64_t failed, uint64_t received, double seconds, float *latency, uint64_t kept) {
  qsort(latency, kept, sizeof(float), compare);
  printf("{\"done\":%llu,\"failed\":%llu,\"bytes\":%llu,\"seconds\":%.3f,\"p50Ms\":%.3f,\"p90Ms\":%.3f,\"p99Ms\":%.3f}\n",
         (unsigned long long)done, (unsigned long long)failed, (unsigned long long)received, seconds,
         kept ? latency[kept / 2] * 1e3 : 0, kept ? latency[kept * 9 / 10] * 1e3 : 0,
         kept ? latency[kept * 99 / 100] * 1e3 : 0);
}
#endif
