// SPDX-License-Identifier: GPL-2.0
/*
 * From the sockets to the driver, and from there up the stack.
 *
 * Datagrams wait in lanes, each with a NAPI instance. What one sender sent is in
 * one lane, in the order in which UDP had it, whichever CPU has taken it out of
 * the socket; and a lane is worked on by one CPU at a time, which is the first
 * to find it empty and stays until it is empty again.
 */
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/jhash.h>
#include <linux/log2.h>
#include <linux/netdevice.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/udp.h>
#include <net/gro.h>
#include <net/ipv6.h>
#include <net/udp.h>

#include "netdev_priv.h"
#include "wg_helpers.h"

/* More than that need not be told apart, on however many CPUs. */
#define WG_MOST_LANES 128
#define WG_LANES_PER_CPU 4
/* Messages that may wait in one, which bounds the time that they do, and their memory. */
#define WG_LANE_MESSAGES 4096
#define WG_LANE_BYTES (4 << 20)
/* How often a CPU has to be seen, less all others, to be home beyond doubt. */
#define WG_LANE_SURE 16

struct wg_lane {
	struct napi_struct napi;
	struct sk_buff_head queue;
	/* Under the lock of the queue: memory and messages of what is there, */
	u32 bytes;
	u32 messages;
	/* where most of it comes, as far as one can tell, and how sure that is. */
	int home;
	int sure;
	call_single_data_t go_home;
} ____cacheline_aligned_in_smp;

struct wg_lanes {
	struct rcu_head rcu;
	const struct wg_link_ops *ops;
	u32 mask;
	/* Which lane is whose is nobody's business. */
	u32 seed;
	struct wg_lane lane[];
};

static struct wg_lane *wg_lane_of(struct wg_lanes *lanes, const struct sk_buff *skb)
{
	const u32 port = (__force u16)udp_hdr(skb)->source;
	u32 address;

	if (skb->protocol == htons(ETH_P_IP))
		address = (__force u32)ip_hdr(skb)->saddr;
	else
		address = __ipv6_addr_jhash(&ipv6_hdr(skb)->saddr, lanes->seed);
	return &lanes->lane[jhash_2words(address, port, lanes->seed) & lanes->mask];
}

/* What a CPU takes out of the socket was put there by itself, mostly. */
static void wg_lane_note_cpu(struct wg_lane *lane)
{
	const int cpu = smp_processor_id();

	if (likely(cpu == lane->home)) {
		if (lane->sure < WG_LANE_SURE)
			lane->sure++;
	} else if (lane->sure) {
		lane->sure--;
	} else {
		WRITE_ONCE(lane->home, cpu);
	}
}

void wg_lanes_put(struct net_device *dev, struct sk_buff *skb)
{
	const struct wg_priv *priv = netdev_priv(dev);
	struct wg_lane *lane = wg_lane_of(priv->lanes, skb);
	const u32 messages = wg_skb_messages(skb);
	struct wg_object *object;
	bool full, empty;

	spin_lock(&lane->queue.lock);
	wg_lane_note_cpu(lane);
	empty = skb_queue_empty(&lane->queue);
	full = lane->messages >= WG_LANE_MESSAGES || lane->bytes >= WG_LANE_BYTES;
	if (likely(!full)) {
		lane->bytes += skb->truesize;
		lane->messages += messages;
		__skb_queue_tail(&lane->queue, skb);
	}
	spin_unlock(&lane->queue.lock);

	if (empty) {
		napi_schedule(&lane->napi);
	} else if (unlikely(full)) {
		object = rcu_dereference(priv->object);
		if (object)
			priv->lanes->ops->overflow(object, skb);
		else
			kfree_skb_reason(skb, SKB_DROP_REASON_DEV_READY);
	}
}

/* Takes datagrams of so many messages, if there are; linked by next. BH disabled. */
static struct sk_buff *wg_lane_take(struct wg_lane *lane, int *messages)
{
	const int wanted = *messages;
	struct sk_buff *head = NULL, **place = &head, *skb;
	int taken = 0;

