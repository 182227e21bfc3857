//! What an application logs and shows: the features `tracing` and `serde` of the engine.
//!
//! It catches: work behind the callers without a span or an event; a field of the status that is gone or has another form.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use cairn::Database;
use cairndb_storage_tests::{DIMENSION, create, images, in_own_process};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Notes the names of spans and the messages of events.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>, Arc<AtomicU64>);

impl Visit for Notes {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0.lock().unwrap().push(format!("{value:?}"));
        }
    }
}

impl Subscriber for Notes {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "cairn"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.0.lock().unwrap().push(format!("span {}", span.metadata().name()));
        Id::from_u64(1 + self.1.fetch_add(1, Ordering::Relaxed))
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[test]
fn long_work_has_a_span_and_says_what_became_of_it() {
    // What another test passes at the same moment, without a subscriber, would not be seen here.
    in_own_process("telling::long_work_has_a_span_and_says_what_became_of_it", long_work);
}

fn long_work() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    create(&path, DIMENSION).close().unwrap();
    let notes = Notes::default();
    tracing::subscriber::with_default(notes.clone(), || {
        let database = Database::open(&path).unwrap();
        for part in ["a", "b"] {
            database.write(images(part, 100, DIMENSION, 3, 5, 1)).unwrap();
            database.flush().unwrap();
        }
        database.compact().unwrap();
        database.backup(folder.path().join("backup")).unwrap();
    });
    let said = notes.0.lock().unwrap().clone();
    for wanted in [
        "span open",
        "the database is open",
        "span flush",
        "the tail is in segments",
        "span merge",
        "segments are merged",
        "span backup",
        "the backup is finished",
    ] {
        assert!(said.iter().any(|said| said == wanted), "{wanted}: {said:?}");
    }
}

#[test]
fn a_status_and_an_answer_are_serialized_by_the_names_of_their_fields() {
    let folder = tempfile::tempdir().unwrap();
    let database = create(&folder.path().join("db"), DIMENSION);
    database.write(images("a", 100, DIMENSION, 3, 5, 1)).unwrap();
    database.flush().unwrap();
    let status = serde_json::to_value(database.status()).unwrap();
    let mut names: Vec<&str> = status.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "deferred_operations",
            "deferred_writes",
            "dimension",
            "folder",
            "health",
            "index",
            "keep",
            "kept_neighbours",
            "labels",
            "model",
            "segments",
            "sequence",
            "table_bytes",
            "tail_rows",
            "train",
            "vote_k"
        ]
    );
    assert_eq!((&status["keep"], &status["train"], &status["model"]), (&"thumb".into(), &20.into(), &().into()));
    assert_eq!(status["segments"][0]["role"], "train");
    assert_eq!(status["health"]["degraded"], serde_json::json!([]));
    let record = serde_json::to_value(database.snapshot().record("a000000").unwrap()).unwrap();
    assert_eq!(
        (&record["role"], &record["content"], &record["set_by"]),
        (&"train".into(), &().into(), &"statement".into())
    );
    let report = serde_json::to_value(database.check(false).unwrap()).unwrap();
    assert_eq!(report["problems"], serde_json::json!([]));
}
