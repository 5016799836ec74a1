// SPDX-License-Identifier: GPL-2.0
/*
 * From a GSO packet to messages, in one pass: headers, payload and padding of
 * each segment are put where the message is to be and encrypted there. There is
 * no packet for each segment; as many messages as fit a page leave as one UDP
 * GSO packet (outer.h).
 */
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/skbuff.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <linux/unaligned.h>
#include <net/ip.h>
#include <net/ip6_checksum.h>
#include <net/tcp.h>
#include <net/tso.h>

#include "outer.h"
#include "pages.h"
#include "skb_state.h"
#include "wg_helpers.h"

static u32 wg_gso_header_len(const struct sk_buff *skb)
{
	return skb_transport_offset(skb) +
	       (skb_is_gso_tcp(skb) ? tcp_hdrlen(skb) : sizeof(struct udphdr));
}

/* Whether the packet is one of those that wg_skb_seal_gso() can take, and how it divides. */
bool wg_skb_gso_info(struct sk_buff *skb, struct net_device *dev, struct wg_gso_info *info)
{
	const u32 kinds = SKB_GSO_TCPV4 | SKB_GSO_TCPV6 | SKB_GSO_UDP_L4;
	const u32 marks = SKB_GSO_TCP_ECN | SKB_GSO_TCP_ACCECN;
	const u32 size = skb_shinfo(skb)->gso_size;
	const u32 type = skb_shinfo(skb)->gso_type;
	u32 offset, header, payload;

	if (!size || size == GSO_BY_FRAGS || !(type & kinds) || (type & ~(kinds | marks)) ||
	    skb->ip_summed != CHECKSUM_PARTIAL || skb->encapsulation ||
	    skb_has_frag_list(skb) || !skb_frags_readable(skb) ||
	    !skb_transport_header_was_set(skb) || skb_network_offset(skb))
		return false;
	offset = skb_transport_offset(skb);
	if (skb->protocol == htons(ETH_P_IP) ? ip_hdr(skb)->ihl != 5 || offset != sizeof(struct iphdr) :
					       offset != sizeof(struct ipv6hdr))
		return false;
	if (skb_checksum_start_offset(skb) != offset ||
	    skb_headlen(skb) < offset + sizeof(struct udphdr) ||
	    (skb_is_gso_tcp(skb) && skb_headlen(skb) < offset + sizeof(struct tcphdr)))
		return false;
	header = wg_gso_header_len(skb);
	if (skb_headlen(skb) < header || skb->len <= header + size)
		return false;

	payload = skb->len - header;
	info->messages = DIV_ROUND_UP(payload, size);
	info->full = header + size;
	info->last = header + payload - (info->messages - 1) * size;
	if (info->messages > U16_MAX || info->full > WG_PAGE_BYTES / 4)
		return false;
	skb->dev = dev;
	skb_get_hash(skb);
	skb->dev = NULL;
	return true;
}

/*
 * TCP makes packets of up to 64 KiB, which with what is added to their segments
 * become a full train and a stump, or two of half the size. Have the socket make
 * just one full train of the next ones. For packets of more trains than two the
 * rest does not matter, and what comes from elsewhere is taken as it is.
 */
void wg_skb_fit_train(const struct sk_buff *skb, u32 text_len)
{
	const u32 most = wg_outer_most(WG_MESSAGE_HEADER + text_len + WG_AEAD_TAG);
	struct sock *sk = skb->sk;
	u32 possible;

	if (!skb_is_gso(skb) || !most || skb_shinfo(skb)->gso_segs <= most || !sk ||
	    !sk_fullsock(sk) || !sk_is_tcp(sk))
		return;
	possible = READ_ONCE(sk->sk_gso_max_size) / skb_shinfo(skb)->gso_size;
	/*
	 * As sk_setup_caps() does; it sets anew what another route allows. Behind a
	 * queueing discipline the socket may be in use: either value is a good one.
	 */
	if (possible < 2 * most && READ_ONCE(sk->sk_gso_max_segs) > most)
		data_race(sk->sk_gso_max_segs = most);
}

