//! Golden cases: what was typed, and exactly what a person sees.
//!
//! `tests/diagnostics/CODE.txt` holds cases of one kind of diagnostic, `tests/statements/*.txt` statements that are right. Cases
//! are separated by a line of `====`, input and expectation by a line of `----`. `UPDATE_EXPECT=1` rewrites the expectations:
//! read the difference before keeping it.

// A test fails by panicking.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cairndb_query::options::{CLEAN, TRAIN};
use cairndb_query::{
    Binding, Diagnostic, Facts, Method, Names, Parsed, Plan, Spanned, Statement, fill, forms, parse, plan, table,
};

const INPUT_ENDS: &str = "\n----\n";
const CASE_ENDS: &str = "\n====\n";

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Every parameter that a golden case can name.
fn names() -> Names {
    Names { positional: 2, named: vec!["img".to_owned(), "mine".to_owned()] }
}

/// With the values of both positional parameters.
fn planned(statement: &Spanned<Statement>, facts: &Facts) -> Result<Plan, Diagnostic> {
    plan(&fill(statement, &[Binding::Image, Binding::Image])?.node, &names(), facts)
}

/// `!repeat 3 ab` stands for ababab: texts that are too long are not kept in files.
fn typed(input: &str) -> String {
    let Some(repeated) = input.strip_prefix("!repeat ") else {
        return input.to_owned();
    };
    let (count, text) = repeated.split_once(' ').unwrap();
    text.repeat(count.parse().unwrap())
}

/// Runs every case of a file, compares or rewrites, and gives back how many there were.
fn check(file: &Path, actual_of: impl Fn(&str) -> String) -> usize {
    let content = fs::read_to_string(file).unwrap();
    let content = content.strip_suffix('\n').unwrap_or(&content);
    let cases: Vec<(&str, &str)> =
        content.split(CASE_ENDS).map(|case| case.split_once(INPUT_ENDS).unwrap_or((case, ""))).collect();
    let actual: Vec<(&str, String)> = cases.iter().map(|(input, _)| (*input, actual_of(&typed(input)))).collect();
    if std::env::var_os("UPDATE_EXPECT").is_some_and(|value| value == "1") {
        let rewritten: Vec<String> =
            actual.iter().map(|(input, actual)| format!("{input}{INPUT_ENDS}{actual}")).collect();
        fs::write(file, rewritten.join(CASE_ENDS) + "\n").unwrap();
    } else {
        for ((input, expected), (_, actual)) in cases.iter().zip(&actual) {
            assert_eq!(actual, expected, "\n{}: {input}\n-- actual:\n{actual}\n", file.display());
        }
    }
    cases.len()
}

fn diagnostics(text: &str) -> Vec<Diagnostic> {
    let Parsed { statements, mut diagnostics } = parse(text);
    diagnostics.extend(statements.iter().filter_map(|statement| planned(statement, &small()).err()));
    diagnostics
}

#[test]
fn diagnostics_are_as_written() {
    for file in files(&folder("tests/diagnostics")) {
        let code = file.file_stem().unwrap().to_str().unwrap().to_owned();
        check(&file, |text| {
            let diagnostics = diagnostics(text);
            let codes: Vec<&str> = diagnostics.iter().map(Diagnostic::code).collect();
            assert!(codes.contains(&code.as_str()), "{}: {text:.80}\ngives {codes:?}", file.display());
            for diagnostic in &diagnostics {
                assert!(!diagnostic.message().is_empty() && !diagnostic.help().is_empty(), "{diagnostic:?}");
                assert!(!diagnostic.message().ends_with('.') && !diagnostic.help().ends_with('.'), "{diagnostic:?}");
            }
            // A page of them is enough to read.
            let rendered: Vec<String> = diagnostics.iter().rev().take(3).rev().map(|each| each.render(text)).collect();
            rendered.join("\n")
        });
    }
}

/// Reads the codes from the source: no diagnostic can be added without an example.
#[test]
fn every_diagnostic_has_a_golden_case() {
    const MADE: &str = "Diagnostic::new(";
    let source =
        ["src/complaints.rs", "src/complaints/search.rs"].map(|file| fs::read_to_string(folder(file)).unwrap());
    let source = source.concat();
    let codes: BTreeSet<&str> = source
        .match_indices(MADE)
        .filter_map(|(at, _)| source[at + MADE.len()..].trim_start().strip_prefix('"')?.split('"').next())
        .collect();
    assert!(codes.contains("tau-range") && codes.len() > 40, "the source is not read as it is written: {codes:?}");
    let cases: BTreeSet<String> = files(&folder("tests/diagnostics"))
        .iter()
        .map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let cases: BTreeSet<&str> = cases.iter().map(String::as_str).collect();
    assert_eq!(codes, cases);

    // Nothing makes diagnostics elsewhere, but for the tests of their rendering.
    for file in files(&folder("src")).into_iter().chain(files(&folder("src/parser"))) {
        if file.extension().is_none_or(|extension| extension != "rs") || file.ends_with("complaints.rs") {
            continue;
        }
        let source = fs::read_to_string(&file).unwrap();
        let code = source.split("#[cfg(test)]").next().unwrap();
        assert!(!code.contains(MADE), "{} creates a diagnostic itself", file.display());
    }
}

