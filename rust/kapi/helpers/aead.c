// SPDX-License-Identifier: GPL-2.0
/* ChaCha20-Poly1305 for the data path. */
#include <crypto/chacha.h>
#include <crypto/poly1305.h>
#include <crypto/utils.h>
#include <linux/align.h>
#include <linux/build_bug.h>
#include <linux/minmax.h>
#include <linux/string.h>
#include <linux/wordpart.h>
#include <linux/unaligned.h>

#include "aead.h"

#define WG_CHACHA_ROUNDS 20

/*
 * For what is written before it is read: kernels that clear all of the stack would
 * spend a hundred instructions a message on these.
 */
#define WG_UNINITIALIZED __attribute__((uninitialized))

/* Block counter 0; the 96-bit nonce is 32 zero bits and the counter of the message. */
static void wg_chacha_start(struct chacha_state *chacha, u64 nonce, const u8 *key)
{
	chacha_init_consts(chacha);
	BUILD_BUG_ON(sizeof(chacha->x) != 16 * sizeof(u32));
	memcpy(&chacha->x[4], key, CHACHA_KEY_SIZE);
	le32_to_cpu_array(&chacha->x[4], CHACHA_KEY_WORDS);
	chacha->x[12] = 0;
	chacha->x[13] = 0;
	chacha->x[14] = lower_32_bits(nonce);
	chacha->x[15] = upper_32_bits(nonce);
}

/* The tag of a ciphertext: it, zeroes up to a block, and the two lengths. */
static void wg_poly_tag(const u8 *block, const u8 *text, u32 len, u8 *tag)
{
	struct poly1305_desc_ctx poly WG_UNINITIALIZED;
	u8 tail[2 * POLY1305_BLOCK_SIZE] = {};
	const u32 fill = -len % POLY1305_BLOCK_SIZE;

	poly1305_init(&poly, block);
	poly1305_update(&poly, text, len);
	/* Zeroes and lengths in one go: length of the additional data first, 0. */
	put_unaligned_le64(len, tail + fill + 8);
	poly1305_update(&poly, tail, fill + POLY1305_BLOCK_SIZE);
	/* This wipes the state. */
	poly1305_final(&poly, tag);
}

/* The same where WG_AEAD_BEHIND bytes behind the text may be overwritten. */
static void wg_poly_tag_over(const u8 *block, u8 *text, u32 len, u8 *tag)
{
	const u32 padded = ALIGN(len, POLY1305_BLOCK_SIZE);
	struct poly1305_desc_ctx poly WG_UNINITIALIZED;

	/* All of it in one piece, which the vector code likes better. */
	put_unaligned_le64(0, text + len);
	put_unaligned_le64(0, text + len + 8);
	put_unaligned_le64(0, text + padded);
	put_unaligned_le64(len, text + padded + 8);
	poly1305_init(&poly, block);
	poly1305_update(&poly, text, padded + POLY1305_BLOCK_SIZE);
	poly1305_final(&poly, tag);
}

/*
 * The key of the tag is the first block of the key stream, the text begins with
 * the second. Zeroes ahead of the text give both in one call.
 */
void wg_aead_seal(u8 *text, u32 len, u32 room, u64 nonce, const u8 *key)
{
	u8 *block = text - WG_AEAD_BLOCK, tag[WG_AEAD_TAG];
	struct chacha_state chacha WG_UNINITIALIZED;

	wg_chacha_start(&chacha, nonce, key);
	memset(block, 0, WG_AEAD_BLOCK);
	chacha_crypt(&chacha, block, block, WG_AEAD_BLOCK + len, WG_CHACHA_ROUNDS);
	if (likely(room >= WG_AEAD_BEHIND))
		wg_poly_tag_over(block, text, len, tag);
	else
		wg_poly_tag(block, text, len, tag);
	memcpy(text + len, tag, sizeof(tag));
	memzero_explicit(block, WG_AEAD_BLOCK);
	chacha_zeroize_state(&chacha);
}

/*
 * A single block would be computed by the generic code: asking for two gets the
 * vector code, which is faster even so.
 */
bool wg_aead_open(u8 *plain, const u8 *text, u32 len, u64 nonce, const u8 *key)
{
	u8 block[2 * WG_AEAD_BLOCK] = {};
	u8 tag[WG_AEAD_TAG];
	struct chacha_state chacha WG_UNINITIALIZED;
	bool authentic;

	wg_chacha_start(&chacha, nonce, key);
	chacha_crypt(&chacha, block, block, sizeof(block), WG_CHACHA_ROUNDS);
	wg_poly_tag(block, text, len, tag);
	authentic = !crypto_memneq(tag, text + len, sizeof(tag));
	if (likely(authentic)) {
		/* Word 12 counts the blocks. */
		chacha.x[12] = 1;
		chacha_crypt(&chacha, plain, text, len, WG_CHACHA_ROUNDS);
	}
	memzero_explicit(block, sizeof(block));
	memzero_explicit(tag, sizeof(tag));
	chacha_zeroize_state(&chacha);
	return authentic;
}

bool wg_aead_open_folded(u8 *plain, u8 *text, u32 len, u32 room, u64 nonce, const u8 *key)
{
	u8 *block = plain - WG_AEAD_BLOCK;
	u8 tag[WG_AEAD_TAG] WG_UNINITIALIZED, behind[WG_AEAD_BEHIND] WG_UNINITIALIZED;
	struct chacha_state chacha WG_UNINITIALIZED;
	bool authentic;

	wg_chacha_start(&chacha, nonce, key);
	memset(text - WG_AEAD_BLOCK, 0, WG_AEAD_BLOCK);
	chacha_crypt(&chacha, block, text - WG_AEAD_BLOCK, WG_AEAD_BLOCK + len, WG_CHACHA_ROUNDS);
	if (likely(room >= WG_AEAD_BEHIND)) {
		/* The tag that came, and the beginning of the next message. */
		memcpy(behind, text + len, sizeof(behind));
		wg_poly_tag_over(block, text, len, tag);
		memcpy(text + len, behind, sizeof(behind));
	} else {
		wg_poly_tag(block, text, len, tag);
	}
	authentic = !crypto_memneq(tag, text + len, sizeof(tag));
	/* What somebody made us decrypt is not for anybody. */
	if (unlikely(!authentic))
		memzero_explicit(plain, len);
	memzero_explicit(block, WG_AEAD_BLOCK);
	memzero_explicit(tag, sizeof(tag));
	chacha_zeroize_state(&chacha);
	return authentic;
}

void wg_aead_peek(u8 *plain, const u8 *text, u32 len, u64 nonce, const u8 *key)
{
	/* Two, as above. */
	u8 block[2 * WG_AEAD_BLOCK] = {};
	struct chacha_state chacha WG_UNINITIALIZED;

	len = min_t(u32, len, WG_AEAD_BLOCK);
	memcpy(block, text, len);
	wg_chacha_start(&chacha, nonce, key);
	chacha.x[12] = 1;
	chacha_crypt(&chacha, block, block, sizeof(block), WG_CHACHA_ROUNDS);
	memcpy(plain, block, len);
	memzero_explicit(block, sizeof(block));
	chacha_zeroize_state(&chacha);
}
