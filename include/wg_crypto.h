/* SPDX-License-Identifier: GPL-2.0 */
/* C side of wg_kapi: the inline parts of lib/crypto. */
#ifndef WG_CRYPTO_H
#define WG_CRYPTO_H

#include <crypto/blake2s.h>
#include <crypto/chacha20poly1305.h>
#include <crypto/curve25519.h>
#include <linux/types.h>

void wg_blake2s_init(struct blake2s_ctx *ctx, size_t out_len, const u8 *key, size_t key_len);
u64 wg_siphash(const u8 key[16], const void *data, size_t len);
bool wg_memneq(const void *a, const void *b, size_t len);
void wg_memzero(void *data, size_t len);

#endif
