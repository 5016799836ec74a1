// SPDX-License-Identifier: GPL-2.0
//! Netlink attributes of a request.
//!
//! C header: [`include/net/netlink.h`](srctree/include/net/netlink.h). Everything here may be
//! called in any context that holds the request; in practice that is the process context of its
//! callback.
//!
//! No reference into the payload is ever handed out, only copies. That is what makes
//! [`Attr::wipe`] possible through a shared reference.

use crate::bindings;
use core::marker::PhantomData;
use core::mem::size_of;
use core::ptr::NonNull;
use kernel::error::{code, to_result};
use kernel::prelude::*;

use crate::policy::Policy;

/// Bytes of `struct nlattr`.
const HEADER: usize = size_of::<bindings::nlattr>();
/// Attributes start at multiples of this many bytes.
const ALIGN: usize = 4;
/// The part of the type field that is the type.
const TYPE_MASK: u16 = 0x3fff;

/// Where refusals of a request are explained to user space. C counterpart: `struct
/// netlink_ext_ack`.
///
/// # Invariants
///
/// `ptr` is null or valid for writes for `'a`, in the thread of the callback only.
#[derive(Clone, Copy)]
pub struct Extack<'a> {
    ptr: *mut bindings::netlink_ext_ack,
    _request: PhantomData<&'a ()>,
}

impl<'a> Extack<'a> {
    /// # Safety
    ///
    /// `ptr` is null or valid for `'a`.
    pub(crate) unsafe fn new(ptr: *mut bindings::netlink_ext_ack) -> Self {
        // INVARIANT: By the contract of this function; raw pointers are neither `Send` nor `Sync`.
        Self {
            ptr,
            _request: PhantomData,
        }
    }

    /// Reports `text`, and `at` as the attribute to blame; gives `error` back for the caller to
    /// return.
    ///
    /// C counterpart: `NL_SET_ERR_MSG_ATTR`. A later call replaces an earlier one.
    pub fn refuse(&self, error: Error, at: Option<&Attr<'a>>, text: &'static CStr) -> Error {
        let bad = at.map_or(core::ptr::null(), |attr| attr.ptr.as_ptr().cast_const());
        // SAFETY: By the type invariant, `ptr` is null, which is allowed, or valid. `bad` is null
        // or an attribute of the same request. `text` is NUL-terminated and lives as long as the
        // module, which netlink keeps loaded until the answer has been written.
        unsafe { bindings::wg_genl_refuse(self.ptr, text.as_char_ptr(), bad) };
        error
    }

    /// Reports that attribute `kind` is missing, in `nest` or at the top; gives `EINVAL` back.
    ///
    /// C counterpart: `NL_SET_ERR_ATTR_MISS`.
    pub fn missing(&self, nest: Option<&Attr<'a>>, kind: u16, text: &'static CStr) -> Error {
        let nest = nest.map_or(core::ptr::null(), |attr| attr.ptr.as_ptr().cast_const());
        // SAFETY: As in `refuse`.
        unsafe { bindings::wg_genl_missing(self.ptr, text.as_char_ptr(), nest, kind) };
        code::EINVAL
    }
}

/// One attribute of a request. C counterpart: `struct nlattr *`.
///
/// # Invariants
///
/// `ptr` points to an attribute header with `len` bytes of payload behind it, all within the
/// request, valid for reads and writes for `'a`. No reference into these bytes exists.
#[derive(Clone, Copy)]
pub struct Attr<'a> {
    ptr: NonNull<bindings::nlattr>,
    len: u16,
    kind: u16,
    _request: PhantomData<&'a ()>,
}

impl<'a> Attr<'a> {
    /// Takes an attribute from a table that the core filled. `None` if `ptr` is null.
    ///
    /// # Safety
    ///
    /// `ptr` is null, or points to an attribute whose header and payload are valid for reads and
    /// writes for `'a`; no Rust reference into it exists.
    pub(crate) unsafe fn from_raw(ptr: *mut bindings::nlattr) -> Option<Self> {
        let ptr = NonNull::new(ptr)?;
        // SAFETY: Not null, so a valid header by the contract of this function.
        let header = unsafe { ptr.read_unaligned() };
        let len = usize::from(header.nla_len).checked_sub(HEADER)?;
        // INVARIANT: The core has checked that `nla_len` bytes are there.
        Some(Self {
            ptr,
            len: u16::try_from(len).ok()?,
            kind: header.nla_type & TYPE_MASK,
            _request: PhantomData,
        })
    }

    /// The attribute type, without the flag bits.
    pub fn kind(&self) -> u16 {
        self.kind
    }

    /// Bytes of payload.
    #[expect(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// The address of the payload.
    fn payload(&self) -> NonNull<u8> {
        // SAFETY: The header is followed by the payload in the same buffer (type invariant).
        unsafe { self.ptr.cast::<u8>().add(HEADER) }
    }

    /// Fills the front of `out` with as much payload as fits and returns that number of bytes.
    pub fn copy_to(&self, out: &mut [u8]) -> usize {
        let bytes = out.len().min(self.len());
        // SAFETY: `bytes` is at most the payload, which is valid by the type invariant, and at most
        // `out`. No reference to the payload exists, so the two do not overlap.
        unsafe { core::ptr::copy_nonoverlapping(self.payload().as_ptr(), out.as_mut_ptr(), bytes) };
        bytes
    }

