//! The vote of a query in a search with EF, among so many train images that sketches are used and that a free processor computes
//! it: whichever thread computes it, and however many searches run, it is the exact vote.
//!
//! It catches: an image that votes for itself, a vote that is another one when another thread finds it. What sketches lose among rows
//! that are harder to tell apart is counted in `engine/src/rows/sketched.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use cairn::{Answer, Operation, Query, Rerank, Scope, SearchRequest};
use cairndb_storage_tests::{Random, create, images};

const DIMENSION: usize = 48;
/// More than are scored one by one, and more than it takes for another processor to look for the vote.
const TRAIN_IMAGES: usize = 34_000;
const QUERIES: usize = 60;

#[test]
fn votes_in_searches_with_ef_are_the_exact_ones() {
    let folder = tempfile::tempdir().unwrap();
    let database = create(&folder.path().join("db"), DIMENSION);
    for (number, some) in images("t", TRAIN_IMAGES, DIMENSION, 4_000, 1, 1).chunks(2_000).enumerate() {
        database.write(some.to_vec()).unwrap();
        // Some of them in segments, some in the tail.
        if number == 9 {
            database.flush().unwrap();
        }
    }
    database.write(images("i", 300, DIMENSION, 4_000, 1_000_000, 2)).unwrap();
    let snapshot = database.apply_pending().unwrap();
    let mut random = Random::new(3);
    let queries = images("q", QUERIES, DIMENSION, 4_000, 1_000_000, 4).into_iter().enumerate().map(|(n, near)| {
        let Operation::Put(near) = near else { panic!("images are put") };
        // Half of them are stored images, which do not vote for themselves.
        let without = (n % 2 == 0).then(|| format!("t{:06}", random.below(TRAIN_IMAGES)));
        let stored = without.as_ref().map(|key| snapshot.vector(key).unwrap().unwrap().to_vec());
        let mut query = Query::new(stored.unwrap_or(near.vector));
        query.without = without;
        query
    });
    let queries: Vec<Query> = queries.collect();
    let exact: Vec<_> = queries.iter().map(|query| snapshot.predict(query, 3).unwrap().vote).collect();
    let request = SearchRequest::new().scope(Scope::All).ef(400).rerank(Rerank::new().k(3).tau(0.6));
    let one_by_one = || -> Vec<Answer> {
        queries.iter().map(|query| snapshot.search(&request, std::slice::from_ref(query)).unwrap().remove(0)).collect()
    };
    let alone = one_by_one();
    let same = alone.iter().zip(&exact).filter(|(answer, exact)| &answer.prediction == *exact).count();
    assert!(same + 1 >= QUERIES, "{same} of {QUERIES} votes are the exact ones");
    assert_eq!(snapshot.search(&request, &queries).unwrap(), alone);
    std::thread::scope(|scope| {
        let others: Vec<_> = (0..4).map(|_| scope.spawn(one_by_one)).collect();
        others.into_iter().for_each(|other| assert_eq!(other.join().unwrap(), alone));
    });
}
