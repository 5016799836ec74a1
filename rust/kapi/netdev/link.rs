// SPDX-License-Identifier: GPL-2.0
//! The link kind: creation, callbacks, removal.

use super::NetDevice;
use crate::{
    bindings,
    chain::SkbChain,
    lane::Lane,
    net::{Net, Rtnl},
    skb::SkBuff, //
};
use core::{
    any::TypeId,
    marker::PhantomData,
    mem::ManuallyDrop,
    ptr::{self, NonNull}, //
};
use kernel::{
    error::{from_result, to_result},
    ffi::c_int,
    prelude::*,
    sync::{
        aref::ARef,
        Arc,
        ArcBorrow,
        SetOnce, //
    },
};

/// The object behind each device of the kind.
///
/// All calls but [`Driver::xmit`], [`Driver::receive`], [`Driver::overflow`], [`Driver::damaged`]
/// and [`Driver::release`] come in process context with RTNL held, so one at a time.
pub trait Driver: Send + Sync + Sized + 'static {
    /// A device was registered; makes the object for it. It is not up yet.
    ///
    /// # Errors
    ///
    /// The reason why there can be none: the device is unregistered again.
    fn create(dev: ARef<NetDevice>) -> Result<Arc<Self>>;

    /// The device is to be up (`ndo_open`).
    ///
    /// # Errors
    ///
    /// The answer for the user; the device stays down.
    fn open(this: &Arc<Self>) -> Result;

    /// The device goes down (`ndo_stop`). No [`Driver::xmit`] begins until the next `open`; one
    /// that began before may still run.
    fn stop(this: &Arc<Self>);

    /// The device is gone for good: down, and unregistered but for the references to it, which
    /// whoever removes it waits for. None of the other functions is running or will be called
    /// again. What holds references to the device must let go of them soon.
    ///
    /// Process context, a worker of its own for each device, without RTNL.
    fn release(this: Arc<Self>);

    /// A packet to send. BH disabled, RCU read lock held, on any number of CPUs at once.
    ///
    /// # Errors
    ///
    /// What `ndo_start_xmit` returns to the sender; the packet is gone in any case.
    fn xmit(this: &Self, skb: SkBuff) -> Result;

    /// Datagrams came from the sockets, still with their UDP headers ([`SkBuff::udp_payload`]).
    ///
    /// Softirq or BH disabled, RCU read lock held; of one lane on one CPU at a time, of others at
    /// the same time. May begin before [`UdpPort::open`] has returned.
    ///
    /// [`UdpPort::open`]: crate::udp::UdpPort::open
    fn receive(this: ArcBorrow<'_, Self>, lane: &Lane, chain: SkbChain);

    /// A datagram came for which there is no room. Same context.
    fn overflow(this: &Self, skb: SkBuff);

    /// A datagram came whose UDP checksum is wrong, which UDP has counted. Softirq or BH disabled,
    /// RCU read lock held; the interface may be going down.
    fn damaged(this: &Self, skb: SkBuff);

    /// The namespace that the device was created from goes away, the device lives on elsewhere. The
    /// carrier is off, [`NetDevice::creating_net`] is already `None`. Sockets and cached routes
    /// must go.
    fn creating_net_exit(this: &Arc<Self>);

    /// The system is about to sleep: forget the session keys. Not called where the system does that
    /// by itself all the time (autosleep).
    fn suspend(this: &Arc<Self>);

    /// The virtual machine was forked: two machines have the same keys now.
    fn vm_forked(this: &Arc<Self>);

    /// The name of the driver's own counter number `index`, for `ethtool -S`; `None` behind the
    /// last. At most 31 bytes.
    fn counter_name(index: usize) -> Option<&'static CStr>;

    /// The value of that counter.
    fn counter(this: &Self, index: usize) -> u64;

    /// The name of the driver's own switch number `index`, for `ethtool --show-priv-flags`; `None`
    /// behind the last. At most 31 bytes.
    fn switch_name(index: usize) -> Option<&'static CStr>;

    /// The switches that are on, one bit each.
    fn switches(this: &Self) -> u32;

    /// Sets all switches.
    fn set_switches(this: &Self, on: u32);
}

