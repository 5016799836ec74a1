// SPDX-License-Identifier: GPL-2.0
//! Packets.
//!
//! C header: [`include/linux/skbuff.h`](srctree/include/linux/skbuff.h)
//!
//! A [`SkBuff`] is owned: whoever holds it may read, change, send or free it. The transmit side is
//! in `skb/transmit.rs`, the receive side in `skb/receive.rs`.

mod gso;
mod receive;
mod run;
mod train;
mod transmit;

pub use self::{
    gso::Gso,
    receive::{Inner, Outer},
    run::run_limit,
    train::Train,
    transmit::{ecn_encapsulate, IpInfo},
};

use crate::bindings;
use core::{
    mem::ManuallyDrop,
    ptr::NonNull,
    slice, //
};
use kernel::{
    ffi,
    prelude::*, //
};

/// What the driver notes about a packet while it owns it; lives in `skb->cb`.
///
/// The network stack uses the same bytes: they hold what [`SkBuff::set_cb`] wrote only until the
/// packet is handed on, and are arbitrary before the first `set_cb`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cb {
    /// The counter of the message that the packet becomes or came in.
    pub nonce: u64,
    /// Bytes that padding may not exceed; 0 means no limit.
    pub mtu: u32,
    /// DS field (DSCP and ECN) of the outer header, to send or as received.
    pub ds: u8,
    /// For the driver's own use.
    pub flags: u8,
    /// For the driver's own use.
    pub tag: u16,
}

const _: () = assert!(size_of::<Cb>() <= 48 && align_of::<Cb>() <= 8);

/// An owned packet: `struct sk_buff`.
///
/// May be used in any context unless a method says otherwise. Dropping it frees the packet as
/// dropped (`sk_skb_reason_drop`, reason "not specified"); see [`SkBuff::consume`].
///
/// # Invariants
///
/// `ptr` points to a valid `sk_buff` of which this object owns the only reference count, and whose
/// `next` pointer is null. It refers to nothing that it does not keep: `skb->dev` is null, and a
/// route is counted.
#[repr(transparent)]
pub struct SkBuff {
    ptr: NonNull<bindings::sk_buff>,
}

// SAFETY: A packet belongs to no thread; all of the methods work from any.
unsafe impl Send for SkBuff {}
// SAFETY: Through `&SkBuff` only reads are possible.
unsafe impl Sync for SkBuff {}

/// Reads one field of a packet whose place the C compiler told.
macro_rules! field {
    ($self:expr, $offset:ident, $type:ty) => {
        // SAFETY: By the type invariant the packet is valid, and the offset is that of a field of
        // this type (`helpers/skb.c` checks both compilers' opinions against each other).
        unsafe {
            $self
                .ptr
                .as_ptr()
                .byte_add(bindings::$offset as usize)
                .cast::<$type>()
                .read()
        }
    };
}

