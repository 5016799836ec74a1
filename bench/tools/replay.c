// SPDX-License-Identifier: GPL-2.0
/*
 * replay: handshake initiations (148 bytes each) from a file.
 *
 *   replay window ADDR PORT FILE N         all of the file once, N unanswered at
 *                                          most; prints "answered COUNT SECONDS"
 *   replay spoof ADDR PORT FILE RATE SECONDS
 *                                          RATE a second, round and round, from
 *                                          65,536 addresses that are not ours;
 *                                          prints "sent COUNT SECONDS"
 */
#include "common.h"

#include <netinet/ip.h>
#include <netinet/udp.h>

#define SIZE 148
#define RESPONSE 92

static char *data;
static size_t count;

static void load(const char *name)
{
	FILE *f = fopen(name, "rb");
	long size;

	if (!f || fseek(f, 0, SEEK_END) || (size = ftell(f)) < SIZE || fseek(f, 0, SEEK_SET))
		die(name);
	data = malloc((size_t)size);
	if (!data || fread(data, 1, (size_t)size, f) != (size_t)size)
		die(name);
	fclose(f);
	count = (size_t)size / SIZE;
}

static int window(char **argv)
{
	struct sockaddr_in to = address(argv[0], argv[1]);
	size_t most = strtoul(argv[3], NULL, 10), sent = 0, lost = 0;
	uint64_t start, answered = 0, last;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	char answer[256];

	load(argv[2]);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)))
		die("socket");
	set(fd, SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20);
	wait_at_most(fd, 1000000000u);
	start = last = now_ns();
	while (answered + lost < count) {
		while (sent < count && sent - answered - lost < most) {
			if (send(fd, data + SIZE * sent, SIZE, 0) < 0)
				die("send");
			sent++;
		}
		if (recv(fd, answer, sizeof(answer), 0) == RESPONSE) {
			answered++;
			last = now_ns();
		} else if (errno == EAGAIN) {
			lost = sent - answered;
		}
	}
	printf("answered %llu %.6f\n", (unsigned long long)answered, (double)(last - start) / 1e9);
	return 0;
}

static int spoof(char **argv)
{
	struct sockaddr_in to = address(argv[0], argv[1]);
	struct {
		struct iphdr ip;
		struct udphdr udp;
		char message[SIZE];
	} __attribute__((packed)) p;
	uint64_t start, end, gap, next, now, sent = 0;
	int fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);

	load(argv[2]);
	if (fd < 0)
		die("socket");
	memset(&p, 0, sizeof(p));
	p.ip.version = 4;
	p.ip.ihl = 5;
	p.ip.ttl = 64;
	p.ip.protocol = IPPROTO_UDP;
	p.ip.daddr = to.sin_addr.s_addr;
	p.udp.dest = to.sin_port;
	p.udp.len = htons(sizeof(p.udp) + SIZE);
	to.sin_port = 0;
	/* Eight at a time, on time. */
	gap = 8000000000u / strtoul(argv[3], NULL, 10);
	start = next = now_ns();
	end = start + seconds(argv[4]);
	while ((now = now_ns()) < end) {
		struct timespec t;
		int i;

		if (now < next) {
			t.tv_sec = (time_t)(next / 1000000000u);
			t.tv_nsec = (long)(next % 1000000000u);
			clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
			continue;
		}
		next += gap;
		for (i = 0; i < 8; i++, sent++) {
			memcpy(p.message, data + SIZE * (sent % count), SIZE);
			/* 198.18.0.0/16, by a walk through all of it. */
			p.ip.saddr = htonl(0xc6120000u | (uint32_t)(sent * 40503u & 0xffff));
			p.udp.source = htons((uint16_t)(1024 + sent % 60000));
			if (sendto(fd, &p, sizeof(p), 0, (struct sockaddr *)&to, sizeof(to)) < 0 &&
			    errno != ENOBUFS)
				die("sendto");
		}
	}
	printf("sent %llu %.6f\n", (unsigned long long)sent, (double)(now - start) / 1e9);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 6 && !strcmp(argv[1], "window"))
		return window(argv + 2);
	if (argc == 7 && !strcmp(argv[1], "spoof"))
		return spoof(argv + 2);
	fprintf(stderr, "usage: see the head of replay.c\n");
	return 2;
}
