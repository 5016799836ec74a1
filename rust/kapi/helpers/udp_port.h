/* SPDX-License-Identifier: GPL-2.0 */
/* The sockets of a port, see udp.c. */
#ifndef WG_UDP_PORT_H
#define WG_UDP_PORT_H

#include <net/sock.h>

#include "wg_udp.h"

struct wg_udp_port {
	/* Set before the port is handed out, NULL where there is no such family. */
	struct sock *sock4;
	struct sock *sock6;
	/* Whose datagrams these are; outlives the port. */
	struct net_device *dev;
	/* Who holds it takes datagrams out of the sockets and puts them into lanes. */
	spinlock_t lock;
	u16 number;
};

#endif
