//! TRAIN: from the labelled images of a database to an adapter, judged on images held out, and in force if it is better.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use cairn::language::{Flip, Loss as Word, TrainPlan};
use cairn::{Database, Error, Marked, ModelInfo, Report, Result, Role, Snapshot, Target, Watch};

use super::base::{Again, Base, Gathering};
use super::checkpoints::{Alone, Files};
use super::judgement::Judged;
use super::photos;
use super::put_in_force;
use super::recipe::{self, Origin, Recipe};
use super::report::loss_plot;
use super::tuned::{Workshop, tune};
use crate::device::Hardware;
use crate::model::{Adapter, Model, adapter_file, base_of, kept};
use crate::train::{
    Control, Descriptors, DiscriminantOptions, HeadOptions, Loss, LossOptions, Run, Samples, Sampling, Singles, Step,
    judge_discriminant, judge_head, judge_with_more, train_discriminant, train_head,
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
    /// The number of each label.
    numbers: BTreeMap<String, u32>,
    /// Images passed over because a cleaning marked them.
    marked: Vec<Marked>,
    /// The last cleaning; 0: there was none.
    cleaning: u64,
    /// BLAKE3 of their photos' own.
    pub(super) photos: blake3::Hash,
    /// What they were gathered from.
    snapshot: Snapshot,
    /// The model in force then.
    model: Option<ModelInfo>,
}

impl Gathered {
    /// The same images with other labels, by key; `None` leaves an image out.
    pub(super) fn relabelled(&self, changed: &HashMap<String, Option<String>>) -> Self {
        let mut numbers = self.numbers.clone();
        let side = self.samples.dimension;
        let (mut keys, mut samples) = (Vec::new(), Samples { dimension: side, ..Samples::default() });
        // One row an image.
        for ((key, &label), row) in self.keys.iter().zip(&self.samples.labels).zip(self.samples.vectors.chunks(side)) {
            let next = numbers.len() as u32;
            let label = match changed.get(key) {
                None => label,
                Some(Some(label)) => *numbers.entry(label.clone()).or_insert(next),
                Some(None) => continue,
            };
            samples.image.push(keys.len() as u32);
            samples.labels.push(label);
            samples.vectors.extend(row);
            keys.push(key.clone());
        }
        let (snapshot, model, marked) = (self.snapshot.clone(), self.model.clone(), self.marked.clone());
        Self { keys, samples, numbers, marked, cleaning: self.cleaning, photos: self.photos, snapshot, model }
    }

    /// What a training had learnt from besides, that knew the marks of the cleanings up to that one only; no photo is read for what is
    /// passed over anyway.
    fn marked_since(&self, base: &Base, cleaning: u64) -> Result<Samples> {
        let since: Vec<&Marked> = self.marked.iter().filter(|marked| marked.cleaning > cleaning).collect();
        let keys: Vec<String> = since.iter().map(|marked| marked.key.clone()).collect();
        let mut numbers = self.numbers.clone();
        let mut samples = Samples { dimension: base.model.dimension(), ..Samples::default() };
        for (marked, row) in since.iter().zip(base.stored(&self.snapshot, &keys)?) {
            let Some(row) = row else { continue };
            let next = numbers.len() as u32;
            samples.image.push(samples.labels.len() as u32);
            samples.labels.push(*numbers.entry(marked.label.clone()).or_insert(next));
            samples.vectors.extend(row);
        }
        Ok(samples)
    }

    /// The model in force, which a new one would displace; `None`: it is the base.
    pub(super) fn displaces(&self, base: &Base) -> Option<&ModelInfo> {
        self.model.as_ref().filter(|model| model.fingerprint != base.model.info().fingerprint)
    }

    /// The images that are the only ones of their label: they say nothing of what its images have in common.
    fn alone(&self) -> HashSet<u32> {
        let labels = &self.samples.labels;
        let mut counts = vec![0usize; self.numbers.len()];
        labels.iter().for_each(|&label| counts[label as usize] += 1);
        (0u32..).zip(labels).filter(|(_, label)| counts[**label as usize] == 1).map(|(image, _)| image).collect()
    }

