// SPDX-License-Identifier: GPL-2.0
/* Texts in memory: every function of aead.h, in place and not, aligned and not. */
#include <linux/minmax.h>
#include <linux/string.h>

#include "aead_test.h"

/* Whether a text of this length goes way number i of so many. */
static bool goes(u32 len, u32 i, u32 ways)
{
	return len <= ALL_WAYS || len % ways == i;
}

/*
 * Puts len bytes of ciphertext, tag or text into a buffer with a pattern around the
 * place of a whole sample; returns where.
 */
static u8 *place(const struct sample *sample, u8 *buffer, const u8 *text, u32 len, u32 shift)
{
	u8 *at = buffer + AROUND / 2 + shift;

	memset(buffer, PATTERN, sample->len + 2 * AROUND);
	if (len)
		memcpy(at, text, len);
	return at;
}

/* Whether nothing ahead of from - ahead and behind to + behind was written to. */
static bool untouched(const u8 *from, u32 ahead, const u8 *to, u32 behind)
{
	/* Near the text is where somebody would write. */
	return !memchr_inv(from - ahead - 32, PATTERN, 32) &&
	       !memchr_inv(to + behind, PATTERN, 64);
}

/* Every length is at another place in its cache line. */
static u32 shift_of(const struct sample *sample)
{
	return sample->len * 7 % 64;
}

bool test_seal(const struct sample *sample, u8 *buffer)
{
	static const u32 rooms[] = { WG_AEAD_TAG, WG_AEAD_BEHIND, WG_AEAD_BEHIND + 9 };
	const u32 len = sample->len;
	u8 *text;
	int i;

	for (i = 0; i < ARRAY_SIZE(rooms); i++) {
		if (!goes(len, i, ARRAY_SIZE(rooms)))
			continue;
		text = place(sample, buffer, sample->plain, len, shift_of(sample) + i);
		wg_aead_seal(text, len, rooms[i], sample->nonce, sample->key);
		if (memcmp(text, sample->cipher, len + WG_AEAD_TAG))
			return wrong(len, "sealed to something else");
		if (!untouched(text, WG_AEAD_BLOCK, text + len,
			       min_t(u32, rooms[i], WG_AEAD_BEHIND)))
			return wrong(len, "seal wrote beyond its room");
		if (memchr_inv(text - WG_AEAD_BLOCK, 0, WG_AEAD_BLOCK))
			return wrong(len, "seal left its key block");
	}
	return true;
}

static bool open_folded(const struct sample *sample, u8 *buffer, u32 room)
{
	const u32 len = sample->len;
	u8 *text = place(sample, buffer, sample->cipher, len + WG_AEAD_TAG, shift_of(sample));
	u8 *other = buffer + LONGEST + 2 * AROUND;
	u8 *plain = place(sample, other, NULL, 0, shift_of(sample) * 3 % 64);

	if (!wg_aead_open_folded(plain, text, len, room, sample->nonce, sample->key))
		return wrong(len, "a right tag was refused (folded)");
	if (memcmp(plain, sample->plain, len))
		return wrong(len, "opened to something else (folded)");
	if (!untouched(plain, WG_AEAD_BLOCK, plain + len, 0) ||
	    !untouched(text, WG_AEAD_BLOCK, text + len + WG_AEAD_TAG, 0))
		return wrong(len, "open wrote beyond its room (folded)");
	if (memchr_inv(plain - WG_AEAD_BLOCK, 0, WG_AEAD_BLOCK))
		return wrong(len, "open left its key block (folded)");
	if (memcmp(text + len, sample->cipher + len, WG_AEAD_TAG))
		return wrong(len, "the tag was not put back (folded)");
	return true;
}

static bool open_elsewhere(const struct sample *sample, u8 *buffer)
{
	const u32 len = sample->len;
	u8 *text = place(sample, buffer, sample->cipher, len + WG_AEAD_TAG, shift_of(sample));
	u8 *plain = place(sample, buffer + LONGEST + 2 * AROUND, NULL, 0,
			  shift_of(sample) * 5 % 64);

	if (!wg_aead_open(plain, text, len, sample->nonce, sample->key))
		return wrong(len, "a right tag was refused");
	if (memcmp(plain, sample->plain, len) ||
	    memcmp(text, sample->cipher, len + WG_AEAD_TAG))
		return wrong(len, "opened to something else");
	if (!untouched(plain, 0, plain + len, 0))
		return wrong(len, "open wrote beyond the text");
	return true;
}

