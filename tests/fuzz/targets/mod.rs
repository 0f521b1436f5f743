//! What is fuzzed: ordinary functions over bytes, one per parser or promise. `cargo test` replays a
//! corpus and mutations of it through them, and the cargo-fuzz crate beside this folder runs them
//! for as long as somebody lets it. Each one asserts more than that nothing panics: that what is
//! read is bounded, that what is printed reads back, that the fast path says what the slow one does.

mod bodies;
mod engine;
mod files;
mod frames;
pub mod http1;
mod net;
mod peers;
mod rules;
mod streams;
mod values;

/// One thing to fuzz.
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
    /// What a replay makes of each corpus file, so that all of them take about as long.
    pub mutants: usize,
}

const fn target(name: &'static str, run: fn(&[u8]), mutants: usize) -> Target {
    Target { name, run, mutants }
}

/// By name.
pub const TARGETS: &[Target] = &[
    target("audit_record", files::audit_record, 300),
    target("authority", net::authority, 5000),
    target("charset", bodies::charset, 800),
    target("clamd_answer", peers::clamd_answer, 3000),
    target("client_hello", peers::client_hello, 500),
    target("coding", net::coding, 300),
    target("config", files::config, 40),
    target("cookies", bodies::cookies, 5000),
    target("core_rules", engine::core_rules, 20),
    target("event_stream", streams::event_stream, 2000),
    target("example", engine::example, 500),
    target("exchange", engine::exchange, 300),
    target("first_bytes", net::first_bytes, 5000),
    target("first_flight", peers::first_flight, 1000),
    target("grpc", bodies::grpc, 2000),
    target("grpc_frames", streams::grpc_frames, 1000),
    target("http1", http1::http1, 200),
    target("http2", frames::http2, 500),
    target("icap_answer", peers::icap_answer, 600),
    target("injection", values::injection, 2000),
    target("json", bodies::json, 4000),
    target("json_lines", bodies::json_lines, 2000),
    target("json_rules", rules::json_rules, 100),
    target("mint_log", files::mint_log, 100),
    target("multipart", bodies::multipart, 4000),
    target("operator", values::operator, 150),
    target("operator_argument", values::operator_argument, 500),
    target("path", values::path, 3000),
    target("pattern", rules::pattern, 100),
    target("protobuf", bodies::protobuf, 2000),
    target("redaction", net::redaction, 3000),
    target("scan_parts", streams::scan_parts, 2000),
    target("seclang", rules::seclang, 40),
    target("template", rules::template, 5000),
    target("transformation", values::transformation, 3000),
    target("urlencoded", bodies::urlencoded, 3000),
    target("websocket", frames::websocket, 500),
    target("xml", bodies::xml, 3000),
];

/// Runs the target of that name.
#[allow(dead_code, reason = "the cargo-fuzz crate calls it")]
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.unwrap_or_else(|| panic!("no target {name}")).run)(data);
}

/// The first line, and what is behind it.
fn line(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|&byte| byte == b'\n') {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, b""),
    }
}

/// Bytes as a failure shows them.
fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
