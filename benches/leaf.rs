//! What a new host costs in the CA: a leaf with a key of its own, the same made ready to serve,
//! and a leaf that is remembered.

use std::convert::Infallible;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use portward::ca::{CaDir, LeafCache, LeafProfile, Minted, Purpose};
use portward::net::Host;
use portward::tls::accept::LeafConfigs;
use time::OffsetDateTime;

fn leaves(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let now = OffsetDateTime::now_utc();
    let ca = CaDir::new(dir.path().join("ca")).open_or_create(now).expect("a new CA");
    let configs = LeafConfigs::new().expect("a ticket key");
    let mut number = 0_u64;
    let mut next = || {
        number += 1;
        Host::parse(&format!("h{number}.bench.test")).expect("a host name")
    };
    let mut group = criterion.benchmark_group("leaf");
    group.bench_function("mint", |bench| {
        bench.iter(|| ca.mint(&LeafProfile::new(&next()), now).expect("a leaf"));
    });
    group.bench_function("mint and make ready to serve", |bench| {
        bench.iter(|| {
            let leaf = ca.mint(&LeafProfile::new(&next()), now).expect("a leaf");
            configs.build(leaf.chain, leaf.key.clone_key()).expect("a configuration")
        });
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let cache: LeafCache<Arc<()>> = LeafCache::new(4096);
    let key = ca.leaf_key(&next(), Purpose::Origin);
    let leaf = ca.mint(&LeafProfile::new(&next()), now).expect("a leaf");
    let made = async { Ok::<_, Infallible>(Minted::new(Arc::new(()), &leaf, now)) };
    runtime.block_on(cache.get_or_mint(&key, now, None, made)).expect("a remembered leaf");
    group.bench_function("remembered", |bench| {
        bench.iter(|| cache.get(&key, now, None).expect("it is remembered"));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().without_plots();
    targets = leaves
}
criterion_main!(benches);
