// SPDX-License-Identifier: GPL-2.0
/*
 * The link kind: creation and removal of devices, and the events that all of
 * them have to hear of.
 *
 * The device is registered first and the driver's object is made for it then.
 * So whatever holds a reference to the net_device holds one to a registered
 * device, the freeing of which waits for references; a net_device that fails
 * to register would be freed without asking.
 */
#include <linux/ethtool.h>
#include <linux/inetdevice.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/random.h>
#include <linux/rtnetlink.h>
#include <linux/suspend.h>
#include <net/addrconf.h>
#include <net/ip_tunnels.h>
#include <net/rtnetlink.h>

#include "netdev_priv.h"
#include "pages.h"
#include "wg_helpers.h"

static LIST_HEAD(wg_devices);
static struct wg_link_ops wg_ops;
static struct wg_link_config wg_config;
/*
 * The end of an object takes grace periods, for which nobody is to wait with
 * RTNL. Whoever unregisters a device waits for its references when RTNL is
 * free again, and the object has one.
 */
static struct workqueue_struct *wg_release_queue;

static struct wg_object *wg_object_rtnl(const struct wg_priv *priv)
{
	return rtnl_dereference(priv->object);
}

static int wg_link_init(struct net_device *dev)
{
	struct wg_priv *priv = netdev_priv(dev);

	priv->lanes = wg_lanes_create(dev, &wg_ops);
	return priv->lanes ? 0 : -ENOMEM;
}

/* Runs after all references to the device are gone. */
static void wg_link_destruct(struct net_device *dev)
{
	struct wg_priv *priv = netdev_priv(dev);

	wg_lanes_destroy(priv->lanes);
}

static void wg_link_release(struct work_struct *work)
{
	struct wg_priv *priv = container_of(work, struct wg_priv, release);

	/* The device is down, but a program on its receive path may still send. */
	synchronize_rcu();
	/* Gives up the object and with it perhaps the device, of which @priv is a part. */
	wg_ops.release(priv->leaving);
}

static void wg_link_uninit(struct net_device *dev)
{
	struct wg_priv *priv = netdev_priv(dev);
	struct wg_object *object = wg_object_rtnl(priv);

	RCU_INIT_POINTER(priv->creating_net, NULL);
	if (!object)
		return;
	RCU_INIT_POINTER(priv->object, NULL);
	list_del(&priv->list);
	priv->leaving = object;
	queue_work(wg_release_queue, &priv->release);
}

static int wg_link_open(struct net_device *dev)
{
	struct wg_priv *priv = netdev_priv(dev);
	struct wg_object *object = wg_object_rtnl(priv);
	struct in_device *in_dev = __in_dev_get_rtnl(dev);
	struct inet6_dev *in6_dev = __in6_dev_get(dev);

	if (!object)
		return -ENODEV;
	if (in_dev) {
		/* A router that is its own next hop would redirect everyone. */
		IN_DEV_CONF_SET(in_dev, SEND_REDIRECTS, false);
		IPV4_DEVCONF_ALL(dev_net(dev), SEND_REDIRECTS) = false;
	}
	if (in6_dev)
		in6_dev->cnf.addr_gen_mode = IN6_ADDR_GEN_MODE_NONE;
	return wg_ops.open(object);
}

static int wg_link_stop(struct net_device *dev)
{
	struct wg_priv *priv = netdev_priv(dev);
	struct wg_object *object = wg_object_rtnl(priv);

	if (object)
		wg_ops.stop(object);
	return 0;
}

/* The trampoline: ndo_start_xmit returns an enum, which Rust cannot declare with CFI. */
static netdev_tx_t wg_link_xmit(struct sk_buff *skb, struct net_device *dev)
{
	struct wg_priv *priv = netdev_priv(dev);
	struct wg_object *object = rcu_dereference_bh(priv->object);

	if (unlikely(!object)) {
		kfree_skb_reason(skb, SKB_DROP_REASON_DEV_READY);
		return -ENODEV;
	}
	skb = skb_share_check(skb, GFP_ATOMIC);
	if (unlikely(!skb))
		return NETDEV_TX_OK;
	skb_mark_not_on_list(skb);
	/* The packet may be kept for long, and does not keep the device. */
	skb->dev = NULL;
	return wg_ops.xmit(object, skb);
}

static const struct net_device_ops wg_netdev_ops = {
	.ndo_init	= wg_link_init,
	.ndo_uninit	= wg_link_uninit,
	.ndo_open	= wg_link_open,
	.ndo_stop	= wg_link_stop,
	.ndo_start_xmit	= wg_link_xmit,
};

static const char *wg_link_string(u32 set, u32 index)
{
	switch (set) {
	case ETH_SS_STATS:
		return wg_ops.counter_name(index);
	case ETH_SS_PRIV_FLAGS:
		return wg_ops.switch_name(index);
	default:
		return NULL;
	}
}

static int wg_link_get_sset_count(struct net_device *dev, int set)
{
	int count = 0;

	while (wg_link_string(set, count))
		count++;
	return count ?: -EOPNOTSUPP;
}

