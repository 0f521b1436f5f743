//! What an audit record costs in CPU time, all threads together: making a typical record of an
//! exchange that passed, and handing it over until it stands in the file.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use criterion::{Criterion, criterion_group, criterion_main};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use portward::audit::record::{CertificateFacts, Inspection, OriginLeg, OriginMarks, TlsFacts};
use portward::audit::{Audit, AuditConfig, Destination, FileConfig, Kind, Record, Stage, Submitted, Verdict};
use portward::metrics::Metrics;
use portward::net::{Authority, ClientAddr, ConnectionId, Entry, Host, OriginAddr, ReceiptId};

/// As in the proxy: records are freed by another thread than the one that made them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What all exchanges of one tunnel have in common.
struct Tunnel {
    client: ClientAddr,
    origin: OriginAddr,
    target: Authority,
    sni: Host,
    tls: TlsFacts,
    certificate: Arc<CertificateFacts>,
}

impl Tunnel {
    fn new() -> Tunnel {
        Tunnel {
            client: ClientAddr::new("10.1.2.3:50123".parse().expect("an address")),
            origin: OriginAddr::new("192.0.2.17:443".parse().expect("an address")),
            target: Authority::parse("shop.bench.test:443", None).expect("an authority"),
            sni: Host::parse("shop.bench.test").expect("a host"),
            tls: TlsFacts {
                version: "TLSv1.3".into(),
                suite: "TLS13_AES_128_GCM_SHA256".into(),
                group: "X25519".into(),
                alpn: "http/1.1".to_owned().into(),
                resumed: false,
            },
            certificate: Arc::new(CertificateFacts {
                sha256: "0123456789abcdef".repeat(4),
                issuer: "CN=Bench Issuing CA 3, O=Bench, C=DE".to_owned(),
            }),
        }
    }

    /// As the proxy makes it.
    fn record(&self, number: u64, path: &str) -> Box<Record> {
        let mut id = [7; 10];
        id[..8].copy_from_slice(&number.to_le_bytes());
        let id = ReceiptId::from_random(id);
        let record = Record::new(id, SystemTime::now(), Kind::Exchange, ConnectionId(number), self.client);
        let mut record = Box::new(record);
        record.entry = Some(Entry::HttpProxy);
        record.method = "GET".into();
        record.client_leg.protocol = "HTTP/1.1".into();
        record.target = Some(self.target.clone());
        record.sni = Some(self.sni.clone());
        record.client_leg.tls = Some(self.tls.clone());
        record.url = format!("https://{}{path}{number}", self.target.host);
        record.request_inspection = Some(Inspection::WHOLE);
        record.origin_leg = OriginLeg {
            protocol: "HTTP/1.1".into(),
            address: Some(self.origin),
            tls: Some(self.tls.clone()),
            certificate: Some(self.certificate.clone()),
            marks: OriginMarks { revocation: "unknown".into(), ..OriginMarks::default() },
            pooled: true,
            ..OriginLeg::default()
        };
        record.response_inspection = Some(Inspection::WHOLE);
        record.rules = self.certificate.sha256[..16].to_owned().into();
        record.status = Some(200);
        record.bytes_to_client = 1024;
        record.duration = Duration::from_micros(100 + number % 4096);
        record.verdict = Verdict::Passed;
        record.stage = Stage::Done;
        record
    }
}

/// User and system time of the whole process.
fn cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("the process's own usage");
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(u64::try_from(micros).expect("time that was used"))
}

fn records(criterion: &mut Criterion) {
    let tunnel = Tunnel::new();
    let mut group = criterion.benchmark_group("audit");
    group.bench_function("make", |bench| {
        let mut number = 0;
        bench.iter(|| {
            number += 1;
            tunnel.record(black_box(number), "/items/view/")
        });
    });
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = FileConfig::new(dir.path().join("audit.jsonl"));
    let audit = Audit::start(&AuditConfig::new(Destination::File(file)), Arc::new(Metrics::default()));
    let audit = audit.expect("a log");
    for (name, path) in
        [("make and write", "/items/view/"), ("the same with a query", "/items/view?page=2&session=x&id=")]
    {
        group.bench_function(name, |bench| {
            bench.iter_custom(|records| {
                let before = cpu();
                for number in 0..records {
                    assert_eq!(audit.submit(tunnel.record(number, path)), Submitted::Queued);
                    // Some 30,000 in a second, as one core serves them.
                    if number % 256 == 255 {
                        std::thread::sleep(Duration::from_millis(7));
                    }
                }
                while audit.pending() > 0 {
                    std::thread::sleep(Duration::from_millis(1));
                }
                cpu() - before
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().without_plots().sample_size(10);
    targets = records
}
criterion_main!(benches);
