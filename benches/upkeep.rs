//! What is measured: writes into a database of 10,000 index and 2,000 train images of 256 dimensions, predictions kept exact.
//! Corpus: 500 seeded clusters. Notes: every write is synced to disk, which is part of the figure.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a bench stops by panicking; criterion's macros define undocumented items"
)]

use cairn::{Database, Operation, Options};
use cairndb_benches::random::Random;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

mod data;

const DIMENSION: usize = 256;
const CLUSTERS: u64 = 500;

fn upkeep(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::create(folder.path().join("db"), Options::for_vectors(DIMENSION)).unwrap();
    let mut random = Random::new(11);
    let rows = (0..2_000).map(|n| data::put(&mut random, format!("t{n}"), n % CLUSTERS, true, DIMENSION));
    database.write(rows).unwrap();
    let rows = (0..10_000).map(|n| data::put(&mut random, format!("i{n}"), n % CLUSTERS, false, DIMENSION));
    database.write(rows).unwrap();
    let mut next = 0u64;
    let mut group = criterion.benchmark_group("write, 10k index, 2k train");
    group.sample_size(20);
    for (name, labelled, count) in
        [("1 train image", true, 1), ("100 train images", true, 100), ("100 index images", false, 100)]
    {
        group.bench_function(name, |bench| {
            let fresh = || {
                let rows = (0..count)
                    .map(|n| data::put(&mut random, format!("n{}", next + n), n % CLUSTERS, labelled, DIMENSION));
                let rows: Vec<Operation> = rows.collect();
                next += count;
                rows
            };
            bench.iter_batched(fresh, |rows| database.write(rows).unwrap(), BatchSize::PerIteration);
        });
    }
    let mut turn = 0u64;
    group.bench_function("1 relabelled train image", |bench| {
        bench.iter(|| {
            turn += 1;
            let label = format!("place {}", turn % 2);
            database.write(vec![Operation::Label { key: "t7".to_owned(), label }]).unwrap()
        });
    });
    group.finish();
}

criterion_group!(benches, upkeep);
criterion_main!(benches);