impl SkBuff {
    /// Allocates an empty packet with `headroom` bytes ahead and `capacity` bytes of room.
    ///
    /// Any context (`GFP_ATOMIC`). C: `alloc_skb`, `skb_reserve`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn alloc(capacity: usize, headroom: usize) -> Result<Self> {
        let capacity = u32::try_from(capacity).map_err(|_| EMSGSIZE)?;
        let headroom = u32::try_from(headroom).map_err(|_| EMSGSIZE)?;
        // SAFETY: No preconditions.
        let ptr = unsafe { bindings::wg_skb_alloc(headroom, capacity) };
        // INVARIANT: A fresh packet, owned by us, on no list.
        Ok(Self {
            ptr: NonNull::new(ptr).ok_or(ENOMEM)?,
        })
    }

    /// Appends `data`. C: `skb_put_data`.
    ///
    /// # Errors
    ///
    /// `EMSGSIZE` when there is no room for it.
    pub fn put(&mut self, data: &[u8]) -> Result {
        let len = u32::try_from(data.len()).map_err(|_| EMSGSIZE)?;
        // SAFETY: `data` is readable for `len` bytes; the helper checks the room.
        if unsafe { bindings::wg_skb_put_data(self.as_ptr(), data.as_ptr(), len) } {
            Ok(())
        } else {
            Err(EMSGSIZE)
        }
    }

    /// Takes over a packet.
    ///
    /// # Safety
    ///
    /// `ptr` must point to a valid packet on no list, with no device and no borrowed route, of
    /// which the caller gives the only reference away.
    #[inline]
    pub(crate) unsafe fn from_raw(ptr: NonNull<bindings::sk_buff>) -> Self {
        // INVARIANT: By the contract of this function.
        Self { ptr }
    }

    /// Gives up ownership without freeing.
    #[inline]
    pub(crate) fn into_raw(self) -> *mut bindings::sk_buff {
        ManuallyDrop::new(self).ptr.as_ptr()
    }

    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut bindings::sk_buff {
        self.ptr.as_ptr()
    }

    /// Replaces the packet behind this handle by another one.
    ///
    /// # Safety
    ///
    /// The reference to the old packet must be gone, and `ptr` must fulfil [`Self::from_raw`].
    #[inline]
    unsafe fn replace_raw(&mut self, ptr: NonNull<bindings::sk_buff>) {
        // INVARIANT: By the contract of this function.
        self.ptr = ptr;
    }

    /// Bytes in the packet from the current start of data on. C: `skb->len`.
    #[inline]
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        field!(self, wg_skb_layout_WG_SKB_LEN, u32) as usize
    }

    /// The bytes that lie in one piece at the start of the packet. C: `skb_headlen` bytes of data.
    #[inline]
    pub fn head(&self) -> &[u8] {
        let len = field!(self, wg_skb_layout_WG_SKB_LEN, u32);
        let paged = field!(self, wg_skb_layout_WG_SKB_DATA_LEN, u32);
        let data = field!(self, wg_skb_layout_WG_SKB_DATA, *const u8);
        // SAFETY: `len - data_len` bytes from `data` on are the linear part, which is initialised
        // memory of the packet, not written by anyone while `self` is borrowed.
        unsafe { slice::from_raw_parts(data, len.wrapping_sub(paged) as usize) }
    }

    /// The driver's notes. Arbitrary before [`Self::set_cb`].
    #[inline]
    pub fn cb(&self) -> Cb {
        field!(self, wg_skb_layout_WG_SKB_CB, Cb)
    }

    /// Writes the driver's notes.
    #[inline]
    pub fn set_cb(&mut self, cb: Cb) {
        // SAFETY: `cb` has 48 bytes at alignment 8, `Cb` needs no more (asserted above), and the
        // packet is ours to write.
        unsafe {
            self.as_ptr()
                .byte_add(bindings::wg_skb_layout_WG_SKB_CB as usize)
                .cast::<Cb>()
                .write(cb)
        }
    }

    /// Frees the packet as used up, not dropped (drop monitors stay quiet). C: `consume_skb`.
    pub fn consume(self) {
        // SAFETY: We give our reference away.
        unsafe { bindings::wg_skb_consume(self.into_raw()) }
    }

    /// Frees the packet as dropped for `reason`. C: `kfree_skb_reason`.
    pub fn drop_with(self, reason: DropReason) {
        // SAFETY: We give our reference away.
        unsafe { bindings::wg_skb_free_reason(self.into_raw(), reason as ffi::c_uint) }
    }
}

impl Drop for SkBuff {
    fn drop(&mut self) {
        // SAFETY: We own a reference and give it away.
        unsafe { bindings::wg_skb_free(self.ptr.as_ptr()) }
    }
}

