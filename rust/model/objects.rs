// SPDX-License-Identifier: GPL-2.0

//! Published objects, their counters and their end: `Slot`, `BoxSlot` and `Shared` of `wg_kapi`.

use loom::cell::Cell;
use loom::sync::atomic::{fence, AtomicUsize, Ordering};
use loom::sync::Arc;
use loom::thread;

use crate::published::Published;
use crate::refcount::RefCount;

/// RCU for as long as a model runs: a grace period waits until there are no readers. As in the
/// kernel, a reader either began after the grace period, and then sees what was before it, or has
/// ended before the grace period does, and then everything it did was before.
#[derive(Default)]
struct Rcu(AtomicUsize);

impl Rcu {
    fn read<R>(&self, section: impl FnOnce() -> R) -> R {
        self.0.fetch_add(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let result = section();
        fence(Ordering::SeqCst);
        self.0.fetch_sub(1, Ordering::SeqCst);
        result
    }

    fn synchronize(&self) {
        fence(Ordering::SeqCst);
        while self.0.load(Ordering::SeqCst) != 0 {
            thread::yield_now();
        }
        fence(Ordering::SeqCst);
    }
}

/// An object: `alive` is written before it is published and when it is destroyed, which loom
/// reports if a reader is in between.
struct Object {
    refs: RefCount,
    alive: Cell<bool>,
}

/// A place for one of two objects, as memory cannot be freed in a model.
struct World {
    rcu: Rcu,
    slot: Published<Object>,
    objects: [Object; 2],
    destroyed: AtomicUsize,
}

impl World {
    fn new() -> Arc<Self> {
        let object = || Object {
            refs: RefCount::one(),
            alive: Cell::new(false),
        };
        Arc::new(Self {
            rcu: Rcu::default(),
            slot: Published::new(std::ptr::null_mut()),
            objects: [object(), object()],
            destroyed: AtomicUsize::new(0),
        })
    }

    fn pointer(&self, number: usize) -> *mut Object {
        std::ptr::from_ref(&self.objects[number]).cast_mut()
    }

    fn object(&self, pointer: *mut Object) -> Option<&Object> {
        self.objects
            .iter()
            .find(|object| std::ptr::eq(*object, pointer))
    }

    fn publish(&self, number: usize) -> *mut Object {
        self.objects[number].alive.set(true);
        self.slot.replace(self.pointer(number))
    }

    /// `Shared::drop`: the callback of `call_rcu` is the rest of this function.
    fn put(&self, object: &Object) {
        if matches!(object.refs.put(), Ok(true)) {
            self.rcu.synchronize();
            assert!(object.alive.get());
            object.alive.set(false);
            self.destroyed.fetch_add(1, Ordering::Release);
        }
    }

