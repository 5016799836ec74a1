// SPDX-License-Identifier: GPL-2.0
//! Writing one message of a generic netlink dump, or an event.
//!
//! C header: [`include/net/netlink.h`](srctree/include/net/netlink.h). Process context, inside the
//! dump callback. Every `put` either writes the whole attribute or nothing and says [`Full`].

use crate::bindings;
use crate::net::Net;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use kernel::error::code;
use kernel::ffi::{c_int, c_void};
use kernel::prelude::*;

/// The message has no room for the attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl From<Full> for Error {
    fn from(_: Full) -> Error {
        code::EMSGSIZE
    }
}

/// A message being written: its headers are there, attributes go behind them.
///
/// Drop throws the message away (`genlmsg_cancel`).
///
/// # Invariants
///
/// `skb` is the buffer of a running dump callback, or of an [`Event`], valid for `'a`; `cb` is null
/// for an event, else the state of that callback, valid for `'a` too; `header` is what
/// `genlmsg_put` gave for `skb`, and nothing ahead of it is ever removed.
pub struct Message<'a> {
    skb: NonNull<bindings::sk_buff>,
    cb: *mut bindings::netlink_callback,
    header: NonNull<c_void>,
    _callback: PhantomData<&'a mut ()>,
}

impl<'a> Message<'a> {
    /// Writes the headers (`NLM_F_MULTI`, the dump's command). `EMSGSIZE` if they do not fit.
    ///
    /// C counterpart: `genlmsg_put`.
    ///
    /// # Safety
    ///
    /// `skb` and `cb` are the arguments of a dump callback of a generic netlink family, which
    /// returns after the message is gone.
    pub(crate) unsafe fn start(
        skb: *mut bindings::sk_buff,
        cb: *mut bindings::netlink_callback,
    ) -> Result<Self> {
        let skb = NonNull::new(skb).ok_or(code::EINVAL)?;
        let cb = NonNull::new(cb).ok_or(code::EINVAL)?;
        // SAFETY: Both are valid by the contract of this function.
        let header = unsafe { bindings::wg_genl_message_start(skb.as_ptr(), cb.as_ptr()) };
        // INVARIANT: `header` comes from `genlmsg_put`.
        Ok(Self {
            skb,
            cb: cb.as_ptr(),
            header: NonNull::new(header).ok_or(code::EMSGSIZE)?,
            _callback: PhantomData,
        })
    }

    /// Finishes the message; returns the bytes in the buffer, which tells netlink to come again.
    pub(crate) fn end(self) -> c_int {
        let this = core::mem::ManuallyDrop::new(self);
        // SAFETY: By the type invariant.
        unsafe { bindings::wg_genl_message_end(this.skb.as_ptr(), this.header.as_ptr()) }
    }

    /// Whether no attribute has been written yet.
    pub fn is_empty(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { bindings::wg_genl_message_is_empty(self.skb.as_ptr(), self.header.as_ptr()) }
    }

    /// States which generation of the data this message shows. If it is not the previous message's,
    /// user space is told that the dump is inconsistent (`NLM_F_DUMP_INTR`). 0 means unknown.
    ///
    /// Nothing in an event. C counterpart: `genl_dump_check_consistent`.
    pub fn set_generation(&mut self, generation: u32) {
        if self.cb.is_null() {
            return;
        }
        // SAFETY: By the type invariant.
        unsafe { bindings::wg_genl_message_generation(self.cb, self.header.as_ptr(), generation) };
    }

    /// Appends an attribute. C counterpart: `nla_put`.
    pub fn put_bytes(&mut self, kind: u16, bytes: &[u8]) -> Result<(), Full> {
        let len = u32::try_from(bytes.len()).map_err(|_| Full)?;
        // SAFETY: `skb` is valid by the type invariant, and `bytes` are `len` bytes.
        let ret =
            unsafe { bindings::wg_nla_put(self.skb.as_ptr(), kind, bytes.as_ptr().cast(), len) };
        if ret == 0 {
            Ok(())
        } else {
            Err(Full)
        }
    }

    /// Appends one byte.
    pub fn put_u8(&mut self, kind: u16, value: u8) -> Result<(), Full> {
        self.put_bytes(kind, &[value])
    }

    /// Appends an integer in host order.
    pub fn put_u16(&mut self, kind: u16, value: u16) -> Result<(), Full> {
        self.put_bytes(kind, &value.to_ne_bytes())
    }

    /// Appends an integer in host order.
    pub fn put_u32(&mut self, kind: u16, value: u32) -> Result<(), Full> {
        self.put_bytes(kind, &value.to_ne_bytes())
    }

