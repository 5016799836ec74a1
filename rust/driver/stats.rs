// SPDX-License-Identifier: GPL-2.0

//! Counters of an interface: one for every reason to drop something, and some of what is done.
//!
//! This is the one table that ties a counter to the reason that the kernel's drop monitor is told:
//! [`Device::discard`] takes both from the same row. The kernel has no number left for reasons of
//! a module's own, so each cause has the closest of the kernel's; the exact one is in the counter
//! and in the trace point `wireguard:wg_drop`.

use wg_kapi::{
    chain::SkbChain,
    skb::{DropReason, SkBuff},
    trace, //
};

use crate::{
    device::Device,
    peer::Peer, //
};

macro_rules! stats {
    ($($(#[$doc:meta])* $variant:ident = $name:literal $(=> $reason:ident)?,)*) => {
        /// What is counted.
        #[derive(Clone, Copy, PartialEq, Eq)]
        #[repr(usize)]
        pub(crate) enum Stat {
            $($(#[$doc])* $variant,)*
        }

        impl Stat {
            /// All of them, in the order in which they are shown.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name that an operator sees.
            pub(crate) const fn name(self) -> &'static core::ffi::CStr {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Why a packet is dropped that is counted here; `None` if it is not dropped.
            #[inline]
            pub(crate) const fn reason(self) -> Option<DropReason> {
                match self {
                    $(Self::$variant => stats!(@reason $($reason)?),)*
                }
            }
        }
    };
    (@reason) => { None };
    (@reason $reason:ident) => { Some(DropReason::$reason) };
}

stats! {
    /// Inner packet that is not IP, or whose header is cut short.
    TxNotIp = c"tx_drop_not_ip" => UnhandledProtocol,
    /// No peer has the destination among its allowed IPs.
    TxNoPeer = c"tx_drop_no_peer" => NoTarget,
    /// The peer has no endpoint yet.
    TxNoEndpoint = c"tx_drop_no_endpoint" => NoTunnelInfo,
    /// A GSO packet could not be cut up.
    TxSegment = c"tx_drop_segmentation" => Segmentation,
    /// Oldest packets of a full queue.
    TxStaged = c"tx_drop_staged" => FullQueue,
    /// Packets that waited for a handshake that was given up.
    TxGivenUp = c"tx_drop_given_up" => QueuePurged,
    /// Packets that waited when their peer was removed or the interface went down.
    TxPurged = c"tx_drop_purged" => QueuePurged,
    /// Encryption failed for want of memory.
    TxSeal = c"tx_drop_encrypt" => NoMemory,
    /// No socket: the interface is down or its namespace gone, or there is none of this family.
    TxNoSocket = c"tx_drop_no_socket" => NoSocket,
    /// No route to the endpoint, or the network below refused.
    TxNoRoute = c"tx_drop_no_route" => NoRoute,
    /// A message that no datagram can hold.
    TxTooLong = c"tx_drop_too_long" => TooLong,
    /// Datagrams whose outer headers make no sense.
    RxOuterHeader = c"rx_drop_outer_header" => TruncatedHeader,
    /// Datagrams with a wrong UDP checksum.
    RxChecksum = c"rx_drop_checksum" => Checksum,
    /// Not a WireGuard message: size or type.
    RxMalformed = c"rx_drop_malformed" => UnhandledProtocol,
    /// Handshake messages before the random number generator was ready.
    RxNoRandomness = c"rx_drop_no_randomness" => DeviceNotReady,
    /// Handshake messages while there is no private key.
    RxNoIdentity = c"rx_drop_no_identity" => DeviceNotReady,
    /// Messages that waited when the interface went down.
    RxDown = c"rx_drop_down" => DeviceNotReady,
    /// Handshake messages in excess of the queue.
    RxHandshakeQueue = c"rx_drop_handshake_queue" => FullQueue,
    /// Handshake messages with a wrong mac1.
    RxMac1 = c"rx_drop_mac1" => OtherHost,
    /// Handshake messages of a source over its rate, under load.
    RxRateLimit = c"rx_drop_rate_limit" => Backlog,
    /// Initiations that do not decrypt.
    RxInitiation = c"rx_drop_initiation" => Integrity,
    /// Initiations of a peer that is not configured.
    RxUnknownPeer = c"rx_drop_unknown_peer" => NoSocket,
    /// Initiations whose time stamp is not greater than the last one.
    RxInitiationReplay = c"rx_drop_initiation_replay" => OldSequence,
    /// Initiations less than 20 ms after the last one.
    RxInitiationFlood = c"rx_drop_initiation_flood" => Backlog,
    /// Responses that do not decrypt.
    RxResponse = c"rx_drop_response" => Integrity,
    /// Responses that answer nothing.
    RxResponseUnexpected = c"rx_drop_response_unexpected" => NoSocket,
    /// Cookie replies that do not decrypt.
    RxCookie = c"rx_drop_cookie" => Integrity,
    /// Cookie replies that answer nothing.
    RxCookieUnexpected = c"rx_drop_cookie_unexpected" => NoSocket,
    /// Data for no keypair that we have.
    RxNoKeypair = c"rx_drop_no_keypair" => NoSocket,
    /// Data under a keypair that is too old or used up.
    RxExpired = c"rx_drop_expired" => SocketClosed,
    /// Data that does not authenticate.
    RxDecrypt = c"rx_drop_decrypt" => Integrity,
    /// Data seen before, or too old for the window to tell.
    RxReplay = c"rx_drop_replay" => OldSequence,
    /// Inner packet that is not IP.
    RxNotIp = c"rx_drop_not_ip" => InvalidHeader,
    /// Inner packet that is longer than its message, or too short for its header.
    RxLength = c"rx_drop_length" => TooSmall,
    /// Inner source that is not among the allowed IPs of the peer.
    RxSource = c"rx_drop_source" => SourceNotAllowed,
    /// Memory was short.
    NoMemory = c"drop_no_memory" => NoMemory,
    /// Initiations sent.
    TxInitiation = c"tx_initiation",
    /// Initiations asked for again as none came back: sent, unless `tx_initiation_held` counts it.
    TxInitiationRetry = c"tx_initiation_retry",
    /// Initiations that had to wait, as the last handshake message left less than 5 s ago.
    TxInitiationHeld = c"tx_initiation_held",
    /// Initiations that could not be made: no private key, or one of low order at the peer.
    TxInitiationRefused = c"tx_initiation_refused",
    /// Responses sent.
    TxResponse = c"tx_response",
    /// Cookie replies sent instead of an answer, under load.
    TxCookie = c"tx_cookie",
    /// Initiations accepted.
    RxGoodInitiation = c"rx_initiation",
    /// Responses accepted.
    RxGoodResponse = c"rx_response",
    /// Cookie replies accepted.
    RxGoodCookie = c"rx_cookie",
    /// Handshakes completed, in either role.
    HandshakeCompleted = c"handshake_completed",
    /// Handshakes given up after 20 initiations.
    HandshakeGivenUp = c"handshake_given_up",
    /// Handshakes asked for because nothing came back.
    HandshakeSilence = c"handshake_silence",
    /// Peers whose keys were wiped, as there was no new session for nine minutes.
    KeysWiped = c"keys_wiped",
    /// Keepalives sent.
    TxKeepalive = c"tx_keepalive",
    /// Keepalives received.
    RxKeepalive = c"rx_keepalive",
    /// Batches of two messages or more that were encrypted together, and the messages in them.
    TxBatches = c"tx_batches",
    /// See [`Self::TxBatches`].
    TxBatchMessages = c"tx_batch_messages",
    /// Times that transmission went on in the work queue, having used up its turn.
    TxQueued = c"tx_queued",
    /// Batches left to the work queue, as tunnels were nested deep where they came up.
    TxNested = c"tx_nested",
    /// Times that a small packet of a busy peer waited for more of them, to leave together, or for
    /// the CPU that sends to that peer at the moment.
    TxAwaited = c"tx_awaited",
    /// Batches that a helper encrypted, as the peer is busy.
    TxHelped = c"tx_helped",
    /// GSO packets encrypted in one pass.
    TxGso = c"tx_gso",
    /// GSO packets that had to be cut up before.
    TxGsoSegmented = c"tx_gso_segmented",
    /// UDP GSO packets sent, and the messages in them.
    TxTrains = c"tx_trains",
    /// See [`Self::TxTrains`].
    TxTrainMessages = c"tx_train_messages",
    /// Messages that the stack below did not take.
    TxRefused = c"tx_refused",
    /// Times that trains to a peer were given up for a while, as they were refused and single
    /// messages were not.
    TxFallBacks = c"tx_fall_backs",
    /// Runs of two messages or more under one keypair that came together, and those messages.
    RxBatches = c"rx_batches",
    /// See [`Self::RxBatches`].
    RxBatchMessages = c"rx_batch_messages",
    /// Trains of datagrams received whole, and the datagrams in them.
    RxTrains = c"rx_trains",
    /// See [`Self::RxTrains`].
    RxTrainMessages = c"rx_train_messages",
    /// Datagrams and trains left to a worker on another CPU, as their peer is busy.
    RxSpread = c"rx_spread",
    /// Batches of these that a second worker had decrypted before it was their turn to be delivered.
    RxAside = c"rx_aside",
    /// Small datagrams that were decrypted at once meanwhile, as nothing of their flow waits.
    RxPassed = c"rx_passed",
    /// Messages in excess of what may wait for such a worker, or in a lane before.
    RxQueue = c"rx_drop_queue" => FullQueue,
    /// Messages that CoDel took out of that queue, as those in it had waited for long.
    RxDelay = c"rx_drop_delay" => FullQueue,
}

/// How many there are.
pub(crate) const STATS: usize = Stat::ALL.len();

impl Stat {
    /// Place in the array of counters.
    #[inline]
    #[allow(clippy::as_conversions)] // A fieldless `repr(usize)` enum.
    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

/// No peer is known where something is counted.
pub(crate) const NO_PEER: u64 = 0;

impl Device {
    /// Counts one event of kind `stat`. Any context.
    #[inline]
    pub(crate) fn count(&self, stat: Stat) {
        self.count_peer(stat, 1, NO_PEER);
    }

    /// Counts `n` events of kind `stat`. Any context.
    #[inline]
    pub(crate) fn count_many(&self, stat: Stat, n: usize) {
        self.count_peer(stat, n, NO_PEER);
    }

    /// Counts `n` events of kind `stat` that concern the peer with the number `peer`. Any context.
    #[inline]
    pub(crate) fn count_peer(&self, stat: Stat, n: usize, peer: u64) {
        let n = u64::try_from(n).unwrap_or(0);
        if let Some(reason) = stat.reason() {
            if n != 0 {
                trace::drop(&self.netdev, peer, stat.name(), reason, n);
            }
        }
        self.counters.add(stat.index(), n);
    }

    /// Counts a packet and frees it: as dropped, for the reason that belongs to `stat`, or as used
    /// up if that is no drop. Any context.
    pub(crate) fn discard(&self, skb: SkBuff, stat: Stat, peer: u64) {
        self.count_peer(stat, 1, peer);
        release(skb, stat);
    }

    /// As [`Self::discard`], for packets that count as `n`.
    pub(crate) fn discard_all(&self, packets: SkbChain, stat: Stat, n: usize, peer: u64) {
        self.count_peer(stat, n, peer);
        for skb in packets {
            release(skb, stat);
        }
    }
}

impl Peer {
    /// Counts one event of kind `stat` that concerns this peer. Any context.
    #[inline]
    pub(crate) fn count(&self, stat: Stat) {
        self.device().count_peer(stat, 1, self.number());
    }
}

/// Frees a packet that is counted as `stat`.
pub(crate) fn release(skb: SkBuff, stat: Stat) {
    match stat.reason() {
        Some(reason) => skb.drop_with(reason),
        None => skb.consume(),
    }
}
