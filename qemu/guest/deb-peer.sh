#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The other end of the package test (qemu/test-deb.sh): the light guest with the
# C driver. Three interfaces for three tunnels; ends when it is told to.

set -eu
modprobe virtio_net
for _ in {1..50}; do
	[[ ! -e /sys/class/net/eth0 ]] || break
	sleep 0.1
done
ip link set eth0 up
ip addr add 192.0.2.2/24 dev eth0
for k in 0 1 2; do
	ip link add "wg$k" type wireguard
	wg setconf "wg$k" "/wg/peer/wg$k.conf"
	ip addr add "10.0.$k.2/24" dev "wg$k"
	ip link set "wg$k" up
done
echo "peer ready, $(modinfo -n wireguard)"
ncat -l 192.0.2.2 9000
wg show all transfer
