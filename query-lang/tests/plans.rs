//! The access path that a plan chooses, and how many conditions a search takes.
//!
//! It catches: a breadth that no search takes, a graph that is searched as a whole.
#![allow(clippy::unwrap_used, clippy::panic)]

use cairndb_query::{DEFAULT_DEPTH, Facts, MAX_CONDITIONS, MAX_COUNT, Names, Plan, SearchPlan, parse, plan};

/// The breadth of the search of the graph; `None`: every row is scored.
fn breadth(depth: usize, rows: usize) -> Option<usize> {
    let facts = Facts {
        index_rows: rows,
        train_rows: 0,
        vote_k: 3,
        kept_neighbours: 10,
        graph_from_rows: 20_000,
        segments: 4,
        dimension: 2,
    };
    let parsed = parse(&format!("SEARCH $1 K {depth}"));
    let names = Names { positional: 1, named: Vec::new() };
    let Plan::Search(search) = plan(&parsed.statements.first().unwrap().node, &names, &facts).unwrap() else {
        panic!("K {depth} is planned as no search");
    };
    let SearchPlan { request, scan, .. } = *search;
    assert_eq!(request.ef.is_none(), scan.is_some(), "a scan says why it is one, and a search of the graph does not");
    request.ef
}

#[test]
fn a_graph_is_searched_for_a_small_share_of_the_rows_and_never_more_broadly_than_can_be() {
    let is_scan = |depth, rows| breadth(depth, rows).is_none();
    assert!(is_scan(DEFAULT_DEPTH, 19_999));
    assert_eq!(breadth(DEFAULT_DEPTH, 20_000), Some(200));
    assert_eq!(breadth(7_812, 1_000_000), Some(15_624));
    for depth in [7_813, 100_000, 500_000, 500_001, MAX_COUNT] {
        assert!(is_scan(depth, 1_000_000), "{depth}");
    }
    assert_eq!(breadth(500_000, usize::MAX), Some(MAX_COUNT));
    assert_eq!(breadth(500_001, 100_000_000), Some(MAX_COUNT));
    assert_eq!(breadth(MAX_COUNT, usize::MAX), Some(MAX_COUNT));
}

/// It catches: an unlimited number of conditions, each of which is tested on each row.
#[test]
fn where_takes_so_many_conditions_and_says_so_about_more() {
    let with = |conditions: usize| {
        let text = format!("SEARCH $1 WHERE {}", vec!["id LIKE 'a%'"; conditions].join(" AND "));
        parse(&text).diagnostics.first().map(|diagnostic| diagnostic.render(&text))
    };
    assert_eq!(with(MAX_CONDITIONS), None);
    for conditions in [MAX_CONDITIONS + 1, 40_000] {
        let said = with(conditions).unwrap();
        assert!(said.contains(&format!("WHERE takes at most {MAX_CONDITIONS} conditions")), "{said}");
    }
}
