//! A part of the load: a process that does with a database, possibly a crafted one, everything that a program does, and reports
//! each step in a line. A panic of any thread ends it with 101, and a signal as signals do.

use std::fmt::Debug;
use std::path::Path;
use std::process::ExitCode;

use cairn::language::{Action, CleanPlan, CleanRule, Cut};
use cairn::methods::{Order, Reciprocal};
use cairn::runtime::Scout;
use cairn::{Database, Error, Operation, Query, Rerank, Result, SearchRequest};
use cairndb_storage_tests::{Random, images};

use crate::{say, scratch};

/// What a thread's panic ends the process with.
const PANIC: i32 = 101;

/// Uses the database, repairs it, and uses it again.
pub(crate) fn everything(folder: &Path) -> ExitCode {
    std::panic::set_hook(Box::new(|info| {
        say(&format!("panic {info}"));
        std::process::exit(PANIC);
    }));
    let program = std::env::current_exe().unwrap();
    cairn::runtime::set_scout(Some(Scout::new(program, ["scout"])));
    read(folder);
    write(folder, "written");
    step("repaired", Database::repair_at_any_loss(folder).map(|repaired| repaired.kept_images));
    read(folder);
    write(folder, "written behind the repair");
    say("end");
    ExitCode::SUCCESS
}

/// One line about a step.
fn step<T: Debug>(what: &str, outcome: Result<T>) -> Option<T> {
    let told = |error: &Error| {
        // Whoever makes a database up must not make lines up.
        format!("{:?}: {}", error.kind(), error.message().escape_debug())
    };
    match outcome {
        Ok(given) => {
            say(&format!("{what} gave {}", format!("{given:?}").escape_debug()));
            Some(given)
        }
        Err(error) => {
            say(&format!("{what} failed with {}", told(&error)));
            None
        }
    }
}

fn read(folder: &Path) {
    let opened = Database::open_read_only(folder);
    let Some(database) = step("read", opened.map(Shown)).map(|shown| shown.0) else { return };
    asked(&database);
    step("checked", database.check(false).map(|report| report.problems));
    step("checked deeply", database.check(true).map(|report| report.problems));
    let copy = scratch(folder, "backup");
    if step("backed up", database.backup(&copy)).is_some() {
        step("verified", Database::verify_backup(&copy));
        step("restored", Database::restore_backup(&copy, scratch(folder, "restored")));
    }
}

/// A database in a line that says nothing of it.
struct Shown(Database);

impl Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a database")
    }
}

/// What readers ask.
fn asked(database: &Database) {
    let (snapshot, mut random) = (database.snapshot(), Random::new(7));
    let dimension = database.options().dimension;
    let queries: Vec<Query> =
        (0..4).map(|_| Query::new((0..dimension).map(|_| random.signed()).collect::<Vec<_>>())).collect();
    let exact = SearchRequest::new().depth(20).limit(40).rerank(Rerank::new().k(3).tau(0.0));
    step("answers", snapshot.search(&exact, &queries));
    let by_neighbours = SearchRequest::new().order(Order::from(Reciprocal::new()));
    step("answers by neighbours", snapshot.search(&by_neighbours, &queries));
    let by_graph = exact.ef(3000);
    step("answers by graph", snapshot.search(&by_graph, &queries));
    step("predicted", queries.iter().map(|query| snapshot.predict(query, 3)).collect::<Result<Vec<_>>>());
    step("status", Ok(database.status().lines().len()));
    let keys = snapshot.keys(None).unwrap_or_default();
    for key in keys.iter().step_by(keys.len() / 4 + 1) {
        step("record", snapshot.record(key).map(|record| record.map(|record| record.version)));
        step("vector", snapshot.vector(key).map(|vector| vector.is_some()));
        step("photo", snapshot.photo(key).map(|photo| photo.is_some()));
    }
    step("labels", snapshot.labels().map(|labels| labels.len()));
    step("cleanings", database.cleanings().map(|cleanings| cleanings.len()));
}

/// What writers do.
fn write(folder: &Path, word: &str) {
    let Some(database) = step("opened", Database::open(folder).map(Shown)).map(|shown| shown.0) else { return };
    let dimension = database.options().dimension;
    let keys = database.snapshot().keys(None).unwrap_or_default();
    step(word, database.write(images("new ", 20, dimension, 5, 3, 99)).map(|receipt| receipt.images_changed));
    for key in keys.iter().step_by(keys.len() / 3 + 1) {
        let label = Operation::Label { key: key.clone(), label: "another".into() };
        step(word, database.write(vec![label]).map(|receipt| receipt.images_changed));
    }
    for key in keys.iter().step_by(keys.len() / 2 + 1) {
        step(word, database.write(vec![Operation::Delete { key: key.clone() }]).map(|receipt| receipt.images_changed));
    }
    step("drained", database.apply_pending().map(|snapshot| snapshot.counts().labels));
    step("flushed", database.flush());
    step("compacted", database.compact());
    step("neighbours", database.save_neighbours());
    let plan = CleanPlan::default().rule(CleanRule::Suspects(Cut::Top(3))).action(Action::Relabel);
    step("cleaned", database.clean(&plan, None, None).map(|cleaning| cleaning.found));
    step("undone", database.undo_cleaning().map(|undone| undone.receipt.sequence > 0));
    asked(&database);
    step("checked", database.check(true).map(|report| report.problems));
    step("closed", database.close());
}
