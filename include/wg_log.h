/* SPDX-License-Identifier: GPL-2.0 */
/*
 * C side of wg_kapi: messages of one interface in the kernel log.
 *
 * Debug messages must be format strings of C call sites to be switched on by
 * dynamic debug, so they are listed here: M(name, text), one list for each set
 * of arguments. Every one becomes a function wg_log_NAME().
 */
#ifndef WG_LOG_H
#define WG_LOG_H

#include <linux/types.h>

struct net_device;
struct wg_endpoint;

/* About the interface. */
#define WG_LOG_INTERFACE(M)							\
	M(interface_created, "Interface created")				\
	M(interface_destroyed, "Interface destroyed")				\
	M(creating_net_exiting, "Creating namespace is going away")

/* About a peer, by its number. */
#define WG_LOG_PEER(M)								\
	M(peer_created, "Peer %llu created")					\
	M(peer_destroyed, "Peer %llu destroyed")

/* About a keypair: its number, then the number of its peer. */
#define WG_LOG_KEYPAIR(M)							\
	M(keypair_created, "Keypair %llu created for peer %llu")		\
	M(keypair_destroyed, "Keypair %llu destroyed for peer %llu")

/* About a peer, and where it is. */
#define WG_LOG_PEER_AT(M)							\
	M(sending_initiation, "Sending handshake initiation to peer %llu (%pISpfsc)") \
	M(sending_response, "Sending handshake response to peer %llu (%pISpfsc)") \
	M(sending_keepalive, "Sending keepalive to peer %llu (%pISpfsc)")	\
	M(received_initiation, "Handshake initiation from peer %llu (%pISpfsc)") \
	M(received_response, "Handshake response from peer %llu (%pISpfsc)")	\
	M(received_keepalive, "Keepalive from peer %llu (%pISpfsc)")		\
	M(received_bad_length, "Inner packet of wrong length from peer %llu (%pISpfsc)") \
	M(received_not_ip, "Inner packet is not IP from peer %llu (%pISpfsc)")	\
	M(received_bad_source, "Inner source address not allowed for peer %llu (%pISpfsc)") \
	M(no_route, "No route to peer %llu (%pISpfsc)")				\
	M(handshake_gave_up, "Handshake with peer %llu (%pISpfsc) given up after many tries") \
	M(stopped_hearing_back, "Nothing heard from peer %llu (%pISpfsc), starting a new handshake") \
	M(zeroing_keys, "Keys of peer %llu (%pISpfsc) wiped, as there was no new session for long")

/* About a peer, where it is, and how often. */
#define WG_LOG_ATTEMPT(M)							\
	M(handshake_retry, "Handshake with peer %llu (%pISpfsc) not answered, attempt %u")

/* About a message of a peer, by its counter. */
#define WG_LOG_COUNTER(M)							\
	M(invalid_nonce, "Message of peer %llu is replayed or too old (counter %llu)")

/* About a message from somewhere. */
#define WG_LOG_FROM(M)								\
	M(sending_cookie, "Sending cookie to %pISpfsc")				\
	M(invalid_message, "Malformed message from %pISpfsc")			\
	M(invalid_mac, "Wrong MAC in a handshake message from %pISpfsc")	\
	M(invalid_initiation, "Handshake initiation refused from %pISpfsc")	\
	M(invalid_response, "Handshake response refused from %pISpfsc")		\
	M(handshake_dropped, "Too many handshake messages, one dropped from %pISpfsc")

/* About the traffic of the interface, nobody being known. */
#define WG_LOG_TRAFFIC(M)							\
	M(received_cookie, "Cookie received")					\
	M(tx_not_ip, "Packet to send is not IP")				\
	M(tx_no_peer, "No peer is allowed the destination of a packet")		\
	M(tx_no_endpoint, "Peer of a packet to send has no endpoint")

#define WG_LOG_DECLARE_DEV(name, text) \
	void wg_log_##name(const struct net_device *dev);
#define WG_LOG_DECLARE_PEER(name, text) \
	void wg_log_##name(const struct net_device *dev, u64 peer);
#define WG_LOG_DECLARE_PAIR(name, text) \
	void wg_log_##name(const struct net_device *dev, u64 first, u64 second);
#define WG_LOG_DECLARE_PEER_AT(name, text) \
	void wg_log_##name(const struct net_device *dev, u64 peer, const struct wg_endpoint *at);
#define WG_LOG_DECLARE_ATTEMPT(name, text) \
	void wg_log_##name(const struct net_device *dev, u64 peer, const struct wg_endpoint *at, \
			   u32 attempt);
#define WG_LOG_DECLARE_FROM(name, text) \
	void wg_log_##name(const struct net_device *dev, const struct wg_endpoint *from);

WG_LOG_INTERFACE(WG_LOG_DECLARE_DEV)
WG_LOG_PEER(WG_LOG_DECLARE_PEER)
WG_LOG_KEYPAIR(WG_LOG_DECLARE_PAIR)
WG_LOG_PEER_AT(WG_LOG_DECLARE_PEER_AT)
WG_LOG_ATTEMPT(WG_LOG_DECLARE_ATTEMPT)
WG_LOG_COUNTER(WG_LOG_DECLARE_PAIR)
WG_LOG_FROM(WG_LOG_DECLARE_FROM)
WG_LOG_TRAFFIC(WG_LOG_DECLARE_DEV)

/* Free text from Rust: `text` is a core::fmt::Arguments, printed by %pA. */
void wg_log_info(const struct net_device *dev, const void *text);
void wg_log_error(const struct net_device *dev, const void *text);
void wg_log_no_socket(const struct net_device *dev, int version);
void wg_log_leak(u64 objects);

#endif
