// SPDX-License-Identifier: GPL-2.0

//! Counters of an interface: one for every reason to drop something.

macro_rules! stats {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
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
        }
    };
}

stats! {
    /// Inner packet that is not IP, or whose header is cut short.
    TxNotIp = c"tx_drop_not_ip",
    /// No peer has the destination among its allowed IPs.
    TxNoPeer = c"tx_drop_no_peer",
    /// The peer has no endpoint yet.
    TxNoEndpoint = c"tx_drop_no_endpoint",
    /// A GSO packet could not be cut up.
    TxSegment = c"tx_drop_segmentation",
    /// Oldest packets of a full queue, and those that waited for a session in vain.
    TxStaged = c"tx_drop_staged",
    /// Encryption failed for want of memory.
    TxSeal = c"tx_drop_encrypt",
    /// No socket, no route, or the network below refused.
    TxSend = c"tx_drop_send",
    /// Not a WireGuard message: size or type.
    RxMalformed = c"rx_drop_malformed",
    /// Handshake messages before the random number generator was ready.
    RxNoRandomness = c"rx_drop_no_randomness",
    /// Handshake messages while there is no private key, or the interface goes down.
    RxNoIdentity = c"rx_drop_no_identity",
    /// Handshake messages in excess of the queue.
    RxHandshakeQueue = c"rx_drop_handshake_queue",
    /// Handshake messages with a wrong mac1.
    RxMac1 = c"rx_drop_mac1",
    /// Handshake messages of a source over its rate, under load.
    RxRateLimit = c"rx_drop_rate_limit",
    /// Cookie replies sent instead of an answer, under load.
    RxCookieSent = c"rx_cookie_sent",
    /// Initiations that do not decrypt, or of an unknown peer, replayed, or too soon.
    RxInitiation = c"rx_drop_initiation",
    /// Responses that answer nothing or do not decrypt.
    RxResponse = c"rx_drop_response",
    /// Cookie replies that answer nothing or do not decrypt.
    RxCookie = c"rx_drop_cookie",
    /// Data for no keypair that we have.
    RxNoKeypair = c"rx_drop_no_keypair",
    /// Data under a keypair that is too old or used up.
    RxExpired = c"rx_drop_expired",
    /// Data that does not authenticate.
    RxDecrypt = c"rx_drop_decrypt",
    /// Data seen before, or too old for the window to tell.
    RxReplay = c"rx_drop_replay",
    /// Inner packet that is not IP or longer than its message.
    RxNotIp = c"rx_drop_not_ip",
    /// Inner source that is not among the allowed IPs of the peer.
    RxSource = c"rx_drop_source",
    /// Keepalives received.
    RxKeepalive = c"rx_keepalive",
    /// UDP GSO packets sent, and the messages in them.
    TxTrains = c"tx_trains",
    /// See [`Self::TxTrains`].
    TxTrainMessages = c"tx_train_messages",
    /// Trains of datagrams received whole.
    RxTrains = c"rx_trains",
    /// Datagrams and trains left to a worker, as their peer is busy.
    RxSpread = c"rx_spread",
    /// Messages in excess of what may wait for such a worker.
    RxQueue = c"rx_drop_queue",
    /// Memory was short.
    NoMemory = c"drop_no_memory",
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
