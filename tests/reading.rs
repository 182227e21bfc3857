//! Commands that only read: what they leave unchanged, and what they report if nothing may be written.
//!
//! It catches: a command that takes the lock, flushes, or saves columns for an answer; a backup that is opened for writing; a dry
//! run that stores its results; an unfinished folder that counts as damaged.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Output;

use cairndb_tests::{cairn, run, run_ok, tree};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// A database DB of vectors that are labelled, some of them in segments; queries and their known answers beside it.
fn database(path: &Path) {
    run_ok(path, &["create", "DB", "--dim", "2"]);
    let put = |at: usize| {
        let label = match at % 3 {
            0 => "",
            1 => " LABEL 'x'",
            _ => " LABEL 'y'",
        };
        format!("PUT ID 'a{at}' VECTOR [{}, {}]{label};", at % 3, 1 + at % 2)
    };
    let puts: String = (0..30).map(put).collect();
    run_ok(path, &["query", "DB", "-c", &format!("{puts} FLUSH; PUT ID 'tail' VECTOR [1, 1]")]);
    std::fs::write(path.join("script"), "SHOW STATUS;\nSEARCH ID 'a0';\n").unwrap();
    std::fs::write(path.join("truth.csv"), "id,images,Usage\nq,a0 a3,Public\n").unwrap();
    std::fs::write(path.join("ids"), "q\n").unwrap();
    // One vector of two numbers, as .fvecs has it.
    let vector: Vec<u8> = [2u32.to_le_bytes(), 1f32.to_le_bytes(), 1f32.to_le_bytes()].concat();
    std::fs::write(path.join("q.fvecs"), vector).unwrap();
}

const READS: [&str; 16] = [
    "status DB",
    "check DB",
    "check DB --deep",
    "query DB -c SHOW_STATUS;_SHOW_LABELS;_SHOW_SEGMENTS;_SHOW_STALE;_SHOW_MODELS;_SHOW_CLEANS;_SHOW_MARKED",
    "query DB -c SHOW_SUSPECTS",
    "query DB -c CLEAN_RULE_suspects_DRY_RUN",
    "query DB -c SEARCH_ID_'a0'_RERANK",
    "query DB -c SEARCH_ID_'a0'_FRESH",
    "query DB -c EXPLAIN_DELETE_ID_'a0'",
    "query DB -c PREDICT_ID_'a0'",
    "query DB -f script",
    "query DB",
    "predict DB --id a0",
    "eval DB --queries q.fvecs --query-ids ids --truth truth.csv",
    "maintain clean DB --rule suspects --dry-run",
    "repl DB --read-only",
];

/// The words of a line; `_` stands for a space inside one.
fn words(line: &str, database: &str) -> Vec<String> {
    line.split(' ').map(|word| if word == "DB" { database.to_owned() } else { word.replace('_', " ") }).collect()
}

/// Runs a line with statements that only read at its standard input.
fn typed(path: &Path, line: &str, database: &str) -> Output {
    let script = std::fs::File::open(path.join("script")).unwrap();
    cairn().current_dir(path).args(words(line, database)).stdin(script).output().unwrap()
}

#[test]
fn reading_commands_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    database(path);
    let before = tree(&path.join("DB"));
    for line in READS {
        let output = typed(path, line, "DB");
        assert!(output.status.success(), "{line}: {}", said(&output));
        assert_eq!(tree(&path.join("DB")), before, "{line}");
    }
    // Up to the first statement that writes.
    assert!(!run(path, &["query", "DB", "-c", "SHOW STATUS; DELETE ID"]).status.success());
    assert_eq!(tree(&path.join("DB")), before);
    run_ok(path, &["query", "DB", "-c", "SHOW STATUS; DELETE ID 'a0'; SHOW STATUS; PUT ID 'a0' VECTOR [0, 1]"]);
    // Of a folder that nobody may write, too.
    let before = tree(&path.join("DB"));
    let held = cairn::Database::open(path.join("DB")).unwrap();
    for line in READS {
        let output = typed(path, line, "DB");
        assert!(output.status.success(), "beside a holder, {line}: {}", said(&output));
    }
    run_ok(path, &["backup", "DB", "bk"]);
    run_ok(path, &["backup", "--verify", "bk"]);
    drop(held);
    assert_ne!(tree(&path.join("DB")), before, "the holder wrote");
}

