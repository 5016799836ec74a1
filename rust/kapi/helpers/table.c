// SPDX-License-Identifier: GPL-2.0
/*
 * Hash tables for wg_kapi: a kernel rhashtable with keyed hashing.
 *
 * Lookups write nothing. A removed entry is freed after an RCU grace period,
 * its value is the caller's again at once.
 */
#include <linux/once.h>
#include <linux/random.h>
#include <linux/rhashtable.h>
#include <linux/siphash.h>
#include <linux/slab.h>

#include "wg_table.h"

struct wg_table {
	struct rhashtable ht;
};

/* What struct wg_table_entry really is: `link` holds the first two. */
struct wg_entry {
	struct rhash_head node;
	struct rcu_head rcu;
	void *value;
	u8 key[WG_TABLE_KEY_MAX];
};

static_assert(sizeof(struct wg_entry) == sizeof(struct wg_table_entry));
static_assert(offsetof(struct wg_entry, value) == offsetof(struct wg_table_entry, value));
static_assert(offsetof(struct wg_entry, key) == offsetof(struct wg_table_entry, key));

/* One secret for all tables; every bucket array adds a seed of its own. */
static siphash_key_t wg_table_secret __read_mostly;

static siphash_key_t wg_table_hash_key(u32 seed)
{
	siphash_key_t key = wg_table_secret;

	key.key[0] ^= seed;
	return key;
}

static u32 wg_hash_u32(const void *data, u32 len, u32 seed)
{
	siphash_key_t key = wg_table_hash_key(seed);

	return siphash_1u32(*(const u32 *)data, &key);
}

static u32 wg_hash_bytes(const void *data, u32 len, u32 seed)
{
	siphash_key_t key = wg_table_hash_key(seed);

	return siphash(data, len, &key);
}

static const struct rhashtable_params wg_params_u32 = {
	.key_len = sizeof(u32),
	.key_offset = offsetof(struct wg_entry, key),
	.head_offset = offsetof(struct wg_entry, node),
	.hashfn = wg_hash_u32,
	.automatic_shrinking = true,
};

static const struct rhashtable_params wg_params_bytes = {
	.key_len = WG_TABLE_KEY_MAX,
	.key_offset = offsetof(struct wg_entry, key),
	.head_offset = offsetof(struct wg_entry, node),
	.hashfn = wg_hash_bytes,
	.automatic_shrinking = true,
};

static bool wg_table_is_u32(const struct wg_table *table)
{
	return table->ht.p.key_len == sizeof(u32);
}

struct wg_table *wg_table_new(u32 key_len)
{
	struct wg_table *table = kzalloc(sizeof(*table), GFP_KERNEL);

	if (!table)
		return NULL;
	get_random_once(&wg_table_secret, sizeof(wg_table_secret));
	if (rhashtable_init(&table->ht, key_len == sizeof(u32) ? &wg_params_u32 :
								 &wg_params_bytes)) {
		kfree(table);
		return NULL;
	}
	return table;
}

static void wg_table_free_entry(void *entry, void *put)
{
	void (**put_value)(void *value) = put;
	struct wg_entry *e = entry;

	(*put_value)(e->value);
	kfree(e);
}

void wg_table_destroy(struct wg_table *table, void (*put)(void *value))
{
	rhashtable_free_and_destroy(&table->ht, wg_table_free_entry, &put);
	kfree(table);
}

u32 wg_table_len(const struct wg_table *table)
{
	return atomic_read(&table->ht.nelems);
}

static struct wg_entry *wg_table_find(struct wg_table *table, const void *key)
{
	if (wg_table_is_u32(table))
		return rhashtable_lookup(&table->ht, key, wg_params_u32);
	return rhashtable_lookup(&table->ht, key, wg_params_bytes);
}

/* The caller is in an RCU read-side section. */
void *wg_table_get(struct wg_table *table, const void *key)
{
	struct wg_entry *entry = wg_table_find(table, key);

	return entry ? entry->value : NULL;
}

/* Takes over the entry only if it returns 0. */
int wg_table_insert(struct wg_table *table, struct wg_table_entry *entry)
{
	struct wg_entry *e = (struct wg_entry *)entry;

	if (wg_table_is_u32(table))
		return rhashtable_lookup_insert_fast(&table->ht, &e->node, wg_params_u32);
	return rhashtable_lookup_insert_fast(&table->ht, &e->node, wg_params_bytes);
}

/*
 * Removes the entry if its value is at this address, and returns the value;
 * what the table owned of it is the caller's then. NULL for all but one caller.
 */
void *wg_table_remove(struct wg_table *table, const void *key, unsigned long value)
{
	struct wg_entry *entry;
	void *removed;
	int err = -ENOENT;

	rcu_read_lock();
	entry = wg_table_find(table, key);
	if (entry && (unsigned long)entry->value == value) {
		if (wg_table_is_u32(table))
			err = rhashtable_remove_fast(&table->ht, &entry->node, wg_params_u32);
		else
			err = rhashtable_remove_fast(&table->ht, &entry->node, wg_params_bytes);
	}
	rcu_read_unlock();
	if (err)
		return NULL;
	removed = entry->value;
	kfree_rcu(entry, rcu);
	return removed;
}
