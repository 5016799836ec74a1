/* SPDX-License-Identifier: GPL-2.0 */
/* Link kind, devices, namespaces: the C side of wg_kapi's netdev and net modules. */
#ifndef WG_NETDEV_H
#define WG_NETDEV_H

#include <linux/types.h>

#define WG_IFNAMSIZ 16

struct net;
struct net_device;
struct sk_buff;
/* Datagrams of some senders, and who works on them; see helpers/receive.c. */
struct wg_lane;
/* A reference count on the driver's device object, given back as it came. */
struct wg_object;

/* What Rust is called for. Every pointer is set while a link kind is registered. */
struct wg_link_ops {
	int (*create)(struct net_device *dev);
	int (*open)(struct wg_object *object);
	void (*stop)(struct wg_object *object);
	void (*release)(struct wg_object *object);
	int (*xmit)(struct wg_object *object, struct sk_buff *skb);
	/* Datagrams from the sockets, linked by next; from the NAPI instance of a lane. */
	void (*receive)(struct wg_object *object, struct wg_lane *lane, struct sk_buff *head);
	/* One for which there is no room in its lane. */
	void (*overflow)(struct wg_object *object, struct sk_buff *skb);
	/* One with a wrong checksum. */
	void (*damaged)(struct wg_object *object, struct sk_buff *skb);
	void (*creating_net_exit)(struct wg_object *object);
	void (*suspend)(struct wg_object *object);
	void (*vm_forked)(struct wg_object *object);
	/* The index-th of the driver's own counters; NULL behind the last. */
	const char *(*counter_name)(u32 index);
	u64 (*counter)(struct wg_object *object, u32 index);
	/* The same for switches, one bit each. */
	const char *(*switch_name)(u32 index);
	u32 (*switches)(struct wg_object *object);
	void (*set_switches)(struct wg_object *object, u32 on);
};

/* Sizes in bytes that decide MTU and room around a packet. */
struct wg_link_config {
	u32 overhead;
	u32 multiple;
	u32 headroom;
	u32 tailroom;
};

int wg_link_register(const struct wg_link_ops *ops, const struct wg_link_config *config);
void wg_link_unregister(void);

void wg_netdev_publish(struct net_device *dev, struct wg_object *object);
int wg_netdev_find(struct net *net, u32 ifindex, const char *name, struct wg_object **object);
struct net_device *wg_netdev_next(struct net_device *after, struct wg_object **object);

void wg_netdev_hold(struct net_device *dev);
void wg_netdev_put(struct net_device *dev);
u32 wg_netdev_ifindex(const struct net_device *dev);
u32 wg_netdev_mtu(const struct net_device *dev);
bool wg_netdev_running(const struct net_device *dev);
void wg_netdev_name(const struct net_device *dev, char *name);
void wg_netdev_carrier_off(struct net_device *dev);
struct net *wg_netdev_net(const struct net_device *dev);
struct net *wg_netdev_creating_net(const struct net_device *dev);

void wg_netdev_tx_error(struct net_device *dev);
void wg_netdev_tx_dropped(struct net_device *dev, unsigned long count);
void wg_netdev_rx_dropped(struct net_device *dev, unsigned long count);
void wg_netdev_rx_frame_error(struct net_device *dev);
void wg_netdev_rx_length_error(struct net_device *dev);
void wg_netdev_rx_stats(struct net_device *dev, u64 packets, u64 bytes);
void wg_netdev_tx_stats(struct net_device *dev, u64 packets, u64 bytes);
struct sk_buff *wg_netdev_purge_received(struct net_device *dev);
void wg_netdev_deliver(struct net_device *dev, struct sk_buff *head);
void wg_lane_deliver(struct wg_lane *lane, struct sk_buff *head);
void wg_lane_flush(struct wg_lane *lane);

void wg_rtnl_lock(void);
void wg_rtnl_unlock(void);

void wg_net_get(struct net *net);
void wg_net_put(struct net *net);
u64 wg_net_cookie(const struct net *net);
bool wg_net_admin(const struct net *net);

#endif
