//! What a handshake costs, from the client's startup packet to the relay, without a socket.
//!
//! `cold` derives the SCRAM keys as the key thread does; `cached` is what a worker pays for every connection but
//! the first.

use std::sync::Arc;

use benches::handshake::Handshakes;
use criterion::{Criterion, criterion_group, criterion_main};
use protocol::Secret;
use protocol::work::Product;

fn handshakes(criterion: &mut Criterion) {
    let handshakes = Handshakes::new();
    let mut group = criterion.benchmark_group("postgres");
    group.bench_function("startup", |bencher| bencher.iter(|| handshakes.start_up()));
    group.bench_function("farewell", |bencher| bencher.iter(|| handshakes.refuse()));
    group.bench_function("trust", |bencher| bencher.iter(|| handshakes.trust()));
    group.bench_function("scram cold", |bencher| {
        bencher.iter(|| handshakes.scram(|work| Arc::new(work.perform(|_| None, Secret::copied_to_heap))));
    });
    let keys = Arc::new(Product::Scram(handshakes.derivation().derive(Secret::copied_to_heap)));
    group.bench_function("scram cached", |bencher| {
        bencher.iter(|| handshakes.scram(|_| Arc::clone(&keys)));
    });
    group.finish();
}

criterion_group!(benches, handshakes);
criterion_main!(benches);
