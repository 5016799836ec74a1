// SPDX-License-Identifier: GPL-2.0

//! Numbers of the protocol. "WP" is the WireGuard whitepaper; the rest are limits that existing
//! implementations agree on.

use core::time::Duration;

/// Noise protocol name; its hash is the first chaining key (WP 5.4).
pub const CONSTRUCTION: &[u8] = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
/// Prologue of the handshake (WP 5.4, "identifier").
pub const IDENTIFIER: &[u8] = b"WireGuard v1 zx2c4 Jason@zx2c4.com";
/// Label of the key of `mac1` (WP 5.4.4).
pub const LABEL_MAC1: &[u8; 8] = b"mac1----";
/// Label of the key that encrypts cookies (WP 5.4.7).
pub const LABEL_COOKIE: &[u8; 8] = b"cookie--";

/// Bytes of an AEAD tag.
pub const TAG_LEN: usize = 16;
/// Bytes of a hash, of a key and of a curve point.
pub const KEY_LEN: usize = 32;
/// Bytes of `mac1`, `mac2` and of a cookie.
pub const MAC_LEN: usize = 16;
/// Bytes of the nonce of a cookie reply (XChaCha20).
pub const COOKIE_NONCE_LEN: usize = 24;
/// Plaintexts are padded to a multiple of this many bytes (WP 5.4.6).
pub const PADDING_MULTIPLE: usize = 16;

/// Messages sent with one key after which a new handshake is wanted (WP 6.1).
pub const REKEY_AFTER_MESSAGES: u64 = 1 << 60;
/// Counter from which on a key is unusable in both directions: 2^64 - 1 minus the replay window
/// and one (WP 6.1 has a slightly smaller round number; nobody gets here).
pub const REJECT_AFTER_MESSAGES: u64 = u64::MAX - REPLAY_WINDOW - 1;
/// Bits of the replay bitmap (RFC 6479).
pub const REPLAY_BITS: u64 = 8192;
/// How far behind the highest counter a message may be: the bitmap less one word.
pub const REPLAY_WINDOW: u64 = REPLAY_BITS - 64;

/// Age at which the initiator of a session wants a new one when it sends (WP 6.1).
pub const REKEY_AFTER_TIME: Duration = Duration::from_secs(120);
/// Age at which a session is unusable (WP 6.1).
pub const REJECT_AFTER_TIME: Duration = Duration::from_secs(180);
/// Least time between two initiations, and time until an unanswered one is repeated (WP 6.4).
pub const REKEY_TIMEOUT: Duration = Duration::from_secs(5);
/// Time without sending after which received data is acknowledged by a keepalive (WP 6.5).
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Age from which the initiator wants a new session when it receives (WP 6.2):
/// `REJECT_AFTER_TIME - KEEPALIVE_TIMEOUT - REKEY_TIMEOUT`.
pub const REKEY_ON_RECEIVE_AFTER_TIME: Duration = Duration::from_secs(180 - 10 - 5);
/// Time without an answer to data after which a handshake is tried (WP 6.5):
/// `KEEPALIVE_TIMEOUT + REKEY_TIMEOUT`.
pub const NEW_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10 + 5);
/// Time after the last session was made until all key material is erased (WP 6.3).
pub const ZERO_KEYS_AFTER_TIME: Duration = Duration::from_secs(3 * 180);
/// Jitter of the handshake timers is uniform in `0..REKEY_JITTER` (WP 6.1).
pub const REKEY_JITTER: Duration = Duration::from_millis(333);
/// Repetitions after which a handshake is given up: the timer that finds more attempts than this
/// stops, so 20 initiations leave in total (`REKEY_ATTEMPT_TIME` of 90 s, WP 6.4).
pub const MAX_HANDSHAKE_ATTEMPTS: u32 = 90 / 5;

/// Least time between two initiations accepted from one peer: 50 per second.
pub const INITIATION_SPACING: Duration = Duration::from_millis(1000 / 50);
/// Age at which the secret behind the cookies is replaced (WP 5.4.7).
pub const COOKIE_SECRET_MAX_AGE: Duration = Duration::from_secs(120);
/// Age at which a received cookie is no longer used: `COOKIE_SECRET_MAX_AGE` less 5 s of latency.
pub const COOKIE_MAX_AGE: Duration = Duration::from_secs(120 - 5);

/// Handshake messages that may wait for processing, per device.
pub const MAX_QUEUED_HANDSHAKES: usize = 4096;
/// Waiting handshake messages at which a device is under load (WP 5.3).
pub const UNDER_LOAD_THRESHOLD: usize = MAX_QUEUED_HANDSHAKES / 8;
/// Time for which a device stays under load after its queue was last that long.
pub const UNDER_LOAD_HYSTERESIS: Duration = Duration::from_secs(1);
/// Packets that may wait for a session, per peer.
pub const MAX_STAGED_PACKETS: usize = 128;
/// Peers of one device.
pub const MAX_PEERS_PER_DEVICE: usize = 1 << 20;

/// Handshake messages per second that one source may send while the device is under load (WP 5.3).
pub const HANDSHAKES_PER_SECOND: u64 = 20;
/// Handshake messages that one source may send at once.
pub const HANDSHAKE_BURST: u64 = 5;

/// TOS byte of initiations and responses: DSCP AF41, ECN 0.
pub const HANDSHAKE_TOS: u8 = 0x88;
/// Bytes that a data message and its UDP and IPv6 headers add to a packet.
pub const OVERHEAD: usize = 16 + TAG_LEN + 8 + 40;
/// MTU of a new device: Ethernet's 1500 less [`OVERHEAD`].
pub const DEFAULT_MTU: usize = 1500 - OVERHEAD;
