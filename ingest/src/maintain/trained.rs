//! TRAIN: from the labelled images of a database to an adapter, judged on images held out, and in force if it is better.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use cairn::language::{Flip, Loss as Word, TrainPlan};
use cairn::{Database, Error, ErrorKind, Result, Role, Status, Target, Watch};

use super::base::{Again, Base};
use super::put_in_force;
use super::report::{Judged, loss_plot};
use crate::device::Hardware;
use crate::model::adapter_file;
use crate::train::{
    Adapter, Control, DiscriminantOptions, HeadOptions, Loss, Run, Samples, Sampling, Singles, Step,
    train_discriminant, train_head,
};

/// Index images that a training looks at, evenly spaced in the order of keys; they have no labels to learn from.
const INDEX_IMAGES: usize = 20_000;
/// Below this many train images a few hold-outs judge by chance, and more of them are cheap.
const FEW_IMAGES: usize = 2_000;
/// Hold-outs then.
const REPEATS_OF_FEW: usize = 8;
/// Steps between two checkpoints.
const CHECKPOINT_STEPS: u64 = 50;
/// Weight of the descriptor as it was beside a head's: the deck's ensemble.
const CONCATENATION: f32 = 0.5;
/// Folder of a training's files, inside the database's.
const FOLDER: &str = "training";

/// What a training gave.
pub(super) struct Learnt {
    pub(super) adapter: Adapter,
    judged: Option<Judged>,
    lines: Vec<(&'static str, String)>,
}

/// What is learnt from.
pub(super) struct Gathered {
    samples: Samples,
    /// Different labels.
    labels: usize,
    /// Images passed over because a cleaning marked them.
    marked: usize,
}

/// The labelled images with the base's descriptors.
pub(super) fn gather(database: &Database, base: &Base, watch: Option<&dyn Watch>) -> Result<Gathered> {
    let snapshot = database.drain()?;
    let marked: HashSet<String> = database.marked_by_cleanings()?.into_iter().collect();
    let mut keys = snapshot.keys(Some(Role::Train))?;
    keys.retain(|key| !marked.contains(key));
    if keys.is_empty() {
        return Err(Error::invalid("no labelled images: there is nothing to learn from").help(
            "give labels with LABEL, or ingest photos with a list of labels: cairn ingest DB train.csv --as train",
        ));
    }
    let mut numbers: BTreeMap<String, u32> = BTreeMap::new();
    let mut labels = Vec::with_capacity(keys.len());
    for key in &keys {
        let label = snapshot.record(key)?.and_then(|record| record.label);
        let label = label.ok_or_else(|| Error::corrupt(format!("train image '{key}' has no label")))?;
        let next = numbers.len() as u32;
        labels.push(*numbers.entry(label).or_insert(next));
    }
    let vectors = base.descriptors(database, &snapshot, &keys, watch)?;
    let dimension = base.model.dimension();
    let samples = Samples { dimension, vectors, image: (0..keys.len() as u32).collect(), labels };
    Ok(Gathered { samples, labels: numbers.len(), marked: marked.len() })
}

/// What a training is told beside its plan.
pub(super) struct Setting<'a> {
    pub(super) hardware: &'a Hardware,
    /// Weight of the descriptor as it was, beside a trained head's.
    pub(super) concatenation: f32,
    /// Where a training in steps keeps its state, log and plot; `None`: nowhere.
    pub(super) folder: Option<&'a Path>,
    pub(super) watch: Option<&'a dyn Watch>,
}

pub(super) fn learn(
    database: &Database,
    base: &Base,
    gathered: &Gathered,
    plan: &TrainPlan,
    setting: &Setting<'_>,
) -> Result<Learnt> {
    match plan.loss {
        Word::Discriminant => {
            let index = database.snapshot().keys(Some(Role::Index))?;
            let every = index.len().div_ceil(INDEX_IMAGES).max(1);
            let index: Vec<String> = index.into_iter().step_by(every).collect();
            solve(&gathered.samples, &base.stored(database, &index)?, plan, setting.watch)
        }
        _ => descend(&gathered.samples, plan, setting),
    }
}