	spin_lock(&lane->queue.lock);
	while (taken < wanted) {
		skb = __skb_dequeue(&lane->queue);
		if (!skb)
			break;
		lane->bytes -= skb->truesize;
		taken += wg_skb_messages(skb);
		*place = skb;
		place = &skb->next;
	}
	lane->messages -= taken;
	spin_unlock(&lane->queue.lock);
	*messages = taken;
	return head;
}

/* Counts as UDP does, and drops. RCU read lock. */
static void wg_lane_damaged(const struct wg_priv *priv, struct sk_buff *skb)
{
	struct wg_object *object = rcu_dereference(priv->object);
	struct net *net = rcu_dereference(priv->creating_net);

	if (net && skb->protocol == htons(ETH_P_IP)) {
		__UDP_INC_STATS(net, UDP_MIB_CSUMERRORS);
		__UDP_INC_STATS(net, UDP_MIB_INERRORS);
	} else if (net && IS_ENABLED(CONFIG_IPV6)) {
		__UDP6_INC_STATS(net, UDP_MIB_CSUMERRORS);
		__UDP6_INC_STATS(net, UDP_MIB_INERRORS);
	}
	if (object)
		priv->lanes->ops->damaged(object, skb);
	else
		kfree_skb_reason(skb, SKB_DROP_REASON_UDP_CSUM);
}

/*
 * Drops those that were damaged; puts the UDP header in front of the others again.
 * BH disabled, RCU read lock.
 */
static struct sk_buff *wg_lane_check(const struct wg_priv *priv, struct sk_buff *head)
{
	struct sk_buff **place = &head, *skb;

	while ((skb = *place)) {
		if (unlikely(udp_lib_checksum_complete(skb))) {
			*place = skb->next;
			skb_mark_not_on_list(skb);
			wg_lane_damaged(priv, skb);
			continue;
		}
		__skb_push(skb, sizeof(struct udphdr));
		place = &skb->next;
	}
	return head;
}

/* Passes what was put together, and what could not be, up the stack. */
static void wg_gro_flush(struct gro_node *gro)
{
	if (gro->bitmask)
		__gro_flush(gro, false);
	if (gro->rx_count) {
		netif_receive_skb_list(&gro->rx_list);
		INIT_LIST_HEAD(&gro->rx_list);
		gro->rx_count = 0;
	}
}

/*
 * Passes up all that was delivered for a lane before. From within receive() for
 * this lane, as wg_lane_deliver().
 */
void wg_lane_flush(struct wg_lane *lane)
{
	wg_gro_flush(&lane->napi.gro);
}

static void wg_lane_arrive(void *info)
{
	struct wg_lane *lane = info;

	__napi_schedule_irqoff(&lane->napi);
}

/*
 * Has the CPU go on with a lane that brings most of what is in it. A CPU that has
 * too much to do would otherwise keep every lane that it has ever filled in place
 * of another one. The instance remains scheduled meanwhile; from here on it is
 * that CPU's.
 */
static bool wg_lane_go_home(struct wg_lane *lane)
{
	const int home = READ_ONCE(lane->home);

	if (likely(home == smp_processor_id()) || !cpu_online(home) ||
	    napi_disable_pending(&lane->napi) ||
	    /* A thread goes on until it has seen that it is not wanted any more. */
	    READ_ONCE(lane->napi.state) & (NAPIF_STATE_THREADED | NAPIF_STATE_SCHED_THREADED))
		return false;
	wg_lane_flush(lane);
	return !smp_call_function_single_async(home, &lane->go_home);
}

static int wg_lane_poll(struct napi_struct *napi, int budget)
{
	struct wg_lane *lane = container_of(napi, struct wg_lane, napi);
	const struct wg_priv *priv = netdev_priv(napi->dev);
	struct wg_object *object;
	struct sk_buff *head;
	int work = 0, more;

	rcu_read_lock();
	object = rcu_dereference(priv->object);
	while (work < budget) {
		more = budget - work;
		head = wg_lane_take(lane, &more);
		if (!head)
			break;
		work += more;
		if (unlikely(!object))
			kfree_skb_list_reason(head, SKB_DROP_REASON_DEV_READY);
		else if ((head = wg_lane_check(priv, head)))
			priv->lanes->ops->receive(object, lane, head);
	}
	rcu_read_unlock();
	if (work < budget) {
		/* Whoever has added something since then has found the lane empty, and says so. */
		napi_complete_done(napi, work);
		return work;
	}
	return budget && wg_lane_go_home(lane) ? budget - 1 : budget;
}