static void wg_link_get_strings(struct net_device *dev, u32 set, u8 *data)
{
	const char *name;
	u32 i;

	for (i = 0; (name = wg_link_string(set, i)); i++)
		ethtool_puts(&data, name);
}

static u32 wg_link_get_priv_flags(struct net_device *dev)
{
	struct wg_object *object = wg_object_rtnl(netdev_priv(dev));

	return object ? wg_ops.switches(object) : 0;
}

static int wg_link_set_priv_flags(struct net_device *dev, u32 flags)
{
	struct wg_object *object = wg_object_rtnl(netdev_priv(dev));

	if (!object)
		return -ENODEV;
	wg_ops.set_switches(object, flags);
	return 0;
}

static void wg_link_get_stats(struct net_device *dev, struct ethtool_stats *stats, u64 *data)
{
	struct wg_object *object = wg_object_rtnl(netdev_priv(dev));
	u32 i;

	for (i = 0; i < stats->n_stats; i++)
		data[i] = object ? wg_ops.counter(object, i) : 0;
}

/* The driver and its version are told by the core, from the link kind and the module. */
static const struct ethtool_ops wg_ethtool_ops = {
	.get_link		= ethtool_op_get_link,
	.get_sset_count		= wg_link_get_sset_count,
	.get_strings		= wg_link_get_strings,
	.get_ethtool_stats	= wg_link_get_stats,
	.get_priv_flags		= wg_link_get_priv_flags,
	.set_priv_flags		= wg_link_set_priv_flags,
};

static const struct device_type wg_device_type = { .name = "wireguard" };

static void wg_link_setup(struct net_device *dev)
{
	const netdev_features_t features = NETIF_F_HW_CSUM | NETIF_F_RXCSUM | NETIF_F_SG |
					   NETIF_F_GSO | NETIF_F_GSO_SOFTWARE | NETIF_F_HIGHDMA;
	struct wg_priv *priv = netdev_priv(dev);

	priv->dev = dev;
	INIT_LIST_HEAD(&priv->list);
	INIT_WORK(&priv->release, wg_link_release);

	dev->netdev_ops = &wg_netdev_ops;
	dev->ethtool_ops = &wg_ethtool_ops;
	dev->header_ops = &ip_tunnel_header_ops;
	SET_NETDEV_DEVTYPE(dev, &wg_device_type);
	dev->priv_destructor = wg_link_destruct;
	dev->needs_free_netdev = true;

	dev->type = ARPHRD_NONE;
	dev->flags = IFF_POINTOPOINT | IFF_NOARP;
	dev->priv_flags |= IFF_NO_QUEUE;
	dev->lltx = true;
	dev->pcpu_stat_type = NETDEV_PCPU_STAT_TSTATS;
	dev->hard_header_len = 0;
	dev->addr_len = 0;

	dev->features |= features;
	dev->hw_features |= features;
	dev->hw_enc_features |= features;
	netif_set_tso_max_size(dev, GSO_MAX_SIZE);
	/* Padding and ICMP answers depend on the route that led here. */
	netif_keep_dst(dev);

	dev->mtu = ETH_DATA_LEN - wg_config.overhead;
	dev->max_mtu = rounddown(INT_MAX, wg_config.multiple) - wg_config.overhead;
	dev->needed_headroom = ALIGN(wg_config.headroom + NET_SKB_PAD, 4);
	dev->needed_tailroom = wg_config.tailroom;
}

static int wg_link_newlink(struct net_device *dev, struct rtnl_newlink_params *params,
			   struct netlink_ext_ack *extack)
{
	struct wg_priv *priv = netdev_priv(dev);
	int ret;

	rcu_assign_pointer(priv->creating_net, rtnl_newlink_link_net(params));
	ret = register_netdevice(dev);
	if (ret < 0)
		return ret;
	ret = wg_ops.create(dev);
	if (ret < 0) {
		/* The caller's free_netdev() waits for the end of this. */
		unregister_netdevice(dev);
		NL_SET_ERR_MSG(extack, "Could not set up the tunnel");
	}
	return ret;
}

static struct rtnl_link_ops wg_link __read_mostly = {
	.kind		= "wireguard",
	.priv_size	= sizeof(struct wg_priv),
	.setup		= wg_link_setup,
	.newlink	= wg_link_newlink,
};

/* Gives the device its object; called back from wg_ops.create(). */
void wg_netdev_publish(struct net_device *dev, struct wg_object *object)
{
	struct wg_priv *priv = netdev_priv(dev);

	ASSERT_RTNL();
	list_add_tail(&priv->list, &wg_devices);
	rcu_assign_pointer(priv->object, object);
}

/* By name if there is one, else by index. */
int wg_netdev_find(struct net *net, u32 ifindex, const char *name, struct wg_object **object)
{
	struct net_device *dev;
	struct wg_priv *priv;

	ASSERT_RTNL();
	if (name)
		dev = __dev_get_by_name(net, name);
	else
		dev = __dev_get_by_index(net, ifindex);
	if (!dev)
		return -ENODEV;
	if (dev->rtnl_link_ops != &wg_link)
		return -EOPNOTSUPP;
	priv = netdev_priv(dev);
	*object = wg_object_rtnl(priv);
	return *object ? 0 : -ENODEV;
}

