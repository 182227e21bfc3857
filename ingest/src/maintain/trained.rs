//! TRAIN: from the labelled images of a database to an adapter, judged on images held out, and in force if it is better.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use cairn::language::{Flip, Loss as Word, TrainPlan};
use cairn::{Database, Error, ErrorKind, Result, Role, Status, Target, Watch};

use super::base::{Again, Base};
use super::checkpoints::Files;
use super::judgement::Judgement;
use super::put_in_force;
use super::report::{Judged, loss_plot};
use super::tuned::{Workshop, tune};
use crate::device::Hardware;
use crate::model::{Model, adapter_file, kept};
use crate::train::{
    Adapter, Control, DiscriminantOptions, HeadOptions, Loss, LossOptions, Run, Samples, Sampling, Singles, Step,
    train_discriminant, train_head,
};

/// Index images that a training looks at, evenly spaced in the order of keys; they have no labels to learn from.
const INDEX_IMAGES: usize = 20_000;
/// Below this many train images a few hold-outs judge by chance, and more of them are cheap.
const FEW_IMAGES: usize = 2_000;
/// Hold-outs then.
const REPEATS_OF_FEW: usize = 8;
/// Steps between two checkpoints of a head.
const CHECKPOINT_STEPS: u64 = 50;
/// Weight of the descriptor as it was beside a head's: the deck's ensemble.
const CONCATENATION: f32 = 0.5;

/// What a training gave.
pub(super) struct Learnt {
    pub(super) adapter: Adapter,
    judged: Option<Judged>,
    lines: Vec<(&'static str, String)>,
}

/// What is learnt from.
pub(super) struct Gathered {
    /// The images, in the order of `samples`.
    pub(super) keys: Vec<String>,
    pub(super) samples: Samples,
    /// Different labels.
    labels: usize,
    /// Images passed over because a cleaning marked them.
    marked: usize,
}

impl Gathered {
    /// Which images and which labels, as text.
    pub(super) fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for (key, label) in self.keys.iter().zip(&self.samples.labels) {
            hasher.update(&(key.len() as u64).to_le_bytes());
            hasher.update(key.as_bytes());
            hasher.update(&label.to_le_bytes());
        }
        hasher.update(&self.samples.digest());
        hasher.finalize().to_hex().to_string()
    }
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
    Ok(Gathered { keys, samples, labels: numbers.len(), marked: marked.len() })
}

/// What a training is told beside its plan.
pub(super) struct Setting<'a> {
    pub(super) hardware: &'a Hardware,
    /// Weight of the descriptor as it was, beside a trained head's.
    pub(super) concatenation: f32,
    /// Where a training in steps keeps its state, log and plot; `None`: nowhere.
    pub(super) files: Option<&'a Files>,
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

/// What came of a training, before it is in force.
enum Outcome {
    /// A map behind the network.
    Adapter(Adapter),
    /// Another network: its file of weights, and the model.
    Network(Vec<u8>, Arc<Model>),
}

pub(super) fn train(workshop: &Workshop<'_>, base: &Base, plan: &TrainPlan) -> Result<Status> {
    let Workshop { database, hardware, watch, .. } = *workshop;
    let gathered = gather(database, base, watch)?;
    let mut lines = vec![
        ("loss", plan.loss.name().to_owned()),
        ("train images", gathered.samples.labels.len().to_string()),
        ("labels", gathered.labels.to_string()),
        ("left out by cleanings", gathered.marked.to_string()),
    ];
    let identity = [&format!("{plan:?}"), &base.model.info().fingerprint, &gathered.digest()];
    let files = Files::new(database.folder(), &identity.map(String::as_str))?;
    let (outcome, judged) = match plan.trunk {
        Some(trunk) => {
            let tuned = tune(workshop, base, &gathered, plan, trunk, &files)?;
            lines.extend(tuned.lines);
            (Outcome::Network(tuned.weights, tuned.model), tuned.judged)
        }
        None => {
            let setting = Setting { hardware, concatenation: CONCATENATION, files: Some(&files), watch };
            let learnt = learn(database, base, &gathered, plan, &setting)?;
            lines.extend(learnt.lines);
            (Outcome::Adapter(learnt.adapter), learnt.judged)
        }
    };
    if let Some(judged) = &judged {
        lines.extend(judged.lines());
    }
    let stays = match plan.flip {
        Flip::Never => Some("a dry run: the model in force stays".to_owned()),
        Flip::UnlessWorse => {
            let why = match &judged {
                Some(judged) => judged.why_worse().or(beside_the_one_in_force(database, base, plan, judged)?),
                None if plan.validation > 0.0 => Some("there are too few images of a label to hold any out".to_owned()),
                None => None,
            };
            why.map(|why| format!("the model in force stays: {why} (FORCE puts the new one in force)"))
        }
        Flip::Always => None,
    };
    if let Some(stays) = stays {
        files.done()?;
        lines.push(("outcome", stays));
        return Ok(status(lines));
    }
    let judgement = judged.map(|judged| Judgement::new(plan, judged.reranked));
    let put = put(workshop, base, outcome, judgement.as_ref());
    if put.as_ref().map_or_else(|error| error.kind() == ErrorKind::AlreadyExists, |_| true) {
        // Not before: what was learnt is kept from now on.
        files.done()?;
    }
    match put {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            lines.push(("outcome", "the same model came out that is in force already".to_owned()));
            Ok(status(lines))
        }
        done => {
            let mut status = status(lines);
            status.lines.extend(done?.lines);
            Ok(status)
        }
    }
}

