//! Google Landmarks' tables: `id,images[,Usage]` and `id,landmarks[,Usage]`, as known answers and as submissions.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};

use cairn::eval::{Recognised, RecognitionTruth, Truth};
use cairn::language::plain_label;
use cairn::{Error, Result};

use super::{KnownAnswers, Named, refuse};
use crate::source::{Table, Text, Unique};

/// The header of known answers in messages.
const SOLUTION: &str = "id,images,Usage";
/// The header of a submission in messages.
const SUBMISSION: &str = "id,images";
/// Columns that identify the separator.
const KNOWN: [&str; 4] = ["id", "images", "landmarks", "usage"];

/// Reads known answers of retrieval or of recognition.
pub(super) fn known(text: Text) -> Result<KnownAnswers> {
    let name = text.name().to_owned();
    let table = Table::open(text, &KNOWN)?;
    if table.is_empty() {
        return Err(refuse(&name, "it is empty").help(what_is_known()));
    }
    let id = table.needed(&["id"], SOLUTION)?;
    let (images, landmarks) = (table.place(&["images"]), table.place(&["landmarks"]));
    let usage = table.place(&["usage"]);
    match (images, landmarks) {
        (Some(_), Some(_)) => Err(refuse(&name, "it has both the column 'images' and the column 'landmarks'")
            .help("keep 'images' to measure retrieval, or 'landmarks' to measure recognition")),
        (None, Some(landmarks)) => recognition(&name, table, [Some(id), Some(landmarks), usage]),
        (images, None) => {
            let images = images.map_or_else(|| table.needed(&["images"], SOLUTION), Ok);
            let images = images.map_err(|error| error.help(what_is_known()))?;
            retrieval(&name, table, [Some(id), Some(images), usage])
        }
    }
}

fn what_is_known() -> String {
    format!(
        "known answers are a CSV file with the header {SOLUTION} (retrieval; ids separated by spaces) or id,landmarks,Usage \
         (recognition; labels separated by spaces), or a JSON file of revisited Oxford or Paris"
    )
}

fn is_ignored(usage: Option<&str>) -> bool {
    usage.is_some_and(|usage| usage.trim().eq_ignore_ascii_case("ignored"))
}

fn no_query(name: &str, ignored: usize) -> Error {
    let rest = if ignored > 0 { format!("; {ignored} are marked Ignored") } else { String::new() };
    Error::invalid(format!("{name} names no query{rest}")).help(what_is_known())
}

fn retrieval(name: &str, table: Table, places: [Option<usize>; 3]) -> Result<KnownAnswers> {
    let mut truths = Vec::new();
    let ignored = queries(table, places, |query, relevant| truths.push(Truth { query, relevant }))?;
    if truths.is_empty() { Err(no_query(name, ignored)) } else { Ok(KnownAnswers::Retrieval(truths)) }
}

/// Calls `take` for each query that counts, with the words of its row, and returns how many are marked Ignored.
fn queries(table: Table, places: [Option<usize>; 3], mut take: impl FnMut(String, Vec<String>)) -> Result<usize> {
    let (mut ignored, mut unique, mut named) = (0, Unique::default(), Named::default());
    table.rows(&places, 2, |line, fields| {
        if is_ignored(fields[2]) {
            ignored += 1;
            return Ok(());
        }
        let query = fields[0].unwrap_or_default().trim();
        unique.note(query, line)?;
        take(query.to_owned(), words(fields[1], &mut named)?);
        Ok(())
    })?;
    Ok(ignored)
}

fn recognition(name: &str, table: Table, places: [Option<usize>; 3]) -> Result<KnownAnswers> {
    let mut truth = RecognitionTruth::new();
    let ignored = queries(table, places, |query, labels| {
        truth.insert(query, labels.iter().map(|label| plain_label(label).into_owned()).collect());
    })?;
    if truth.is_empty() {
        return Err(no_query(name, ignored));
    }
    if truth.values().all(Vec::is_empty) {
        let what = format!("none of its {} queries has a landmark", truth.len());
        return Err(refuse(name, &what).help("the column landmarks must have the labels that a query shows"));
    }
    Ok(KnownAnswers::Recognition(truth))
}

/// The words of a field.
fn words(field: Option<&str>, named: &mut Named) -> Result<Vec<String>, String> {
    let field = field.unwrap_or_default();
    named.more(field.split_whitespace().count())?;
    Ok(field.split_whitespace().map(str::to_owned).collect())
}

/// Answers to be scored.
#[derive(Debug, Clone, PartialEq)]
pub enum Submission {
    /// The images found for each query, best first.
    Retrieval(HashMap<String, Vec<String>>),
    /// The predicted label of each query that has one.
    Recognition(Vec<Recognised>),
}