/* Completes the checksums of a segment, the payload of which has this sum. */
static void wg_gso_checksum(u8 *text, u32 len, u32 offset, bool tcp, __wsum sum)
{
	const u32 rest = len - offset;
	const u8 protocol = tcp ? IPPROTO_TCP : IPPROTO_UDP;
	__sum16 *check;
	u32 header = 0;

	if (tcp) {
		struct tcphdr *th = (struct tcphdr *)(text + offset);

		check = &th->check;
		header = __tcp_hdrlen(th);
	} else {
		check = &((struct udphdr *)(text + offset))->check;
		BUILD_BUG_ON(sizeof(struct udphdr) != 2 * sizeof(u32));
	}
	*check = 0;
	if (tcp) {
		sum = csum_partial(text + offset, header, sum);
	} else {
		sum = csum_add(sum, (__force __wsum)get_unaligned((u32 *)(text + offset)));
		sum = csum_add(sum, (__force __wsum)get_unaligned((u32 *)(text + offset + 4)));
	}
	if (offset == sizeof(struct iphdr)) {
		struct iphdr *ip = (struct iphdr *)text;

		ip_send_check(ip);
		*check = csum_tcpudp_magic(ip->saddr, ip->daddr, rest, protocol, sum);
	} else {
		const struct ipv6hdr *ip6 = (const struct ipv6hdr *)text;

		*check = csum_ipv6_magic(&ip6->saddr, &ip6->daddr, rest, protocol, sum);
	}
	if (!tcp && !*check)
		*check = CSUM_MANGLED_0;
}

/* Where a run through the segments of a packet is. */
struct wg_gso_run {
	struct tso_t tso;
	u32 header;	/* of each segment, in bytes */
	u32 offset;	/* of the next payload in the packet */
	u64 nonce;
	bool first;
};

/* Copies the payload of the next segment and returns its sum. */
static __wsum wg_gso_payload(const struct sk_buff *skb, struct tso_t *tso, u8 *to, u32 size)
{
	__wsum sum = 0;
	u32 done = 0;

	while (done < size) {
		const u32 here = min_t(u32, tso->size, size - done);

		/* A fragment may be empty. The lengths of a packet agree; do not loop if not. */
		if (WARN_ON_ONCE(!here && tso->next_frag_idx >= skb_shinfo(skb)->nr_frags)) {
			memset(to + done, 0, size - done);
			break;
		}
		sum = csum_block_add(sum, csum_partial_copy_nocheck(tso->data, to + done, here), done);
		done += here;
		tso_build_data(skb, tso, here);
	}
	return sum;
}

/* Makes the next message at place, of text bytes with padding; place is written a block ahead. */
static void wg_gso_message(struct sk_buff *skb, struct wg_gso_run *run, u8 *place, u32 text_len,
			  const u8 *header, const u8 *key)
{
	const bool tcp = skb_is_gso_tcp(skb);
	const u32 size = min_t(u32, skb_shinfo(skb)->gso_size, skb->len - run->offset);
	const bool last = run->offset + size == skb->len;
	const u32 len = run->header + size;
	u8 *text = place + WG_MESSAGE_HEADER;
	__wsum sum;

	tso_build_hdr(skb, text, &run->tso, size, last);
	if (tcp && !run->first && !(skb_shinfo(skb)->gso_type & SKB_GSO_TCP_ACCECN))
		((struct tcphdr *)(text + skb_transport_offset(skb)))->cwr = 0;
	sum = wg_gso_payload(skb, &run->tso, text + run->header, size);
	wg_gso_checksum(text, len, skb_transport_offset(skb), tcp, sum);
	/* The padding, and some of where the tag will be: shorter than a call. */
	put_unaligned(0ULL, (u64 *)(text + len));
	put_unaligned(0ULL, (u64 *)(text + len + 8));

	wg_outer_seal(place, text_len, header, run->nonce, key);

	run->first = false;
	run->nonce++;
	run->offset += size;
}

