/* SPDX-License-Identifier: GPL-2.0 */
/* What the benchmark's traffic programs share. */
#ifndef WG_BENCH_COMMON_H
#define WG_BENCH_COMMON_H

#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

/* die() - say what failed, and why, and end. */
static inline void die(const char *what)
{
	perror(what);
	exit(1);
}

/* now_ns() - the monotonic clock in nanoseconds. */
static inline uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* seconds() - a decimal number of seconds, in nanoseconds. */
static inline uint64_t seconds(const char *text)
{
	return (uint64_t)(atof(text) * 1e9);
}

/* address() - an IPv4 socket address of text. */
static inline struct sockaddr_in address(const char *ip, const char *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET };

	a.sin_port = htons((uint16_t)atoi(port));
	if (inet_pton(AF_INET, ip, &a.sin_addr) != 1) {
		fprintf(stderr, "not an address: %s\n", ip);
		exit(1);
	}
	return a;
}

/* set() - an integer socket option that must be accepted. */
static inline void set(int fd, int level, int name, int value)
{
	if (setsockopt(fd, level, name, &value, sizeof(value)))
		die("setsockopt");
}

/* wait_at_most() - the time limit of a socket's receive calls. */
static inline void wait_at_most(int fd, uint64_t ns)
{
	struct timeval t = {
		.tv_sec = (time_t)(ns / 1000000000u),
		.tv_usec = (suseconds_t)(ns % 1000000000u / 1000u),
	};

	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)))
		die("SO_RCVTIMEO");
}

#endif
