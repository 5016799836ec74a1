/* SPDX-License-Identifier: GPL-2.0 */
/* See pages.c. */
#ifndef WG_PAGES_H
#define WG_PAGES_H

#include <linux/mm_types.h>
#include <asm/page.h>

/*
 * What a train of messages needs, whatever the machine calls a page: 32 KiB, or
 * one page where pages are larger.
 */
#define WG_PAGE_ORDER (PAGE_SHIFT < 15 ? 15 - PAGE_SHIFT : 0)
#define WG_PAGE_BYTES (PAGE_SIZE << WG_PAGE_ORDER)

/* A page of at least that size, all of it the caller's, with a reference; BH disabled. */
struct page *wg_page_get(unsigned int size);
/*
 * Whether the packet that holds a reference to the page is the only one, and but
 * for us nobody has another. Any context.
 */
bool wg_page_is_sole(struct page *page);
/* Part of a page, with a reference to it; a multiple of 64 bytes; BH disabled. */
void *wg_page_part(unsigned int size);
/* Gives all of them back; nobody calls the above any more. */
void wg_pages_free(void);

#endif