/* How the messages of a GSO packet are laid out, and how many are still to be made. */
struct wg_gso_plan {
	u32 full_text;	/* bytes of all texts but the last, with padding */
	u32 last_text;
	u32 left;
};

/* Fills a page of an outgoing packet with the next messages. */
static bool wg_gso_page(struct sk_buff *skb, struct sk_buff *outer, struct wg_gso_run *run,
			struct wg_gso_plan *plan, u32 count, const u8 *header, const u8 *key)
{
	const u32 message_len = WG_MESSAGE_HEADER + plan->full_text + WG_AEAD_TAG;
	const u32 shorter = count == plan->left ? plan->full_text - plan->last_text : 0;
	u8 *place = wg_outer_add(outer, count * message_len - shorter);

	if (unlikely(!place))
		return false;
	for (; count; count--, plan->left--, place += message_len)
		wg_gso_message(skb, run, place, plan->left == 1 ? plan->last_text : plan->full_text,
			       header, key);
	return true;
}

/*
 * The texts of the first messages have full_text bytes with padding, that of the
 * last one last_text. On success the list at head replaces the packet.
 */
int wg_skb_seal_gso(struct sk_buff *skb, struct net_device *dev, const u8 *header, u32 full_text,
		    u32 last_text, u64 nonce, const u8 *key, struct sk_buff **head)
{
	const u32 message_len = WG_MESSAGE_HEADER + full_text + WG_AEAD_TAG;
	const u32 most = wg_outer_most(message_len), page_most = wg_outer_page_most(message_len);
	struct wg_gso_plan plan = { .full_text = full_text, .last_text = last_text };
	struct sk_buff *list = NULL, **tail = &list, *outer = NULL;
	struct wg_gso_run run = { .nonce = nonce, .first = true };
	struct wg_gso_info info;
	u32 each;

	if (!wg_skb_gso_info(skb, dev, &info) || !most || full_text < info.full ||
	    last_text < info.last || full_text - info.full > WG_MESSAGE_HEADER ||
	    last_text - info.last > WG_MESSAGE_HEADER || last_text > full_text)
		return -EINVAL;
	plan.left = info.messages;
	each = DIV_ROUND_UP(plan.left, DIV_ROUND_UP(plan.left, most));
	run.header = tso_start(skb, &run.tso);
	run.offset = run.header;

	local_bh_disable();
	while (plan.left) {
		u32 count = min(plan.left, each);

		outer = wg_outer_new(count, message_len);
		if (unlikely(!outer))
			break;
		wg_outer_like(outer, skb);
		*tail = outer;
		tail = &outer->next;
		while (count) {
			const u32 here = min(count, page_most);

			if (unlikely(!wg_gso_page(skb, outer, &run, &plan, here, header, key)))
				goto out;
			count -= here;
		}
	}
out:
	local_bh_enable();
	if (unlikely(plan.left)) {
		/* The packet is still there: its owner drops that. */
		kfree_skb_list_reason(list, SKB_CONSUMED);
		return -ENOMEM;
	}
	wg_outer_own(list, skb);
	consume_skb(skb);
	*head = list;
	return 0;
}

/*
 * Messages in a packet that wg_skb_seal_gso() or the network put together, which
 * begins with its UDP header; 1 if it is a single one. What comes from a virtual
 * machine has not been counted yet.
 */
u32 wg_skb_messages(const struct sk_buff *skb)
{
	const struct skb_shared_info *info = skb_shinfo(skb);

	if (!skb_is_gso(skb))
		return 1;
	if (info->gso_segs)
		return info->gso_segs;
	if (skb->len <= sizeof(struct udphdr))
		return 1;
	return DIV_ROUND_UP(skb->len - (u32)sizeof(struct udphdr), info->gso_size);
}
