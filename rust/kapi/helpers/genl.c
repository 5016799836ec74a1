// SPDX-License-Identifier: GPL-2.0
/* Generic netlink: the inline functions and macros that genl.rs and nla.rs need. */

#include <linux/build_bug.h>
#include <linux/mutex.h>
#include <linux/netdevice.h>
#include <linux/string.h>

#include "wg_helpers.h"

/* policy.rs builds struct nla_policy itself: these are the facts it relies on. */
static_assert(offsetof(struct nla_policy, type) == 0);
static_assert(offsetof(struct nla_policy, validation_type) == 1);
static_assert(offsetof(struct nla_policy, len) == 2);
static_assert(offsetof(struct nla_policy, mask) == sizeof(void *));
static_assert(offsetof(struct nla_policy, nested_policy) == sizeof(void *));
static_assert(offsetof(struct nla_policy, min) == sizeof(void *));
static_assert(offsetof(struct nla_policy, max) == sizeof(void *) + sizeof(s16));
static_assert(sizeof(struct nla_policy) == 2 * sizeof(void *));

/* Who sends events, while registered. Sending and unregistering exclude each other. */
static struct genl_family *wg_genl_sender;
static DEFINE_MUTEX(wg_genl_sender_lock);

int wg_genl_register(struct wg_genl_family *family, const struct wg_genl_desc *desc)
{
	struct genl_family *f = &family->family;
	/* The core wants the operations sorted, and do ahead of dump. */
	int ret;
	bool dump_last = desc->dump_cmd >= desc->do_cmd;
	struct genl_split_ops *dump = &family->ops[dump_last];
	struct genl_split_ops *set = &family->ops[!dump_last];

	memset(family, 0, sizeof(*family));
	if (strscpy(f->name, desc->name, sizeof(f->name)) < 0)
		return -EINVAL;
	if (strscpy(family->group.name, desc->group, sizeof(family->group.name)) < 0)
		return -EINVAL;
	family->group.flags = GENL_MCAST_CAP_NET_ADMIN;
	f->mcgrps = &family->group;
	f->n_mcgrps = 1;
	f->version = desc->version;
	f->netnsok = true;
	/* State is guarded by RTNL and by the locks of the callbacks' owner. */
	f->parallel_ops = true;
	f->module = desc->module;
	f->split_ops = family->ops;
	f->n_split_ops = ARRAY_SIZE(family->ops);

	/* No resv_start_op and no validate flags: strict in every respect. */
	dump->cmd = desc->dump_cmd;
	dump->flags = GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DUMP;
	dump->policy = desc->dump_policy;
	dump->maxattr = desc->dump_max;
	dump->start = desc->start;
	dump->dumpit = desc->dump;
	dump->done = desc->done;

	set->cmd = desc->do_cmd;
	set->flags = GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DO;
	set->policy = desc->do_policy;
	set->maxattr = desc->do_max;
	set->doit = desc->doit;

	ret = genl_register_family(f);
	if (!ret)
		WRITE_ONCE(wg_genl_sender, f);
	return ret;
}

void wg_genl_unregister(struct wg_genl_family *family)
{
	mutex_lock(&wg_genl_sender_lock);
	WRITE_ONCE(wg_genl_sender, NULL);
	mutex_unlock(&wg_genl_sender_lock);
	genl_unregister_family(&family->family);
}

/* Any context. The family is memory of the module, also when it is not registered any more. */
bool wg_genl_has_listeners(const struct net_device *dev)
{
	const struct genl_family *family = READ_ONCE(wg_genl_sender);
	bool ret;

	if (!family)
		return false;
	rcu_read_lock();
	ret = genl_has_listeners(family, dev_net_rcu(dev), 0);
	rcu_read_unlock();
	return ret;
}

struct sk_buff *wg_genl_event_start(u8 cmd, void **header)
{
	const struct genl_family *family = READ_ONCE(wg_genl_sender);
	struct sk_buff *skb;

	if (!family)
		return NULL;
	skb = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_KERNEL);
	if (!skb)
		return NULL;
	*header = genlmsg_put(skb, 0, 0, family, 0, cmd);
	if (!*header) {
		nlmsg_free(skb);
		return NULL;
	}
	return skb;
}

void wg_genl_event_send(struct net *net, struct sk_buff *skb, void *header)
{
	mutex_lock(&wg_genl_sender_lock);
	if (wg_genl_sender) {
		genlmsg_end(skb, header);
		genlmsg_multicast_netns(wg_genl_sender, net, skb, 0, 0, GFP_KERNEL);
	} else {
		nlmsg_free(skb);
	}
	mutex_unlock(&wg_genl_sender_lock);
}