impl Submission {
    /// Reads answers: a table with the columns `id` and `images` (ids separated by spaces, best first), or `id` and `landmarks` (a
    /// label, a space and its score, or nothing). [`MAX_NAMED`](super::MAX_NAMED) bounds its memory.
    ///
    /// # Errors
    /// When the text cannot be read, a column is missing, a row is invalid, a query is repeated, or there is no answer.
    pub fn read(text: Text) -> Result<Self> {
        let name = text.name().to_owned();
        let table = Table::open(text, &KNOWN)?;
        let help = "answers are a CSV file with the header id,images (ids separated by spaces, best first) or id,landmarks (a label, \
                    a space and its score)";
        if table.is_empty() {
            return Err(refuse(&name, "it is empty").help(help));
        }
        let id = table.needed(&["id"], SUBMISSION)?;
        let (mut unique, mut named) = (Unique::default(), Named::default());
        if let (Some(landmarks), None) = (table.place(&["landmarks"]), table.place(&["images"])) {
            let mut predictions = Vec::new();
            table.rows(&[Some(id), Some(landmarks)], 2, |line, fields| {
                let query = fields[0].unwrap_or_default().trim();
                unique.note(query, line)?;
                named.more(1)?;
                predictions.extend(prediction(query, fields[1].unwrap_or_default().trim())?);
                Ok(())
            })?;
            if predictions.is_empty() {
                return Err(refuse(&name, "it predicts nothing").help(help));
            }
            return Ok(Self::Recognition(predictions));
        }
        let images = table.needed(&["images"], SUBMISSION).map_err(|error| error.help(help))?;
        let mut lists = HashMap::new();
        table.rows(&[Some(id), Some(images)], 2, |line, fields| {
            let query = fields[0].unwrap_or_default().trim();
            unique.note(query, line)?;
            lists.insert(query.to_owned(), words(fields[1], &mut named)?);
            Ok(())
        })?;
        if lists.values().all(Vec::is_empty) {
            return Err(refuse(&name, "it finds nothing for any query").help(help));
        }
        Ok(Self::Retrieval(lists))
    }
}

/// The prediction that a field holds, if it holds one.
fn prediction(query: &str, field: &str) -> Result<Option<Recognised>, String> {
    if field.is_empty() {
        return Ok(None);
    }
    let wrong = || format!("query '{query}': '{field}' is no label, a space and a score, as in '142820 0.73'");
    let (label, score) = field.rsplit_once(char::is_whitespace).ok_or_else(wrong)?;
    let given = score;
    let score: f64 = given.parse().map_err(|_| wrong())?;
    if !score.is_finite() {
        return Err(format!(
            "query '{query}': the score '{given}' is no finite number, and answers are ordered by scores"
        ));
    }
    Ok(Some(Recognised { query: query.to_owned(), label: plain_label(label).into_owned(), score }))
}

/// Writes a submission of retrieval with the header `id,images`: the images found for each query, best first.
///
/// # Errors
/// When the output cannot be written; `InvalidInput`: the id of an image has white space, which separates ids in a submission, or a
/// query comes twice.
pub fn write_lists<'a>(out: impl Write, lists: impl IntoIterator<Item = (&'a str, &'a [String])>) -> io::Result<()> {
    let mut out = csv::Writer::from_writer(out);
    out.write_record(["id", "images"])?;
    let mut seen = HashSet::new();
    for (query, images) in lists {
        must_be_new(&mut seen, query)?;
        if let Some(image) = images.iter().find(|image| image.contains(char::is_whitespace)) {
            return Err(unwritable(format!("the id '{image}' has a space, and a submission separates ids by spaces")));
        }
        out.write_record([query, &images.join(" ")])?;
    }
    out.flush()
}

/// Writes a submission of recognition with the header `id,landmarks`: a label, a space and its score for each query, or nothing.
///
/// # Errors
/// When the output cannot be written; `InvalidInput`: a query comes twice.
pub fn write_predictions<'a>(
    out: impl Write,
    predictions: impl IntoIterator<Item = (&'a str, Option<(&'a str, f64)>)>,
) -> io::Result<()> {
    let mut out = csv::Writer::from_writer(out);
    out.write_record(["id", "landmarks"])?;
    let mut seen = HashSet::new();
    for (query, prediction) in predictions {
        must_be_new(&mut seen, query)?;
        let shown = prediction.map_or_else(String::new, |(label, score)| format!("{label} {score}"));
        out.write_record([query, &shown])?;
    }
    out.flush()
}

fn must_be_new<'a>(seen: &mut HashSet<&'a str>, query: &'a str) -> io::Result<()> {
    if seen.insert(query) { Ok(()) } else { Err(unwritable(format!("the query '{query}' comes twice"))) }
}

