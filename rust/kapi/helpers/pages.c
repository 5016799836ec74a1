// SPDX-License-Identifier: GPL-2.0
/*
 * Memory for outgoing messages: some pages for each CPU, used in turn.
 *
 * A page that nobody else has a reference to any more is used again, which saves
 * allocating and clearing it: what was in it left the machine encrypted.
 */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/percpu.h>

#include "pages.h"

#define WG_PAGES 32

struct wg_pages {
	struct page *pages[WG_PAGES];
	unsigned int next;
};

static DEFINE_PER_CPU(struct wg_pages, wg_pages);

struct page *wg_page_get(void)
{
	struct wg_pages *ring = this_cpu_ptr(&wg_pages);
	struct page **slot = &ring->pages[ring->next];
	struct page *page = *slot;

	ring->next = (ring->next + 1) % WG_PAGES;
	if (!page || page_ref_count(page) != 1) {
		page = alloc_pages(GFP_ATOMIC | __GFP_COMP | __GFP_NOWARN | __GFP_NORETRY |
				   __GFP_NOMEMALLOC, WG_PAGE_ORDER);
		if (unlikely(!page))
			return NULL;
		if (*slot)
			put_page(*slot);
		*slot = page;
	}
	get_page(page);
	return page;
}

void wg_pages_free(void)
{
	int cpu, i;

	for_each_possible_cpu(cpu) {
		struct wg_pages *ring = per_cpu_ptr(&wg_pages, cpu);

		for (i = 0; i < WG_PAGES; i++) {
			if (ring->pages[i])
				put_page(ring->pages[i]);
			ring->pages[i] = NULL;
		}
	}
}
