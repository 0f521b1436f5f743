//! What each transformation costs a value that it leaves alone and one that it changes, short and
//! long. The first should be close to the cost of looking at the bytes.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use portward::waf::transformation::{find, names};

/// An ordinary parameter: no byte in it means anything to a decoder.
const PLAIN: &[u8] = b"harbour-timetable-of-the-third-week-in-november";

/// Something for most transformations to undo or fold.
const BUSY: &[u8] =
    b"  Caf%c3%A9 &amp; b%61r&#x2f;..//./x /* c */ \\u0041\\x42 \\74 %u00e9\0 Y2Fmw6k= 63616665 C:\\Dir\\..\\f ";

fn transformations(criterion: &mut Criterion) {
    let long = |value: &[u8]| value.iter().copied().cycle().take(4096).collect::<Vec<u8>>();
    let values = [
        ("plain", PLAIN.to_vec()),
        ("busy", BUSY.to_vec()),
        ("plain 4K", long(PLAIN)),
        ("busy 4K", long(BUSY)),
    ];
    for name in names() {
        let transformation = find(name).unwrap_or_else(|| panic!("{name} is listed and not found"));
        let mut group = criterion.benchmark_group(name);
        let mut out = Vec::new();
        for (what, value) in &values {
            group.throughput(Throughput::Bytes(value.len() as u64));
            group.bench_with_input(BenchmarkId::from_parameter(what), value, |bench, value| {
                bench.iter(|| (transformation.apply)(std::hint::black_box(value), &mut out));
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().without_plots().sample_size(20)
        .warm_up_time(std::time::Duration::from_millis(200))
        .measurement_time(std::time::Duration::from_millis(500));
    targets = transformations
}
criterion_main!(benches);
