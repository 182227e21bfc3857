//! Plain search against search with the second stage, exact and through the graph, single queries, interleaved.

use std::collections::HashSet;

use cairn::{Database, Query, Rerank, SearchRequest, Snapshot};

use crate::Run;
use crate::meter::{Times, cpu, heading, line};

/// The second stage of the paper.
fn rerank() -> Rerank {
    Rerank::new().k(3).tau(0.6)
}

/// Queries of one kind before those of the next.
const CHUNK: usize = 50;
/// Exact searches that are timed: they take long.
const EXACT: usize = 100;
/// Queries whose graph answers are compared with the exact ones.
const RECALL: usize = 200;
/// One way of searching and what it took.
struct Way {
    name: String,
    request: SearchRequest,
    times: Times,
    cpu: f64,
}

/// The measured part.
pub(crate) fn search(run: &Run, database: &Database) {
    let snapshot = database.snapshot();
    let counts = snapshot.counts();
    let segments = database.segments().len();
    heading(&format!("search: {} index, {} train images, {segments} segments, K = 100", counts.index, counts.train));
    run.say("making queries");
    let queries: Vec<Query> = (0..run.flags.queries.max(1)).map(|n| run.query(n as u64)).collect();
    let plain = |ef: Option<usize>| SearchRequest::new().ef(ef);
    let mut ways: Vec<Way> = Vec::new();
    for ef in run.flags.ef.iter().map(|&ef| Some(ef)).chain([None]) {
        let name = ef.map_or_else(|| "exact".to_owned(), |ef| format!("EF {ef}"));
        let reranked = plain(ef).rerank(rerank());
        let voted = plain(ef).rerank(rerank().sort_only());
        for (kind, request) in [("plain", plain(ef)), ("sort", voted), ("sort + insert", reranked)] {
            ways.push(Way { name: format!("{name}, {kind}"), request, times: Times::default(), cpu: 0.0 });
        }
    }
    measure(run, &snapshot, &queries, &mut ways);
    for kinds in ways.chunks(3) {
        for way in kinds {
            let ratio = |of: fn(&Way) -> f64| of(way) / of(&kinds[0]);
            let p50 = ratio(|way| way.times.quantile(0.5));
            let spent = ratio(|way| way.cpu / way.times.len() as f64);
            let each = 1e3 * way.cpu / way.times.len() as f64;
            let against = format!("{p50:.2} x plain (CPU {spent:.2} x)");
            line(&way.name, format!("{}, CPU {each:.3} ms; {against}", way.times.summary()));
        }
    }
    recall(run, &snapshot, &queries);
    agreement(run, &snapshot, &queries);
}

/// Times all ways, a chunk of queries each in turn. The order changes from chunk to chunk, and is turned round when everybody has been the
/// first: who comes first brings the rows of a query into the cache for those that follow.
fn measure(run: &Run, snapshot: &Snapshot, queries: &[Query], ways: &mut [Way]) {
    for way in ways.iter() {
        snapshot.search(&way.request, &queries[..1]).unwrap();
    }
    for (turn, chunk) in queries.chunks(CHUNK).enumerate() {
        run.say(format!("searching, queries from {}", turn * CHUNK));
        ways.rotate_left(1);
        let mut order: Vec<&mut Way> = ways.iter_mut().collect();
        if turn / order.len() % 2 == 1 {
            order.reverse();
        }
        for way in order {
            if way.request.ef.is_none() && turn * CHUNK >= EXACT {
                continue;
            }
            let used = cpu();
            for query in chunk {
                way.times.time(|| snapshot.search(&way.request, std::slice::from_ref(query)).unwrap());
            }
            way.cpu += cpu() - used;
        }
    }
    let turns = queries.len().div_ceil(CHUNK) % ways.len();
    ways.rotate_right(turns);
}

/// How much of the exact answers the graph finds.
fn recall(run: &Run, snapshot: &Snapshot, queries: &[Query]) {
    run.say("exact answers");
    let queries = &queries[..queries.len().min(RECALL)];
    let exact = snapshot.search(&SearchRequest::default(), queries).unwrap();
    let mut last = Vec::new();
    for &ef in &run.flags.ef {
        let found = snapshot.search(&SearchRequest::new().ef(ef), queries).unwrap();
        let each = exact.iter().zip(&found).map(|(exact, found)| {
            let exact: HashSet<&str> = exact.rows.iter().map(|row| &*row.id).collect();
            found.rows.iter().filter(|row| exact.contains(&*row.id)).count() as f64 / exact.len() as f64
        });
        let each: Vec<f64> = each.collect();
        line(&format!("recall@100 of EF {ef}"), format!("{:.4}", each.iter().sum::<f64>() / each.len() as f64));
        last = each;
    }
    let poor = last.iter().filter(|&&share| share < 0.5).count();
    line("  queries below .5 at the broadest", format!("{poor} of {}", queries.len()));
}

/// How often the vote of a search with EF is the exact vote.
fn agreement(run: &Run, snapshot: &Snapshot, queries: &[Query]) {
    run.say("votes");
    let mut exact = Vec::new();
    for query in queries {
        exact.push(snapshot.predict(query, rerank().k).unwrap().vote);
    }
    for &ef in &run.flags.ef {
        let request = SearchRequest::new().ef(ef).rerank(rerank());
        let answers = snapshot.search(&request, queries).unwrap();
        let same = |by_score: bool| {
            let pairs = answers.iter().zip(&exact);
            let agree = pairs.filter(|(answer, exact)| match (&answer.prediction, exact) {
                (Some(a), Some(b)) => a.instance == b.instance && (!by_score || a.score.to_bits() == b.score.to_bits()),
                (a, b) => a.is_none() && b.is_none(),
            });
            100.0 * agree.count() as f64 / queries.len() as f64
        };
        let (label, score) = (same(false), same(true));
        let name = format!("vote of EF {ef} against the exact one, {} queries", queries.len());
        line(&name, format!("label {label:.2} %, label and score {score:.2} %"));
    }
}
