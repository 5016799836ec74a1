// SPDX-License-Identifier: GPL-2.0
//! What a netlink attribute must look like: `struct nla_policy`.
//!
//! C header: [`include/net/netlink.h`](srctree/include/net/netlink.h).
//!
//! A table of policies is a `static` array indexed by attribute type, made of the `const`
//! constructors below. Index 0 is no attribute and is [`Policy::REJECT`]. Validation is always
//! strict: unknown types, trailing bytes, a wrong integer length and a missing or unexpected
//! `NLA_F_NESTED` are refused with `EINVAL` whatever the table says.

use crate::bindings;
use core::mem::{align_of, size_of};

/// The rule for one attribute type. C counterpart: `struct nla_policy`.
///
/// # Invariants
///
/// Has the layout of `struct nla_policy` (asserted below and in `helpers/genl.c`). `kind` is a
/// valid `NLA_*` type and `value` holds the field that `kind` and `validation` select; pointers in
/// it point to static tables of `len + 1` policies.
#[repr(C)]
pub struct Policy {
    kind: u8,
    validation: u8,
    len: u16,
    value: Value,
}

/// The union at the end of `struct nla_policy`, as far as it is used here.
#[repr(C)]
union Value {
    nothing: *const Policy,
    mask: u32,
    bounds: [i16; 2],
    table: *const Policy,
}

const _: () = {
    assert!(size_of::<Policy>() == size_of::<bindings::nla_policy>());
    assert!(align_of::<Policy>() == align_of::<bindings::nla_policy>());
};

// SAFETY: A policy is never changed, and the pointers in it lead to static policies.
unsafe impl Send for Policy {}
// SAFETY: As above.
unsafe impl Sync for Policy {}

/// The number of an `NLA_*` constant as it is stored; all are far below 256.
const fn byte(constant: u32) -> u8 {
    constant.to_le_bytes()[0]
}

/// A byte count as a bound of a length check, whose limits are 16 bits with a sign.
const fn bound(bytes: u16) -> i16 {
    if bytes > i16::MAX.unsigned_abs() {
        i16::MAX
    } else {
        i16::from_le_bytes(bytes.to_le_bytes())
    }
}

impl Policy {
    /// Any use of the attribute is refused with `EINVAL`.
    pub const REJECT: Policy = Policy::plain(bindings::NLA_REJECT, 0);

    const fn plain(kind: u32, len: u16) -> Policy {
        // INVARIANT: These types read no value, or take null as none.
        Policy {
            kind: byte(kind),
            validation: byte(bindings::nla_policy_validation_NLA_VALIDATE_NONE),
            len,
            value: Value {
                nothing: core::ptr::null(),
            },
        }
    }

    const fn bounded(validation: u32, min: u16, max: u16) -> Policy {
        // INVARIANT: Binary attributes with a range or minimum check read the bounds.
        Policy {
            kind: byte(bindings::NLA_BINARY),
            validation: byte(validation),
            len: 0,
            value: Value {
                bounds: [bound(min), bound(max)],
            },
        }
    }

    const fn table(kind: u32, table: &'static [Policy]) -> Policy {
        let max = table.len().saturating_sub(1);
        // An empty table, or one longer than types can be, allows nothing.
        if table.is_empty() || max > 0x3fff {
            return Policy::REJECT;
        }
        let bytes = max.to_le_bytes();
        // INVARIANT: Nested types read the pointer to a static table of `len + 1` policies.
        Policy {
            kind: byte(kind),
            validation: byte(bindings::nla_policy_validation_NLA_VALIDATE_NONE),
            len: u16::from_le_bytes([bytes[0], bytes[1]]),
            value: Value {
                table: table.as_ptr(),
            },
        }
    }

    /// One byte. Another length is `EINVAL`.
    pub const fn u8() -> Policy {
        Policy::plain(bindings::NLA_U8, 0)
    }

    /// Two bytes in host order. Another length is `EINVAL`.
    pub const fn u16() -> Policy {
        Policy::plain(bindings::NLA_U16, 0)
    }

    /// Four bytes in host order. Another length is `EINVAL`.
    pub const fn u32() -> Policy {
        Policy::plain(bindings::NLA_U32, 0)
    }

    /// Four bytes in host order with no bit set outside `mask`, else `EINVAL`.
    pub const fn u32_mask(mask: u32) -> Policy {
        // INVARIANT: An integer with a mask check reads the mask.
        Policy {
            kind: byte(bindings::NLA_U32),
            validation: byte(bindings::nla_policy_validation_NLA_VALIDATE_MASK),
            len: 0,
            value: Value { mask },
        }
    }

    /// Eight bytes in host order. Another length is `EINVAL`.
    pub const fn u64() -> Policy {
        Policy::plain(bindings::NLA_U64, 0)
    }

    /// Exactly `bytes` bytes, else `ERANGE`. `bytes` is at most 32767.
    pub const fn exact(bytes: u16) -> Policy {
        Policy::bounded(
            bindings::nla_policy_validation_NLA_VALIDATE_RANGE,
            bytes,
            bytes,
        )
    }

    /// At least `bytes` bytes, else `ERANGE`. `bytes` is at most 32767.
    pub const fn min(bytes: u16) -> Policy {
        Policy::bounded(bindings::nla_policy_validation_NLA_VALIDATE_MIN, bytes, 0)
    }

    /// A string with a NUL in the attribute, of at most `max` bytes ahead of it: no NUL within the
    /// first `max + 1` bytes is `EINVAL`, an attribute longer than that is `ERANGE`.
    pub const fn string(max: u16) -> Policy {
        Policy::plain(bindings::NLA_NUL_STRING, max)
    }

    /// Attributes inside the attribute, checked against `table`. It may be empty.
    pub const fn nested(table: &'static [Policy]) -> Policy {
        Policy::table(bindings::NLA_NESTED, table)
    }

    /// A list of entries of any type, each with attributes inside that are checked against
    /// `table`. List and entries may be empty; 1 to 3 bytes are `ERANGE`.
    pub const fn nested_array(table: &'static [Policy]) -> Policy {
        Policy::table(bindings::NLA_NESTED_ARRAY, table)
    }

    /// A table as C wants it: the first policy and the largest attribute type.
    ///
    /// The pointer is null for a table without a first entry, which makes generic netlink refuse
    /// all attributes.
    pub(crate) fn raw(table: &'static [Policy]) -> (*const bindings::nla_policy, u32) {
        match u32::try_from(table.len().saturating_sub(1)) {
            Ok(max) if !table.is_empty() => (table.as_ptr().cast(), max),
            _ => (core::ptr::null(), 0),
        }
    }
}
