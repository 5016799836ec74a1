// SPDX-License-Identifier: GPL-2.0
/*
 * udpload: UDP traffic that costs its sender and receiver as little as it can.
 *
 *   udpload hold PORT                      a socket that nobody reads, until killed
 *   udpload burst ADDR PORT BYTES SECONDS  datagrams by sendmmsg(), 64 a call
 *   udpload spread ADDR PORT COUNT STEP SECONDS
 *                                          32-byte datagrams, each to another /24:
 *                                          ADDR + 256 * STEP * (0 .. COUNT - 1, in
 *                                          no order)
 *   udpload gro PORT                       read aggregated datagrams, acknowledge them,
 *                                          until one says "end" ...
 *   udpload gso ADDR PORT BYTES SECONDS    ... and the sender: UDP_SEGMENT, with a
 *                                          window, as QUIC stacks have one
 *
 * burst and spread print "sent N SECONDS", gso prints "acked BYTES SECONDS".
 */
#include "common.h"

#include <netinet/udp.h>
#include <sys/uio.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

#define BATCH 64
#define BUFFER 65536
/* Bytes under way at most. */
#define WINDOW (512 * 1024)

static char buffer[BUFFER];

static int udp_socket(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0)
		die("socket");
	return fd;
}

static int listener(const char *port, int receive_buffer)
{
	struct sockaddr_in a = address("0.0.0.0", port);
	int fd = udp_socket();

	set(fd, SOL_SOCKET, SO_RCVBUFFORCE, receive_buffer);
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)))
		die("bind");
	return fd;
}

static _Noreturn void hold(char **argv)
{
	/* With the smallest buffer all but the first few are dropped. */
	(void)listener(argv[0], 1);
	for (;;)
		nanosleep(&(struct timespec){ .tv_sec = 3600 }, NULL);
}

static int burst(char **argv, int spread)
{
	struct sockaddr_in first = address(argv[0], argv[1]), to[BATCH];
	size_t bytes = spread ? 32 : strtoul(argv[2], NULL, 10);
	uint32_t count = spread ? (uint32_t)strtoul(argv[2], NULL, 10) : 1;
	uint32_t step = spread ? 256 * (uint32_t)strtoul(argv[3], NULL, 10) : 0;
	uint64_t start, end, now, sent = 0;
	struct mmsghdr messages[BATCH];
	struct iovec iov = { buffer, bytes };
	uint32_t at = 0;
	int fd = udp_socket();
	int i, n;

	if (bytes > BUFFER || !count)
		return 2;
	memset(messages, 0, sizeof(messages));
	for (i = 0; i < BATCH; i++) {
		to[i] = first;
		messages[i].msg_hdr.msg_iov = &iov;
		messages[i].msg_hdr.msg_iovlen = 1;
		if (spread) {
			messages[i].msg_hdr.msg_name = &to[i];
			messages[i].msg_hdr.msg_namelen = sizeof(to[i]);
		}
	}
	if (!spread && connect(fd, (struct sockaddr *)&first, sizeof(first)))
		die("connect");

	start = now_ns();
	end = start + seconds(argv[spread ? 4 : 3]);
	do {
		for (i = 0; spread && i < BATCH; i++) {
			/* A step that is prime to any count used here. */
			at = (at + 7919) % count;
			to[i].sin_addr.s_addr = htonl(ntohl(first.sin_addr.s_addr) + at * step);
		}
		n = sendmmsg(fd, messages, BATCH, 0);
		if (n > 0)
			sent += (uint64_t)n;
		else if (errno != EAGAIN && errno != ENOBUFS && errno != EHOSTUNREACH &&
			 errno != ECONNREFUSED)
			die("sendmmsg");
		now = now_ns();
	} while (now < end);
	printf("sent %llu %.6f\n", (unsigned long long)sent, (double)(now - start) / 1e9);
	return 0;
}

static int gro(char **argv)
{
	struct sockaddr_in from;
	socklen_t len;
	uint64_t total = 0, told = 0;
	int fd = listener(argv[0], 8 << 20);
	ssize_t n;

	set(fd, IPPROTO_UDP, UDP_GRO, 1);
	for (;;) {
		len = sizeof(from);
		n = recvfrom(fd, buffer, sizeof(buffer), 0, (struct sockaddr *)&from, &len);
		if (n < 0)
			die("recvfrom");
		if (n == 3 && !memcmp(buffer, "end", 3))
			return 0;
		/* One byte asks for the count so far. */
		if (n > 1)
			total += (uint64_t)n;
		if (total - told < 64 * 1024 && n > 1)
			continue;
		told = total;
		sendto(fd, &total, sizeof(total), 0, (struct sockaddr *)&from, len);
	}
}

static int gso(char **argv)
{
	struct sockaddr_in to = address(argv[0], argv[1]);
	size_t bytes = strtoul(argv[2], NULL, 10), chunk;
	uint64_t start, end, first, acked = 0, sent = 0, told;
	int fd = udp_socket();
	ssize_t n;

	if (!bytes || bytes > 8000)
		return 2;
	chunk = 65507 / bytes;
	chunk = (chunk > 64 ? 64 : chunk) * bytes;
	set(fd, IPPROTO_UDP, UDP_SEGMENT, (int)bytes);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)))
		die("connect");
	wait_at_most(fd, 50 * 1000 * 1000);

	/* The receiver's count goes on from run to run: learn it. */
	do {
		n = send(fd, "?", 1, 0);
		n = recv(fd, &first, sizeof(first), 0);
	} while (n != sizeof(first));

	start = now_ns();
	end = start + seconds(argv[3]);
	while (now_ns() < end) {
		while (sent - acked + chunk <= WINDOW) {
			n = send(fd, buffer, chunk, 0);
			if (n > 0)
				sent += (uint64_t)n;
			else if (errno == ENOBUFS || errno == EAGAIN)
				break;
			else
				die("send");
		}
		n = recv(fd, &told, sizeof(told), 0);
		if (n == sizeof(told))
			acked = told - first;
		else
			sent = acked; /* lost: the window is free again */
		/* Take what else has come, so that a loss does not look like more. */
		while (recv(fd, &told, sizeof(told), MSG_DONTWAIT) == sizeof(told))
			acked = told - first;
		if (sent < acked)
			sent = acked;
	}
	printf("acked %llu %.6f\n", (unsigned long long)acked, (double)(now_ns() - start) / 1e9);
	return 0;
}

int main(int argc, char **argv)
{
	memset(buffer, 'w', sizeof(buffer));
	if (argc == 3 && !strcmp(argv[1], "hold"))
		hold(argv + 2);
	if (argc == 3 && !strcmp(argv[1], "gro"))
		return gro(argv + 2);
	if (argc == 6 && !strcmp(argv[1], "burst"))
		return burst(argv + 2, 0);
	if (argc == 7 && !strcmp(argv[1], "spread"))
		return burst(argv + 2, 1);
	if (argc == 6 && !strcmp(argv[1], "gso"))
		return gso(argv + 2);
	fprintf(stderr, "usage: see the head of udpload.c\n");
	return 2;
}
