// SPDX-License-Identifier: GPL-2.0
//! A generic netlink family with one dump and one change command.
//!
//! C header: [`include/net/genetlink.h`](srctree/include/net/genetlink.h). All callbacks run in
//! process context, may sleep, and hold no lock of generic netlink: calls for different sockets run
//! in parallel, so the family's owner guards its state (RTNL and its own locks). The messages of
//! one dump follow each other and never overlap.

use crate::bindings;
use crate::net::Net;
use crate::netdev::NetDevice;
use crate::nla::{Attr, Entries, Extack};
use crate::policy::Policy;
use core::marker::{PhantomData, PhantomPinned};
use core::ptr::NonNull;
use kernel::error::{code, from_result, to_result};
use kernel::ffi::{c_int, c_void};
use kernel::prelude::*;
use kernel::types::Opaque;

pub use crate::message::{Event, Full, Message, Nest};

/// Whether a dump has more to say after this message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Call again with the next message. This one must not be empty, else the dump fails with
    /// `EMSGSIZE`.
    More,
    /// This message is the last. It may be empty.
    Done,
}

/// A family: its name, commands, and callbacks. C counterpart: `struct genl_family`.
///
/// Both commands need `CAP_NET_ADMIN` in the user namespace that owns the network namespace of
/// the netlink socket (`GENL_UNS_ADMIN_PERM`); the core checks that, and the strict policies,
/// before any callback runs.
pub trait Family: Sized + 'static {
    /// The family name, at most 15 bytes.
    const NAME: &'static CStr;
    /// The multicast group of those who hear of events. Joining it needs `CAP_NET_ADMIN` in the
    /// user namespace that owns the network namespace of the socket.
    const GROUP: &'static CStr;
    /// The version in the headers of answers.
    const VERSION: u8;
    /// The command that dumps. Without `NLM_F_DUMP` it is refused with `EOPNOTSUPP`.
    const DUMP_COMMAND: u8;
    /// The command that changes. With `NLM_F_DUMP` it is refused with `EOPNOTSUPP`.
    const SET_COMMAND: u8;
    /// The attributes of a dump request.
    const DUMP_POLICY: &'static [Policy];
    /// The attributes of a change.
    const SET_POLICY: &'static [Policy];

    /// Where a dump stands between two of its messages. Dropped in process context when the dump
    /// ends or its socket is closed.
    type Dump: Send;

    /// Begins a dump. An error is the answer to the request.
    fn dump_start(req: &Request<'_>) -> Result<KBox<Self::Dump>>;

    /// Writes the next message of a dump. On an error the message is thrown away and the dump ends.
    fn dump(state: &mut Self::Dump, out: &mut Message<'_>) -> Result<Progress>;

    /// Carries out a change.
    fn set(req: &Request<'_>) -> Result;
}

/// A request: its attributes, where it comes from, and where refusals are explained.
///
/// # Invariants
///
/// `attrs` is null or an array of `slots` pointers, each null or an attribute as [`Attr`] demands;
/// `net` is valid and kept alive by the netlink socket. All for `'a`.
pub struct Request<'a> {
    attrs: *mut *mut bindings::nlattr,
    slots: usize,
    all: Entries<'a>,
    net: NonNull<bindings::net>,
    extack: Extack<'a>,
}

impl<'a> Request<'a> {
    /// # Safety
    ///
    /// `raw` was taken from a live request that outlives `'a`, whose policy has `slots` entries.
    unsafe fn new(raw: bindings::wg_genl_request, slots: usize) -> Result<Self> {
        // INVARIANT: The core parses into an array as long as the policy, or gives null.
        Ok(Self {
            attrs: raw.attrs,
            slots,
            // SAFETY: The core has checked that the message is as long as its header says.
            all: unsafe { Entries::new(raw.first, raw.len) }.ok_or(code::EINVAL)?,
            net: NonNull::new(raw.net).ok_or(code::EINVAL)?,
            // SAFETY: `extack` lives on the stack of the caller for the whole callback.
            extack: unsafe { Extack::new(raw.extack) },
        })
    }

    /// The attribute of type `kind`, if the request has it. Of several, the last.
    pub fn attr(&self, kind: u16) -> Option<Attr<'a>> {
        let slot = usize::from(kind);
        if self.attrs.is_null() || slot == 0 || slot >= self.slots {
            return None;
        }
        // SAFETY: `slot` is within the array (type invariant). The core leaves slot 0 alone or
        // null.
        let ptr = unsafe { self.attrs.add(slot).read() };
        // SAFETY: By the type invariant.
        unsafe { Attr::from_raw(ptr) }
    }

    /// All attributes in the order in which they came, also those that [`Request::attr`] hides
    /// because another of the same type came later.
    pub fn attrs(&self) -> Entries<'a> {
        self.all.clone()
    }

    /// The network namespace of the socket that the request came through.
    pub fn net(&self) -> Net {
        // SAFETY: By the type invariant the namespace is valid and kept.
        unsafe { Net::get(self.net) }
    }

    /// Where refusals are explained.
    pub fn extack(&self) -> &Extack<'a> {
        &self.extack
    }

    /// Explains a refusal: see [`Extack::refuse`].
    pub fn refuse(&self, error: Error, at: Option<&Attr<'a>>, text: &'static CStr) -> Error {
        self.extack.refuse(error, at, text)
    }
}

/// A registered family. Register it last at module load: from then on requests arrive.
///
/// C counterpart: `genl_register_family`. Process context. Drop unregisters, which waits for
/// running requests; running dumps hold a reference on the module, so a module's exit finds none.
///
/// # Invariants
///
/// `family` is registered and stays where it is until Drop.
#[pin_data(PinnedDrop)]
pub struct Registration<F: Family> {
    #[pin]
    family: Opaque<bindings::wg_genl_family>,
    #[pin]
    _pin: PhantomPinned,
    _family: PhantomData<fn() -> F>,
}