    /// Descriptors of images by the model in force, by their numbers.
    pub(super) fn in_force(&self, images: &[u32]) -> Result<Vec<Vec<f32>>> {
        let one = |&image: &u32| {
            let key = &self.keys[image as usize];
            self.snapshot.vector(key)?.ok_or_else(|| Error::corrupt(format!("train image '{key}' has no descriptor")))
        };
        images.iter().map(one).collect()
    }

    /// Which images and which labels, as text.
    pub(super) fn digest(&self) -> String {
        let mut hasher = self.named();
        hasher.update(&self.samples.digest());
        hasher.finalize().to_hex().to_string()
    }

    /// The plan but for what becomes of its model, and which images and labels. Which network it begins with only where the plan
    /// says so: the one in force is another one once the training is over.
    fn asked(&self, plan: &TrainPlan, base: &Base) -> String {
        let mut hasher = self.named();
        if plan.from.is_some() {
            hasher.update(base.model.info().fingerprint.as_bytes());
        }
        hasher.update(self.photos.as_bytes());
        let plan = TrainPlan { flip: Flip::UnlessWorse, ..plan.clone() };
        hasher.update(format!("{plan:?}").as_bytes());
        hasher.finalize().to_hex().to_string()
    }

    fn named(&self) -> blake3::Hasher {
        let mut hasher = blake3::Hasher::new();
        for (key, label) in self.keys.iter().zip(&self.samples.labels) {
            hasher.update(&(key.len() as u64).to_le_bytes());
            hasher.update(key.as_bytes());
            hasher.update(&label.to_le_bytes());
        }
        hasher
    }
}

