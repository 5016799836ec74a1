// SPDX-License-Identifier: GPL-2.0

//! See [`wg_fuzz::messages`].

#![no_main]

libfuzzer_sys::fuzz_target!(|input: wg_fuzz::messages::Input| wg_fuzz::messages::run(input));
