/* SPDX-License-Identifier: GPL-2.0 */
/* The private area of a device, see netdev.c. */
#ifndef WG_NETDEV_PRIV_H
#define WG_NETDEV_PRIV_H

#include <linux/list.h>
#include <linux/netdevice.h>
#include <linux/workqueue.h>

#include "wg_netdev.h"

struct wg_lanes;

struct wg_priv {
	struct net_device *dev;
	/* Written under RTNL, read under RCU by those who send and receive. */
	struct wg_object __rcu *object;
	/* Not counted; cleared under RTNL before that namespace is freed. */
	struct net __rcu *creating_net;
	/* In wg_devices while there is an object; under RTNL. */
	struct list_head list;
	/* From registration until all references are gone. */
	struct wg_lanes *lanes;
	/* What is left to do about the object when the device is gone from all lists. */
	struct wg_object *leaving;
	struct work_struct release;
};

/* For ndo_init and the destructor. Process context. */
struct wg_lanes *wg_lanes_create(struct net_device *dev, const struct wg_link_ops *ops);
void wg_lanes_destroy(struct wg_lanes *lanes);
/* Takes a datagram from a socket of the device. BH disabled, RCU read lock. */
void wg_lanes_put(struct net_device *dev, struct sk_buff *skb);

#endif
