// SPDX-License-Identifier: GPL-2.0

//! See [`wg_fuzz::cookies`].

#![no_main]

libfuzzer_sys::fuzz_target!(|input: wg_fuzz::cookies::Input| wg_fuzz::cookies::run(input));