    /// Appends an integer in host order, behind an empty attribute of type 0 where a machine needs
    /// alignment. C counterpart: `nla_put_u64_64bit`.
    pub fn put_u64(&mut self, kind: u16, value: u64) -> Result<(), Full> {
        // SAFETY: `skb` is valid by the type invariant.
        match unsafe { bindings::wg_nla_put_u64(self.skb.as_ptr(), kind, value) } {
            0 => Ok(()),
            _ => Err(Full),
        }
    }

    /// Appends a string with its NUL.
    pub fn put_str(&mut self, kind: u16, value: &CStr) -> Result<(), Full> {
        self.put_bytes(kind, value.to_bytes_with_nul())
    }

    /// Opens an attribute that holds attributes: what is written through the [`Nest`] goes inside.
    ///
    /// C counterpart: `nla_nest_start`.
    pub fn nest(&mut self, kind: u16) -> Result<Nest<'_, 'a>, Full> {
        // SAFETY: `skb` is valid by the type invariant.
        let start = unsafe { bindings::wg_nla_nest_start(self.skb.as_ptr(), kind) };
        // INVARIANT: `start` is a nest of `skb`, and the exclusive borrow keeps the message as it
        // is.
        Ok(Nest {
            start: NonNull::new(start).ok_or(Full)?,
            message: self,
        })
    }
}

/// A message that nobody asked for, to all who listen. Process context; Drop frees it unsent.
///
/// # Invariants
///
/// `skb` is a message being written that we own; `header` is what `genlmsg_put` gave for it.
pub struct Event {
    skb: NonNull<bindings::sk_buff>,
    header: NonNull<c_void>,
}

impl Event {
    /// An empty event. C counterpart: `genlmsg_new`, `genlmsg_put`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, also where no family is registered.
    pub fn new(command: u8) -> Result<Self> {
        let mut header = core::ptr::null_mut();
        // SAFETY: `header` is valid for writes.
        let skb = unsafe { bindings::wg_genl_event_start(command, &mut header) };
        // INVARIANT: Just made.
        Ok(Self {
            skb: NonNull::new(skb).ok_or(code::ENOMEM)?,
            header: NonNull::new(header).ok_or(code::ENOMEM)?,
        })
    }

    /// Writes attributes.
    pub fn write<T>(&mut self, write: impl FnOnce(&mut Message<'_>) -> T) -> T {
        // INVARIANT: The buffer is ours, and borrowed for as long as the message lives.
        let mut message = core::mem::ManuallyDrop::new(Message {
            skb: self.skb,
            cb: core::ptr::null_mut(),
            header: self.header,
            _callback: PhantomData,
        });
        write(&mut message)
    }

    /// Sends it to those in `net` who listen. C counterpart: `genlmsg_multicast_netns`.
    pub fn send(self, net: &Net) {
        let this = core::mem::ManuallyDrop::new(self);
        // SAFETY: By the type invariant; the buffer is given away. The namespace is kept.
        unsafe {
            bindings::wg_genl_event_send(net.as_ptr(), this.skb.as_ptr(), this.header.as_ptr())
        };
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the buffer is ours.
        unsafe { bindings::wg_genl_event_drop(self.skb.as_ptr()) };
    }
}

impl Drop for Message<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::wg_genl_message_cancel(self.skb.as_ptr(), self.header.as_ptr()) };
    }
}

/// An open attribute that holds attributes; dereferences to the [`Message`].
///
/// Drop takes it out of the message again, with all that was written into it (`nla_nest_cancel`).
///
/// # Invariants
///
/// `start` is the header of an open nest of `message`, which is not shortened to before it while
/// borrowed.
pub struct Nest<'m, 'a> {
    message: &'m mut Message<'a>,
    start: NonNull<bindings::nlattr>,
}

impl Nest<'_, '_> {
    /// Closes the attribute: it stays in the message. C counterpart: `nla_nest_end`.
    pub fn end(self) {
        let this = core::mem::ManuallyDrop::new(self);
        // SAFETY: By the type invariant.
        unsafe { bindings::wg_nla_nest_end(this.message.skb.as_ptr(), this.start.as_ptr()) };
    }

    /// Takes the attribute out again, as Drop does.
    pub fn cancel(self) {}
}

impl<'a> Deref for Nest<'_, 'a> {
    type Target = Message<'a>;

    fn deref(&self) -> &Message<'a> {
        self.message
    }
}

impl DerefMut for Nest<'_, '_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.message
    }
}

impl Drop for Nest<'_, '_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::wg_nla_nest_cancel(self.message.skb.as_ptr(), self.start.as_ptr()) };
    }
}
