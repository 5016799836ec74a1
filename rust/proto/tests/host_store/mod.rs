// SPDX-License-Identifier: GPL-2.0

//! Trie nodes in `Arc`s, counted, and failing on demand.

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use wg_proto::allowed_ips::{AllocError, Store};

/// A store that knows how many of its nodes are alive.
pub struct ArcStore {
    live: Arc<AtomicUsize>,
    left: AtomicUsize,
}

impl Default for ArcStore {
    fn default() -> Self {
        Self {
            live: Arc::default(),
            left: AtomicUsize::new(usize::MAX),
        }
    }
}

impl ArcStore {
    /// Nodes that have not been freed.
    pub fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// The same store, but only the next `count` allocations succeed.
    pub fn failing_after(&self, count: usize) -> Self {
        Self {
            live: self.live.clone(),
            left: AtomicUsize::new(count),
        }
    }
}

/// A value that is counted while it lives.
pub struct Counted<T> {
    value: T,
    live: Arc<AtomicUsize>,
}

impl<T> Drop for Counted<T> {
    fn drop(&mut self) {
        self.live.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A shared pointer to a counted value.
pub struct Ptr<T>(Arc<Counted<T>>);

impl<T> Clone for Ptr<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Deref for Ptr<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl Store for ArcStore {
    type Ptr<T: Send + Sync + 'static> = Ptr<T>;

    fn alloc<T: Send + Sync + 'static>(&self, value: T) -> Result<Ptr<T>, AllocError> {
        let left = self.left.load(Ordering::Relaxed);
        self.left
            .store(left.checked_sub(1).ok_or(AllocError)?, Ordering::Relaxed);
        self.live.fetch_add(1, Ordering::Relaxed);
        Ok(Ptr(Arc::new(Counted {
            value,
            live: self.live.clone(),
        })))
    }

    fn get_mut<T: Send + Sync + 'static>(ptr: &mut Ptr<T>) -> Option<&mut T> {
        Arc::get_mut(&mut ptr.0).map(|counted| &mut counted.value)
    }
}
