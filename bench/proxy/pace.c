/*
 * Open-loop load for the proxy benchmark: what is asked comes at its own times, whether the answers keep up or not, and a
 * latency counts from the time a request was due, not from when there was a connection or a processor for it. (A closed
 * loop asks less while the server is slow and so leaves out the very moments that matter.) The times are those of a Poisson
 * process, the same in each run.
 *
 *   pace connect HOST PORT RATE SECONDS           a connection for each request
 *   pace request HOST PORT RATE SECONDS CONNS     on so many connections, each with one request at a time
 *   pace hold HOST PORT CONNS                     a request on each of so many connections; then says "held" and keeps them
 *                                                 until its standard input ends
 */
#define _GNU_SOURCE
#include "client.h"
#include <math.h>
#include <sys/prctl.h>

#define SMALL 6
#define MAX_DUE (4u << 20)
/* Requests under way and connections being opened at once; what comes beyond waits, and its waiting counts. */
#define MAX_OPEN 4096
#define MAX_OPENING 256
/* How long after the last request the answers may take. */
#define GRACE 2.0

static struct {
  int state; /* 0 closed, 1 connecting, 2 asked, 3 idle */
  uint32_t left;
  float due; /* seconds after the start */
} conns[MAX_FD];

static float *due, *latency;
static uint64_t due_count, done, failed, next_due;
static int idle[MAX_FD], idle_count, under_way;
static double start;

static void plan(double rate, double seconds) {
  due = malloc(sizeof(float) * MAX_DUE);
  latency = malloc(sizeof(float) * MAX_DUE);
  srand48(1);
  for (double t = 0; due_count < MAX_DUE; due_count++) {
    t -= log(1 - drand48()) / rate;
    if (t >= seconds) break;
    due[due_count] = t;
  }
}

static void ask(int fd, float at) {
  conns[fd].state = 2;
  conns[fd].left = SMALL;
  conns[fd].due = at;
  if (ask_for(fd, SMALL)) failed++;
}

/* Events of one connection. 0: goes on; 1: its answer is there; -1: it broke. */
static int advance(int fd, uint32_t events) {
  char in[64];
  if (events & (EPOLLERR | EPOLLHUP)) return -1;
  if (conns[fd].state == 1 && events & EPOLLOUT) ask(fd, conns[fd].due);
  if (conns[fd].state != 2) return 0;
  ssize_t n = recv(fd, in, sizeof in, MSG_DONTWAIT);
  if (n < 0 && errno == EAGAIN) return 0;
  if (n <= 0 || n > conns[fd].left) return -1;
  conns[fd].left -= n;
  return conns[fd].left == 0;
}

static void give_up(int fd) {
  close(fd);
  conns[fd].state = 0;
  failed++;
  under_way--;
}

/* Opens `count` connections, each of which has had an answer before this returns. */
static void open_all(int count) {
  struct epoll_event events[256];
  for (int opened = 0; idle_count < count;) {
    for (; opened < count && opened - idle_count < MAX_OPENING; opened++) {
      conns[begin_connect()].state = 1;
    }
    int ready = epoll_wait(ep, events, 256, 5000);
    if (ready <= 0) die("connections do not open");
    for (int i = 0; i < ready; i++) {
      int fd = events[i].data.fd, r = advance(fd, events[i].events);
      if (r < 0) die("a connection broke");
      if (r == 0) continue;
      conns[fd].state = 3;
      idle[idle_count++] = fd;
    }
  }
}

static void launch(int again, double t) {
  while (next_due < due_count && due[next_due] <= t) {
    if (again && idle_count == 0) return;
    if (!again && under_way >= MAX_OPEN) return;
    float at = due[next_due++];
    under_way++;
    if (again) ask(idle[--idle_count], at);
    else {
      int fd = begin_connect();
      conns[fd].state = 1;
      conns[fd].due = at;
    }
  }
}

static void run(double seconds, int again) {
  struct epoll_event events[256];
  start = now();
  for (;;) {
    double t = now() - start;
    launch(again, t);
    if ((next_due == due_count && under_way == 0) || t > seconds + GRACE) break;
    double wait = next_due < due_count ? due[next_due] - t : GRACE;
    if (wait < 0) wait = 0.1; /* all connections are busy: an answer comes first */
    struct timespec limit = {.tv_sec = wait, .tv_nsec = (wait - (long)wait) * 1e9};
    int ready = epoll_pwait2(ep, events, 256, &limit, 0);
    for (int i = 0; i < ready; i++) {
      int fd = events[i].data.fd;
      if (conns[fd].state == 0 || conns[fd].state == 3) continue;
      int r = advance(fd, events[i].events);
      if (r < 0) give_up(fd);
      if (r <= 0) continue;
      latency[done++] = now() - start - conns[fd].due;
      under_way--;
      conns[fd].state = again ? 3 : 0;
      if (again) idle[idle_count++] = fd;
      else close(fd);
    }
  }
  failed += due_count - next_due + under_way;
  report(done, failed, done * SMALL, now() - start, latency, done);
}

int main(int argc, char **argv) {
  prepare();
  prctl(PR_SET_TIMERSLACK, 1);
  if (argc == 5 && !strcmp(argv[1], "hold")) {
    set_target(argv[2], argv[3]);
    open_all(atoi(argv[4]));
    puts("held");
    fflush(stdout);
    while (getchar() != EOF);
    return 0;
  }
  int again = argc == 7 && !strcmp(argv[1], "request");
  if (!again && !(argc == 6 && !strcmp(argv[1], "connect"))) {
    fprintf(stderr, "usage: pace connect HOST PORT RATE SECONDS | pace request HOST PORT RATE SECONDS CONNS | pace hold HOST PORT CONNS\n");
    return 2;
  }
  set_target(argv[2], argv[3]);
  plan(atof(argv[4]), atof(argv[5]));
  if (again) open_all(atoi(argv[6]));
  run(atof(argv[5]), again);
  return 0;
}
