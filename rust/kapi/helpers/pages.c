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
#define WG_PAGES_MOST 64
static_assert(WG_PAGES_OUT <= WG_PAGES_MOST && WG_PAGES_IN <= WG_PAGES_MOST);
/* Where memory is short, so many others are looked at. */
#define WG_PAGES_TRIES 8
/* Parts up to this size are of small pages, four of them or more. */
#define WG_PART_SMALL 1024

struct wg_ring {
	struct page *slot[WG_PAGES_MOST];
	/* The one in use. */
	unsigned int at;
	/* What is left of it, counted from its start. */
	unsigned int left;
};

/*
 * What little there is to keep goes to pages of their own: who keeps one small
 * packet, and has paid for that alone, keeps a small page from being used again.
 */
struct wg_pages {
	/* Where softirqs can be preempted by others (PREEMPT_RT); nothing elsewhere. */
	local_lock_t lock;
	struct wg_ring out;
	struct wg_ring out_small;
	struct wg_ring in;
	struct wg_ring in_small;
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

/* Whether nobody but its slot has a reference to the page any more. */
static bool wg_page_is_back(struct page *page)
{
	if (!page || page_ref_count(page) != 1)
		return false;
	/* Its last user is through with it. */
	smp_acquire__after_ctrl_dep();
	return true;
}

/* The page of a slot, not in use by anybody else; the slot keeps its reference. */
static struct page *wg_page_of(struct page **slot, unsigned int order)
{
	struct page *page;

	if (likely(wg_page_is_back(*slot)))
		return *slot;
	page = alloc_pages(GFP_ATOMIC | __GFP_COMP | __GFP_NOWARN | __GFP_NORETRY |
			   __GFP_NOMEMALLOC, order);
	if (unlikely(!page))
		return NULL;
	if (*slot)
		wg_page_drop(*slot);
	wg_page_mark(page, true);
	*slot = page;
	return page;
}

/* Turns to the next page of the ring. */
static struct page *wg_ring_turn(struct wg_ring *ring, unsigned int count, unsigned int order)
{
	unsigned int tries;
	struct page *page;

	ring->left = 0;
	ring->at = (ring->at + 1) % count;
	page = wg_page_of(&ring->slot[ring->at], order);
	for (tries = WG_PAGES_TRIES; unlikely(!page) && tries; tries--) {
		ring->at = (ring->at + 1) % count;
		if (wg_page_is_back(ring->slot[ring->at]))
			page = ring->slot[ring->at];
	}
	return page;
}

struct page *wg_page_get(unsigned int size)
{
	struct wg_pages *pages;
	struct page *page;

	local_lock_nested_bh(&wg_pages.lock);
	pages = this_cpu_ptr(&wg_pages);
	if (WG_PAGE_ORDER && size <= PAGE_SIZE)
		page = wg_ring_turn(&pages->out_small, WG_PAGES_OUT, 0);
	else
		page = wg_ring_turn(&pages->out, WG_PAGES_OUT, WG_PAGE_ORDER);
	if (likely(page))
		get_page(page);
	local_unlock_nested_bh(&wg_pages.lock);
	return page;
}

/* The next part of the page that the ring is at, or of another one. */
static void *wg_ring_part(struct wg_ring *ring, unsigned int count, unsigned int order,
			  unsigned int size)
{
	struct page *page = ring->slot[ring->at];

	if (ring->left < size) {
		page = wg_ring_turn(ring, count, order);
		if (unlikely(!page))
			return NULL;
		ring->left = PAGE_SIZE << order;
	}
	ring->left -= size;
	get_page(page);
	return (u8 *)page_address(page) + ring->left;
}

void *wg_page_part(unsigned int size)
{
	struct wg_pages *pages;
	void *part;

	if (unlikely(size > WG_PAGE_BYTES))
		return NULL;
	local_lock_nested_bh(&wg_pages.lock);
	pages = this_cpu_ptr(&wg_pages);
	if (WG_PAGE_ORDER && size <= WG_PART_SMALL)
		part = wg_ring_part(&pages->in_small, WG_PAGES_MOST, 0, size);
	else
		part = wg_ring_part(&pages->in, WG_PAGES_IN, WG_PAGE_ORDER, size);
	local_unlock_nested_bh(&wg_pages.lock);
	return part;
}

static void wg_ring_free(struct wg_ring *ring)
{
	unsigned int i;

	for (i = 0; i < WG_PAGES_MOST; i++)
		if (ring->slot[i])
			wg_page_drop(ring->slot[i]);
	*ring = (struct wg_ring){};
}

void wg_pages_free(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct wg_pages *pages = per_cpu_ptr(&wg_pages, cpu);

		wg_ring_free(&pages->out);
		wg_ring_free(&pages->out_small);
		wg_ring_free(&pages->in);
		wg_ring_free(&pages->in_small);
	}
}
