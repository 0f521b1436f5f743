//! Byte and time budgets. Every buffer and every wait in the program has one of these; the
//! defaults stand here, the configuration can change each, and the error of a wait names the
//! budget that ran out.

use std::time::Duration;

/// All limits, as usable values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// First bytes of a connection must be classified within this time.
    pub classify_time: Duration,
    /// Bytes looked at before a connection counts as neither TLS, HTTP nor SOCKS. A ClientHello
    /// with post-quantum shares and padding stays under 16 KiB; 64 KiB is TLS's own bound on a
    /// handshake message that we accept.
    pub classify_bytes: usize,
    /// A TLS handshake with the client, whole.
    pub handshake_time: Duration,
    /// Silence inside an accepted CONNECT tunnel before its first byte.
    pub tunnel_first_byte: Duration,
    /// Silence in both directions of an opaque tunnel.
    pub tunnel_idle: Duration,
    /// A request head, whole, from its first byte (slowloris).
    pub header_time: Duration,
    /// A kept-alive client connection without a request.
    pub keep_alive_idle: Duration,
    /// Request target, bytes: 414 above.
    pub uri_bytes: usize,
    /// Request or response head, bytes: 431 above.
    pub head_bytes: usize,
    /// Fields in a head: 431 above.
    pub head_fields: usize,
    /// A client must send a body that is read as a whole (a form, JSON) or whose length it said
    /// at this rate, bytes a second, after `body_grace`.
    pub body_rate: u64,
    pub body_grace: Duration,
    /// A write that makes no progress, either leg.
    pub write_stall: Duration,
    /// DNS, whole answer.
    pub resolve_time: Duration,
    /// TCP connect including every address tried.
    pub connect_time: Duration,
    /// TLS handshake with the origin.
    pub origin_handshake_time: Duration,
    /// Request sent to first byte of the origin's response.
    pub first_byte_time: Duration,
    /// Silence in the middle of an origin's response body.
    pub body_idle: Duration,
    /// An idle pooled origin connection.
    pub pool_idle: Duration,
    /// Idle origin connections kept per key.
    pub pool_per_key: usize,
    /// Idle origin connections kept for one client address: some 50 KB each.
    pub pool_per_client: usize,
    /// Idle origin connections kept in all.
    pub pool_total: usize,
    /// Bytes of a request body held and inspected before it is let go.
    pub request_window: usize,
    /// Bytes of a response body held and inspected before it is let go.
    pub response_window: usize,
    /// A held response body is inspected and let go when its origin pauses this long.
    pub window_pause: Duration,
    /// Processor time that the rules of one exchange, or one message, may take; and as much again for every 64 KiB of a
    /// body, because honest ones are long. The core rules take a hundredth of it for an ordinary request, and at most a
    /// fifteenth for 64 KiB of what is hardest for them.
    pub rules_time: Duration,
    /// Decoded bytes of a body at most, and its ratio to the encoded bytes (decompression bombs).
    pub decoded_bytes: usize,
    pub decoded_ratio: usize,
    /// Connections from one client address.
    pub per_client: usize,
    /// Connections in all; lowered at start to what RLIMIT_NOFILE allows.
    pub connections: usize,
    /// Concurrent HTTP/2 streams a client may open.
    pub h2_streams: u32,
    /// HTTP/2 frames that carry nothing, of one sort (resets; all others), that a client may send at once, and how
    /// many it is given back a second. A browser that leaves a page resets a hundred streams; a rapid reset
    /// (CVE-2023-44487) lives from tens of thousands a second.
    pub h2_control_burst: u32,
    pub h2_control_rate: u32,
    /// Time for open exchanges after SIGTERM.
    pub drain_time: Duration,
    /// Leaf certificates remembered.
    pub leaf_cache: u64,
    /// How long an origin's verified certificate is remembered, so that a further tunnel to it
    /// need not wait for the origin before its leaf is minted.
    pub verified_time: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        let s = Duration::from_secs;
        Limits {
            classify_time: s(10),
            classify_bytes: 64 * 1024,
            handshake_time: s(10),
            tunnel_first_byte: s(10),
            tunnel_idle: s(3600),
            header_time: s(10),
            keep_alive_idle: s(60),
            uri_bytes: 16 * 1024,
            head_bytes: 64 * 1024,
            head_fields: 100,
            body_rate: 240,
            body_grace: s(10),
            write_stall: s(60),
            resolve_time: s(5),
            connect_time: s(10),
            origin_handshake_time: s(10),
            first_byte_time: s(60),
            body_idle: s(60),
            pool_idle: s(30),
            pool_per_key: 64,
            pool_per_client: 64,
            pool_total: 2048,
            request_window: 1024 * 1024,
            response_window: 512 * 1024,
            window_pause: Duration::from_millis(100),
            rules_time: Duration::from_millis(50),
            decoded_bytes: 32 * 1024 * 1024,
            decoded_ratio: 100,
            per_client: 256,
            connections: 16 * 1024,
            h2_streams: 100,
            h2_control_burst: 500,
            h2_control_rate: 20,
            drain_time: s(30),
            leaf_cache: 4096,
            verified_time: s(600),
        }
    }
}
