//! Two models whose descriptors are mirror images of each other, so that the content of a database under either follows from the
//! stream: the test and the process that it kills need not communicate.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use cairn::model::{ModelInfo, Reembed, Target, Wanted};
use cairn::{Database, Operation, Options, Progress};

use crate::stream::{DIMENSION, Model, Stream, apply, unit};

/// The image whose label says how many transactions are stored.
const COUNTER: &str = "~count";

/// One of the two models.
pub fn model(mirrored: bool) -> ModelInfo {
    let name = if mirrored { "mirrored" } else { "plain" };
    ModelInfo::new(name, name.repeat(4))
}

/// What a database of the first model is created with.
pub fn options() -> Options {
    Options::for_model(model(false), DIMENSION)
}

/// Whether the second model is active.
pub fn is_mirrored(database: &Database) -> bool {
    database.options().model.is_some_and(|found| found.name == model(true).name)
}

/// The other model's descriptor, exactly: it only changes places and signs.
pub fn mirror(vector: &[f32]) -> Vec<f32> {
    vector.iter().rev().map(|value| -value).collect()
}

/// Writes vectors as those of the active model, whichever that is by then.
///
/// # Errors
/// What the write gives.
pub fn write_named(
    database: &Database,
    operations: impl IntoIterator<Item = Operation>,
) -> cairn::Result<cairn::Receipt> {
    let operations: Vec<Operation> = operations.into_iter().collect();
    loop {
        let active = database.options().model.map(|model| model.fingerprint);
        match database.write_if([cairn::Expect::Model(active)], operations.clone()) {
            Err(error) if error.message().starts_with("another model became active") => {}
            written => return written,
        }
    }
}

/// What is stored under a model.
pub fn under(stored: &Model, mirrored: bool) -> Model {
    let view = |vector: &Vec<f32>| if mirrored { mirror(vector) } else { vector.clone() };
    stored.iter().map(|(key, (label, vector))| (key.clone(), (label.clone(), view(vector)))).collect()
}

fn under_operation(operation: Operation, mirrored: bool) -> Operation {
    match operation {
        Operation::Put(mut put) if mirrored => {
            put.vector = mirror(&put.vector);
            Operation::Put(put)
        }
        other => other,
    }
}

/// The stream, each transaction with a counter, applied under the active model.
pub struct Turns<'d> {
    database: &'d Database,
    stream: Stream,
    counted: Model,
}

/// How many transactions of a stream a database holds.
///
/// # Panics
/// When it cannot be read.
pub fn counted(database: &Database) -> u64 {
    let record = database.apply_pending().unwrap().record(COUNTER).unwrap();
    record.and_then(|record| record.label?.parse().ok()).unwrap_or(0)
}

/// The model of a database after so many transactions, as the first model's descriptors.
pub fn model_after(seed: u64, count: u64) -> Model {
    let mut stream = Stream::new(seed);
    stream.run_to(count);
    let mut model = stream.model;
    if count > 0 {
        apply(&mut model, &[counter(count)]);
    }
    model
}

fn counter(number: u64) -> Operation {
    let mut vector = vec![0.0; DIMENSION];
    vector[0] = 1.0;
    crate::put(COUNTER, Some(&number.to_string()), &unit(&vector))
}

impl<'d> Turns<'d> {
    /// Goes on where the database is.
    pub fn new(database: &'d Database, seed: u64) -> Self {
        let mut stream = Stream::new(seed);
        let count = counted(database);
        stream.run_to(count);
        Self { database, stream, counted: model_after(seed, count) }
    }

    /// Number of the next transaction.
    pub fn next(&self) -> u64 {
        self.stream.next
    }

    /// What is stored now, as the first model's descriptors.
    pub fn stored(&self) -> &Model {
        &self.counted
    }

    /// Writes one transaction and returns its number.
    ///
    /// # Panics
    /// When it fails.
    pub fn write(&mut self) -> u64 {
        self.try_write().unwrap()
    }

    /// Writes one transaction and returns its number; after a failure no more can be written.
    ///
    /// # Errors
    /// What the write gives.
    pub fn try_write(&mut self) -> cairn::Result<u64> {
        let number = self.stream.next;
        let mut operations = self.stream.transaction();
        operations.push(counter(number));
        apply(&mut self.counted, &operations);
        let mirrored = is_mirrored(self.database);
        let operations = operations.into_iter().map(|operation| under_operation(operation, mirrored));
        write_named(self.database, operations)?;
        self.stream.advance();
        Ok(number)
    }

    /// Goes to the other model; while its descriptors are made, transactions are written.
    ///
    /// # Errors
    /// What the change of models gives.
    pub fn change(&mut self, written: &mut dyn FnMut(u64)) -> cairn::Result<u32> {
        let database = self.database;
        let to = model(!is_mirrored(database));
        // Once everything is looked at, only the change goes on: the last images are embedded while writers are kept waiting.
        let quiet = AtomicBool::new(false);
        let busy = Busy { turns: RefCell::new((self, written)), quiet: &quiet };
        let watch = |at: Progress<'_>| {
            quiet.fetch_or(at.what == Progress::VERIFICATION, Ordering::Relaxed);
            ControlFlow::Continue(())
        };
        database.change_model(Target::new(to, DIMENSION), &busy, Some(&watch))
    }
}

/// Mirrors descriptors, and writes meanwhile.
struct Busy<'b, 'd> {
    turns: RefCell<(&'b mut Turns<'d>, &'b mut dyn FnMut(u64))>,
    quiet: &'b AtomicBool,
}

impl Reembed for Busy<'_, '_> {
    fn reembed(&self, images: &[Wanted]) -> cairn::Result<Vec<cairn::Result<Vec<f32>>>> {
        if !self.quiet.load(Ordering::Relaxed) {
            let (turns, written) = &mut *self.turns.borrow_mut();
            written(turns.try_write()?);
        }
        Ok(images.iter().map(|image| Ok(mirror(&image.vector))).collect())
    }
}