/// Sizes in bytes that the device announces.
#[derive(Clone, Copy)]
pub struct LinkConfig {
    /// What the tunnel adds to a packet: the default MTU is 1500 less this.
    pub overhead: u32,
    /// The largest MTU is a multiple of this, less `overhead`.
    pub multiple: u32,
    /// Room needed ahead of an inner packet (alignment is added).
    pub headroom: u32,
    /// Room needed behind an inner packet.
    pub tailroom: u32,
}

/// The one type whose objects are behind our devices.
static DRIVER: SetOnce<TypeId> = SetOnce::new();

fn is_driver<T: Driver>() -> bool {
    DRIVER.as_ref().is_some_and(|id| *id == TypeId::of::<T>())
}

/// The link kind `wireguard` and the notifiers that its devices need, registered while this lives.
///
/// Drop (process context, may sleep) removes all devices of the kind and waits until they are
/// freed; afterwards no callback runs or will.
///
/// # Invariants
///
/// Registered, and `T` is the type in [`DRIVER`].
pub struct Registration<T: Driver>(PhantomData<fn(T)>);

impl<T: Driver> Registration<T> {
    const OPS: bindings::wg_link_ops = bindings::wg_link_ops {
        create: Some(create::<T>),
        open: Some(open::<T>),
        stop: Some(stop::<T>),
        release: Some(release::<T>),
        xmit: Some(xmit::<T>),
        receive: Some(receive::<T>),
        overflow: Some(overflow::<T>),
        damaged: Some(damaged::<T>),
        creating_net_exit: Some(creating_net_exit::<T>),
        suspend: Some(suspend::<T>),
        vm_forked: Some(vm_forked::<T>),
        counter_name: Some(counter_name::<T>),
        counter: Some(counter::<T>),
        switch_name: Some(switch_name::<T>),
        switches: Some(switches::<T>),
        set_switches: Some(set_switches::<T>),
    };

    /// Registers. Process context, may sleep.
    ///
    /// C: `rtnl_link_register`, `register_pernet_device`, `register_pm_notifier`,
    /// `register_random_vmfork_notifier`.
    ///
    /// # Errors
    ///
    /// `EEXIST` when there is such a link kind already, `ENOMEM`.
    pub fn new(config: LinkConfig) -> Result<Self> {
        DRIVER.populate(TypeId::of::<T>());
        if !is_driver::<T>() {
            return Err(EEXIST);
        }
        crate::skb::check_layout()?;
        let config = bindings::wg_link_config {
            overhead: config.overhead,
            multiple: config.multiple,
            headroom: config.headroom,
            tailroom: config.tailroom,
        };
        // SAFETY: The table is complete and lives as long as the module's text; its functions
        // accept the objects that `create` made, which are of type `Arc<T>`: `T` is the only driver
        // type.
        to_result(unsafe { bindings::wg_link_register(&Self::OPS, &config) })?;
        // INVARIANT: Just registered.
        Ok(Self(PhantomData))
    }
}

impl<T: Driver> Drop for Registration<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant we are registered.
        unsafe { bindings::wg_link_unregister() }
    }
}

/// Which device is meant.
#[derive(Clone, Copy)]
pub enum Selector<'a> {
    /// By interface index.
    Index(u32),
    /// By name.
    Name(&'a CStr),
}

/// The object behind a device in `net`.
///
/// Process context. The object stays valid after RTNL is given back, but the device may be gone
/// then. C: `__dev_get_by_index`, `__dev_get_by_name`.
///
/// # Errors
///
/// `ENODEV` when there is no such device, `EOPNOTSUPP` when it is of another kind.
pub fn find<T: Driver>(net: &Net, selector: Selector<'_>, _rtnl: &Rtnl) -> Result<Arc<T>> {
    let (index, name) = match selector {
        Selector::Index(index) => (index, ptr::null()),
        Selector::Name(name) => (0, name.as_char_ptr()),
    };
    if !is_driver::<T>() {
        return Err(ENODEV);
    }
    let mut object = ptr::null_mut();
    // SAFETY: RTNL is held (`_rtnl`), `name` is null or a C string.
    to_result(unsafe { bindings::wg_netdev_find(net.as_ptr(), index, name, &mut object) })?;
    let object = NonNull::new(object).ok_or(ENODEV)?;
    // SAFETY: `object` came from `Arc::<T>::into_raw` in `create`, and the device keeps it while
    // RTNL is held.
    Ok((*unsafe { borrowed::<T>(object.as_ptr()) }).clone())
}