struct wg_lanes *wg_lanes_create(struct net_device *dev, const struct wg_link_ops *ops)
{
	const u32 count = num_possible_cpus() == 1 ? 1 :
			  min_t(u32, roundup_pow_of_two(num_possible_cpus()) * WG_LANES_PER_CPU,
				WG_MOST_LANES);
	struct wg_lanes *lanes;
	u32 i;

	lanes = kvzalloc(struct_size(lanes, lane, count), GFP_KERNEL);
	if (!lanes)
		return NULL;
	lanes->ops = ops;
	lanes->mask = count - 1;
	lanes->seed = get_random_u32();
	for (i = 0; i < count; i++) {
		struct wg_lane *lane = &lanes->lane[i];

		skb_queue_head_init(&lane->queue);
		INIT_CSD(&lane->go_home, wg_lane_arrive, lane);
		set_bit(NAPI_STATE_NO_BUSY_POLL, &lane->napi.state);
		netif_napi_add(dev, &lane->napi, wg_lane_poll);
		napi_enable(&lane->napi);
	}
	return lanes;
}

/* Nobody adds anything any more. */
void wg_lanes_destroy(struct wg_lanes *lanes)
{
	u32 i;

	if (!lanes)
		return;
	for (i = 0; i <= lanes->mask; i++) {
		struct wg_lane *lane = &lanes->lane[i];

		napi_disable(&lane->napi);
		__netif_napi_del(&lane->napi);
		__skb_queue_purge(&lane->queue);
	}
	/* Somebody may still look at the list of instances, under RCU. */
	kvfree_rcu(lanes, rcu);
}

/*
 * Gives back what waits, linked by next, and waits until nothing else is in
 * anybody's hands. The sockets are closed. Process context.
 */
struct sk_buff *wg_netdev_purge_received(struct net_device *dev)
{
	const struct wg_priv *priv = netdev_priv(dev);
	struct sk_buff *head = NULL, **place = &head;
	u32 i;

	for (i = 0; i <= priv->lanes->mask; i++) {
		struct wg_lane *lane = &priv->lanes->lane[i];
		int all = INT_MAX;

		local_bh_disable();
		rcu_read_lock();
		*place = wg_lane_check(priv, wg_lane_take(lane, &all));
		rcu_read_unlock();
		local_bh_enable();
		while (*place)
			place = &(*place)->next;
		napi_synchronize(&lane->napi);
	}
	return head;
}

static void wg_gro_receive(struct net_device *dev, struct gro_node *gro, struct sk_buff *head)
{
	const bool elide = netif_elide_gro(dev);
	struct sk_buff *skb, *next;

	skb_list_walk_safe(head, skb, next) {
		skb_mark_not_on_list(skb);
		if (unlikely(!(READ_ONCE(dev->flags) & IFF_UP))) {
			dev_core_stats_rx_dropped_inc(dev);
			kfree_skb_reason(skb, SKB_DROP_REASON_DEV_READY);
			continue;
		}
		skb_reset_mac_header(skb);
		skb_reset_network_header(skb);
		skb_unset_transport_header(skb);
		skb->dev = dev;
		if (unlikely(elide || skb_cloned(skb))) {
			wg_gro_flush(gro);
			netif_receive_skb(skb);
		} else {
			gro_receive_skb(gro, skb);
		}
	}
}

void wg_lane_deliver(struct wg_lane *lane, struct sk_buff *head)
{
	wg_gro_receive(lane->napi.dev, &lane->napi.gro, head);
}

/*
 * Delivers packets on the caller's stack: all have gone up when this returns. Not
 * for softirqs, which may be deep already. BH disabled, RCU read lock.
 */
void wg_netdev_deliver(struct net_device *dev, struct sk_buff *head)
{
	struct gro_node gro = {};
	int i;

	INIT_LIST_HEAD(&gro.rx_list);
	for (i = 0; i < GRO_HASH_BUCKETS; i++)
		INIT_LIST_HEAD(&gro.hash[i].list);
	wg_gro_receive(dev, &gro, head);
	wg_gro_flush(&gro);
}
