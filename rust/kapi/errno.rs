// SPDX-License-Identifier: GPL-2.0
//! Error numbers, with those of networking that the `kernel` crate lacks in 7.2.
//!
//! C header: [`include/uapi/asm-generic/errno.h`](srctree/include/uapi/asm-generic/errno.h)
//!
//! Each is a function, as an `Error` cannot be made in a constant outside the `kernel` crate:
//! `Err(errno::ENOKEY())`. Context: any.

use kernel::prelude::Error;

macro_rules! errnos {
    ($($name:ident = $number:literal, $text:literal;)*) => {
        $(
            #[doc = $text]
            #[allow(non_snake_case)]
            #[inline]
            pub fn $name() -> Error {
                Error::from_errno(-$number)
            }
        )*
    };
}

// The numbers are the same on all architectures that this module supports.
errnos! {
    EPERM = 1, "Operation not permitted.";
    ENOENT = 2, "No such file or directory.";
    EINTR = 4, "Interrupted system call.";
    EIO = 5, "I/O error.";
    E2BIG = 7, "Argument list too long.";
    EAGAIN = 11, "Try again.";
    ENOMEM = 12, "Out of memory.";
    EFAULT = 14, "Bad address.";
    EBUSY = 16, "Device or resource busy.";
    EEXIST = 17, "File exists.";
    ENODEV = 19, "No such device.";
    EINVAL = 22, "Invalid argument.";
    ENOSPC = 28, "No space left on device.";
    ERANGE = 34, "Result not representable.";
    ELOOP = 40, "Too many levels, or a loop.";
    ENODATA = 61, "No data available.";
    EBADR = 53, "Invalid request descriptor.";
    ENONET = 64, "Machine is not on the network.";
    EPROTO = 71, "Protocol error.";
    EBADMSG = 74, "Not a data message.";
    EOVERFLOW = 75, "Value too large for its type.";
    EDESTADDRREQ = 89, "Destination address required.";
    EMSGSIZE = 90, "Message too long.";
    EPROTONOSUPPORT = 93, "Protocol not supported.";
    EOPNOTSUPP = 95, "Operation not supported.";
    EPFNOSUPPORT = 96, "Protocol family not supported.";
    EAFNOSUPPORT = 97, "Address family not supported.";
    EADDRINUSE = 98, "Address already in use.";
    EADDRNOTAVAIL = 99, "Cannot assign requested address.";
    ENETDOWN = 100, "Network is down.";
    ENETUNREACH = 101, "Network is unreachable.";
    ENOBUFS = 105, "No buffer space available.";
    EISCONN = 106, "Already connected.";
    ENOTCONN = 107, "Not connected.";
    ETIMEDOUT = 110, "Timed out.";
    ECONNREFUSED = 111, "Connection refused.";
    EHOSTUNREACH = 113, "No route to host.";
    EALREADY = 114, "Already in progress.";
    ENOKEY = 126, "Required key not available.";
    EKEYEXPIRED = 127, "Key has expired.";
    EKEYREJECTED = 129, "Key was rejected.";
}

/// The negative error number, as C functions return it.
#[inline]
pub fn to_errno(error: Error) -> i32 {
    error.to_errno()
}