/// Calls `f` for each device of the kind and the object behind it, in all namespaces.
pub fn for_each<T: Driver>(_rtnl: &Rtnl, mut f: impl FnMut(&NetDevice, &Arc<T>)) {
    if !is_driver::<T>() {
        return;
    }
    let mut dev = ptr::null_mut();
    loop {
        let mut object = ptr::null_mut();
        // SAFETY: RTNL is held (`_rtnl`), so `dev` is still in the list of devices.
        dev = unsafe { bindings::wg_netdev_next(dev, &mut object) };
        if dev.is_null() {
            return;
        }
        // SAFETY: A registered device of ours, which stays while RTNL is held.
        let device = unsafe { NetDevice::from_raw(dev) };
        // SAFETY: As in `find`; the borrow ends before RTNL is given back.
        f(device, &*unsafe { borrowed::<T>(object) });
    }
}

/// The object behind a device, without taking a reference.
///
/// # Safety
///
/// `object` must come from `Arc::<T>::into_raw`, and someone else must keep a reference as long as
/// the result is used.
unsafe fn borrowed<T>(object: *mut bindings::wg_object) -> ManuallyDrop<Arc<T>> {
    // SAFETY: By the contract; the count is left as it is.
    ManuallyDrop::new(unsafe { Arc::from_raw(object.cast::<T>()) })
}

/// # Safety
///
/// RTNL must be held and `dev` be a device of ours that has just been registered.
unsafe extern "C" fn create<T: Driver>(dev: *mut bindings::net_device) -> c_int {
    // SAFETY: By the contract.
    let device: ARef<NetDevice> = unsafe { NetDevice::from_raw(dev) }.into();
    from_result(|| {
        let object = Arc::into_raw(T::create(device)?);
        // SAFETY: By the contract; the device gets the reference.
        unsafe { bindings::wg_netdev_publish(dev, object.cast_mut().cast()) };
        Ok(0)
    })
}

/// # Safety
///
/// For this and the following callbacks: `object` must have been published by `create`, and the
/// device must keep its reference for the time of the call.
unsafe extern "C" fn open<T: Driver>(object: *mut bindings::wg_object) -> c_int {
    // SAFETY: By the contract.
    let this = unsafe { borrowed::<T>(object) };
    from_result(|| T::open(&this).map(|()| 0))
}

/// # Safety
///
/// See `open`.
unsafe extern "C" fn stop<T: Driver>(object: *mut bindings::wg_object) {
    // SAFETY: By the contract.
    T::stop(&*unsafe { borrowed::<T>(object) });
}

/// # Safety
///
/// As `open`, and the device gives its reference away.
unsafe extern "C" fn release<T: Driver>(object: *mut bindings::wg_object) {
    // SAFETY: By the contract.
    T::release(unsafe { Arc::from_raw(object.cast::<T>()) });
}

/// What a callback was given a packet with; `None` without a packet.
///
/// # Safety
///
/// See `open`; `skb` must be a packet on no list that the caller gives away. The result is for the
/// time of the call.
unsafe fn given<'a, T: Driver>(
    object: *mut bindings::wg_object,
    skb: *mut bindings::sk_buff,
) -> Option<(ArcBorrow<'a, T>, SkBuff)> {
    let skb = NonNull::new(skb)?;
    // SAFETY: By the contract.
    let this = unsafe { ArcBorrow::from_raw(object.cast::<T>()) };
    // SAFETY: By the contract.
    Some((this, unsafe { SkBuff::from_raw(skb) }))
}

