// SPDX-License-Identifier: GPL-2.0
/* The UDP sockets of a tunnel. */
#include <linux/cgroup.h>
#include <linux/netdevice.h>
#include <linux/slab.h>
#include <net/inet_sock.h>
#include <net/ipv6.h>
#include <net/udp.h>
#include <net/udp_tunnel.h>

#include "netdev_priv.h"
#include "udp_port.h"
#include "wg_helpers.h"
#include "wg_log.h"

#define WG_PORT_RETRIES 100

static_assert(WG_AF_INET == AF_INET && WG_AF_INET6 == AF_INET6);
static_assert(sizeof(struct wg_endpoint) == 48);

/*
 * Whether somebody has taken out all that was there before. He has it in its lane
 * before anybody else takes out what comes after.
 */
static bool wg_udp_is_empty(struct sock *sk)
{
	return skb_queue_empty_lockless(&sk->sk_receive_queue) &&
	       skb_queue_empty_lockless(&udp_sk(sk)->reader_queue);
}

/*
 * Called by UDP when it has put packets into the socket's queue; takes them out
 * at once. The lock keeps their order until they are in their lanes, for what one
 * CPU put there another may take. BH disabled.
 *
 * A plain socket, as opposed to one with encap_rcv, gets datagrams that were put
 * together, by GRO or by their sender, in one piece.
 */
static void wg_udp_ready(struct sock *sk)
{
	struct wg_udp_port *port;
	int offset = 0, ret;
	struct sk_buff *skb;

	rcu_read_lock();
	port = rcu_dereference_sk_user_data(sk);
	/* Closed: what is in the queue goes with the socket. */
	if (unlikely(!port) || wg_udp_is_empty(sk))
		goto out;
	spin_lock_bh(&port->lock);
	for (;;) {
		skb = __skb_recv_udp(sk, MSG_DONTWAIT, &offset, &ret);
		if (!skb) {
			if (likely(ret == -EAGAIN))
				break;
			/* An error of the socket, which is told once. What came still waits. */
			continue;
		}
		skb_mark_not_on_list(skb);
		/* The packet may be kept for longer than these, which it need not own. */
		skb_dst_drop(skb);
		skb->dev = NULL;
		wg_lanes_put(port->dev, skb);
	}
	spin_unlock_bh(&port->lock);
out:
	rcu_read_unlock();
}

/*
 * Nor should somebody else's full sockets keep packets out (net.ipv4.udp_mem).
 * Only if nothing has been charged to this one: what is, must be given back. UDP
 * charges and uncharges under the lock of the queue.
 */
static void wg_udp_bypass(struct sock *sk)
{
	spin_lock_bh(&sk->sk_receive_queue.lock);
	if (!sk->sk_forward_alloc && !atomic_read(&sk->sk_rmem_alloc))
		/* Lookups read other bits of the same byte, which nobody writes any more. */
		data_race(sk->sk_bypass_prot_mem = 1);
	spin_unlock_bh(&sk->sk_receive_queue.lock);
}

/*
 * Whoever makes the sockets is asked for with the limits of its cgroup, when they
 * are bound. What comes in later is not for it: a unit that brings the tunnel up
 * and may not receive anything itself (IPAddressDeny=) must not cut it off. BPF
 * programs of a cgroup see no datagram of an encapsulation socket, either.
 */
static void wg_udp_leave_cgroup(struct sock *sk)
{
#ifdef CONFIG_SOCK_CGROUP_DATA
	struct cgroup *old = sock_cgroup_ptr(&sk->sk_cgrp_data), *root = &cgrp_dfl_root.cgrp;

	if (old == root)
		return;
	cgroup_get(root);
	cgroup_bpf_get(root);
	WRITE_ONCE(sk->sk_cgrp_data.cgroup, root);
	/* Who looks at the old one does so under RCU, which it is freed by. */
	cgroup_bpf_put(old);
	cgroup_put(old);
#endif
}