void wg_genl_event_drop(struct sk_buff *skb)
{
	nlmsg_free(skb);
}

void wg_genl_request_of_info(const struct genl_info *info, struct wg_genl_request *req)
{
	req->attrs = info->attrs;
	req->first = nlmsg_attrdata(info->nlhdr, GENL_HDRLEN);
	req->len = nlmsg_attrlen(info->nlhdr, GENL_HDRLEN);
	req->net = genl_info_net(info);
	req->extack = info->extack;
}

/* For the start callback: later callbacks of a dump have another extack. */
void wg_genl_request_of_dump(struct netlink_callback *cb, struct wg_genl_request *req)
{
	wg_genl_request_of_info(genl_info_dump(cb), req);
}

void *wg_genl_dump_state(const struct netlink_callback *cb)
{
	void *state;

	NL_ASSERT_CTX_FITS(void *);
	memcpy(&state, cb->ctx, sizeof(state));
	return state;
}

void wg_genl_set_dump_state(struct netlink_callback *cb, void *state)
{
	memcpy(cb->ctx, &state, sizeof(state));
}

/* @text must live as long as the module: it is read after the callback. */
void wg_genl_refuse(struct netlink_ext_ack *extack, const char *text,
		    const struct nlattr *bad)
{
	do_trace_netlink_extack(text);
	if (!extack)
		return;
	extack->_msg = text;
	extack->bad_attr = bad;
	extack->policy = NULL;
}

void wg_genl_missing(struct netlink_ext_ack *extack, const char *text,
		     const struct nlattr *nest, u16 kind)
{
	wg_genl_refuse(extack, text, NULL);
	NL_SET_ERR_ATTR_MISS(extack, (struct nlattr *)nest, kind);
}

void *wg_genl_message_start(struct sk_buff *skb, struct netlink_callback *cb)
{
	const struct genl_dumpit_info *dump = genl_dumpit_info(cb);

	return genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq,
			   dump->info.family, NLM_F_MULTI, dump->op.cmd);
}

void wg_genl_message_generation(struct netlink_callback *cb, void *header, u32 generation)
{
	cb->seq = generation;
	genl_dump_check_consistent(cb, header);
}

/* The return value of a dump callback that has more to say. */
int wg_genl_message_end(struct sk_buff *skb, void *header)
{
	genlmsg_end(skb, header);
	return skb->len;
}

void wg_genl_message_cancel(struct sk_buff *skb, void *header)
{
	genlmsg_cancel(skb, header);
}

bool wg_genl_message_is_empty(const struct sk_buff *skb, const void *header)
{
	return skb_tail_pointer(skb) == (const unsigned char *)header;
}

int wg_nla_put(struct sk_buff *skb, u16 kind, const void *data, u32 len)
{
	if (len > U16_MAX - NLA_HDRLEN)
		return -EMSGSIZE;
	return nla_put(skb, kind, len, data);
}

int wg_nla_put_u64(struct sk_buff *skb, u16 kind, u64 value)
{
	return nla_put_64bit(skb, kind, sizeof(value), &value, 0);
}

struct nlattr *wg_nla_nest_start(struct sk_buff *skb, u16 kind)
{
	return nla_nest_start(skb, kind);
}

void wg_nla_nest_end(struct sk_buff *skb, struct nlattr *nest)
{
	nla_nest_end(skb, nest);
}

void wg_nla_nest_cancel(struct sk_buff *skb, struct nlattr *nest)
{
	nla_nest_cancel(skb, nest);
}

/*
 * nla_parse_nested() with the payload length that Rust took when it first saw
 * the attribute, not the one that is in memory now.
 */
int wg_nla_parse_nested(struct nlattr **table, u32 max, const struct nlattr *attr, u16 len,
			const struct nla_policy *policy, struct netlink_ext_ack *extack)
{
	if (!(attr->nla_type & NLA_F_NESTED)) {
		NL_SET_ERR_MSG_ATTR(extack, attr, "nested attribute without NLA_F_NESTED");
		return -EINVAL;
	}
	return __nla_parse(table, max, nla_data(attr), len, policy, NL_VALIDATE_STRICT, extack);
}

void wg_nla_wipe(struct nlattr *attr, u16 len)
{
	memzero_explicit(nla_data(attr), len);
}
