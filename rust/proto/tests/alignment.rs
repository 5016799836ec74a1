// SPDX-License-Identifier: GPL-2.0

//! Messages at odd addresses: a tunnel works, and every field reads the same, wherever they lie.

use std::net::SocketAddr;

use wg_proto::keys::{PresharedKey, PrivateKey};
use wg_proto::noise::StaticIdentity;
use wg_proto::peer::{Datagram, Env, Peer, Received, MAX_CONTROL_LEN};
use wg_proto::rustcrypto::{RustCrypto, SeededRng};
use wg_proto::time::{Instant, Tai64n};
use wg_proto::wire::{kind, Kind, Maced as _, Message};

fn env(rng: &mut SeededRng) -> Env<'_, RustCrypto, SeededRng> {
    Env {
        now: Instant::from_nanos(1_000_000_000_000),
        timestamp: Tai64n::from_unix(1000, 0),
        crypto: &RustCrypto,
        rng,
    }
}

/// Whose first byte is `shift` bytes behind an address that 16 divides.
fn shifted(buffer: &mut [u8], shift: usize, len: usize) -> &mut [u8] {
    let start = buffer.as_ptr().align_offset(16) + shift;
    &mut buffer[start..start + len]
}

fn deliver(to: &mut Peer, rng: &mut SeededRng, bytes: &[u8], shift: usize) -> (Received, Vec<u8>) {
    let (mut input, mut output) = ([0; 4096], [0; 4096]);
    let input = shifted(&mut input, shift, bytes.len());
    input.copy_from_slice(bytes);
    let datagram = Datagram {
        bytes: input,
        source: SocketAddr::from(([192, 0, 2, 1], 51820)),
        under_load: false,
    };
    let out = shifted(&mut output, 15 - shift, bytes.len());
    let received = to.receive(&mut env(rng), &datagram, out).unwrap();
    (received, out.to_vec())
}

fn poll(from: &mut Peer, rng: &mut SeededRng) -> Option<Vec<u8>> {
    let mut out = [0; MAX_CONTROL_LEN];
    let transmit = from.poll_transmit(&mut env(rng), &mut out)?;
    Some(out[..transmit.len()].to_vec())
}

#[test]
fn a_tunnel_with_buffers_at_odd_addresses() {
    for shift in 0..16 {
        let mut rng = SeededRng::new(shift as u64);
        let [a, b] = [(); 2].map(|()| {
            let key = PrivateKey::random(&mut rng);
            StaticIdentity::new(key, &RustCrypto)
        });
        let (a_key, b_key) = (*a.public(), *b.public());
        let psk = || PresharedKey::from_bytes(&[7; 32]);
        let mut a = Peer::new(a, b_key, psk(), &mut env(&mut rng));
        let mut b = Peer::new(b, a_key, psk(), &mut env(&mut rng));

        a.request_initiation(&mut env(&mut rng));
        let initiation = poll(&mut a, &mut rng).unwrap();
        let (received, _) = deliver(&mut b, &mut rng, &initiation, shift);
        assert_eq!(received, Received::Initiation);
        let response = poll(&mut b, &mut rng).unwrap();
        let (received, _) = deliver(&mut a, &mut rng, &response, shift);
        assert_eq!(received, Received::Response);

        for len in [20, 21, 28, 63, 64, 65, 1420] {
            let (mut text, mut out) = ([0; 4096], [0; 4096]);
            let text = shifted(&mut text, shift, 1440);
            text[0] = 0x45;
            text[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            text[12..16].copy_from_slice(&[10, 0, 0, 1]);
            let packet = text[..len].to_vec();
            let out = shifted(&mut out, (shift * 7) % 16, 1500);
            let sealed = a
                .send_packet(&mut env(&mut rng), text, len, 1420, out)
                .unwrap();
            let (received, opened) = deliver(&mut b, &mut rng, &out[..sealed], shift);
            let Received::Packet(inner) = received else {
                panic!("no packet: {received:?}");
            };
            assert_eq!(inner.source.to_string(), "10.0.0.1");
            assert_eq!(opened[..inner.len], packet);
        }
    }
}

#[test]
fn fields_read_the_same_at_every_address() {
    let bytes: Vec<u8> = (0..148).collect();
    for (word, len) in [(1, 148), (2, 92), (3, 64), (4, 32)] {
        for shift in 0..16 {
            let mut buffer = [0; 256];
            let message = shifted(&mut buffer, shift, len);
            message.copy_from_slice(&bytes[..len]);
            message[..4].copy_from_slice(&[word, 0, 0, 0]);
            let head = message.first_chunk().unwrap();
            let index = 0x0706_0504;
            match (Message::parse(message).unwrap(), kind(head, len).unwrap()) {
                (Message::Initiation(message), Kind::Handshake) => {
                    assert_eq!(message.sender().0, index);
                    assert_eq!(message.macs().mac2, bytes[132..]);
                }
                (Message::Response(message), Kind::Handshake) => {
                    assert_eq!(message.sender().0, index);
                    assert_eq!(message.receiver().0, 0x0b0a_0908);
                }
                (Message::CookieReply(message), Kind::Handshake) => {
                    assert_eq!(message.receiver().0, index);
                }
                (Message::Data(message), Kind::Data(header)) => {
                    assert_eq!(header.receiver().0, index);
                    assert_eq!(message.header.receiver().0, index);
                    assert_eq!(message.header.counter().0, 0x0f0e_0d0c_0b0a_0908);
                }
                _ => panic!("type {word} is another"),
            }
        }
    }
}
