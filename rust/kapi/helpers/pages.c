// SPDX-License-Identifier: GPL-2.0
/*
 * Memory for messages on their way out and packets on their way in: some pages
 * for each CPU, used in turn.
 *
 * A page that nobody else has a reference to any more is used again, which saves
 * allocating and clearing it. As with the pages that network drivers recycle, all
 * that is ever in them is packets; what leaves the machine is encrypted.
 */
#include <asm/barrier.h>
#include <linux/gfp.h>
#include <linux/local_lock.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/sizes.h>

#include "pages.h"

/* As many as are usually on their way before the first comes back. */
#define WG_PAGES_OUT 32
/* 64 of 32 KiB. */
#define WG_PAGES_IN (SZ_2M / WG_PAGE_BYTES)

struct wg_pages {
	/* Where softirqs can be preempted by others (PREEMPT_RT); nothing elsewhere. */
	local_lock_t lock;
	struct page *out[WG_PAGES_OUT];
	struct page *in[WG_PAGES_IN];
	unsigned int next_out;
	unsigned int next_in;
	/* What is left of the page before next_in, counted from its start. */
	unsigned int left;
};

static DEFINE_PER_CPU(struct wg_pages, wg_pages) = {
	.lock = INIT_LOCAL_LOCK(lock),
};

/* Its address is in the private word of each page that a slot has a reference to. */
static const char wg_page_slot;

static void wg_page_mark(struct page *page, bool in_slot)
{
	WRITE_ONCE(page->private, in_slot ? (unsigned long)&wg_page_slot : 0);
}

/* Gives back the reference of a slot. */
static void wg_page_drop(struct page *page)
{
	/* Seen by whoever sees the reference gone: giving it back is ordered. */
	wg_page_mark(page, false);
	put_page(page);
}

bool wg_page_is_sole(struct page *page)
{
	struct page *head = compound_head(page);
	const int refs = page_ref_count(head);

	/* In this order, as the slot's mark goes before its reference. */
	smp_rmb();
	return refs == 1 + (READ_ONCE(head->private) == (unsigned long)&wg_page_slot);
}

/* The page of a slot, not in use by anybody else; the slot keeps its reference. */
static struct page *wg_page_of(struct page **slot)
{
	struct page *page = *slot;

	if (likely(page && page_ref_count(page) == 1)) {
		/* Its last user is through with it. */
		smp_acquire__after_ctrl_dep();
		return page;
	}
	page = alloc_pages(GFP_ATOMIC | __GFP_COMP | __GFP_NOWARN | __GFP_NORETRY |
			   __GFP_NOMEMALLOC, WG_PAGE_ORDER);
	if (unlikely(!page))
		return NULL;
	if (*slot)
		wg_page_drop(*slot);
	wg_page_mark(page, true);
	*slot = page;
	return page;
}

struct page *wg_page_get(void)
{
	struct wg_pages *pages;
	struct page *page;

	local_lock_nested_bh(&wg_pages.lock);
	pages = this_cpu_ptr(&wg_pages);
	page = wg_page_of(&pages->out[pages->next_out]);
	pages->next_out = (pages->next_out + 1) % WG_PAGES_OUT;
	if (likely(page))
		get_page(page);
	local_unlock_nested_bh(&wg_pages.lock);
	return page;
}

void *wg_page_part(unsigned int size)
{
	struct wg_pages *pages;
	struct page *page;
	void *part = NULL;

	if (unlikely(size > WG_PAGE_BYTES))
		return NULL;
	local_lock_nested_bh(&wg_pages.lock);
	pages = this_cpu_ptr(&wg_pages);
	if (pages->left < size) {
		const unsigned int next = (pages->next_in + 1) % WG_PAGES_IN;

		if (unlikely(!wg_page_of(&pages->in[next])))
			goto out;
		pages->next_in = next;
		pages->left = WG_PAGE_BYTES;
	}
	page = pages->in[pages->next_in];
	pages->left -= size;
	get_page(page);
	part = (u8 *)page_address(page) + pages->left;
out:
	local_unlock_nested_bh(&wg_pages.lock);
	return part;
}

static void wg_pages_put(struct page **slots, unsigned int count)
{
	while (count--) {
		if (slots[count])
			wg_page_drop(slots[count]);
		slots[count] = NULL;
	}
}

void wg_pages_free(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct wg_pages *pages = per_cpu_ptr(&wg_pages, cpu);

		wg_pages_put(pages->out, WG_PAGES_OUT);
		wg_pages_put(pages->in, WG_PAGES_IN);
		pages->left = 0;
	}
}
