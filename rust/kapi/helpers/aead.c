// SPDX-License-Identifier: GPL-2.0
/* ChaCha20-Poly1305 for the data path. */
#include <crypto/chacha.h>
#include <crypto/poly1305.h>
#include <crypto/utils.h>
#include <linux/string.h>
#include <linux/unaligned.h>

#include "aead.h"

#define WG_CHACHA_ROUNDS 20

/* The 96-bit nonce is 32 zero bits and the counter of the message. */
static void wg_chacha_start(struct chacha_state *chacha, u64 nonce, const u8 *key)
{
	u32 words[CHACHA_KEY_WORDS];
	u8 iv[CHACHA_IV_SIZE] = {};
	int i;

	for (i = 0; i < CHACHA_KEY_WORDS; i++)
		words[i] = get_unaligned_le32(key + 4 * i);
	put_unaligned_le64(nonce, iv + 8);
	chacha_init(chacha, words, iv);
	memzero_explicit(words, sizeof(words));
}

/* The tag of a ciphertext: it, zeroes up to a block, and the two lengths. */
static void wg_poly_tag(const u8 *block, const u8 *text, u32 len, u8 *tag)
{
	struct poly1305_desc_ctx poly;
	u8 tail[2 * POLY1305_BLOCK_SIZE] = {};
	const u32 fill = -len % POLY1305_BLOCK_SIZE;

	poly1305_init(&poly, block);
	poly1305_update(&poly, text, len);
	/* Zeroes and lengths in one go: length of the additional data first, 0. */
	put_unaligned_le64(len, tail + fill + 8);
	poly1305_update(&poly, tail, fill + POLY1305_BLOCK_SIZE);
	poly1305_final(&poly, tag);
	memzero_explicit(&poly, sizeof(poly));
}

/* The same where the 16 bytes behind the text may be overwritten. */
static void wg_poly_tag_over(const u8 *block, u8 *text, u32 len, u8 *tag)
{
	struct poly1305_desc_ctx poly;

	if (len % POLY1305_BLOCK_SIZE) {
		wg_poly_tag(block, text, len, tag);
		return;
	}
	/* All of it in one piece, which the vector code likes better. */
	put_unaligned_le64(0, text + len);
	put_unaligned_le64(len, text + len + 8);
	poly1305_init(&poly, block);
	poly1305_update(&poly, text, len + POLY1305_BLOCK_SIZE);
	poly1305_final(&poly, tag);
	memzero_explicit(&poly, sizeof(poly));
}

/*
 * The key of the tag is the first block of the key stream, the text begins with
 * the second. Zeroes ahead of the text give both in one call.
 */
void wg_aead_seal(u8 *text, u32 len, u64 nonce, const u8 *key)
{
	u8 *block = text - WG_AEAD_BLOCK;
	struct chacha_state chacha;

	wg_chacha_start(&chacha, nonce, key);
	memset(block, 0, WG_AEAD_BLOCK);
	chacha_crypt(&chacha, block, block, WG_AEAD_BLOCK + len, WG_CHACHA_ROUNDS);
	wg_poly_tag_over(block, text, len, text + len);
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
	struct chacha_state chacha;
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

bool wg_aead_open_folded(u8 *plain, u8 *text, u32 len, u64 nonce, const u8 *key)
{
	u8 *block = plain - WG_AEAD_BLOCK;
	u8 tag[WG_AEAD_TAG], received[WG_AEAD_TAG];
	struct chacha_state chacha;
	bool authentic;

	wg_chacha_start(&chacha, nonce, key);
	memset(text - WG_AEAD_BLOCK, 0, WG_AEAD_BLOCK);
	chacha_crypt(&chacha, block, text - WG_AEAD_BLOCK, WG_AEAD_BLOCK + len, WG_CHACHA_ROUNDS);
	memcpy(received, text + len, sizeof(received));
	wg_poly_tag_over(block, text, len, tag);
	authentic = !crypto_memneq(tag, received, sizeof(tag));
	/* What somebody made us decrypt is not for anybody. */
	if (unlikely(!authentic))
		memzero_explicit(plain, len);
	memzero_explicit(block, WG_AEAD_BLOCK);
	memzero_explicit(tag, sizeof(tag));
	chacha_zeroize_state(&chacha);
	return authentic;
}
