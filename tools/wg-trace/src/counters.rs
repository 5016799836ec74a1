// SPDX-License-Identifier: GPL-2.0

//! Counters of an interface, as ethtool(8) shows them, and which interfaces there are.

use std::{fs, process::Command};

use crate::Failure;

/// Names and values, in the driver's order.
pub type Counters = Vec<(String, u64)>;

/// What `ethtool -S` says; nothing for a driver without counters.
pub fn read(interface: &str) -> Result<Counters, Failure> {
    let output = Command::new("ethtool")
        .args(["-S", interface])
        .output()
        .map_err(|error| format!("cannot run ethtool: {error}"))?;
    Ok(parse(&String::from_utf8_lossy(&output.stdout)))
}

fn parse(text: &str) -> Counters {
    text.lines()
        .filter_map(|line| {
            let (name, value) = line.trim().split_once(": ")?;
            Some((name.to_owned(), value.trim().parse().ok()?))
        })
        .collect()
}

/// All WireGuard interfaces of this network namespace.
pub fn interfaces() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir("/sys/class/net")
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            fs::read_to_string(entry.path().join("uevent"))
                .is_ok_and(|text| text.lines().any(|line| line == "DEVTYPE=wireguard"))
        })
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_ethtool_says() {
        let counters = super::parse("NIC statistics:\n     tx_drop_staged: 7\n     rx_trains: 0\n");
        assert_eq!(
            counters,
            [
                ("tx_drop_staged".to_owned(), 7),
                ("rx_trains".to_owned(), 0)
            ]
        );
    }
}