    /// Fills `out` exactly. `ERANGE`, and `out` as it was, if the payload has another length.
    pub fn read(&self, out: &mut [u8]) -> Result {
        if out.len() != self.len() {
            return Err(code::ERANGE);
        }
        self.copy_to(out);
        Ok(())
    }

    /// The payload as an array. `ERANGE` if it has another length. Not for secrets: use
    /// [`Attr::read`].
    pub fn array<const N: usize>(&self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.read(&mut bytes)?;
        Ok(bytes)
    }

    /// The payload as one byte. `ERANGE` if it has another length.
    pub fn u8(&self) -> Result<u8> {
        self.array().map(u8::from_ne_bytes)
    }

    /// The payload as an integer in host order. `ERANGE` if it has another length.
    pub fn u16(&self) -> Result<u16> {
        self.array().map(u16::from_ne_bytes)
    }

    /// The payload as an integer in host order. `ERANGE` if it has another length.
    pub fn u32(&self) -> Result<u32> {
        self.array().map(u32::from_ne_bytes)
    }

    /// The payload as an integer in host order. `ERANGE` if it has another length.
    pub fn u64(&self) -> Result<u64> {
        self.array().map(u64::from_ne_bytes)
    }

    /// The attributes inside this one, in order. C counterpart: `nla_for_each_nested`.
    ///
    /// Ends silently at the first one that does not fit.
    pub fn entries(&self) -> Entries<'a> {
        // INVARIANT: The payload is valid and `len` bytes long.
        Entries {
            next: self.payload(),
            left: self.len(),
            _request: PhantomData,
        }
    }

    /// Sorts the attributes inside this one into a table by type, strictly checked against `table`.
    ///
    /// C counterpart: `nla_parse_nested`. `EINVAL` if this attribute does not carry `NLA_F_NESTED`;
    /// the core explains its refusals in `extack` itself.
    pub fn parse<const N: usize>(
        &self,
        table: &'static [Policy; N],
        extack: &Extack<'a>,
    ) -> Result<Attrs<'a, N>> {
        let mut found = [core::ptr::null_mut(); N];
        let (policy, max) = Policy::raw(table);
        if policy.is_null() {
            return Err(code::EINVAL);
        }
        // SAFETY: `found` has `max + 1` slots and `policy` as many rules. The attribute is valid
        // with `len` bytes of payload by the type invariant, `extack` is null or valid by its own.
        to_result(unsafe {
            bindings::wg_nla_parse_nested(
                found.as_mut_ptr(),
                max,
                self.ptr.as_ptr(),
                self.len,
                policy,
                extack.ptr,
            )
        })?;
        // SAFETY: The core has filled the table with attributes within the payload, or null.
        Ok(Attrs(found.map(|ptr| unsafe { Attr::from_raw(ptr) })))
    }

    /// Overwrites the payload with zeros in the request itself, so that no key stays in its buffer.
    ///
    /// C counterpart: `memzero_explicit`.
    pub fn wipe(&self) {
        // SAFETY: The payload is valid for writes and no reference to it exists (type invariant).
        unsafe { bindings::wg_nla_wipe(self.ptr.as_ptr(), self.len) };
    }
}

/// Attributes by type: what [`Attr::parse`] found. Of several of one type, the last.
pub struct Attrs<'a, const N: usize>([Option<Attr<'a>>; N]);

impl<'a, const N: usize> Attrs<'a, N> {
    /// The attribute of type `kind`, if it was there.
    pub fn get(&self, kind: u16) -> Option<&Attr<'a>> {
        self.0.get(usize::from(kind))?.as_ref()
    }
}

/// Iterator over the attributes inside an attribute.
///
/// # Invariants
///
/// `left` bytes starting at `next` lie within the request, as [`Attr`] demands.
#[derive(Clone)]
pub struct Entries<'a> {
    next: NonNull<u8>,
    left: usize,
    _request: PhantomData<&'a ()>,
}

impl Entries<'_> {
    /// The attributes in `len` bytes starting at `first`. `None` if that is null.
    ///
    /// # Safety
    ///
    /// `first` is null, or these bytes are valid for reads and writes for the lifetime of the
    /// result and no Rust reference into them exists.
    pub(crate) unsafe fn new(first: *mut bindings::nlattr, len: u32) -> Option<Self> {
        // INVARIANT: By the contract of this function.
        Some(Self {
            next: NonNull::new(first)?.cast(),
            left: usize::try_from(len).ok()?,
            _request: PhantomData,
        })
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Attr<'a>;

    fn next(&mut self) -> Option<Attr<'a>> {
        if self.left < HEADER {
            return None;
        }
        let ptr = self.next.cast::<bindings::nlattr>();
        // SAFETY: By the type invariant and the check above, a header's bytes are there.
        let header = unsafe { ptr.read_unaligned() };
        let total = usize::from(header.nla_len);
        let len = total.checked_sub(HEADER)?;
        if total > self.left {
            return None;
        }
        // INVARIANT: At most `left` bytes are stepped over.
        let step = total.next_multiple_of(ALIGN).min(self.left);
        // SAFETY: `step` is at most `left`, so the result is in the buffer or at its end.
        self.next = unsafe { self.next.add(step) };
        self.left = self.left.saturating_sub(step);
        // INVARIANT: `total` bytes, header and payload, lie within the request.
        Some(Attr {
            ptr,
            len: u16::try_from(len).ok()?,
            kind: header.nla_type & TYPE_MASK,
            _request: PhantomData,
        })
    }
}
