// SPDX-License-Identifier: GPL-2.0
/*
 * From a GSO packet to messages, in one pass: headers, payload and padding of
 * each segment are put where the message is to be and encrypted there. There is
 * no packet for each segment; as many messages as fit a page leave as one UDP
 * GSO packet.
 */
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/skbuff.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <linux/unaligned.h>
#include <net/ip.h>
#include <net/ip6_checksum.h>
#include <net/sock.h>
#include <net/tcp.h>
#include <net/tso.h>

#include "aead.h"
#include "pages.h"
#include "skb_state.h"
#include "wg_helpers.h"

#define WG_MESSAGE_HEADER 16
/* Of the block ahead of a text this much lies ahead of its message. */
#define WG_BLOCK_AHEAD (WG_AEAD_BLOCK - WG_MESSAGE_HEADER)
#define WG_OUTER_HEADROOM \
	ALIGN(sizeof(struct udphdr) + sizeof(struct ipv6hdr) + NET_SKB_PAD + WG_MESSAGE_HEADER, 4)
/* The largest payload that fits the length fields of UDP and both versions of IP. */
#define WG_OUTER_MAX (U16_MAX - sizeof(struct udphdr) - sizeof(struct iphdr))

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

/* Completes the checksums of a segment, the payload of which has this sum. */
static void wg_gso_checksum(u8 *text, u32 len, u32 offset, bool tcp, __wsum sum)
{
	const u32 rest = len - offset;
	const u8 protocol = tcp ? IPPROTO_TCP : IPPROTO_UDP;
	__sum16 *check;
	u32 header;

	if (tcp) {
		struct tcphdr *th = (struct tcphdr *)(text + offset);

		check = &th->check;
		header = __tcp_hdrlen(th);
	} else {
		check = &((struct udphdr *)(text + offset))->check;
		header = sizeof(struct udphdr);
	}
	*check = 0;
	sum = csum_partial(text + offset, header, sum);
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

/* Makes the next message at place, of text bytes with padding; place is written a block ahead. */
static void wg_gso_message(struct sk_buff *skb, struct wg_gso_run *run, u8 *place, u32 text_len,
			  const u8 *header, const u8 *key)
{
	const bool tcp = skb_is_gso_tcp(skb);
	const u32 size = min_t(u32, skb_shinfo(skb)->gso_size, skb->len - run->offset);
	const bool last = run->offset + size == skb->len;
	const u32 len = run->header + size;
	u8 *text = place + WG_MESSAGE_HEADER;
	u8 ahead[WG_BLOCK_AHEAD];
	__wsum sum;

	tso_build_hdr(skb, text, &run->tso, size, last);
	if (tcp && !run->first && !(skb_shinfo(skb)->gso_type & SKB_GSO_TCP_ACCECN))
		((struct tcphdr *)(text + skb_transport_offset(skb)))->cwr = 0;
	sum = skb_copy_and_csum_bits(skb, run->offset, text + run->header, size);
	wg_gso_checksum(text, len, skb_transport_offset(skb), tcp, sum);
	memset(text + len, 0, text_len - len);

	/* The key block overwrites the end of the message before. */
	memcpy(ahead, place - WG_BLOCK_AHEAD, sizeof(ahead));
	wg_aead_seal(text, text_len, run->nonce, key);
	memcpy(place - WG_BLOCK_AHEAD, ahead, sizeof(ahead));
	memcpy(place, header, WG_MESSAGE_HEADER - sizeof(u64));
	put_unaligned_le64(run->nonce, place + WG_MESSAGE_HEADER - sizeof(u64));

	run->first = false;
	run->nonce++;
	run->offset += size;
	run->tso.tcp_seq += size;
}

/* An outgoing packet of this many messages; its page has a block of room ahead of them. */
static struct sk_buff *wg_gso_outer(u32 messages, u32 message_len, u32 len, u8 **place)
{
	struct sk_buff *outer = alloc_skb(WG_OUTER_HEADROOM, GFP_ATOMIC | __GFP_NOWARN);
	struct page *page;

	if (unlikely(!outer))
		return NULL;
	page = wg_page_get();
	if (unlikely(!page)) {
		kfree_skb(outer);
		return NULL;
	}
	skb_reserve(outer, WG_OUTER_HEADROOM);
	skb_fill_page_desc(outer, 0, page, WG_BLOCK_AHEAD, len);
	outer->len = len;
	outer->data_len = len;
	outer->truesize += len;
	if (messages > 1) {
		skb_shinfo(outer)->gso_size = message_len;
		skb_shinfo(outer)->gso_segs = messages;
		skb_shinfo(outer)->gso_type = SKB_GSO_UDP_L4;
		/* The UDP header will be right ahead of the data. */
		outer->ip_summed = CHECKSUM_PARTIAL;
		outer->csum_start = skb_headroom(outer) - sizeof(struct udphdr);
		outer->csum_offset = offsetof(struct udphdr, check);
	}
	*place = page_address(page) + WG_BLOCK_AHEAD;
	return outer;
}

/* The last of the outgoing packets stands for the data in the account of its socket. */
static void wg_gso_move_owner(struct sk_buff *from, struct sk_buff *to)
{
	struct sock *sk = from->sk;
	int delta;

	if (!sk || !is_skb_wmem(from))
		return;
	delta = to->truesize - from->truesize;
	swap(to->sk, from->sk);
	swap(to->destructor, from->destructor);
	if (delta >= 0)
		refcount_add(delta, &sk->sk_wmem_alloc);
	else
		WARN_ON_ONCE(refcount_sub_and_test(-delta, &sk->sk_wmem_alloc));
}

/*
 * The texts of the first messages have full_text bytes with padding, that of the
 * last one last_text. On success the list at head replaces the packet.
 */
int wg_skb_seal_gso(struct sk_buff *skb, struct net_device *dev, const u8 *header, u32 full_text,
		    u32 last_text, u64 nonce, const u8 *key, struct sk_buff **head)
{
	const u32 message_len = WG_MESSAGE_HEADER + full_text + WG_AEAD_TAG;
	const u32 last_len = WG_MESSAGE_HEADER + last_text + WG_AEAD_TAG;
	const u32 most = min_t(u32, WG_PAGE_BYTES - WG_BLOCK_AHEAD, WG_OUTER_MAX) / message_len;
	struct sk_buff *list = NULL, **tail = &list, *outer = NULL;
	struct wg_gso_run run = { .nonce = nonce, .first = true };
	struct wg_gso_info info;
	u32 left, each;

	if (!wg_skb_gso_info(skb, dev, &info) || !most || full_text < info.full ||
	    last_text < info.last || full_text - info.full > WG_MESSAGE_HEADER ||
	    last_text - info.last > WG_MESSAGE_HEADER || last_len > message_len)
		return -EINVAL;
	left = info.messages;
	each = DIV_ROUND_UP(left, DIV_ROUND_UP(left, most));
	run.header = tso_start(skb, &run.tso);
	run.offset = run.header;

	local_bh_disable();
	while (left) {
		const u32 count = min(left, each);
		const u32 len = (count - 1) * message_len + (count == left ? last_len : message_len);
		u8 *place;
		u32 i;

		outer = wg_gso_outer(count, message_len, len, &place);
		if (unlikely(!outer))
			break;
		for (i = 0; i < count; i++, left--) {
			wg_gso_message(skb, &run, place, left == 1 ? last_text : full_text, header,
				       key);
			place += message_len;
		}
		skb_copy_hash(outer, skb);
		*tail = outer;
		tail = &outer->next;
	}
	local_bh_enable();
	if (unlikely(left)) {
		/* The packet is still there: its owner drops that. */
		kfree_skb_list_reason(list, SKB_CONSUMED);
		return -ENOMEM;
	}
	wg_gso_move_owner(skb, outer);
	consume_skb(skb);
	*head = list;
	return 0;
}

/* Messages in a packet that wg_skb_seal_gso() or the network put together; 1 if it is a single one. */
u32 wg_skb_messages(const struct sk_buff *skb)
{
	return skb_is_gso(skb) ? skb_shinfo(skb)->gso_segs : 1;
}
