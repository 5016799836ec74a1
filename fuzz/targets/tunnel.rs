// SPDX-License-Identifier: GPL-2.0

//! See [`wg_fuzz::tunnel`].

#![no_main]

libfuzzer_sys::fuzz_target!(|input: wg_fuzz::tunnel::Input| wg_fuzz::tunnel::run(input));