static bool open_in_place(const struct sample *sample, u8 *buffer)
{
	const u32 len = sample->len;
	u8 *text = place(sample, buffer, sample->cipher, len + WG_AEAD_TAG, shift_of(sample));

	if (!wg_aead_open(text, text, len, sample->nonce, sample->key))
		return wrong(len, "a right tag was refused (in place)");
	if (memcmp(text, sample->plain, len) ||
	    memcmp(text + len, sample->cipher + len, WG_AEAD_TAG))
		return wrong(len, "opened to something else (in place)");
	if (!untouched(text, 0, text + len + WG_AEAD_TAG, 0))
		return wrong(len, "open wrote beyond the text (in place)");
	return true;
}

bool test_open(const struct sample *sample, u8 *buffer)
{
	const u32 len = sample->len;

	return (!goes(len, 0, 5) || open_elsewhere(sample, buffer)) &&
	       (!goes(len, 1, 5) || open_in_place(sample, buffer)) &&
	       (!goes(len, 2, 5) || open_folded(sample, buffer, WG_AEAD_TAG)) &&
	       (!goes(len, 3, 5) || open_folded(sample, buffer, WG_AEAD_BEHIND)) &&
	       (!goes(len, 4, 5) || open_folded(sample, buffer, WG_AEAD_BEHIND + 31));
}

/* A bit of text or tag is turned: nothing is opened, nothing is left to be read. */
static bool refused(const struct sample *sample, u8 *buffer, u32 at, u8 bit)
{
	const u32 len = sample->len;
	u8 *text = place(sample, buffer, sample->cipher, len + WG_AEAD_TAG, shift_of(sample));
	u8 *plain = place(sample, buffer + LONGEST + 2 * AROUND, NULL, 0, shift_of(sample));

	text[at] ^= bit;
	if (wg_aead_open(plain, text, len, sample->nonce, sample->key))
		return wrong(len, "a wrong tag was taken");
	if (memchr_inv(plain, PATTERN, len))
		return wrong(len, "open wrote in spite of a wrong tag");
	if (wg_aead_open(text, text, len, sample->nonce, sample->key))
		return wrong(len, "a wrong tag was taken (in place)");
	text[at] ^= bit;
	if (memcmp(text, sample->cipher, len + WG_AEAD_TAG))
		return wrong(len, "open wrote in spite of a wrong tag (in place)");
	text[at] ^= bit;
	if (wg_aead_open_folded(plain, text, len, WG_AEAD_BEHIND, sample->nonce, sample->key))
		return wrong(len, "a wrong tag was taken (folded)");
	if (memchr_inv(plain, 0, len))
		return wrong(len, "a forged text can be read (folded)");
	return true;
}

bool test_forged(const struct sample *sample, u8 *buffer)
{
	const u32 len = sample->len;
	const u8 bit = 1 << len % 8;

	/* Each place of the tag has its turn, and the text somewhere. */
	return (!goes(len, 0, 3) || refused(sample, buffer, len + len / 3 % WG_AEAD_TAG, bit)) &&
	       (!len || !goes(len, 1, 3) || refused(sample, buffer, len - 1, bit)) &&
	       (!len || !goes(len, 2, 3) || refused(sample, buffer, len * 5 / 7, bit));
}

/*
 * Three messages one behind the other, as they lie in a received train. Opened one after
 * the other: what is ahead of the second and third was a message before.
 */
bool test_train(const struct sample *sample, u8 *buffer)
{
	const u32 len = sample->len, header = 16, message = header + len + WG_AEAD_TAG;
	u8 *train = buffer + AROUND / 2 + shift_of(sample);
	u8 *plain = buffer + LONGEST + 3 * AROUND;
	int i;

	if (3 * message > LONGEST)
		return wrong(len, "too long for three of them");
	memset(buffer, PATTERN, 3 * message + 2 * AROUND);
	for (i = 0; i < 3; i++) {
		memset(train + i * message, 0x40 + i, header);
		memcpy(train + i * message + header, sample->cipher, len + WG_AEAD_TAG);
	}
	for (i = 0; i < 3; i++) {
		u8 *text = train + i * message + header;
		const u32 room = (2 - i) * message + WG_AEAD_TAG;
		bool opened;

		memset(plain - AROUND / 2, PATTERN, len + AROUND);
		if (text - train >= WG_AEAD_BLOCK)
			opened = wg_aead_open_folded(plain, text, len, room, sample->nonce,
						     sample->key);
		else
			opened = wg_aead_open(plain, text, len, sample->nonce, sample->key);
		if (!opened)
			return wrong(len, "a message of a train was refused");
		if (memcmp(plain, sample->plain, len))
			return wrong(len, "a message of a train opened to something else");
		/* What comes next must be as it was. */
		if (i < 2 && (memchr_inv(train + (i + 1) * message, 0x41 + i, header) ||
			      memcmp(text + message, sample->cipher, len + WG_AEAD_TAG)))
			return wrong(len, "the next message of a train was damaged");
	}
	return true;
}
