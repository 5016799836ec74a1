// SPDX-License-Identifier: GPL-2.0
/* Network namespaces, RTNL, and the small accessors of a device. */
#include <linux/netdevice.h>
#include <linux/rtnetlink.h>
#include <net/net_namespace.h>

#include "wg_helpers.h"

static_assert(WG_IFNAMSIZ == IFNAMSIZ);

void wg_rtnl_lock(void)
{
	rtnl_lock();
}

void wg_rtnl_unlock(void)
{
	rtnl_unlock();
}

void wg_net_get(struct net *net)
{
	get_net(net);
}

void wg_net_put(struct net *net)
{
	put_net(net);
}

u64 wg_net_cookie(const struct net *net)
{
	return net->net_cookie;
}

bool wg_net_admin(const struct net *net)
{
	return ns_capable(net->user_ns, CAP_NET_ADMIN);
}

void wg_netdev_hold(struct net_device *dev)
{
	dev_hold(dev);
}

void wg_netdev_put(struct net_device *dev)
{
	dev_put(dev);
}

u32 wg_netdev_ifindex(const struct net_device *dev)
{
	return READ_ONCE(dev->ifindex);
}

u32 wg_netdev_mtu(const struct net_device *dev)
{
	return READ_ONCE(dev->mtu);
}

bool wg_netdev_running(const struct net_device *dev)
{
	return netif_running(dev);
}

void wg_netdev_name(const struct net_device *dev, char *name)
{
	strscpy(name, dev->name, IFNAMSIZ);
}

void wg_netdev_carrier_off(struct net_device *dev)
{
	netif_carrier_off(dev);
}

struct net *wg_netdev_net(const struct net_device *dev)
{
	struct net *net;

	rcu_read_lock();
	net = maybe_get_net(dev_net_rcu(dev));
	rcu_read_unlock();
	return net;
}

void wg_netdev_tx_error(struct net_device *dev)
{
	DEV_STATS_INC(dev, tx_errors);
}

void wg_netdev_tx_dropped(struct net_device *dev, unsigned long count)
{
	DEV_STATS_ADD(dev, tx_dropped, count);
}

void wg_netdev_rx_dropped(struct net_device *dev, unsigned long count)
{
	DEV_STATS_ADD(dev, rx_dropped, count);
}

void wg_netdev_rx_frame_error(struct net_device *dev)
{
	DEV_STATS_INC(dev, rx_errors);
	DEV_STATS_INC(dev, rx_frame_errors);
}

void wg_netdev_rx_length_error(struct net_device *dev)
{
	DEV_STATS_INC(dev, rx_errors);
	DEV_STATS_INC(dev, rx_length_errors);
}

/* Softirqs add to the same counters on the same CPU: keep them out meanwhile. */
void wg_netdev_rx_stats(struct net_device *dev, u64 packets, u64 bytes)
{
	struct pcpu_sw_netstats *stats;

	local_bh_disable();
	stats = this_cpu_ptr(dev->tstats);
	u64_stats_update_begin(&stats->syncp);
	u64_stats_add(&stats->rx_packets, packets);
	u64_stats_add(&stats->rx_bytes, bytes);
	u64_stats_update_end(&stats->syncp);
	local_bh_enable();
}

void wg_netdev_tx_stats(struct net_device *dev, u64 packets, u64 bytes)
{
	local_bh_disable();
	dev_sw_netstats_tx_add(dev, packets, bytes);
	local_bh_enable();
}
