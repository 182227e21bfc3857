//! TRAIN: it learns an adapter from the labelled images of a database, compares it on images held out, and makes it active if it
//! is better.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use cairn::language::{Flip, Loss as Word, TrainPlan};
use cairn::model::{Maintained, ModelChange, Reembed, Target, Wanted};
use cairn::reports::Report;
use cairn::{Database, Error, Progress, Result, Role, Watch};

use super::base::{Again, Base, Gathering};
use super::checkpoints::{Alone, Files};
use super::gather::{Gathered, Workshop, gather};
use super::judgement::Judged;
use super::photos;
use super::recipe::{self, Origin, Recipe};
use super::report::loss_plot;
use super::tuned::tune;
use super::wishes::{loss_options, progress, sampling};
use crate::device::Hardware;
use crate::model::{Adapter, Model, Settings, adapter_file, base_of, is_lost, kept};
use crate::train::{
    Descriptors, DiscriminantOptions, HeadOptions, Run, Samples, Singles, judge_discriminant, judge_head,
    judge_with_more, train_discriminant, train_head,
};

/// Largest number of index images that a training uses, evenly spaced in the order of keys; they have no labels to learn from.
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

/// The arguments of a training besides its plan.
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
    /// Other discriminants, computed again: with this many dimensions, and also from these images.
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
            let recipe =
                displaced.map(|model| recipe::of(&gathered.snapshot, model, base.model.info())).transpose()?.flatten();
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
            learnt.lines.extend(photos::passed_over(&passed_over).map(|why| ("index images skipped", why)));
            Ok(learnt)
        }
        _ => descend(&gathered.samples, plan, in_force, setting),
    }
}

/// The result of a training, before it is active.
enum Outcome {
    /// A map behind the network.
    Adapter(Adapter),
    /// Another network: its file of weights, and the model.
    Network(Bytes, Arc<Model>),
}

pub(super) fn train(workshop: &Workshop<'_>, base: &Base, plan: &TrainPlan) -> Result<Maintained> {
    let Workshop { database, hardware, watch, .. } = *workshop;
    if plan.trunk.is_some() {
        // Before any photo is read.
        Settings::parse(&base.model.info().settings)?.only(&base.model.info().name)?;
    }
    let alone_here = Alone::on(database.folder())?;
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
        && let Some(origin) = recipe::origin(&gathered.snapshot, &base_of(model)?.fingerprint)?
        && origin.asked == asked
    {
        if let Some(files) = &files {
            files.clear(&origin.checkpoint)?;
        }
        let number = database.models()?.into_iter().find(|entry| entry.active).map_or(0, |entry| entry.number);
        let outcome =
            format!("the active model {number} is the result of this training (FROM MODEL {number} trains it further)");
        lines.push(("outcome", outcome));
        return Ok(Maintained::new(lines.into_iter().collect(), None));
    }
    let (outcome, judged) = match plan.trunk {
        Some(trunk) => {
            let tuned = tune(workshop, base, &gathered, plan, trunk, files.as_ref())?;
            lines.extend(tuned.lines);
            (Outcome::Network(tuned.weights.into(), tuned.model), tuned.judged)
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
        Flip::Never => Some("a dry run: the active model stays".to_owned()),
        _ if is_in_force => Some("the training gave the model that is already active".to_owned()),
        Flip::UnlessWorse if now.as_ref() != was => {
            Some("another model became active meanwhile and stays; train again to compare with it".to_owned())
        }
        Flip::UnlessWorse => {
            let why = match &judged {
                Some(judged) => judged.why_worse(),
                None if plan.validation > 0.0 => Some("there are too few images per label to hold any out".to_owned()),
                None => None,
            };
            why.map(|why| format!("the active model stays: {why} (FORCE makes the new one active)"))
        }
        Flip::Always => None,
    };
    if let Some(stays) = stays {
        if let Some(files) = &files {
            files.done()?;
        }
        lines.push(("outcome", stays));
        return Ok(Maintained::new(lines.into_iter().collect(), None));
    }
    let mut files_of_model = Vec::new();
    if plan.loss == Word::Discriminant {
        let recipe = Recipe { dimension: plan.dimension, cleaning: gathered.cleaning };
        files_of_model.push(recipe::file(&same, recipe));
    }
    if plan.trunk.is_some() {
        let checkpoint = files.as_ref().map_or_else(String::new, Files::name);
        files_of_model.push(recipe::origin_file(&same, &Origin { asked, checkpoint }));
    }
    let (mut target, again) = change(workshop, base, outcome)?;
    target.files.splice(0..0, files_of_model);
    let change = ModelChange::new(target, Activation { again, files, _alone: alone_here });
    Ok(Maintained::new(lines.into_iter().collect(), change))
}

/// Makes the descriptors of what was trained; the state of the training goes when the model is active, not before.
struct Activation {
    again: Again,
    files: Option<Files>,
    _alone: Alone,
}

impl Reembed for Activation {
    fn reembed(&self, images: &[Wanted]) -> Result<Vec<Result<Vec<f32>>>> {
        self.again.reembed(images)
    }

    fn activated(&self) -> Report {
        let mut report = self.again.activated();
        let left = self.files.as_ref().map_or(Ok(()), Files::done);
        report.lines.extend(left.err().map(|error| ("a file stays".to_owned(), error.to_string())));
        report
    }
}

/// The model that was trained, the files that the database keeps for it, and what makes its descriptors.
fn change(workshop: &Workshop<'_>, base: &Base, outcome: Outcome) -> Result<(Target, Again)> {
    let database = workshop.database;
    Ok(match outcome {
        Outcome::Adapter(adapter) => {
            // What the base brings itself is kept with the adapter.
            if base.model.files().is_empty() && is_lost(&database.snapshot(), base.model.info())? {
                return Err(Error::not_found("the network of this training was dropped meanwhile")
                    .help("train on the network of the active model: TRAIN without FROM"));
            }
            let mut target = Target::new(base.model.info_with(&adapter)?, adapter.dimension());
            target.files = base.model.files().to_vec();
            target.files.push((adapter_file(adapter.digest()?), adapter.encode()?.into()));
            (target, Again::new(database, Base::new(database, Arc::clone(&base.model))?, Some(adapter)))
        }
        Outcome::Network(weights, model) => {
            let mut target = Target::new(model.info().clone(), model.dimension());
            target.files = kept::parts(&weights);
            (target, Again::from_photos(database, model))
        }
    })
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
    let progress = |at: Progress<'_>| watch.map_or(ControlFlow::Continue(()), |watch| watch.progress(at));
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
            ("index images also used for training", trained.added.to_string()),
        ],
        adapter: trained.adapter,
    })
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
