// SPDX-License-Identifier: GPL-2.0

//! Configuration through generic netlink: the family `wireguard`, which wg(8) and others speak.
//!
//! `GET_DEVICE` lists an interface ([`get`]), `SET_DEVICE` changes one ([`set`]). Both hold RTNL
//! and the interface's configuration lock, in this order, for one whole request or one message of a
//! list. What happens to peers is told by [`notify`].

mod get;
pub(crate) mod notify;
mod policy;
mod set;

use kernel::{
    prelude::*,
    sync::Arc, //
};
use wg_kapi::{
    errno,
    genl::{Family, Message, Progress, Request},
    net::Rtnl,
    netdev::{self, Selector},
    policy::Policy, //
};

use crate::device::Device;

pub(crate) use policy::event;

/// The family.
pub(crate) struct WireGuardFamily;

/// `enum wg_cmd`.
const GET_DEVICE: u8 = 0;
const SET_DEVICE: u8 = 1;
/// Ours, behind those: events of peers, to the multicast group.
const PEER_EVENT: u8 = 2;

impl Family for WireGuardFamily {
    const NAME: &'static CStr = c"wireguard";
    const GROUP: &'static CStr = c"peers";
    const VERSION: u8 = 1;
    const DUMP_COMMAND: u8 = GET_DEVICE;
    const SET_COMMAND: u8 = SET_DEVICE;
    const DUMP_POLICY: &'static [Policy] = &policy::GET;
    const SET_POLICY: &'static [Policy] = &policy::SET;

    type Dump = get::Dump;

    fn dump_start(req: &Request<'_>) -> Result<KBox<get::Dump>> {
        get::start(req)
    }

    fn dump(state: &mut get::Dump, out: &mut Message<'_>) -> Result<Progress> {
        state.message(out)
    }

    fn set(req: &Request<'_>) -> Result {
        set::set(req)
    }
}

/// The interface that a request names, in the namespace of its socket (contract N6).
///
/// # Errors
///
/// `EBADR` unless it is named by exactly one of index and name, `ENODEV` if there is none,
/// `EOPNOTSUPP` if it is of another kind.
fn device(req: &Request<'_>, rtnl: &Rtnl) -> Result<Arc<Device>> {
    let index = req.attr(policy::device::IFINDEX);
    let name = req.attr(policy::device::IFNAME);
    let mut bytes = [0; 16];
    let (at, selector) = match (index, name) {
        (Some(index), None) => (index, Selector::Index(index.u32()?)),
        (None, Some(name)) => {
            name.copy_to(&mut bytes);
            let text = CStr::from_bytes_until_nul(&bytes).map_err(|_| EINVAL)?;
            (name, Selector::Name(text))
        }
        (both, _) => {
            return Err(req.refuse(
                errno::EBADR(),
                both.as_ref(),
                c"name the interface by either its index or its name",
            ));
        }
    };
    netdev::find::<Device>(&req.net(), selector, rtnl).map_err(|error| {
        let text = if error == errno::EOPNOTSUPP() {
            c"not a WireGuard interface"
        } else {
            c"no such interface in this network namespace"
        };
        req.refuse(error, Some(&at), text)
    })
}
