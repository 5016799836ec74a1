// SPDX-License-Identifier: GPL-2.0

//! When a keypair may be used and when it is time for a new one.
//!
//! Pure functions of its age, its counters and who began the handshake. Ages count from the moment
//! the session was derived. (Whitepaper, sections 6.1 and 6.2.)

use core::time::Duration;

use crate::constants::{
    REJECT_AFTER_MESSAGES, REJECT_AFTER_TIME, REKEY_AFTER_MESSAGES, REKEY_AFTER_TIME,
    REKEY_ON_RECEIVE_AFTER_TIME,
};
use crate::noise::Role;

/// Why a keypair must not be used any more.
///
/// Neither ever goes away again: the caller may mark the keypair as unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// As old as `REJECT_AFTER_TIME`, or older.
    Expired,
    /// Counters have reached `REJECT_AFTER_MESSAGES`.
    Exhausted,
}

/// Whether messages with the `count` counters from `first` on may be sent under a keypair of this
/// age. All of them or none.
#[inline]
pub fn may_send(first: u64, count: u64, age: Duration) -> Result<(), KeyError> {
    if expired(age) {
        return Err(KeyError::Expired);
    }
    match first.checked_add(count) {
        Some(end) if end <= REJECT_AFTER_MESSAGES => Ok(()),
        _ => Err(KeyError::Exhausted),
    }
}

/// Whether a message may be decrypted under a keypair of this age; `next` is one more than the
/// highest counter accepted so far ([`ReplayWindow::next`](crate::replay::ReplayWindow::next)).
#[inline]
pub fn may_receive(next: u64, age: Duration) -> Result<(), KeyError> {
    if expired(age) {
        return Err(KeyError::Expired);
    }
    if next >= REJECT_AFTER_MESSAGES {
        return Err(KeyError::Exhausted);
    }
    Ok(())
}

/// Whether to begin a handshake after sending under the current keypair; `next` is the next unused
/// counter. To be asked once a batch.
///
/// Only the side that began the session renews it because of its age, so that the two sides do
/// not begin handshakes at the same time.
#[inline]
pub fn rekey_on_send(role: Role, next: u64, age: Duration) -> bool {
    next > REKEY_AFTER_MESSAGES || (matches!(role, Role::Initiator) && age >= REKEY_AFTER_TIME)
}

/// Whether to begin a handshake after receiving data under the current keypair.
///
/// To be done once a session only: see
/// [`Timers::claim_last_minute_rekey`](crate::timers::Timers::claim_last_minute_rekey).
#[inline]
pub fn rekey_on_receive(role: Role, age: Duration) -> bool {
    matches!(role, Role::Initiator) && age >= REKEY_ON_RECEIVE_AFTER_TIME
}

#[inline]
fn expired(age: Duration) -> bool {
    age >= REJECT_AFTER_TIME
}

#[cfg(test)]
mod tests {
    use super::*;

    const NS: Duration = Duration::from_nanos(1);

    fn before(limit: Duration) -> Duration {
        limit.saturating_sub(NS)
    }

    /// Contract: V5, X9
    #[test]
    fn keys_expire_at_180_seconds() {
        let limit = Duration::from_secs(180);
        assert_eq!(may_send(0, 1, before(limit)), Ok(()));
        assert_eq!(may_send(0, 1, limit), Err(KeyError::Expired));
        assert_eq!(may_receive(0, before(limit)), Ok(()));
        assert_eq!(may_receive(0, limit), Err(KeyError::Expired));
    }

    /// Contract: V5, X9
    #[test]
    fn counters_run_out_before_the_limit() {
        let last = REJECT_AFTER_MESSAGES - 1;
        assert_eq!(may_send(last, 1, NS), Ok(()));
        assert_eq!(may_send(last, 2, NS), Err(KeyError::Exhausted));
        assert_eq!(may_send(last - 9, 10, NS), Ok(()));
        assert_eq!(may_send(last - 9, 11, NS), Err(KeyError::Exhausted));
        assert_eq!(may_send(u64::MAX, 1, NS), Err(KeyError::Exhausted));
        assert_eq!(may_send(1, u64::MAX, NS), Err(KeyError::Exhausted));
        assert_eq!(may_receive(last, NS), Ok(()));
        assert_eq!(may_receive(last + 1, NS), Err(KeyError::Exhausted));
    }

    /// Contract: K4
    #[test]
    fn sending_renews_at_120_seconds_or_2_to_the_60() {
        let limit = Duration::from_secs(120);
        assert!(rekey_on_send(Role::Initiator, 1, limit));
        assert!(!rekey_on_send(Role::Initiator, 1, before(limit)));
        assert!(!rekey_on_send(Role::Responder, 1, limit));
        let many = 1 << 60;
        assert!(!rekey_on_send(Role::Responder, many, NS));
        assert!(rekey_on_send(Role::Responder, many + 1, NS));
        assert!(rekey_on_send(Role::Initiator, many + 1, NS));
    }

    /// Contract: K5
    #[test]
    fn receiving_renews_at_165_seconds() {
        let limit = Duration::from_secs(165);
        assert!(rekey_on_receive(Role::Initiator, limit));
        assert!(!rekey_on_receive(Role::Initiator, before(limit)));
        assert!(!rekey_on_receive(Role::Responder, limit));
    }
}
