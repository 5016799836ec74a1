// SPDX-License-Identifier: GPL-2.0

//! See [`wg_fuzz::allowed_ips`].

#![no_main]

libfuzzer_sys::fuzz_target!(|input: wg_fuzz::allowed_ips::Input| wg_fuzz::allowed_ips::run(input));
