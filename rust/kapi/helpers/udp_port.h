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
	const struct wg_udp_ops *ops;
	struct wg_object *owner;
	u16 number;
};

#endif