// SAFETY: Registering and unregistering take the core's locks and may happen on any thread.
unsafe impl<F: Family> Send for Registration<F> {}
// SAFETY: A shared registration offers nothing.
unsafe impl<F: Family> Sync for Registration<F> {}

impl<F: Family> Registration<F> {
    /// Registers the family on behalf of `module`.
    ///
    /// `EEXIST` if the name is taken, `EINVAL` if it is too long, `ENOMEM`.
    pub fn register(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        let (dump_policy, dump_max) = Policy::raw(F::DUMP_POLICY);
        let (do_policy, do_max) = Policy::raw(F::SET_POLICY);
        let desc = bindings::wg_genl_desc {
            name: F::NAME.as_char_ptr(),
            group: F::GROUP.as_char_ptr(),
            dump_policy,
            do_policy,
            start: Some(adapter::start::<F>),
            dump: Some(adapter::dump::<F>),
            done: Some(adapter::done::<F>),
            doit: Some(adapter::set::<F>),
            module: module.as_ptr().cast(),
            dump_max,
            do_max,
            version: F::VERSION,
            dump_cmd: F::DUMP_COMMAND,
            do_cmd: F::SET_COMMAND,
        };
        try_pin_init!(Self {
            family <- Opaque::try_ffi_init(move |slot| {
                // SAFETY: `slot` is memory for a family that will not move. What `desc` points to
                // is static: name, policies, functions, and the module that owns them.
                let errno = unsafe { bindings::wg_genl_register(slot, &desc) };
                to_result(errno)
            }),
            _pin: PhantomPinned,
            _family: PhantomData,
        }? Error)
    }
}

#[pinned_drop]
impl<F: Family> PinnedDrop for Registration<F> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant the family is registered.
        unsafe { bindings::wg_genl_unregister(self.family.get()) };
    }
}

/// Whether anybody wants to hear of events of `dev`. Any context. C counterpart:
/// `genl_has_listeners`.
pub fn has_listeners(dev: &NetDevice) -> bool {
    // SAFETY: The device is live.
    unsafe { bindings::wg_genl_has_listeners(dev.as_ptr()) }
}

/// The C callbacks.
mod adapter {
    use super::*;

    /// `genl_split_ops::doit`.
    ///
    /// # Safety
    ///
    /// Called by generic netlink for the family of `F` only.
    pub(super) unsafe extern "C" fn set<F: Family>(
        _skb: *mut bindings::sk_buff,
        info: *mut bindings::genl_info,
    ) -> c_int {
        let mut raw = pin_init::zeroed();
        // SAFETY: The core gives a valid `info`; `raw` is ours.
        unsafe { bindings::wg_genl_request_of_info(info, &mut raw) };
        // SAFETY: The core keeps the request until this function returns, and parsed it by
        // `SET_POLICY`.
        let req = unsafe { Request::new(raw, F::SET_POLICY.len()) };
        from_result(|| F::set(&req?).map(|()| 0))
    }

    /// `genl_split_ops::start`.
    ///
    /// # Safety
    ///
    /// As for [`set`].
    pub(super) unsafe extern "C" fn start<F: Family>(cb: *mut bindings::netlink_callback) -> c_int {
        let mut raw = pin_init::zeroed();
        // SAFETY: The core gives a valid `cb` in its start phase; `raw` is ours.
        unsafe { bindings::wg_genl_request_of_dump(cb, &mut raw) };
        // SAFETY: The core keeps the request until the dump is done, and parsed it by
        // `DUMP_POLICY`.
        let req = unsafe { Request::new(raw, F::DUMP_POLICY.len()) };
        from_result(|| {
            let state = KBox::into_raw(F::dump_start(&req?)?);
            // SAFETY: `cb` is valid and its context is ours; `done` will take the state back.
            unsafe { bindings::wg_genl_set_dump_state(cb, state.cast::<c_void>()) };
            Ok(0)
        })
    }

    /// `genl_split_ops::dumpit`.
    ///
    /// # Safety
    ///
    /// As for [`set`], between a successful `start` and `done`.
    pub(super) unsafe extern "C" fn dump<F: Family>(
        skb: *mut bindings::sk_buff,
        cb: *mut bindings::netlink_callback,
    ) -> c_int {
        // SAFETY: `cb` is valid.
        let state = unsafe { bindings::wg_genl_dump_state(cb) }.cast::<F::Dump>();
        // SAFETY: `start` put a box's pointer there, and netlink makes one call at a time for a
        // dump.
        let state = unsafe { &mut *state };
        from_result(|| {
            // SAFETY: Both pointers are valid for this call.
            let mut out = unsafe { Message::start(skb, cb) }?;
            match F::dump(state, &mut out)? {
                Progress::More if out.is_empty() => Err(code::EMSGSIZE),
                Progress::More => Ok(out.end()),
                Progress::Done => {
                    out.end();
                    Ok(0)
                }
            }
        })
    }

    /// `genl_split_ops::done`.
    ///
    /// # Safety
    ///
    /// As for [`set`], once after a successful `start`.
    pub(super) unsafe extern "C" fn done<F: Family>(cb: *mut bindings::netlink_callback) -> c_int {
        // SAFETY: `cb` is valid.
        let state = unsafe { bindings::wg_genl_dump_state(cb) }.cast::<F::Dump>();
        // SAFETY: `start` put a box's pointer there; this is the one call that takes it back.
        drop(unsafe { KBox::from_raw(state) });
        0
    }
}
