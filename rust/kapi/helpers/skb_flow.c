// SPDX-License-Identifier: GPL-2.0
/* What flow a message belongs to, before it is opened. */
#include <linux/ip.h>
#include <linux/netdevice.h>
#include <linux/skbuff.h>
#include <net/flow_dissector.h>

#include "aead.h"
#include "wg_helpers.h"

/*
 * The hash of the flow of the packet in the message at this part of the data.
 * False if that cannot be told: a fragment, a header that the kernel does not
 * know or that is long. Nothing is authentic, and nothing is written.
 */
bool wg_train_flow(const struct sk_buff *skb, struct wg_train *train, u32 offset, u32 len,
		   u64 nonce, const u8 *key, const struct net_device *dev, u32 *hash)
{
	u8 text[WG_AEAD_BLOCK], plain[WG_AEAD_BLOCK];
	struct flow_keys keys = {};
	bool known = false;
	__be16 protocol;

	len = min_t(u32, len, sizeof(text));
	if (len < sizeof(struct iphdr) || !wg_train_read(skb, train, offset, text, len))
		return false;
	wg_aead_peek(plain, text, len, nonce, key);
	switch (plain[0] >> 4) {
	case 4:
		protocol = htons(ETH_P_IP);
		break;
	case 6:
		protocol = htons(ETH_P_IPV6);
		break;
	default:
		goto out;
	}
	known = __skb_flow_dissect(dev_net_rcu(dev), NULL, &flow_keys_dissector, &keys, plain,
				   protocol, 0, len, FLOW_DISSECTOR_F_STOP_BEFORE_ENCAP) &&
		!(keys.control.flags & FLOW_DIS_IS_FRAGMENT);
	if (known)
		*hash = flow_hash_from_keys(&keys);
out:
	memzero_explicit(plain, sizeof(plain));
	memzero_explicit(&keys, sizeof(keys));
	return known;
}