fn small() -> Facts {
    Facts {
        index_rows: 332,
        train_rows: 500,
        vote_k: 3,
        kept_neighbours: 10,
        graph_from_rows: 5_000,
        segments: 0,
        dimension: 2,
    }
}

#[test]
fn statements_and_plans_are_as_written() {
    for file in files(&folder("tests/statements")) {
        let facts = match file.file_stem().unwrap().to_str().unwrap() {
            "large" => Facts { index_rows: 1_000_000, train_rows: 50_000, segments: 4, ..small() },
            "flushed" => Facts { segments: 1, ..small() },
            _ => small(),
        };
        let cases = check(&file, |text| {
            let Parsed { statements, diagnostics } = parse(text);
            assert!(diagnostics.is_empty(), "{}", diagnostics[0].render(text));
            let shown: Vec<String> = statements
                .iter()
                .map(|statement| {
                    let plan = planned(statement, &facts).unwrap_or_else(|error| panic!("{}", error.render(text)));
                    format!("{}\n{plan}", statement.node)
                })
                .collect();
            shown.join("\n")
        });
        assert!(cases > 2, "{}", file.display());
    }
}

/// People type the examples of the reference, so they must work unchanged.
#[test]
fn the_examples_of_the_reference_are_right() {
    let reference = fs::read_to_string(folder("../docs/QUERY.md")).unwrap();
    let mut statements = 0;
    for example in reference.split("```sql\n").skip(1).map(|rest| rest.split("```").next().unwrap()) {
        let parsed = parse(example);
        assert!(parsed.diagnostics.is_empty(), "{}", parsed.diagnostics[0].render(example));
        statements += parsed.statements.len();
        for statement in &parsed.statements {
            // A parameter of a text or a number has no value here.
            let Ok(plan) = plan(&statement.node, &names(), &small()) else {
                assert!(statement.node.to_string().contains('$'), "{}", statement.node);
                continue;
            };
            assert!(!plan.to_string().is_empty());
        }
    }
    assert!(statements > 15, "only {statements} examples were found");
    for code in reference.split("```text\n").skip(1).map(|rest| rest.split("```").next().unwrap()) {
        // A diagnostic that is shown is the one that the statement in it gives.
        let Some(line) = code.lines().find_map(|line| line.strip_prefix("  1 | ")) else { continue };
        assert_eq!(diagnostics(line)[0].render(line), code.trim_end());
    }
}

/// The tables and forms of the reference are those of the code; `UPDATE_EXPECT=1` rewrites the tables.
///
/// It catches: an option, a range or a default that changes in one of the two.
#[test]
fn the_reference_has_the_options_and_forms_of_the_language() {
    let path = folder("../docs/QUERY.md");
    let mut reference = fs::read_to_string(&path).unwrap();
    let methods = Method::ALL.map(|method| (format!("\n### {}\n", method.name()), method.parts()));
    let statements = [("\n## TRAIN\n".to_owned(), &TRAIN[..]), ("\n## CLEAN\n".to_owned(), &CLEAN[..])];
    for (section, parts) in statements.iter().chain(&methods) {
        let expected = table(parts);
        if std::env::var_os("UPDATE_EXPECT").is_some_and(|value| value == "1") {
            let start = reference.find(section).unwrap_or_else(|| panic!("docs/QUERY.md lacks {section}"));
            let start = start + reference[start..].find("\n| Part |").unwrap() + 1;
            let end = start + reference[start..].find("\n\n").unwrap() + 1;
            reference.replace_range(start..end, &expected);
            fs::write(&path, &reference).unwrap();
        }
        for row in expected.lines() {
            assert!(reference.contains(row), "docs/QUERY.md lacks this row:\n{row}");
        }
        // And no row more.
        let table = reference.split(section).nth(1).unwrap().split("\n##").next().unwrap();
        assert_eq!(table.lines().filter(|line| line.starts_with("| ")).count(), expected.lines().count(), "{section}");
    }
    let lines: Vec<&str> = reference.lines().map(str::trim).collect();
    for form in forms() {
        let example = |line: &&str| line.split(';').next() == Some(form.split(" [").next().unwrap());
        let stands = form.lines().all(|line| lines.contains(&line.trim())) || lines.iter().any(example);
        assert!(stands, "docs/QUERY.md lacks this form:\n{form}");
    }
}