/// # Safety
///
/// See `given`.
unsafe extern "C" fn xmit<T: Driver>(
    object: *mut bindings::wg_object,
    skb: *mut bindings::sk_buff,
) -> c_int {
    // SAFETY: By the contract.
    let Some((this, skb)) = (unsafe { given::<T>(object, skb) }) else {
        return 0;
    };
    from_result(|| T::xmit(&this, skb).map(|()| 0))
}

/// # Safety
///
/// See `open`; `lane` must be the one whose poll function calls, `head` start a list of packets
/// that the caller gives away.
unsafe extern "C" fn receive<T: Driver>(
    object: *mut bindings::wg_object,
    lane: *mut bindings::wg_lane,
    head: *mut bindings::sk_buff,
) {
    let Some(head) = NonNull::new(head) else {
        return;
    };
    // SAFETY: By the contract.
    let this = unsafe { ArcBorrow::from_raw(object.cast::<T>()) };
    // SAFETY: By the contract.
    let lane = unsafe { Lane::from_raw(lane) };
    // SAFETY: By the contract.
    let chain = unsafe { SkbChain::from_list(head) };
    T::receive(this, lane, chain);
}

/// # Safety
///
/// See `given`.
unsafe extern "C" fn overflow<T: Driver>(
    object: *mut bindings::wg_object,
    skb: *mut bindings::sk_buff,
) {
    // SAFETY: By the contract.
    if let Some((this, skb)) = unsafe { given::<T>(object, skb) } {
        T::overflow(&this, skb);
    }
}

/// # Safety
///
/// See `given`.
unsafe extern "C" fn damaged<T: Driver>(
    object: *mut bindings::wg_object,
    skb: *mut bindings::sk_buff,
) {
    // SAFETY: By the contract.
    if let Some((this, skb)) = unsafe { given::<T>(object, skb) } {
        T::damaged(&this, skb);
    }
}

/// # Safety
///
/// See `open`.
unsafe extern "C" fn creating_net_exit<T: Driver>(object: *mut bindings::wg_object) {
    // SAFETY: By the contract.
    T::creating_net_exit(&*unsafe { borrowed::<T>(object) });
}

/// # Safety
///
/// See `open`.
unsafe extern "C" fn suspend<T: Driver>(object: *mut bindings::wg_object) {
    // SAFETY: By the contract.
    T::suspend(&*unsafe { borrowed::<T>(object) });
}

/// # Safety
///
/// See `open`.
unsafe extern "C" fn vm_forked<T: Driver>(object: *mut bindings::wg_object) {
    // SAFETY: By the contract.
    T::vm_forked(&*unsafe { borrowed::<T>(object) });
}

/// # Safety
///
/// None.
unsafe extern "C" fn counter_name<T: Driver>(index: u32) -> *const kernel::ffi::c_char {
    usize::try_from(index)
        .ok()
        .and_then(T::counter_name)
        .map_or(ptr::null(), |name| name.as_char_ptr())
}

/// # Safety
///
/// See `open`.
unsafe extern "C" fn counter<T: Driver>(object: *mut bindings::wg_object, index: u32) -> u64 {
    // SAFETY: By the contract.
    let this = unsafe { borrowed::<T>(object) };
    usize::try_from(index).map_or(0, |index| T::counter(&this, index))
}

/// # Safety
///
/// None.
unsafe extern "C" fn switch_name<T: Driver>(index: u32) -> *const kernel::ffi::c_char {
    usize::try_from(index)
        .ok()
        .and_then(T::switch_name)
        .map_or(ptr::null(), |name| name.as_char_ptr())
}

/// # Safety
///
/// See `open`.
unsafe extern "C" fn switches<T: Driver>(object: *mut bindings::wg_object) -> u32 {
    // SAFETY: By the contract.
    T::switches(&*unsafe { borrowed::<T>(object) })
}

/// # Safety
///
/// See `open`.
unsafe extern "C" fn set_switches<T: Driver>(object: *mut bindings::wg_object, on: u32) {
    // SAFETY: By the contract.
    T::set_switches(&*unsafe { borrowed::<T>(object) }, on);
}