/// Why a packet is dropped, in the words that the kernel's drop monitor has for it
/// (`enum skb_drop_reason`); each is told as it says.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// A queue is full: `FULL_RING`.
    FullQueue = bindings::wg_drop_reason_WG_DROP_FULL_QUEUE,
    /// Out of memory: `NOMEM`.
    NoMemory = bindings::wg_drop_reason_WG_DROP_NO_MEMORY,
    /// Too short for what it claims to be: `PKT_TOO_SMALL`.
    TooSmall = bindings::wg_drop_reason_WG_DROP_TOO_SMALL,
    /// Longer than any packet may be: `PKT_TOO_BIG`.
    TooLong = bindings::wg_drop_reason_WG_DROP_TOO_LONG,
    /// Malformed inner packet: `IP_INHDR`.
    InvalidHeader = bindings::wg_drop_reason_WG_DROP_INVALID_HEADER,
    /// Headers that are not whole: `HDR_TRUNC`.
    TruncatedHeader = bindings::wg_drop_reason_WG_DROP_TRUNCATED_HEADER,
    /// The UDP checksum is wrong: `UDP_CSUM`.
    Checksum = bindings::wg_drop_reason_WG_DROP_CHECKSUM,
    /// Nothing that a tunnel handles: `UNHANDLED_PROTO`.
    UnhandledProtocol = bindings::wg_drop_reason_WG_DROP_UNHANDLED_PROTOCOL,
    /// Nobody takes packets for this destination: `NO_TX_TARGET`.
    NoTarget = bindings::wg_drop_reason_WG_DROP_NO_TARGET,
    /// The tunnel does not know where its other end is: `TUNNEL_TXINFO`.
    NoTunnelInfo = bindings::wg_drop_reason_WG_DROP_NO_TUNNEL_INFO,
    /// A large packet could not be cut up: `SKB_GSO_SEG`.
    Segmentation = bindings::wg_drop_reason_WG_DROP_SEGMENTATION,
    /// There is no socket or session of this name: `NO_SOCKET`.
    NoSocket = bindings::wg_drop_reason_WG_DROP_NO_SOCKET,
    /// The session is over: `SOCKET_CLOSE`.
    SocketClosed = bindings::wg_drop_reason_WG_DROP_SOCKET_CLOSED,
    /// No way to the endpoint: `IP_OUTNOROUTES`.
    NoRoute = bindings::wg_drop_reason_WG_DROP_NO_ROUTE,
    /// Meant for somebody else: `OTHERHOST`.
    OtherHost = bindings::wg_drop_reason_WG_DROP_OTHER_HOST,
    /// More than is processed of one source: `CPU_BACKLOG`.
    Backlog = bindings::wg_drop_reason_WG_DROP_BACKLOG,
    /// Does not authenticate: `SKB_CSUM`.
    Integrity = bindings::wg_drop_reason_WG_DROP_INTEGRITY,
    /// Was here before: `TCP_OLD_SEQUENCE`.
    OldSequence = bindings::wg_drop_reason_WG_DROP_OLD_SEQUENCE,
    /// The inner source address is not allowed for the peer: `IP_RPFILTER`.
    SourceNotAllowed = bindings::wg_drop_reason_WG_DROP_SOURCE_NOT_ALLOWED,
    /// The device is not ready (down or going away): `DEV_READY`.
    DeviceNotReady = bindings::wg_drop_reason_WG_DROP_DEVICE_NOT_READY,
    /// It waited in a queue that was emptied: `QUEUE_PURGE`.
    QueuePurged = bindings::wg_drop_reason_WG_DROP_QUEUE_PURGED,
}

/// Checks that both compilers agree on where the fields of a packet are.
pub(crate) fn check_layout() -> Result {
    let layout = [
        bindings::wg_skb_layout_WG_SKB_NEXT,
        bindings::wg_skb_layout_WG_SKB_CB,
        bindings::wg_skb_layout_WG_SKB_LEN,
        bindings::wg_skb_layout_WG_SKB_DATA_LEN,
        bindings::wg_skb_layout_WG_SKB_DATA,
        bindings::wg_skb_layout_WG_SKB_SIZE,
    ];
    // SAFETY: The array is readable for its length.
    if unsafe { bindings::wg_skb_layout_matches(layout.as_ptr(), layout.len()) } {
        Ok(())
    } else {
        Err(ENOEXEC)
    }
}
