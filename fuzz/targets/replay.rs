// SPDX-License-Identifier: GPL-2.0

//! See [`wg_fuzz::replay`].

#![no_main]

libfuzzer_sys::fuzz_target!(|input: wg_fuzz::replay::Input| wg_fuzz::replay::run(input));