/// The labelled images with the base's descriptors; `dry`: as readers see them, with nothing carried out that waits.
pub(super) fn gather(database: &Database, base: &Base, dry: bool, watch: Option<&dyn Watch>) -> Result<Gathered> {
    let snapshot = if dry { database.snapshot() } else { database.drain()? };
    let model = database.options().model;
    let cleaning = database.cleanings()?.last().map_or(0, |cleaning| cleaning.number);
    let mut keys = snapshot.keys(Some(Role::Train))?;
    let mut marked = database.marked()?;
    marked.retain(|marked| keys.binary_search(&marked.key).is_ok());
    let passed_over: HashSet<&str> = marked.iter().map(|marked| marked.key.as_str()).collect();
    keys.retain(|key| !passed_over.contains(key.as_str()));
    if keys.is_empty() {
        return Err(Error::invalid("no labelled images: there is nothing to learn from").help(
            "give labels with LABEL, or ingest photos with a list of labels: cairn ingest DB train.csv --as train",
        ));
    }
    let mut numbers: BTreeMap<String, u32> = BTreeMap::new();
    let (mut labels, mut photos) = (Vec::with_capacity(keys.len()), blake3::Hasher::new());
    for key in &keys {
        let record = snapshot.record(key)?;
        photos.update(&record.as_ref().and_then(|record| record.content).unwrap_or_default());
        let label = record.and_then(|record| record.label);
        let label = label.ok_or_else(|| Error::corrupt(format!("train image '{key}' has no label")))?;
        let next = numbers.len() as u32;
        labels.push(*numbers.entry(label).or_insert(next));
    }
    let vectors = base.descriptors(&Gathering { database, snapshot: &snapshot, keeps: !dry, watch }, &keys)?;
    let dimension = base.model.dimension();
    let samples = Samples { dimension, vectors, image: (0..keys.len() as u32).collect(), labels };
    Ok(Gathered { keys, samples, numbers, marked, cleaning, photos: photos.finalize(), snapshot, model })
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

/// What discriminants are compared with beside the network.
enum Rival<'d> {
    /// Other discriminants, made again: of so many dimensions, and from these images too.
    Discriminants(usize, Samples),
    /// Descriptors that are stored.
    Stored(Descriptors<'d>),
}

pub(super) fn learn(
    database: &Database,
    base: &Base,
    gathered: &Gathered,
    plan: &TrainPlan,
    setting: &Setting<'_>,
) -> Result<Learnt> {
    let displaced = gathered.displaces(base);
    let in_force = |images: &[u32]| gathered.in_force(images);
    let in_force: Option<Descriptors<'_>> = if displaced.is_some() { Some(&in_force) } else { None };
    match plan.loss {
        Word::Discriminant => {
            let index = gathered.snapshot.keys(Some(Role::Index))?;
            let every = index.len().div_ceil(INDEX_IMAGES).max(1);
            let index: Vec<String> = index.into_iter().step_by(every).collect();
            let recipe = displaced.map(|model| recipe::of(database, model, base.model.info())).transpose()?.flatten();
            let rival = match recipe {
                Some(Recipe { dimension, cleaning }) => {
                    Some(Rival::Discriminants(dimension, gathered.marked_since(base, cleaning)?))
                }
                None => in_force.map(Rival::Stored),
            };
            // What leaves no state keeps nothing either.
            let (snapshot, keeps) = (&gathered.snapshot, setting.files.is_some());
            let from = Gathering { database, snapshot, keeps, watch: setting.watch };
            let (index, passed_over) = base.descriptors_there(&from, &index)?;
            let mut learnt = solve(gathered, &index, plan, rival, setting.watch)?;
            learnt.lines.extend(photos::passed_over(&passed_over).map(|why| ("index images passed over", why)));
            Ok(learnt)
        }
        _ => descend(&gathered.samples, plan, in_force, setting),
    }
}

/// What came of a training, before it is in force.
enum Outcome {
    /// A map behind the network.
    Adapter(Adapter),
    /// Another network: its file of weights, and the model.
    Network(Vec<u8>, Arc<Model>),
}

pub(super) fn train(workshop: &Workshop<'_>, base: &Base, plan: &TrainPlan) -> Result<Report> {
    let Workshop { database, hardware, watch, .. } = *workshop;
    let _alone = Alone::on(database.folder())?;
    let is_dry = plan.flip == Flip::Never;
    let gathered = gather(database, base, is_dry, watch)?;
    let mut lines = vec![
        ("loss", plan.loss.name().to_owned()),
        ("train images", gathered.samples.labels.len().to_string()),
        ("labels", gathered.numbers.len().to_string()),
        ("left out by cleanings", gathered.marked.len().to_string()),
    ];
    let alone = gathered.alone();
    if !alone.is_empty() {
        lines.push(("left out: only image of its label", alone.len().to_string()));
    }
    let identity = [&format!("{plan:?}"), &base.model.info().fingerprint, &gathered.digest()];
    // A dry run leaves nothing in the folder, so it cannot be taken up either.
    let files = match is_dry {
        true => None,
        false => Some(Files::new(database.training_folder()?, &identity.map(String::as_str))?),
    };
    let asked = gathered.asked(plan, base);
    if plan.trunk.is_some()
        && let Some(model) = &gathered.model
        && let Some(origin) = recipe::origin(database, &base_of(model)?.fingerprint)?
        && origin.asked == asked
    {
        if let Some(files) = &files {
            files.clear(&origin.checkpoint)?;
        }
        let number = database.models()?.into_iter().find(|entry| entry.in_force).map_or(0, |entry| entry.number);
        let outcome = format!(
            "the network of model {number} in force came of this training (FROM MODEL {number} goes on from it)"
        );
        lines.push(("outcome", outcome));
        return Ok(status(lines));
    }
    let (outcome, judged) = match plan.trunk {
        Some(trunk) => {
            let tuned = tune(workshop, base, &gathered, plan, trunk, files.as_ref())?;
            lines.extend(tuned.lines);
            (Outcome::Network(tuned.weights, tuned.model), tuned.judged)
        }
        None => {
            let setting = Setting { hardware, concatenation: CONCATENATION, files: files.as_ref(), watch };
            let learnt = learn(database, base, &gathered, plan, &setting)?;
            lines.extend(learnt.lines);
            (Outcome::Adapter(learnt.adapter), learnt.judged)
        }
    };
    lines.extend(base.read.line().map(|files| (super::FILES_READ, files)));
    if let Some(judged) = &judged {
        lines.extend(judged.lines());
    }
    let same = match &outcome {
        Outcome::Adapter(adapter) => base.model.info_with(adapter)?.fingerprint,
        Outcome::Network(_, model) => model.info().fingerprint.clone(),
    };
    let now = database.options().model.map(|model| model.fingerprint);
    let is_in_force = now.as_ref() == Some(&same);
    let was = gathered.model.as_ref().map(|model| &model.fingerprint);
    let stays = match plan.flip {
        Flip::Never => Some("a dry run: the model in force stays".to_owned()),
        _ if is_in_force => Some("the same model came out that is in force already".to_owned()),
        Flip::UnlessWorse if now.as_ref() != was => {
            Some("another model came in force meanwhile, and stays; train again to be compared with it".to_owned())
        }
        Flip::UnlessWorse => {
            let why = match &judged {
                Some(judged) => judged.why_worse(),
                None if plan.validation > 0.0 => Some("there are too few images of a label to hold any out".to_owned()),
                None => None,
            };
            why.map(|why| format!("the model in force stays: {why} (FORCE puts the new one in force)"))
        }
        Flip::Always => None,
    };
    if let Some(stays) = stays {
        if let Some(files) = &files {
            files.done()?;
        }
        lines.push(("outcome", stays));
        return Ok(status(lines));
    }
    if plan.loss == Word::Discriminant {
        recipe::keep(database, &same, Recipe { dimension: plan.dimension, cleaning: gathered.cleaning })?;
    }
    if plan.trunk.is_some() {
        recipe::keep_origin(
            database,
            &same,
            &Origin { asked, checkpoint: files.as_ref().map_or_else(String::new, Files::name) },
        )?;
    }
    let put = put(workshop, base, outcome)?;
    // Not before: what was learnt is kept from now on.
    let left = files.as_ref().map_or(Ok(()), Files::done);
    let mut status = status(lines);
    status.lines.extend(put.lines);
    // The model is in force, whatever becomes of its leavings.
    status.lines.extend(left.err().map(|error| ("a file stays".to_owned(), error.to_string())));
    Ok(status)
}

fn status(lines: Vec<(&'static str, String)>) -> Report {
    Report { lines: lines.into_iter().map(|(name, value)| (name.to_owned(), value)).collect() }
}

/// Keeps what was trained, and builds and flips its epoch.
fn put(workshop: &Workshop<'_>, base: &Base, outcome: Outcome) -> Result<Report> {
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
    put_in_force(database, target, &again, workshop.watch)
}

/// The closed form.
fn solve(
    gathered: &Gathered,
    index: &[f32],
    plan: &TrainPlan,
    rival: Option<Rival<'_>>,
    watch: Option<&dyn Watch>,
) -> Result<Learnt> {
    let samples = &gathered.samples;
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
    let alone = gathered.alone();
    let mislabelled = trained.left_out.iter().filter(|image| !alone.contains(image)).count();
    let judged = trained.validation.as_ref();
    let other = match rival.filter(|_| judged.is_some()) {
        // They would be made again as the new ones were: from the labels as they are now, and what came since is nothing to fear.
        Some(Rival::Discriminants(dimension, more)) if dimension == plan.dimension && more.labels.is_empty() => None,
        Some(Rival::Discriminants(dimension, more)) => {
            let options = DiscriminantOptions { compress: Some(dimension), ..options };
            judge_with_more(samples, &more, &options, &progress)?
        }
        Some(Rival::Stored(descriptors)) => judge_discriminant(samples, &options, descriptors)?,
        None => None,
    };
    Ok(Learnt {
        judged: judged.map(|judged| Judged::of_two_ways(judged, other.as_ref())),
        lines: vec![
            ("left out as mislabelled", mislabelled.to_string()),
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
fn descend(
    samples: &Samples,
    plan: &TrainPlan,
    in_force: Option<Descriptors<'_>>,
    setting: &Setting<'_>,
) -> Result<Learnt> {
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
        lines.extend(files.shown());
    }
    let judged = trained.validation.as_ref();
    let other = in_force.filter(|_| judged.is_some());
    let other = other.map(|other| judge_head(samples, &options, other)).transpose()?.flatten();
    let judged = judged.map(|judged| Judged::of_images(judged, other.as_ref()));
    Ok(Learnt { judged, lines, adapter: trained.adapter })
}

/// How an epoch goes through the images: as the loss needs it, in a mini-batch of the plan's size.
pub(super) fn sampling(plan: &TrainPlan, of_loss: Sampling) -> Sampling {
    match of_loss {
        // Two labels in a batch at least: images of one alone have nothing to be told from.
        Sampling::Grouped { images } => {
            let images = images.min(plan.batch / 2).max(2);
            if plan.balance { Sampling::ClassBalanced { images } } else { Sampling::Grouped { images } }
        }
        _ if plan.balance => Sampling::ClassBalanced { images: 1 },
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
