use super::*;
use crate::waf::report::{Interruption, Ledger, Match, PhaseName, Step};

pub(crate) fn receipt(seed: u8) -> ReceiptId {
    ReceiptId::from_random([seed, 1, 2, 3, 4, 5, 6, 7, 8, 9])
}

pub(crate) fn plain(seed: u8) -> Record {
    let client = ClientAddr::new("127.0.0.1:50000".parse().unwrap());
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_790_000_000_123);
    Record::new(receipt(seed), time, Kind::Exchange, ConnectionId(u64::from(seed)), client)
}

pub(crate) fn found(variable: &str, value: &str, matched: &str) -> Match {
    Match {
        data: String::new(),
        rule: 120010,
        set: "sql-injection".into(),
        phase: PhaseName::RequestBody,
        message: "SQL injection: UNION SELECT".into(),
        severity: "critical".into(),
        paranoia_level: 1,
        tags: vec!["attack-sqli".into()],
        score: 5,
        shadow: false,
        variable: variable.into(),
        value: value.into(),
        matched: matched.into(),
        operator: "rx union".into(),
        steps: vec![Step { transformation: "lowercase".into(), result: value.to_lowercase() }],
        exclusion: format!(r#"{{"rules":[120010],"variables":["{variable}"]}}"#),
    }
}

pub(crate) fn blocked(seed: u8, matches: Vec<Match>) -> Record {
    let mut record = plain(seed);
    record.verdict = Verdict::Blocked;
    record.reason = "score".into();
    record.status = Some(403);
    record.target = Some(Authority::parse("shop.test:443", None).unwrap());
    record.method = "GET".into();
    record.waf = Some(Box::new(Report {
        interruption: Some(Interruption {
            phase: PhaseName::RequestBody,
            action: crate::waf::report::Disruption::Deny { status: 403 },
            rule: 120010,
            by_score: true,
            reason: "inbound score 5 of 5".into(),
        }),
        detection_only: false,
        ledger: Ledger {
            inbound: 5,
            inbound_threshold: 5,
            outbound: 0,
            outbound_threshold: 4,
            paranoia_level: 1,
        },
        matches,
        matches_dropped: 0,
    }));
    record
}

#[test]
fn a_record_reads_back_as_written() {
    let mut record = blocked(1, vec![found("args:q", "1 UNION SELECT", "union select")]);
    record.identity = Some("ann".into());
    record.entry = Some(Entry::Socks5);
    record.sni = Host::parse("shop.test").ok();
    record.url = "https://shop.test/?q=1".into();
    record.client_leg.protocol = "HTTP/2.0".into();
    record.client_leg.tls = Some(TlsFacts {
        version: "TLSv1_3".into(),
        suite: "TLS13_AES_128_GCM_SHA256".into(),
        group: "X25519MLKEM768".into(),
        alpn: "h2".into(),
        resumed: true,
    });
    record.origin_leg.address = Some(OriginAddr::new("[2001:db8::1]:443".parse().unwrap()));
    record.origin_leg.certificate =
        Some(std::sync::Arc::new(CertificateFacts { sha256: "ab".repeat(32), issuer: "CN=Test".into() }));
    record.duration = Duration::from_micros(12_345);
    record.added = Some(Duration::from_micros(301));
    record.request_inspection = Some(Inspection::WHOLE);
    record.response_inspection = Some(Inspection::none("blocked before the origin was asked"));
    record.bytes_from_client = 10;
    record.rules = "0123abcd".into();
    let line = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), record);
    assert!(line.contains(r#""duration_ms":12.345"#), "{line}");
    assert!(line.contains(r#""time":"2026-09-21T14:13:20.123Z""#), "{line}");
}

#[test]
fn empty_fields_are_left_out() {
    let line = serde_json::to_string(&plain(1)).unwrap();
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    let mut keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["client", "connection", "duration_ms", "id", "kind", "stage", "time", "verdict"]);
    assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), plain(1));
}

#[test]
fn every_duration_in_microseconds_survives() {
    for micros in (0..3_000).chain([999_999, 1_000_001, 86_400_000_000, 12_345_678_901]) {
        let mut record = plain(1);
        record.duration = Duration::from_micros(micros);
        let line = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&line).unwrap().duration, record.duration, "{line}");
    }
}

#[test]
fn a_clock_that_is_off_does_not_panic() {
    let far = SystemTime::UNIX_EPOCH + Duration::from_secs(400_000_000_000);
    assert_eq!(rfc3339(far), "1970-01-01T00:00:00.000Z");
    assert_eq!(rfc3339(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00.000Z");
}
