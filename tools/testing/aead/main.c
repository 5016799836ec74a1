// SPDX-License-Identifier: GPL-2.0
/*
 * wg_aead_test: compares the AEAD of the data path with lib/crypto's.
 *
 * insmod wg_aead_test.ko what=NAME first=N last=N step=N tests these lengths; it fails with EINVAL
 * and a line in the kernel log if a result differs. Nothing stays loaded that does anything.
 */
#include <crypto/chacha20poly1305.h>
#include <linux/hash.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "aead_test.h"

static char *what = "seal";
module_param(what, charp, 0444);
MODULE_PARM_DESC(what, "seal, open, forged, train, packet_seal, packet_open or packet_train");
static uint first, last = 256, step = 1;
module_param(first, uint, 0444);
MODULE_PARM_DESC(first, "shortest text");
module_param(last, uint, 0444);
MODULE_PARM_DESC(last, "longest text, at most 66000");
module_param(step, uint, 0444);
MODULE_PARM_DESC(step, "distance of lengths");

static const struct {
	const char *name;
	bool (*test)(const struct sample *sample, u8 *buffer);
} tests[] = {
	{ "seal", test_seal },
	{ "open", test_open },
	{ "forged", test_forged },
	{ "train", test_train },
	{ "packet_seal", test_packet_seal },
	{ "packet_open", test_packet_open },
	{ "packet_train", test_packet_train },
};

static u8 *plain, *cipher, *buffer;

void make_sample(struct sample *sample, u32 len)
{
	u32 i;

	sample->plain = plain;
	sample->cipher = cipher;
	sample->len = len;
	/* All the words of key and nonce are different for each length. */
	sample->nonce = 0x0123456789abcdefULL * (len + 1);
	for (i = 0; i < KEY_LEN; i++)
		sample->key[i] = hash_32(len * KEY_LEN + i, 8);
	chacha20poly1305_encrypt(cipher, plain, len, NULL, 0, sample->nonce, sample->key);
}

static int run(void)
{
	struct sample sample;
	u32 len, count = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(tests); i++) {
		if (!strcmp(tests[i].name, what))
			break;
	}
	if (i == ARRAY_SIZE(tests) || last > LONGEST || first > last || !step)
		return -ERANGE;
	for (len = first; len <= last; len += step, count++) {
		make_sample(&sample, len);
		if (!tests[i].test(&sample, buffer))
			return -EINVAL;
		cond_resched();
		if (fatal_signal_pending(current))
			return -EINTR;
	}
	pr_info("wg_aead_test: %s: %u lengths from %u to %u\n", what, count, first, last);
	return 0;
}

static int __init wg_aead_test_init(void)
{
	struct rnd_state random;
	int ret = -ENOMEM;

	plain = kvmalloc(LONGEST, GFP_KERNEL);
	cipher = kvmalloc(LONGEST + WG_AEAD_TAG, GFP_KERNEL);
	buffer = kvmalloc(2 * (LONGEST + 2 * AROUND), GFP_KERNEL);
	if (plain && cipher && buffer) {
		prandom_seed_state(&random, 1);
		prandom_bytes_state(&random, plain, LONGEST);
		ret = run();
	}
	kvfree(plain);
	kvfree(cipher);
	kvfree(buffer);
	end_packets();
	return ret;
}

static void __exit wg_aead_test_exit(void)
{
}

module_init(wg_aead_test_init);
module_exit(wg_aead_test_exit);
MODULE_DESCRIPTION("Tests of the AEAD of WireGuard's data path");
MODULE_LICENSE("GPL");
