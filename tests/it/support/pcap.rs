//! What a relay heard, as a file that Wireshark's programs read: one TCP connection between made-up addresses, with
//! port 443 on the server's side.

use super::relay::{From, Heard};

/// The file's bytes (pcap, raw IPv4).
pub fn pcap(heard: &Heard) -> Vec<u8> {
    let mut out = Vec::new();
    for number in [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 0x0004_0000, 101] {
        out.extend(number.to_le_bytes());
    }
    // The next number in each direction. The handshake comes first: readers start a stream at it.
    let (mut client, mut server) = (1000u32, 5000u32);
    let mut at = 0u32;
    let mut send = |from: From, flags: u8, bytes: &[u8], client: u32, server: u32| {
        let packet = packet(from, flags, bytes, client, server);
        for number in [1_700_000_000 + at, at, packet.len() as u32, packet.len() as u32] {
            out.extend(number.to_le_bytes());
        }
        out.extend(packet);
        at += 1;
    };
    send(From::Client, SYN, &[], client - 1, 0);
    send(From::Server, SYN | ACK, &[], client, server - 1);
    send(From::Client, ACK, &[], client, server);
    for (from, bytes) in heard {
        for part in bytes.chunks(8 * 1024) {
            send(*from, ACK | PUSH, part, client, server);
            match from {
                From::Client => client += part.len() as u32,
                From::Server => server += part.len() as u32,
            }
        }
    }
    out
}

const SYN: u8 = 2;
const PUSH: u8 = 8;
const ACK: u8 = 16;

/// IPv4 and TCP without checksums, which nobody checks in a recording.
fn packet(from: From, flags: u8, bytes: &[u8], client: u32, server: u32) -> Vec<u8> {
    let ends = ([192, 0, 2, 1], 40_000u16, [192, 0, 2, 2], 443u16);
    let (source, source_port, target, target_port, number, acknowledged) = match from {
        From::Client => (ends.0, ends.1, ends.2, ends.3, client, server),
        From::Server => (ends.2, ends.3, ends.0, ends.1, server, client),
    };
    let mut out = vec![0x45, 0];
    out.extend((40 + bytes.len() as u16).to_be_bytes());
    out.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
    out.extend(source);
    out.extend(target);
    out.extend(source_port.to_be_bytes());
    out.extend(target_port.to_be_bytes());
    out.extend(number.to_be_bytes());
    out.extend(acknowledged.to_be_bytes());
    out.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    out.extend(bytes);
    out
}
