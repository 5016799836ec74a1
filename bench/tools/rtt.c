// SPDX-License-Identifier: GPL-2.0
/*
 * rtt ADDR SECONDS INTERVAL: ICMP echo round trips as a program sees them, from
 * before the send call to after the receive call. With INTERVAL (seconds) 0 the
 * next goes out when the answer to the last is there.
 * Prints microseconds: "rtt COUNT LOST MEAN P50 P99 MAX".
 */
#include "common.h"

#include <netinet/ip_icmp.h>
#include <poll.h>

#define MOST 100000

struct echo {
	struct icmphdr header;
	uint64_t sent;
	char rest[40]; /* 56 bytes of data, as ping has them */
} __attribute__((packed));

static double samples[MOST];
static unsigned int count, sent;

static uint16_t checksum(const void *data, size_t len)
{
	const uint16_t *p = data;
	uint32_t sum = 0;

	for (; len > 1; len -= 2)
		sum += *p++;
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~(sum + (sum >> 16));
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void send_one(int fd, uint16_t id)
{
	struct echo e = { .header.type = ICMP_ECHO, .header.un.echo.id = id };

	e.header.un.echo.sequence = htons((uint16_t)sent++);
	e.sent = now_ns();
	e.header.checksum = checksum(&e, sizeof(e));
	if (send(fd, &e, sizeof(e), 0) < 0 && errno != ENOBUFS && errno != EAGAIN)
		die("send");
}

/* Take one answer, if it is one of ours. */
static int take(int fd, uint16_t id)
{
	char packet[256];
	struct echo *e = (struct echo *)(packet + 20);
	ssize_t n = recv(fd, packet, sizeof(packet), 0);
	uint64_t now = now_ns();

	if (n < (ssize_t)(20 + sizeof(*e)) || e->header.type != ICMP_ECHOREPLY ||
	    e->header.un.echo.id != id || count == MOST)
		return 0;
	samples[count++] = (double)(now - e->sent) / 1e3;
	return 1;
}

int main(int argc, char **argv)
{
	uint16_t id = (uint16_t)now_ns();
	uint64_t interval, end, next, now;
	struct sockaddr_in to;
	double sum = 0;
	unsigned int i;
	int fd;

	if (argc != 4) {
		fprintf(stderr, "usage: rtt ADDR SECONDS INTERVAL\n");
		return 2;
	}
	to = address(argv[1], "0");
	interval = seconds(argv[3]);
	fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)))
		die("socket");

	next = now_ns();
	end = next + seconds(argv[2]);
	while ((now = now_ns()) < end) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		struct timespec t = { 0 };

		if (!interval) {
			send_one(fd, id);
			/* An answer that never comes costs a second. */
			wait_at_most(fd, 1000000000u);
			while (!take(fd, id) && now_ns() < now + 1000000000u)
				;
			continue;
		}
		if (now >= next) {
			send_one(fd, id);
			next += interval;
			continue;
		}
		t.tv_sec = (time_t)((next - now) / 1000000000u);
		t.tv_nsec = (long)((next - now) % 1000000000u);
		if (ppoll(&p, 1, &t, NULL) > 0)
			take(fd, id);
	}
	if (!count) {
		fprintf(stderr, "rtt: no answer\n");
		return 1;
	}
	qsort(samples, count, sizeof(samples[0]), by_size);
	for (i = 0; i < count; i++)
		sum += samples[i];
	printf("rtt %u %u %.3f %.3f %.3f %.3f\n", count, sent - count, sum / count,
	       samples[count / 2], samples[(uint64_t)count * 99 / 100], samples[count - 1]);
	return 0;
}