#[test]
fn every_command_leaves_a_backup_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    database(path);
    run_ok(path, &["backup", "DB", "bk"]);
    let before = tree(&path.join("bk"));
    for line in READS {
        let output = typed(path, line, "bk");
        assert!(output.status.success(), "{line}: {}", said(&output));
        assert_eq!(tree(&path.join("bk")), before, "{line}");
    }
    assert!(typed(path, "repl DB", "bk").status.success());
    std::fs::write(path.join("script"), "DELETE ID 'a0';").unwrap();
    for line in [
        "query DB -c DELETE_ID_'a0'",
        "query DB -c PUT_ID_'z'_VECTOR_[1,1]",
        "query DB -c LABEL_ID_'a0'_AS_'z'",
        "query DB -c UNLABEL_ID_'a1'",
        "query DB -c FLUSH",
        "query DB -c COMPACT",
        "query DB -c CLEAN_RULE_suspects",
        "query DB -c UNDO_CLEAN",
        "query DB -c UNDO_LABEL",
        "query DB -c TRAIN",
        "query DB -c REEMBED",
        "query DB -c USE_MODEL_0",
        "query DB -c DROP_MODEL_0",
        "query DB -f script",
        "query DB",
        "maintain clean DB --rule suspects",
        "maintain undo-clean DB",
        "maintain train DB",
        "maintain run DB",
        "ingest DB q.fvecs --ids ids --as index",
        "repair DB",
        "repair DB --accept-loss",
    ] {
        let output = typed(path, line, "bk");
        assert_eq!(output.status.code(), Some(1), "{line}: {}", said(&output));
        assert!(said(&output).contains("restore it first: cairn restore bk"), "{line}: {}", said(&output));
        assert_eq!(tree(&path.join("bk")), before, "{line}");
    }
    for line in ["create DB --dim 2", "restore DB DB", "backup DB DB"] {
        assert_eq!(typed(path, line, "bk").status.code(), Some(1), "{line}");
    }
    assert_eq!(tree(&path.join("bk")), before);
    run_ok(path, &["backup", "--verify", "bk"]);
    run_ok(path, &["restore", "bk", "DB2"]);
    let shown = |database: &str| run_ok(path, &["query", database, "-c", "SEARCH ID 'a0' RERANK", "--format", "csv"]);
    assert_eq!(shown("DB2"), shown("DB"));
    run_ok(path, &["check", "DB2", "--deep"]);
}

#[test]
fn what_was_not_finished_says_so_and_starts_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    database(path);
    run_ok(path, &["backup", "DB", "bk"]);
    for (line, what) in [
        ("restore bk new1", "cairn restore"),
        ("backup DB new2", "cairn backup"),
        ("create new3 --dim 2", "cairn create"),
    ] {
        let new = words(line, "DB").into_iter().find(|word| word.starts_with("new")).unwrap();
        assert!(typed(path, line, "DB").status.success(), "{line}");
        // What a kill before the last step leaves; `tests/storage/cut_short.rs` kills.
        let catalog = path.join(&new).join("catalog.unfinished");
        std::fs::rename(path.join(&new).join("catalog"), &catalog).unwrap();
        let (word, from) = (line.split(' ').next().unwrap(), path.join("from").display().to_string());
        std::fs::write(catalog.join("BEING-MADE"), format!("CAIRN UNFINISHED 1\n{word}\n{from}\n")).unwrap();
        for look in ["status", "check", "repair", "repl"] {
            let output = run(path, &[look, &new]);
            let told = said(&output);
            assert_eq!(output.status.code(), Some(3), "{line}, {look}: {told}");
            assert!(told.contains("was not finished") && !told.contains("repair"), "{line}, {look}: {told}");
            assert!(told.contains(what), "{line}, {look}: {told}");
        }
        let photo = path.join(&new).join("photo.jpg");
        std::fs::write(&photo, b"mine").unwrap();
        let output = run(path, &words(line, "DB").iter().map(String::as_str).collect::<Vec<_>>());
        assert!(output.status.code() == Some(1) && said(&output).contains("photo.jpg"), "{line}: {}", said(&output));
        std::fs::remove_file(&photo).unwrap();
        run_ok(path, &words(line, "DB").iter().map(String::as_str).collect::<Vec<_>>());
    }
    run_ok(path, &["check", "new1", "--deep"]);
    run_ok(path, &["backup", "--verify", "new2"]);
    run_ok(path, &["check", "new3"]);
}

/// A restore by an earlier build that was cut short copied some tables; a repair would have made an empty database of it.
#[test]
fn a_repair_that_loses_says_so_and_asks_where_it_loses_most() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    database(path);
    // The records' tables are gone: every descriptor is left, and none of the images.
    let holds =
        |path: &Path, mark: &[u8]| std::fs::read(path).unwrap().windows(mark.len()).any(|window| window == mark);
    let tables = std::fs::read_dir(path.join("DB/catalog")).unwrap().map(|entry| entry.unwrap().path());
    for table in tables.filter(|path| path.extension().is_some_and(|end| end == "sst") && holds(path, b"records")) {
        std::fs::remove_file(table).unwrap();
    }
    let before = tree(&path.join("DB/catalog"));
    let output = run(path, &["repair", "DB"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(
        said(&output).contains("would drop 31 of 31 images") && said(&output).contains("--accept-loss"),
        "{}",
        said(&output)
    );
    assert_eq!(tree(&path.join("DB/catalog")), before, "nothing was changed");
    let output = run(path, &["repair", "DB", "--accept-loss"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("31 of 31 images"), "{}", said(&output));
    run_ok(path, &["check", "DB", "--deep"]);
    assert!(run(path, &["repair", "DB"]).status.success(), "there is nothing more to lose");
}
