//! This project's engine as the proxy drives it, in process.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use nix::time::{ClockId, clock_gettime};
use portward::waf::Engine;
use portward::waf::input::{Body, ConnectionFacts, Extent, Field, RequestHead, ResponseHead};
use portward::waf::report::Decision;

use super::traffic::Exchange;

/// CPU time of this thread in nanoseconds.
pub fn cpu_nanoseconds() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("threads have a CPU clock");
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}

/// Runs the exchanges once: CPU nanoseconds, and how many were stopped.
pub fn run(engine: &Arc<Engine>, exchanges: &[Exchange]) -> (u64, u64) {
    let start = cpu_nanoseconds();
    let stopped = exchanges.iter().filter(|exchange| one(engine, exchange) != Decision::Continue).count();
    (cpu_nanoseconds() - start, stopped as u64)
}

fn fields<'a>(pairs: &'a [(&'static str, String)]) -> Vec<Field<'a>> {
    pairs.iter().map(|(name, value)| Field { name: name.as_bytes(), value: value.as_bytes() }).collect()
}

fn one(engine: &Arc<Engine>, exchange: &Exchange) -> Decision {
    let facts = ConnectionFacts {
        client_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        client_port: 40000,
        server_ip: None,
        server_port: 443,
        sni: Some("www.harbour.example"),
        identity: None,
        unix_ms: 1_760_000_000_000,
        unique_id: "0123456789abcdef",
    };
    let mut transaction = engine.begin(&facts);
    let head = fields(&exchange.fields);
    let body = |bytes| Body { bytes, extent: Extent::Whole, coding_error: None };
    let mut decision = transaction.request_headers(&RequestHead {
        method: exchange.method,
        target: exchange.target.as_bytes(),
        protocol: "HTTP/1.1",
        scheme: "https",
        host: "www.harbour.example",
        port: 443,
        fields: &head,
    });
    if decision == Decision::Continue {
        let wanted = transaction.wants_request_body();
        decision = transaction.request_body(&body(if wanted { exchange.body.as_bytes() } else { b"" }));
    }
    if decision == Decision::Continue {
        let fields = fields(&exchange.response_fields);
        let head = ResponseHead { status: exchange.status, protocol: "HTTP/1.1", fields: &fields };
        decision = transaction.response_headers(&head);
    }
    if decision == Decision::Continue {
        let wanted = transaction.wants_response_body();
        decision =
            transaction.response_body(&body(if wanted { exchange.response_body.as_bytes() } else { b"" }));
    }
    transaction.finish();
    decision
}
