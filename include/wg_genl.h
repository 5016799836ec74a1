/* SPDX-License-Identifier: GPL-2.0 */
/*
 * C side of genl.rs, nla.rs and policy.rs: generic netlink.
 *
 * Every function may be called in process context only, by the callbacks of
 * the family, on the message or dump that they were given.
 */
#ifndef WG_GENL_H
#define WG_GENL_H

#include <linux/types.h>
#include <net/genetlink.h>
#include <net/netlink.h>

struct wg_genl_family {
	struct genl_family family;
	struct genl_split_ops ops[2];
	struct genl_multicast_group group;
};

/* What a family is made of. All pointers must outlive the registration. */
struct wg_genl_desc {
	const char *name;
	/* Of those who hear of events; needs CAP_NET_ADMIN. */
	const char *group;
	const struct nla_policy *dump_policy;
	const struct nla_policy *do_policy;
	int (*start)(struct netlink_callback *cb);
	int (*dump)(struct sk_buff *skb, struct netlink_callback *cb);
	int (*done)(struct netlink_callback *cb);
	int (*doit)(struct sk_buff *skb, struct genl_info *info);
	struct module *module;
	u32 dump_max;
	u32 do_max;
	u8 version;
	u8 dump_cmd;
	u8 do_cmd;
};

/* The parts of a request that Rust looks at: @first and @len are all attributes as they came. */
struct wg_genl_request {
	struct nlattr **attrs;
	struct nlattr *first;
	u32 len;
	struct net *net;
	struct netlink_ext_ack *extack;
};

int wg_genl_register(struct wg_genl_family *family, const struct wg_genl_desc *desc);
void wg_genl_unregister(struct wg_genl_family *family);

void wg_genl_request_of_info(const struct genl_info *info, struct wg_genl_request *req);
void wg_genl_request_of_dump(struct netlink_callback *cb, struct wg_genl_request *req);
void *wg_genl_dump_state(const struct netlink_callback *cb);
void wg_genl_set_dump_state(struct netlink_callback *cb, void *state);

void wg_genl_refuse(struct netlink_ext_ack *extack, const char *text,
		    const struct nlattr *bad);
void wg_genl_missing(struct netlink_ext_ack *extack, const char *text,
		     const struct nlattr *nest, u16 kind);

void *wg_genl_message_start(struct sk_buff *skb, struct netlink_callback *cb);
void wg_genl_message_generation(struct netlink_callback *cb, void *header, u32 generation);
int wg_genl_message_end(struct sk_buff *skb, void *header);
void wg_genl_message_cancel(struct sk_buff *skb, void *header);
bool wg_genl_message_is_empty(const struct sk_buff *skb, const void *header);

bool wg_genl_has_listeners(const struct net_device *dev);
struct sk_buff *wg_genl_event_start(u8 cmd, void **header);
void wg_genl_event_send(struct net *net, struct sk_buff *skb, void *header);
void wg_genl_event_drop(struct sk_buff *skb);

int wg_nla_put(struct sk_buff *skb, u16 kind, const void *data, u32 len);
int wg_nla_put_u64(struct sk_buff *skb, u16 kind, u64 value);
struct nlattr *wg_nla_nest_start(struct sk_buff *skb, u16 kind);
void wg_nla_nest_end(struct sk_buff *skb, struct nlattr *nest);
void wg_nla_nest_cancel(struct sk_buff *skb, struct nlattr *nest);

int wg_nla_parse_nested(struct nlattr **table, u32 max, const struct nlattr *attr, u16 len,
			const struct nla_policy *policy, struct netlink_ext_ack *extack);
void wg_nla_wipe(struct nlattr *attr, u16 len);

#endif