/* The device after the given one, or the first. */
struct net_device *wg_netdev_next(struct net_device *after, struct wg_object **object)
{
	struct list_head *place = &wg_devices;
	struct wg_priv *priv;

	ASSERT_RTNL();
	if (after) {
		priv = netdev_priv(after);
		place = &priv->list;
	}
	if (list_is_last(place, &wg_devices))
		return NULL;
	priv = list_entry(place->next, struct wg_priv, list);
	*object = wg_object_rtnl(priv);
	return priv->dev;
}

struct net *wg_netdev_creating_net(const struct net_device *dev)
{
	const struct wg_priv *priv = netdev_priv(dev);
	struct net *net;

	rcu_read_lock();
	net = rcu_dereference(priv->creating_net);
	if (net)
		net = maybe_get_net(net);
	rcu_read_unlock();
	return net;
}

static int wg_pm_event(struct notifier_block *nb, unsigned long action, void *data)
{
	struct wg_priv *priv;

	/* Where the system sleeps between two packets, sessions would never last. */
	if (IS_ENABLED(CONFIG_PM_AUTOSLEEP) || IS_ENABLED(CONFIG_PM_USERSPACE_AUTOSLEEP))
		return NOTIFY_DONE;
	if (action != PM_HIBERNATION_PREPARE && action != PM_SUSPEND_PREPARE)
		return NOTIFY_DONE;

	rtnl_lock();
	list_for_each_entry(priv, &wg_devices, list)
		wg_ops.suspend(wg_object_rtnl(priv));
	rtnl_unlock();
	/* Keys are wiped by RCU callbacks: see that they have run. */
	rcu_barrier();
	return NOTIFY_DONE;
}

static struct notifier_block wg_pm_notifier = { .notifier_call = wg_pm_event };

static int wg_vmfork_event(struct notifier_block *nb, unsigned long action, void *data)
{
	struct wg_priv *priv;

	rtnl_lock();
	list_for_each_entry(priv, &wg_devices, list)
		wg_ops.vm_forked(wg_object_rtnl(priv));
	rtnl_unlock();
	return NOTIFY_DONE;
}

static struct notifier_block wg_vmfork_notifier = { .notifier_call = wg_vmfork_event };

static void __net_exit wg_net_exit_rtnl(struct net *net, struct list_head *dev_kill_list)
{
	struct wg_priv *priv;

	list_for_each_entry(priv, &wg_devices, list) {
		if (rcu_access_pointer(priv->creating_net) != net)
			continue;
		netif_carrier_off(priv->dev);
		RCU_INIT_POINTER(priv->creating_net, NULL);
		wg_ops.creating_net_exit(wg_object_rtnl(priv));
	}
}

static struct pernet_operations wg_pernet_ops __read_mostly = {
	.exit_rtnl = wg_net_exit_rtnl,
};

int wg_link_register(const struct wg_link_ops *ops, const struct wg_link_config *config)
{
	int ret;

	if (wg_ops.create)
		return -EEXIST;
	if (!config->multiple)
		return -EINVAL;
	wg_ops = *ops;
	wg_config = *config;

	/* Many of them wait for the same grace periods. */
	wg_release_queue = alloc_workqueue("wg-release", WQ_UNBOUND, 64);
	if (!wg_release_queue) {
		ret = -ENOMEM;
		goto err_ops;
	}
	ret = register_pm_notifier(&wg_pm_notifier);
	if (ret)
		goto err_queue;
	ret = register_random_vmfork_notifier(&wg_vmfork_notifier);
	if (ret)
		goto err_pm;
	ret = register_pernet_device(&wg_pernet_ops);
	if (ret)
		goto err_vmfork;
	ret = rtnl_link_register(&wg_link);
	if (ret)
		goto err_pernet;
	return 0;

err_pernet:
	unregister_pernet_device(&wg_pernet_ops);
err_vmfork:
	unregister_random_vmfork_notifier(&wg_vmfork_notifier);
err_pm:
	unregister_pm_notifier(&wg_pm_notifier);
err_queue:
	destroy_workqueue(wg_release_queue);
err_ops:
	wg_ops = (struct wg_link_ops){};
	return ret;
}

/* Removes all devices first: every other event may still concern them. */
void wg_link_unregister(void)
{
	rtnl_link_unregister(&wg_link);
	/* No device has a reference now; the last worker may still be about to return. */
	destroy_workqueue(wg_release_queue);
	unregister_pernet_device(&wg_pernet_ops);
	unregister_random_vmfork_notifier(&wg_vmfork_notifier);
	unregister_pm_notifier(&wg_pm_notifier);
	rcu_barrier();
	wg_ops = (struct wg_link_ops){};
	/* No device, nothing to send. */
	wg_pages_free();
}