pub(super) fn train(
    database: &Database,
    base: &Base,
    hardware: &Hardware,
    plan: &TrainPlan,
    watch: Option<&dyn Watch>,
) -> Result<Status> {
    let gathered = gather(database, base, watch)?;
    let folder = database.folder().join(FOLDER);
    std::fs::create_dir_all(&folder).map_err(|error| Error::io(&folder, error))?;
    let setting = Setting { hardware, concatenation: CONCATENATION, folder: Some(&folder), watch };
    let learnt = learn(database, base, &gathered, plan, &setting)?;
    let mut lines = vec![
        ("loss", plan.loss.name().to_owned()),
        ("train images", gathered.samples.labels.len().to_string()),
        ("labels", gathered.labels.to_string()),
        ("left out by cleanings", gathered.marked.to_string()),
    ];
    lines.extend(learnt.lines);
    if let Some(judged) = &learnt.judged {
        lines.extend(judged.lines());
    }
    let is_worse = learnt.judged.as_ref().is_some_and(|judged| !judged.is_better);
    let status = |lines: Vec<(&'static str, String)>| Status {
        lines: lines.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
    };
    match plan.flip {
        Flip::Never => lines.push(("outcome", "a dry run: the model in force stays".to_owned())),
        Flip::UnlessWorse if is_worse => lines.push((
            "outcome",
            "the model in force stays: the new one is not better on the images held out (FORCE puts it in force)"
                .to_owned(),
        )),
        Flip::UnlessWorse | Flip::Always => {
            database.put_file(&adapter_file(learnt.adapter.digest()?), &learnt.adapter.encode()?)?;
            let info = base.model.info_with(&learnt.adapter)?;
            let target = Target::new(info, learnt.adapter.dimension());
            let again = Again::new(Base::new(database, base.model.clone())?, Some(learnt.adapter));
            let done = put_in_force(database, target, &again, watch);
            let done = match done {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    lines.push(("outcome", "the same model came out that is in force already".to_owned()));
                    return Ok(status(lines));
                }
                done => done?,
            };
            let mut status = status(lines);
            status.lines.extend(done.lines);
            return Ok(status);
        }
    }
    Ok(status(lines))
}

/// The closed form.
fn solve(samples: &Samples, index: &[f32], plan: &TrainPlan, watch: Option<&dyn Watch>) -> Result<Learnt> {
    let options = DiscriminantOptions {
        compress: Some(plan.dimension),
        seed: plan.seed,
        validation: plan.validation,
        repeats: if samples.labels.len() < FEW_IMAGES {
            REPEATS_OF_FEW
        } else {
            DiscriminantOptions::default().repeats
        },
        ..DiscriminantOptions::default()
    };
    let progress = |what: &str, done: usize, all: usize| match watch {
        Some(watch) if !watch.went_on(what, done, all) => Control::Stop,
        _ => Control::Continue,
    };
    let trained = train_discriminant(samples, index, &options, &progress)?;
    Ok(Learnt {
        judged: trained.validation.as_ref().map(Judged::of_two_ways),
        lines: vec![
            ("left out as mislabelled", trained.left_out.len().to_string()),
            ("index images added", trained.added.to_string()),
        ],
        adapter: trained.adapter,
    })
}

/// Step by step.
fn descend(samples: &Samples, plan: &TrainPlan, setting: &Setting<'_>) -> Result<Learnt> {
    let Setting { hardware, concatenation, folder, watch } = *setting;
    let file = |name: &str| folder.map(|folder| folder.join(name));
    let (checkpoint, log) = (file("checkpoint"), file("log.csv"));
    let options = head_options(plan, concatenation)?;
    let progress = |step: &Step| {
        let what = format!("steps, loss {:.3}, {:.0} images/s", step.loss, step.images_per_second);
        match watch {
            Some(watch) if !watch.went_on(&what, step.step as usize, step.steps as usize) => Control::Stop,
            _ => Control::Continue,
        }
    };
    let run =
        Run { checkpoint: checkpoint.as_deref(), every: CHECKPOINT_STEPS, log: log.as_deref(), progress: &progress };
    let trained = train_head(samples, &options, hardware, &run)?;
    let last = trained.log.last();
    let mut lines = vec![
        ("steps", trained.log.len().to_string()),
        ("last loss", last.map_or_else(String::new, |step| format!("{:.4}", step.loss))),
    ];
    if let (Some(checkpoint), Some(log), Some(plot)) = (checkpoint, log, file("loss.html")) {
        loss_plot(&plot, plan.loss.name(), &trained.log)?;
        // The training is over; another one must not go on from it.
        remove(&checkpoint)?;
        lines.push(("log", log.display().to_string()));
        lines.push(("plot", plot.display().to_string()));
    }
    Ok(Learnt { judged: trained.validation.as_ref().map(Judged::of_images), lines, adapter: trained.adapter })
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path, error)),
        _ => Ok(()),
    }
}

fn head_options(plan: &TrainPlan, concatenation: f32) -> Result<HeadOptions> {
    let mut options = HeadOptions::new(plan.loss.name().parse::<Loss>()?);
    options.dimension = plan.dimension;
    options.concatenation = concatenation;
    options.epochs = plan.epochs as u64;
    options.batch = plan.batch;
    options.rate = plan.rate;
    options.seed = plan.seed;
    options.validation = plan.validation;
    options.singles = Singles::LeaveOut;
    if let Some(margin) = plan.margin {
        options.loss.margin = margin;
    }
    if let Some(scale) = plan.scale {
        options.loss.scale = scale;
    }
    if plan.balance {
        options.sampling = Sampling::ClassBalanced;
    }
    Ok(options)
}
