//! Ingests bare vectors.

use cairn::lists::{Listed, Reading};
use cairn::{Database, Error, ErrorKind, Progress, Put, Result, Watch};

use super::heard::Word;
use super::written::{Ready, write};
use super::{Report, check_unique, check_words};
use crate::source::{VectorFile, row_fault};

/// Bare vectors per transaction.
pub const VECTORS_PER_TRANSACTION: usize = 1_000;

/// Ingests bare vectors: one key and (for train images) one label for each row of the file.
///
/// Every 1,000 rows are one transaction; `watch` may stop it between them. Rows that are zero, NaN or infinite are
/// reported by number.
///
/// # Errors
/// When the dimension is another than the database's, the database has a model, the numbers of keys, labels and rows differ,
/// two keys are the same, or reading or writing fails; what was written stays.
pub fn ingest_vectors(
    db: &Database,
    file: &mut VectorFile,
    keys: &[String],
    labels: &[Option<String>],
    watch: &dyn Watch,
) -> Result<Report> {
    ingest_vector_list(db, file, keys, labels, db.snapshot().reading(), watch)
}

/// [`ingest_vectors`] for a reading that the caller started.
///
/// # Errors
/// As [`ingest_vectors`].
pub fn ingest_vector_list(
    db: &Database,
    file: &mut VectorFile,
    keys: &[String],
    labels: &[Option<String>],
    reading: Reading,
    watch: &dyn Watch,
) -> Result<Report> {
    let name = file.path().display().to_string();
    if let Some(model) = &db.options().model {
        return Err(Error::new(
            ErrorKind::Mismatch,
            format!(
                "{name}: this database has descriptors of {}; it does not take vectors of unknown origin",
                model.name
            ),
        )
        .help("ingest photos, or create a database for these vectors with --dim"));
    }
    let dimension = db.options().dimension;
    if file.dimension() != dimension {
        return Err(Error::new(
            ErrorKind::Mismatch,
            format!("{name}: vectors of dimension {}, the database has {dimension}", file.dimension()),
        )
        .help("ingest them into a database created with their dimension"));
    }
    if keys.len() != file.rows() || labels.len() != file.rows() {
        let (keys, labels, rows) = (keys.len(), labels.len(), file.rows());
        return Err(Error::invalid(format!("{name}: {rows} vectors, but {keys} ids and {labels} labels")));
    }
    check_unique(keys.iter().map(String::as_str))?;
    let file_rows = file.rows();
    let told = |done| watch.progress(Progress::new(Progress::ROWS, done, file_rows)).is_break();
    let mut report = Report::default();
    let rows: Vec<usize> = (0..file.rows()).collect();
    for rows in rows.chunks(VECTORS_PER_TRANSACTION) {
        if told(rows[0]) {
            report.stopped = true;
            break;
        }
        let numbers = file.read(rows[0], rows.len())?;
        let snapshot = db.snapshot();
        let mut ready = Vec::with_capacity(rows.len());
        for (&row, vector) in rows.iter().zip(numbers.chunks_exact(dimension)) {
            let (key, label) = (&keys[row], &labels[row]);
            let fault = row_fault(vector).map(|fault| format!(" {fault}"));
            let words = || check_words(key, label.as_deref()).err().map(|error| format!(": {}", error.message()));
            let fault = fault.or_else(words);
            if let Some(fault) = fault {
                report.failed.push((key.clone(), format!("row {row}{fault}")));
                continue;
            }
            let mut hasher = blake3::Hasher::new();
            vector.iter().for_each(|x| _ = hasher.update(&x.to_le_bytes()));
            let content = *hasher.finalize().as_bytes();
            let stored = snapshot.record(key)?;
            let word = Word::of(stored.as_ref(), label.as_deref(), content, reading);
            match of_known(key, label.as_deref(), content, reading, word) {
                Some(Some(known)) => {
                    ready.push(known);
                    continue;
                }
                Some(None) => {
                    word.count(&mut report);
                    continue;
                }
                None => {}
            }
            let put = {
                let mut put =
                    Put::new(key.clone(), vector.to_vec()).source(format!("{name} row {row}")).content(content);
                put.label = label.clone();
                put
            };
            ready.push(Ready::new(put.from_list(reading), word));
        }
        write(db, None, ready, &mut report)?;
    }
    if !report.stopped {
        // Nothing is left that it could stop.
        let _over = told(file_rows);
    }
    Ok(report)
}

/// What to do about a row that the list named before, or that is stored anyway; `None`: the vector is needed. `Some(None)`: nothing.
fn of_known(key: &str, label: Option<&str>, content: [u8; 32], reading: Reading, word: Word) -> Option<Option<Ready>> {
    if !word.is_known_photo {
        return None;
    }
    let ready = || {
        let listed = Listed::known(key, reading).label(label.map(str::to_owned)).content(content);
        Ready::new(listed, word)
    };
    Some((!word.is_noted).then(ready))
}
