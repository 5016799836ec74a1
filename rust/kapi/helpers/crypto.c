// SPDX-License-Identifier: GPL-2.0
/* The inline parts of lib/crypto for wg_kapi. */
#include <crypto/utils.h>
#include <linux/siphash.h>
#include <linux/string.h>
#include <linux/unaligned.h>

#include "wg_crypto.h"

void wg_blake2s_init(struct blake2s_ctx *ctx, size_t out_len, const u8 *key, size_t key_len)
{
	if (key_len)
		blake2s_init_key(ctx, out_len, key, key_len);
	else
		blake2s_init(ctx, out_len);
}

u64 wg_siphash(const u8 key[16], const void *data, size_t len)
{
	siphash_key_t k = {
		.key = { get_unaligned_le64(key), get_unaligned_le64(key + 8) },
	};
	u64 hash = siphash(data, len, &k);

	memzero_explicit(&k, sizeof(k));
	return hash;
}

bool wg_memneq(const void *a, const void *b, size_t len)
{
	return crypto_memneq(a, b, len);
}

void wg_memzero(void *data, size_t len)
{
	memzero_explicit(data, len);
}
