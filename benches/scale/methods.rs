//! The methods of the first stage beside plain search: what they compute once, what a query takes, and what a write costs them.

use std::time::Instant;

use cairn::methods::{Diffusion, Expand, Exploration, Fusion, Order, Reciprocal, SuperGlobal};
use cairn::{Database, Query, Rerank, SearchRequest};

use crate::Run;
use crate::data::{Kind, index_key};
use crate::meter::{Times, bytes, cpu, heading, line, memory, mib};

/// Queries of each method: some are slow.
const QUERIES: usize = 100;
/// Queries of one method before those of the next.
const CHUNK: usize = 10;
/// Breadth of the graph searches.
const EF: usize = 200;
/// Index images that come in one write, after which the neighbour graph is brought in line.
const NEW: [u64; 2] = [1, 100];

/// One way of searching and what it took.
struct Way {
    name: String,
    request: SearchRequest,
    times: Times,
    cpu: f64,
}

/// The measured part.
pub(crate) fn methods(run: &Run, database: &Database) {
    let counts = database.snapshot().counts();
    heading(&format!("methods of the first stage: {} index, {} train images, K = 100", counts.index, counts.train));
    once(run, database);
    let queries: Vec<Query> = (0..QUERIES).map(|n| run.query(n as u64)).collect();
    let snapshot = database.snapshot();
    for ef in [None, Some(EF)] {
        let mut ways = ways(ef);
        for way in &ways {
            // What a method keeps for later is there before it is timed.
            run.say(format!("a first pass: {}", way.name));
            snapshot.search(&way.request, &queries).unwrap();
        }
        for (turn, chunk) in queries.chunks(CHUNK).enumerate() {
            run.say(format!("searching, queries from {}", turn * CHUNK));
            ways.rotate_left(1);
            for way in &mut ways {
                let used = cpu();
                for query in chunk {
                    way.times.time(|| snapshot.search(&way.request, std::slice::from_ref(query)).unwrap());
                }
                way.cpu += cpu() - used;
            }
        }
        let turns = QUERIES.div_ceil(CHUNK) % ways.len();
        ways.rotate_right(turns);
        let (plain, plain_cpu) = (ways[0].times.quantile(0.5), ways[0].cpu);
        for way in &ways {
            let (time, spent) = (way.times.quantile(0.5) / plain, way.cpu / plain_cpu);
            line(&way.name, format!("{}; {time:.2} x plain (CPU {spent:.2} x)", way.times.summary()));
        }
    }
    kept(run, database);
    writes(run, database);
}

/// The ways that are compared, plain search first.
fn ways(ef: Option<usize>) -> Vec<Way> {
    let plain = || SearchRequest::new().ef(ef);
    let ordered = |order: Order| plain().order(order);
    let rerank = Rerank::new().k(3).tau(0.6);
    let named = |name: &str, request: SearchRequest| Way {
        name: ef.map_or_else(|| format!("exact, {name}"), |ef| format!("EF {ef}, {name}")),
        request,
        times: Times::default(),
        cpu: 0.0,
    };
    let mut ways = vec![
        named("plain", plain()),
        named("sort + insert", plain().rerank(rerank)),
        named("FUSE", ordered(Fusion::new().into())),
        named("DIFFUSE", ordered(Diffusion::default().into())),
        named("RECIPROCAL", ordered(Reciprocal::default().into())),
        named("EXPLORE", ordered(Exploration::default().into())),
        named("SUPERGLOBAL", ordered(SuperGlobal::new().into())),
        named("EXPAND ALPHA", plain().expand(Expand::alpha())),
    ];
    if ef.is_none() {
        // The graphs do not have augmented descriptors.
        ways.push(named("AUGMENT", plain().augment(Expand::alpha())));
    }
    ways
}

/// What is computed once for a state of the index: each with the first query that needs it.
fn once(run: &Run, database: &Database) {
    let snapshot = database.snapshot();
    let query = [run.query(0)];
    for (name, request) in [
        ("the neighbour graph (with a first EXPLORE)", SearchRequest::new().order(Exploration::default())),
        ("the calibration of FUSE", SearchRequest::new().order(Fusion::new())),
        ("the augmented index (AUGMENT)", SearchRequest::new().augment(Expand::alpha())),
    ] {
        run.say(format!("computing {name}"));
        let (start, used, before) = (Instant::now(), cpu(), memory().1);
        snapshot.search(&request, &query).unwrap();
        let (seconds, spent) = (start.elapsed().as_secs_f64(), cpu() - used);
        let more = memory().1.saturating_sub(before);
        let rows = snapshot.counts().index.max(1);
        line(
            name,
            format!("{seconds:.1} s (CPU {spent:.1} s), {} = {} bytes a row in memory", mib(more), more / rows as u64),
        );
    }
    run.say("computing spreads");
    let rows = 64.min(snapshot.counts().index) as u64;
    let (start, used) = (Instant::now(), cpu());
    for n in 0..rows {
        let near = Query::new(run.collection.row(Kind::Index, n * 997 % snapshot.counts().index.max(1) as u64).1);
        let diffusion = Diffusion::new().sources(1);
        snapshot.search(&SearchRequest::new().order(diffusion), &[near]).unwrap();
    }
    let (seconds, spent) = (start.elapsed().as_secs_f64() / rows as f64, (cpu() - used) / rows as f64);
    let all = seconds * snapshot.counts().index as f64;
    line(
        "the spread of a source (DIFFUSE)",
        format!("{:.1} ms (CPU {:.1} ms) = {all:.0} s for all", seconds * 1e3, spent * 1e3),
    );
}

/// What the saved graph takes.
fn kept(run: &Run, database: &Database) {
    run.say("saving the neighbour graph");
    let start = Instant::now();
    let images = database.save_neighbours().unwrap();
    let seconds = start.elapsed().as_secs_f64();
    let size = std::fs::metadata(database.folder().join("neighbours")).map_or(0, |about| about.len());
    line("the saved graph", format!("{} = {} bytes a row; {seconds:.1} s", mib(size), size / images.max(1) as u64));
    line("the database with it", mib(bytes(database.folder())));
}

/// What a write costs the next search that needs the graph.
fn writes(run: &Run, database: &Database) {
    let mut next = database.snapshot().counts().index as u64;
    let request = SearchRequest::new().order(Exploration::default());
    for count in NEW {
        let mut times = Times::default();
        for turn in 0..5 {
            run.say(format!("a write of {count} index images, {turn}"));
            let rows = (next..next + count).map(|n| run.collection.put(Kind::Index, n, index_key(n)));
            next += count;
            database.write(rows).unwrap();
            let snapshot = database.snapshot();
            times.time(|| snapshot.search(&request, &[run.query(turn)]).unwrap());
        }
        line(&format!("the first EXPLORE after {count} new index images"), times.summary());
    }
}
