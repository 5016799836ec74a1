/* SPDX-License-Identifier: GPL-2.0 */
/* What the parts of wg_aead_test share. */
#ifndef WG_AEAD_TEST_H
#define WG_AEAD_TEST_H

#include <linux/printk.h>
#include <linux/types.h>

#include "aead.h"

/* The longest text that is tested. */
#define LONGEST 66000
/* Room ahead of and behind a text, with a pattern that shows what was written. */
#define AROUND 256
#define PATTERN 0xc5
/* Of longer texts each takes one of the ways through the code, in turn. */
#define ALL_WAYS 4096

#define KEY_LEN 32

/* Says once what went wrong where; gives false. */
#define wrong(len, what) ({						\
	pr_err("wg_aead_test: %u bytes: %s\n", (u32)(len), what);	\
	false;								\
})

/* One text, and its ciphertext and tag by lib/crypto. */
struct sample {
	const u8 *plain;
	u8 *cipher;
	u32 len;
	u64 nonce;
	u8 key[KEY_LEN];
};

/* Makes the sample of len bytes in buffers of LONGEST and a tag. */
void make_sample(struct sample *sample, u32 len);

/* Tests of one length; buffer has 2 * (LONGEST + 2 * AROUND) bytes. */
bool test_seal(const struct sample *sample, u8 *buffer);
bool test_open(const struct sample *sample, u8 *buffer);
bool test_forged(const struct sample *sample, u8 *buffer);
bool test_train(const struct sample *sample, u8 *buffer);

/* The same on packets. */
bool test_packet_seal(const struct sample *sample, u8 *buffer);
bool test_packet_open(const struct sample *sample, u8 *buffer);
bool test_packet_train(const struct sample *sample, u8 *buffer);
void end_packets(void);

#endif