fn unwritable(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
    use super::*;

    fn read(text: &'static str) -> Result<KnownAnswers, String> {
        KnownAnswers::read(Text::standard(text.as_bytes())).map_err(|error| error.to_string())
    }

    fn retrieval_of(text: &'static str) -> Vec<Truth> {
        match read(text).unwrap() {
            KnownAnswers::Retrieval(truths) => truths,
            other => panic!("{other:?}"),
        }
    }

    fn submission(text: &'static str) -> Result<Submission, String> {
        Submission::read(Text::standard(text.as_bytes())).map_err(|error| error.to_string())
    }

    #[test]
    fn ignored_rows_are_left_out_and_the_usage_column_may_be_missing() {
        let truths = retrieval_of("\u{feff}id,images,Usage\nq1,a b,Public\nq2,None,Ignored\n q3 , c ,Private\n");
        let queries: Vec<_> = truths.iter().map(|truth| truth.query.as_str()).collect();
        assert_eq!(queries, ["q1", "q3"]);
        assert_eq!(truths[0].relevant, ["a", "b"]);
        assert_eq!(retrieval_of("images,id\na b,q\n")[0].relevant, ["a", "b"]);
        assert_eq!(retrieval_of("id;images\nq;a b\n")[0].relevant, ["a", "b"]);
    }

    /// It catches: a query without a landmark that is dropped (its predictions are wrong ones), several landmarks taken as one.
    #[test]
    fn recognition_solutions_keep_queries_that_show_nothing() {
        let KnownAnswers::Recognition(truth) =
            read("id,landmarks,Usage\nq1,142820 7,Public\nq2,,Private\nq3,5,Ignored\n").unwrap()
        else {
            panic!("no recognition")
        };
        assert_eq!(truth.len(), 2);
        assert_eq!(truth["q1"], ["142820", "7"]);
        assert!(truth["q2"].is_empty());
    }

    /// It catches: answers without a query, which gave a table of zeros; errors without their line.
    #[test]
    fn what_cannot_be_meant_is_refused_with_its_line() {
        for (text, said) in [
            ("id,Usage\nq,Public\n", "'images'"),
            ("id,url,landmark_id\nq,u,1\n", "known answers are a CSV file"),
            ("id,images\nq,a\nq,b\n", "line 3: the id 'q' is already in line 2"),
            ("id,images\n,a\n", "line 2: the id is empty"),
            ("id,images\n", "names no query"),
            ("id,images,Usage\nq,a,Ignored\n", "1 are marked Ignored"),
            ("id,images,landmarks\nq,a,b\n", "both the column"),
            ("id,landmarks\nq,\n", "none of its 1 queries has a landmark"),
            ("id,landmarks\nq,1\nq,2\n", "line 3"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(said), "{text:?}: {error}");
        }
        for (text, said) in [
            ("id,label\nq,a\n", "no column 'images'"),
            ("id,images\nq,a\nq,b\n", "line 3"),
            ("id,images\nq,\n", "it finds nothing for any query"),
            ("id,landmarks\nq,7\n", "line 2: query 'q': '7' is no label, a space and a score"),
            ("id,landmarks\nq,7 high\n", "line 2: query 'q': '7 high' is no label, a space and a score"),
            ("id,landmarks\nq,7 0.5\nr,7 NaN\n", "line 3: query 'r': the score 'NaN' is no finite number"),
            ("id,landmarks\nq,7 -inf\n", "line 2: query 'q': the score '-inf' is no finite number"),
            ("id,landmarks\nq,7 1e999\n", "line 2: query 'q': the score '1e999' is no finite number"),
            ("id,landmarks\n", "it predicts nothing"),
            ("id,images\n", "it finds nothing for any query"),
            ("", "it is empty"),
            (" \n\n", "it is empty"),
            ("id,landmarks\nq,\n", "it predicts nothing"),
        ] {
            let error = submission(text).unwrap_err();
            assert!(error.contains(said), "{text:?}: {error}");
        }
    }

    /// It catches: a submission that Cairn writes and cannot read, scores that lose digits on the way.
    #[test]
    fn submissions_are_read_as_they_were_written() {
        let lists = [("q,1".to_owned(), vec!["b".to_owned(), "a".to_owned()]), ("q2".to_owned(), vec![])];
        let mut bytes = Vec::new();
        write_lists(&mut bytes, lists.iter().map(|(query, list)| (query.as_str(), list.as_slice()))).unwrap();
        assert_eq!(String::from_utf8(bytes.clone()).unwrap(), "id,images\n\"q,1\",b a\nq2,\n");
        let again = Submission::read(Text::standard(io::Cursor::new(bytes.clone()))).unwrap();
        assert_eq!(again, Submission::Retrieval(lists.into_iter().collect()));
        // The same file as a truth: what one method found is measured by what another one finds.
        let truth = KnownAnswers::read(Text::standard(io::Cursor::new(bytes))).unwrap();
        assert!(matches!(truth, KnownAnswers::Retrieval(truths) if truths[0].relevant == ["b", "a"]));

        let mut bytes = Vec::new();
        write_predictions(&mut bytes, [("q1", Some(("Notre Dame", 0.1 + 0.2))), ("q2", None)]).unwrap();
        let again = Submission::read(Text::standard(io::Cursor::new(bytes))).unwrap();
        let expected = Recognised { query: "q1".to_owned(), label: "Notre Dame".to_owned(), score: 0.1 + 0.2 };
        assert_eq!(again, Submission::Recognition(vec![expected]));

        let spaced = ["a b".to_owned()];
        let error = write_lists(Vec::new(), [("q", &spaced[..])]).unwrap_err().to_string();
        assert!(error.contains("'a b' has a space"), "{error}");
        assert!(write_lists(Vec::new(), [("q", &[][..]), ("q", &[][..])]).is_err());
    }
}
