/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ChaCha20-Poly1305 (RFC 8439) without additional data, for the data
 * path: the same results as lib/crypto's chacha20poly1305 functions with fewer
 * calls into the cipher.
 */
#ifndef WG_AEAD_H
#define WG_AEAD_H

#include <linux/types.h>

/* Bytes of the authentication tag, and of the key block ahead of a text. */
#define WG_AEAD_TAG 16
#define WG_AEAD_BLOCK 64
/* Bytes behind a text with which its tag is computed in one piece: padding, lengths. */
#define WG_AEAD_BEHIND 32

/*
 * Encrypts len bytes at text and writes the tag behind them. The WG_AEAD_BLOCK
 * bytes ahead of text are overwritten with zeroes; of the room bytes behind it
 * (at least WG_AEAD_TAG) the first WG_AEAD_BEHIND may be. More room than that is
 * faster.
 */
void wg_aead_seal(u8 *text, u32 len, u32 room, u64 nonce, const u8 *key);

/*
 * Checks the tag behind len bytes at text; only if it is right decrypts them to
 * plain, which is text itself or does not overlap it.
 */
bool wg_aead_open(u8 *plain, const u8 *text, u32 len, u64 nonce, const u8 *key);

/*
 * The same with one call into the cipher, where the WG_AEAD_BLOCK bytes ahead of
 * both plain and text may be overwritten. Writes to plain in any case. The room
 * bytes behind text, the tag among them, are as before afterwards; nobody may
 * look at them meanwhile. WG_AEAD_BEHIND of them or more is faster.
 */
bool wg_aead_open_folded(u8 *plain, u8 *text, u32 len, u32 room, u64 nonce, const u8 *key);

/*
 * Decrypts the first len bytes of a text, at most WG_AEAD_BLOCK. Nobody knows yet
 * whether they are authentic: they may serve to guess, and for nothing else.
 */
void wg_aead_peek(u8 *plain, const u8 *text, u32 len, u64 nonce, const u8 *key);

#endif
