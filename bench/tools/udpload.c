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
 *   udpload pour ADDR PORT BYTES SECONDS   UDP_SEGMENT as fast as it can, for nobody
 *
 * burst and spread print "sent N SECONDS", gso prints "acked BYTES SECONDS", pour "sent
 * BYTES SECONDS".
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

/* A socket to ADDR PORT. */
static int connected(char **argv)
{
	struct sockaddr_in to = address(argv[0], argv[1]);
	int fd = udp_socket();

	if (connect(fd, (struct sockaddr *)&to, sizeof(to)))
		die("connect");
	return fd;
}

/* "sent": what, since when. */
static int told(uint64_t sent, uint64_t start, uint64_t now)
{
	printf("sent %llu %.6f\n", (unsigned long long)sent, (double)(now - start) / 1e9);
	return 0;
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

static int burst(char **argv)
{
	size_t bytes = strtoul(argv[2], NULL, 10);
	uint64_t start, end, now, sent = 0;
	struct mmsghdr messages[BATCH];
	struct iovec iov = { buffer, bytes };
	int fd = connected(argv);
	int i, n;

	if (bytes > BUFFER)
		return 2;
	memset(messages, 0, sizeof(messages));
	for (i = 0; i < BATCH; i++) {
		messages[i].msg_hdr.msg_iov = &iov;
		messages[i].msg_hdr.msg_iovlen = 1;
	}

	start = now_ns();
	end = start + seconds(argv[3]);
	do {
		n = sendmmsg(fd, messages, BATCH, 0);
		if (n > 0)
			sent += (uint64_t)n;
		else if (errno != EAGAIN && errno != ENOBUFS)
			die("sendmmsg");
		now = now_ns();
	} while (now < end);
	return told(sent, start, now);
}

static int spread(char **argv)
{
	struct sockaddr_in to = address(argv[0], argv[1]);
	uint32_t first = ntohl(to.sin_addr.s_addr), at = 0;
	uint32_t count = (uint32_t)strtoul(argv[2], NULL, 10);
	uint32_t step = 256 * (uint32_t)strtoul(argv[3], NULL, 10);
	uint64_t start, end, now, sent = 0;
	int fd = udp_socket();
	int i;

	if (!count)
		return 2;
	start = now_ns();
	end = start + seconds(argv[4]);
	do {
		for (i = 0; i < BATCH; i++) {
			/* A step that is prime to any count used here. */
			at = (at + 7919) % count;
			to.sin_addr.s_addr = htonl(first + at * step);
			/* No endpoint is what is expected at the end of the lookup. */
			if (sendto(fd, buffer, 32, 0, (struct sockaddr *)&to, sizeof(to)) < 0 &&
			    errno != EDESTADDRREQ && errno != EHOSTUNREACH)
				die("sendto");
			sent++;
		}
		now = now_ns();
	} while (now < end);
	return told(sent, start, now);
}

static int gro(char **argv)
{
	struct sockaddr_in from;
	socklen_t len;
	uint64_t total = 0, acked = 0;
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
		if (total - acked < 64 * 1024 && n > 1)
			continue;
		acked = total;
		sendto(fd, &total, sizeof(total), 0, (struct sockaddr *)&from, len);
	}
}

/* Has datagrams of this many bytes cut from what is sent; returns the most that goes at once. */
static size_t segmented(int fd, const char *arg)
{
	size_t bytes = strtoul(arg, NULL, 10), most;

	if (!bytes || bytes > 8000)
		return 0;
	most = 65507 / bytes;
	set(fd, IPPROTO_UDP, UDP_SEGMENT, (int)bytes);
	return (most > 64 ? 64 : most) * bytes;
}

static int gso(char **argv)
{
	uint64_t start, end, first, acked = 0, sent = 0, count;
	int fd = connected(argv);
	size_t chunk = segmented(fd, argv[2]);
	ssize_t n;

	if (!chunk)
		return 2;
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
		n = recv(fd, &count, sizeof(count), 0);
		if (n == sizeof(count))
			acked = count - first;
		else
			sent = acked; /* lost: the window is free again */
		/* Take what else has come, so that a loss does not look like more. */
		while (recv(fd, &count, sizeof(count), MSG_DONTWAIT) == sizeof(count))
			acked = count - first;
		if (sent < acked)
			sent = acked;
	}
	printf("acked %llu %.6f\n", (unsigned long long)acked, (double)(now_ns() - start) / 1e9);
	return 0;
}

static int pour(char **argv)
{
	uint64_t start, end, now, sent = 0;
	int fd = connected(argv);
	size_t chunk = segmented(fd, argv[2]);
	ssize_t n;

	if (!chunk)
		return 2;
	start = now_ns();
	end = start + seconds(argv[3]);
	do {
		n = send(fd, buffer, chunk, 0);
		if (n > 0)
			sent += (uint64_t)n;
		else if (errno != EAGAIN && errno != ENOBUFS)
			die("send");
		now = now_ns();
	} while (now < end);
	return told(sent, start, now);
}

int main(int argc, char **argv)
{
	memset(buffer, 'w', sizeof(buffer));
	if (argc == 3 && !strcmp(argv[1], "hold"))
		hold(argv + 2);
	if (argc == 3 && !strcmp(argv[1], "gro"))
		return gro(argv + 2);
	if (argc == 6 && !strcmp(argv[1], "burst"))
		return burst(argv + 2);
	if (argc == 7 && !strcmp(argv[1], "spread"))
		return spread(argv + 2);
	if (argc == 6 && !strcmp(argv[1], "gso"))
		return gso(argv + 2);
	if (argc == 6 && !strcmp(argv[1], "pour"))
		return pour(argv + 2);
	fprintf(stderr, "usage: see the head of udpload.c\n");
	return 2;
}
