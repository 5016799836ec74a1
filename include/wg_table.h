/* SPDX-License-Identifier: GPL-2.0 */
/* C side of wg_kapi: resizable keyed hash tables. See helpers/table.c. */
#ifndef WG_TABLE_H
#define WG_TABLE_H

#include <linux/types.h>

struct wg_table;

/* What the table links together; allocated by the caller with kmalloc(). */
#define WG_TABLE_KEY_MAX 32
struct wg_table_entry {
	/* Linkage, opaque to the caller: a struct rhash_head, then a struct rcu_head. */
	void *link[3];
	void *value;
	u8 key[WG_TABLE_KEY_MAX];
};

struct wg_table *wg_table_new(u32 key_len);
void wg_table_destroy(struct wg_table *table, void (*put)(void *value));
u32 wg_table_len(const struct wg_table *table);
void *wg_table_get(struct wg_table *table, const void *key);
int wg_table_insert(struct wg_table *table, struct wg_table_entry *entry);
void *wg_table_remove(struct wg_table *table, const void *key, unsigned long value);

#endif