/// Why a trained model that is in force should stay, by what it was worth when it was trained.
fn beside_the_one_in_force(
    database: &Database,
    base: &Base,
    plan: &TrainPlan,
    judged: &Judged,
) -> Result<Option<String>> {
    let Some(info) = database.options().model.filter(|info| info.fingerprint != base.model.info().fingerprint) else {
        return Ok(None);
    };
    let other = Judgement::of(database, &info.fingerprint)?;
    Ok(other.and_then(|other| Judgement::new(plan, judged.reranked).why_worse_than(&other)))
}

fn status(lines: Vec<(&'static str, String)>) -> Status {
    Status { lines: lines.into_iter().map(|(name, value)| (name.to_owned(), value)).collect() }
}

/// Keeps what was trained, and builds and flips its epoch.
fn put(workshop: &Workshop<'_>, base: &Base, outcome: Outcome, judgement: Option<&Judgement>) -> Result<Status> {
    let database = workshop.database;
    let (target, again) = match outcome {
        Outcome::Adapter(adapter) => {
            if kept::is_lost(database, base.model.info())? {
                return Err(Error::not_found("the network that this was trained on was dropped meanwhile")
                    .help("train on the network of the model in force: TRAIN without FROM"));
            }
            database.put_file(&adapter_file(adapter.digest()?), &adapter.encode()?)?;
            let target = Target::new(base.model.info_with(&adapter)?, adapter.dimension());
            let base = Base::new(database, Arc::clone(&base.model))?;
            (target, Again::new(database, base, Some(adapter)))
        }
        Outcome::Network(weights, model) => {
            kept::keep(database, &weights)?;
            (Target::new(model.info().clone(), model.dimension()), Again::from_photos(database, model))
        }
    };
    if let (Some(judgement), Some(model)) = (judgement, &target.model) {
        judgement.keep(database, &model.fingerprint)?;
    }
    put_in_force(database, target, &again, workshop.watch)
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

/// Tells of a training's steps.
pub(super) fn progress<'w>(watch: Option<&'w dyn Watch>) -> impl Fn(&Step) -> Control + 'w {
    move |step| {
        let what = format!("steps, loss {:.3}, {:.0} images/s", step.loss, step.images_per_second);
        match watch {
            Some(watch) if !watch.went_on(&what, step.step as usize, step.steps as usize) => Control::Stop,
            _ => Control::Continue,
        }
    }
}

/// Step by step.
fn descend(samples: &Samples, plan: &TrainPlan, setting: &Setting<'_>) -> Result<Learnt> {
    let Setting { hardware, concatenation, files, watch } = *setting;
    let options = head_options(plan, concatenation)?;
    let run = Run {
        checkpoint: files.map(|files| files.checkpoint.as_path()),
        every: CHECKPOINT_STEPS,
        log: files.map(|files| files.log.as_path()),
        progress: &progress(watch),
    };
    let trained = train_head(samples, &options, hardware, &run)?;
    let last = trained.log.last();
    let mut lines = vec![
        ("steps", trained.log.len().to_string()),
        ("last loss", last.map_or_else(String::new, |step| format!("{:.4}", step.loss))),
    ];
    if let Some(files) = files {
        loss_plot(&files.plot, plan.loss.name(), &trained.log)?;
        lines.push(("log", files.log.display().to_string()));
        lines.push(("plot", files.plot.display().to_string()));
    }
    Ok(Learnt { judged: trained.validation.as_ref().map(Judged::of_images), lines, adapter: trained.adapter })
}

/// How an epoch goes through the images: as the loss needs it, in a mini-batch of the plan's size.
pub(super) fn sampling(plan: &TrainPlan, of_loss: Sampling) -> Sampling {
    match of_loss {
        _ if plan.balance => Sampling::ClassBalanced,
        Sampling::Grouped { images } => Sampling::Grouped { images: images.min(plan.batch) },
        other => other,
    }
}

/// The loss with the margin and the scale of a plan.
pub(super) fn loss_options(plan: &TrainPlan) -> Result<LossOptions> {
    let defaults = LossOptions::new(plan.loss.name().parse::<Loss>()?);
    Ok(LossOptions {
        margin: plan.margin.unwrap_or(defaults.margin),
        scale: plan.scale.unwrap_or(defaults.scale),
        ..defaults
    })
}

fn head_options(plan: &TrainPlan, concatenation: f32) -> Result<HeadOptions> {
    let loss = loss_options(plan)?;
    let mut options = HeadOptions { loss, ..HeadOptions::new(loss.loss) };
    options.dimension = plan.dimension;
    options.concatenation = concatenation;
    options.epochs = plan.epochs as u64;
    options.batch = plan.batch;
    options.rate = plan.rate;
    options.seed = plan.seed;
    options.validation = plan.validation;
    options.singles = Singles::LeaveOut;
    options.sampling = sampling(plan, options.sampling);
    Ok(options)
}