    /// `Slot::replace` with nothing, and the end of what it returns.
    fn withdraw(&self) {
        let old = self.slot.replace(std::ptr::null_mut());
        if let Some(object) = self.object(old) {
            self.put(object);
        }
    }
}

#[test]
fn readers_see_whole_objects_that_stay_until_they_are_through() {
    loom::model(|| {
        let world = World::new();
        let reader = {
            let world = world.clone();
            thread::spawn(move || {
                world.rcu.read(|| {
                    if let Some(object) = world.object(world.slot.load()) {
                        assert!(object.alive.get());
                    }
                });
            })
        };
        assert!(world.publish(0).is_null());
        world.withdraw();
        assert_eq!(world.destroyed.load(Ordering::Acquire), 1);
        reader.join().unwrap();
    });
}

#[test]
fn a_reference_taken_under_rcu_keeps_the_object() {
    loom::model(|| {
        let world = World::new();
        world.publish(0);
        let reader = {
            let world = world.clone();
            thread::spawn(move || {
                let kept = world.rcu.read(|| {
                    let object = world.object(world.slot.load())?;
                    object.refs.get_not_zero().then_some(object)
                });
                if let Some(object) = kept {
                    assert!(object.alive.get());
                    world.put(object);
                }
            })
        };
        world.withdraw();
        reader.join().unwrap();
        assert_eq!(world.destroyed.load(Ordering::Acquire), 1);
        assert!(world.slot.is_null());
    });
}

#[test]
fn the_last_of_two_owners_destroys_once() {
    loom::model(|| {
        let world = World::new();
        world.objects[0].alive.set(true);
        assert!(world.objects[0].refs.get().is_ok());
        let other = {
            let world = world.clone();
            thread::spawn(move || {
                assert!(world.objects[0].alive.get());
                world.put(&world.objects[0]);
            })
        };
        assert!(world.objects[0].alive.get());
        world.put(&world.objects[0]);
        other.join().unwrap();
        assert_eq!(world.destroyed.load(Ordering::Acquire), 1);
    });
}

/// The counter orders owners by itself, without the grace period that comes after.
#[test]
fn the_last_owner_comes_after_the_others() {
    loom::model(|| {
        let world = World::new();
        assert!(world.objects[0].refs.get().is_ok());
        let end = |world: &World| {
            let object = &world.objects[0];
            assert!(!object.alive.get());
            if matches!(object.refs.put(), Ok(true)) {
                object.alive.set(true);
            }
        };
        let other = {
            let world = world.clone();
            thread::spawn(move || end(&world))
        };
        end(&world);
        other.join().unwrap();
        assert!(world.objects[0].alive.get());
    });
}

/// `Part::get_mut`: what the others read comes before what the only one left writes.
#[test]
fn the_only_owner_may_write() {
    loom::model(|| {
        let world = World::new();
        let object = &world.objects[0];
        object.alive.set(true);
        assert!(object.refs.get().is_ok());
        let other = {
            let world = world.clone();
            thread::spawn(move || {
                let object = &world.objects[0];
                assert!(object.alive.get());
                assert!(matches!(object.refs.put(), Ok(false)));
            })
        };
        if object.refs.is_one() {
            object.alive.set(false);
        }
        other.join().unwrap();
        assert!(object.refs.is_one());
    });
}

/// The end of a `Part` waits for nobody: readers got to it through one of the objects that it is
/// in, each of which gives it up when its own readers are gone.
#[test]
fn a_part_goes_with_the_last_object_that_it_is_in() {
    loom::model(|| {
        let world = World::new();
        let part = Arc::new(Object {
            refs: RefCount::one(),
            alive: Cell::new(true),
        });
        assert!(part.refs.get().is_ok());
        // The destructor of an object that was published.
        let give_up = |old: *mut Object| {
            if let Some(object) = world.object(old) {
                world.put(object);
                if matches!(part.refs.put(), Ok(true)) {
                    part.alive.set(false);
                }
            }
        };
        assert!(world.publish(0).is_null());
        let reader = {
            let (world, part) = (world.clone(), part.clone());
            thread::spawn(move || {
                world.rcu.read(|| {
                    if world.object(world.slot.load()).is_some() {
                        assert!(part.alive.get());
                    }
                });
            })
        };
        give_up(world.publish(1));
        give_up(world.slot.replace(std::ptr::null_mut()));
        assert!(!part.alive.get());
        reader.join().unwrap();
    });
}

/// Two writers: each gets what the other, or nobody, had published, and no object is lost.
#[test]
fn replaced_objects_go_to_one_writer_each() {
    loom::model(|| {
        let world = World::new();
        let other = {
            let world = world.clone();
            thread::spawn(move || {
                let old = world.publish(1);
                if let Some(object) = world.object(old) {
                    assert!(object.alive.get());
                    world.put(object);
                }
            })
        };
        let old = world.publish(0);
        if let Some(object) = world.object(old) {
            assert!(object.alive.get());
            world.put(object);
        }
        other.join().unwrap();
        world.withdraw();
        assert_eq!(world.destroyed.load(Ordering::Acquire), 2);
    });
}

/// `BoxSlot::replace` waits for readers itself.
#[test]
fn a_box_taken_out_has_no_readers() {
    loom::model(|| {
        let world = World::new();
        world.publish(0);
        let reader = {
            let world = world.clone();
            thread::spawn(move || {
                world.rcu.read(|| {
                    if let Some(object) = world.object(world.slot.load()) {
                        assert!(object.alive.get());
                    }
                });
            })
        };
        let old = world.slot.replace(std::ptr::null_mut());
        world.rcu.synchronize();
        world.object(old).unwrap().alive.set(false);
        reader.join().unwrap();
    });
}