static void wg_udp_attach(struct sock *sk, struct wg_udp_port *port)
{
	wg_udp_leave_cgroup(sk);
	sk->sk_allocation = GFP_ATOMIC;
	sk->sk_sndbuf = INT_MAX;
	/* Nothing stays in the queue, so there is nothing to limit. */
	sk->sk_rcvbuf = INT_MAX / 2;
#ifdef CONFIG_NET_RX_BUSY_POLL
	/* Taking packets out never waits for more. */
	WRITE_ONCE(sk->sk_ll_usec, 0);
#endif
	/* The tunnel may lead to the swap device. */
	sk_set_memalloc(sk);
	wg_udp_bypass(sk);
	inet_clear_bit(MC_LOOP, sk);
	udp_tunnel_encap_enable(sk);
	udp_set_bit(GRO_ENABLED, sk);
	udp_set_bit(ACCEPT_L4, sk);
	rcu_assign_sk_user_data(sk, port);
	/* Packets that came before wait in the queue for the next one. */
	smp_store_release(&sk->sk_data_ready, wg_udp_ready);
}

static void wg_udp_detach(struct sock *sk)
{
	if (!sk)
		return;
	sock_hold(sk);
	udp_tunnel_sock_release(sk);
}

/*
 * When no receiver has the socket any more: this gives back memory that UDP
 * charged, without the lock under which UDP does that.
 */
static void wg_udp_forget(struct sock *sk)
{
	if (!sk)
		return;
	sk_clear_memalloc(sk);
	sock_put(sk);
}

static int wg_udp_socket(struct net *net, u16 family, __be16 number, struct socket **sock)
{
	struct udp_port_cfg config = {
		.family = family,
		.local_udp_port = number,
		.use_udp_checksums = true,
		.use_udp6_tx_checksums = true,
		.use_udp6_rx_checksums = true,
		.ipv6_v6only = true,
	};

	return udp_sock_create(net, &config, sock);
}

/* Both sockets on one number, or none. */
static int wg_udp_bind(struct net *net, const struct net_device *dev, u16 number,
		       struct socket **sock4, struct socket **sock6)
{
	int ret, tries = 0;

	do {
		*sock6 = NULL;
		ret = wg_udp_socket(net, AF_INET, htons(number), sock4);
		if (ret) {
			wg_log_no_socket(dev, 4);
			return ret;
		}
		if (!IS_ENABLED(CONFIG_IPV6) || !ipv6_mod_enabled())
			return 0;
		ret = wg_udp_socket(net, AF_INET6, inet_sk((*sock4)->sk)->inet_sport, sock6);
		if (!ret)
			return 0;
		udp_tunnel_sock_release((*sock4)->sk);
		/* A number that was free for IPv4 only: let the kernel choose again. */
	} while (ret == -EADDRINUSE && !number && ++tries <= WG_PORT_RETRIES);
	wg_log_no_socket(dev, 6);
	return ret;
}

int wg_udp_open(struct net *net, struct net_device *dev, u16 number, struct wg_udp_port **opened)
{
	struct socket *sock4, *sock6;
	struct wg_udp_port *port;
	int ret;

	port = kzalloc(sizeof(*port), GFP_KERNEL);
	if (!port)
		return -ENOMEM;
	ret = wg_udp_bind(net, dev, number, &sock4, &sock6);
	if (ret)
		goto err_port;

	port->dev = dev;
	spin_lock_init(&port->lock);
	port->sock4 = sock4->sk;
	port->sock6 = sock6 ? sock6->sk : NULL;
	port->number = ntohs(inet_sk(port->sock4)->inet_sport);
	/* From here on packets may come in. */
	wg_udp_attach(port->sock4, port);
	if (port->sock6)
		wg_udp_attach(port->sock6, port);
	*opened = port;
	return 0;

err_port:
	kfree(port);
	return ret;
}

void wg_udp_close(struct wg_udp_port *port)
{
	wg_udp_detach(port->sock4);
	wg_udp_detach(port->sock6);
	/* Receivers that found the port before it was taken from the sockets. */
	synchronize_net();
	wg_udp_forget(port->sock4);
	wg_udp_forget(port->sock6);
	kfree(port);
}

u16 wg_udp_number(const struct wg_udp_port *port)
{
	return port->number;
}
