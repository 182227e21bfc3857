//! What is measured: one query against 20,000 index and 5,000 train images of 512 dimensions, plain, re-ranked, and a batch of 64.
//! Corpus: 2,000 seeded clusters. Notes: exact search, then the graph's, of one compacted segment; the figure to quote is re-ranked over plain, in one run.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a bench stops by panicking; criterion's macros define undocumented items"
)]

use cairn::{Database, Options, Query, Rerank, SearchRequest};
use cairndb_benches::random::Random;
use criterion::{Criterion, criterion_group, criterion_main};

mod data;

const DIMENSION: usize = 512;
const CLUSTERS: u64 = 2_000;
/// Breadth of the graph searches.
const EF: usize = 200;

fn search(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::create(folder.path().join("db"), Options::for_vectors(DIMENSION)).unwrap();
    let mut random = Random::new(7);
    for part in 0..5u64 {
        let train = (0..1_000u64).map(|n| part * 1_000 + n);
        let rows = train.map(|n| data::put(&mut random, format!("t{n:06}"), n % CLUSTERS, true, DIMENSION));
        database.write(rows).unwrap();
        let index = (0..4_000u64).map(|n| part * 4_000 + n);
        let rows = index.map(|n| data::put(&mut random, format!("i{n:06}"), n * 7 % CLUSTERS, false, DIMENSION));
        database.write(rows).unwrap();
    }
    // One segment of each role, so that there is a graph to search.
    database.compact().unwrap();
    let snapshot = database.snapshot();
    let queries: Vec<Query> = (0..64).map(|n| Query::new(data::near(&mut random, n * 31, DIMENSION))).collect();
    let plain = SearchRequest::default();
    let reranked = plain.clone().rerank(Rerank::new().k(3).tau(0.6));
    let broad = |request: &SearchRequest| request.clone().ef(EF);
    let (graph, graph_reranked) = (broad(&plain), broad(&reranked));
    let mut group = criterion.benchmark_group("search 20k x 512");
    group.sample_size(20);
    group.bench_function("plain", |bench| bench.iter(|| snapshot.search(&plain, &queries[..1]).unwrap()));
    group.bench_function("re-ranked", |bench| bench.iter(|| snapshot.search(&reranked, &queries[..1]).unwrap()));
    group
        .bench_function("re-ranked, batch of 64", |bench| bench.iter(|| snapshot.search(&reranked, &queries).unwrap()));
    group.bench_function("graph", |bench| bench.iter(|| snapshot.search(&graph, &queries[..1]).unwrap()));
    group.bench_function("graph, re-ranked", |bench| {
        bench.iter(|| snapshot.search(&graph_reranked, &queries[..1]).unwrap());
    });
    group.finish();
}

criterion_group!(benches, search);
criterion_main!(benches);
