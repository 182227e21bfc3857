//! TRAIN TRUNK: it trains a network from photos, which the database keeps, and compares it on images held out.

use std::path::Path;
use std::sync::Arc;

use cairn::clean::Readings;
use cairn::language::{Augment, Gem, TrainPlan, TrunkPlan};
use cairn::{Error, ErrorKind, Keep, Photo, Progress, Result, Snapshot};

use super::base::Base;
use super::checkpoints::Files;
use super::gather::{Gathered, Workshop};
use super::judgement::Judged;
use super::photos::{embed_all, of_image};
use super::report::loss_plot;
use super::wishes::{loss_options, progress, sampling};
use crate::model::weights::Weights;
use crate::model::{Model, NetworkSettings, Place as Where, Settings};
use crate::train::{Augmentation, PhotoSet, Run, Singles, TrunkOptions, judge_trunk, train_trunk};
use cairndb_ingest::PhotoEmbedder;

/// Steps between two checkpoints; by time there are more.
const CHECKPOINT_STEPS: u64 = 100;
/// Photos between two words of the judging.
const JUDGED_AT_ONCE: usize = 256;

/// A network that was trained.
pub(super) struct Tuned {
    /// Its file of weights.
    pub(super) weights: Vec<u8>,
    pub(super) model: Arc<Model>,
    pub(super) judged: Option<Judged>,
    pub(super) lines: Vec<(&'static str, String)>,
}

/// Trains the network of `base` on.
pub(super) fn tune(
    workshop: &Workshop<'_>,
    base: &Base,
    gathered: &Gathered,
    plan: &TrainPlan,
    trunk: TrunkPlan,
    files: Option<&Files>,
) -> Result<Tuned> {
    let Workshop { database, hardware, weights, watch } = *workshop;
    let settings = Settings::parse(&base.model.info().settings)?;
    let (network, architecture) = settings.only(&base.model.info().name)?;
    let begin = network.weights(architecture, &|name| gathered.snapshot.model_file(name), weights)?;
    let options = options(plan, trunk)?;
    let snapshot = database.snapshot();
    let photo = |image: u32| of_image(database, &snapshot, &gathered.keys[image as usize], &base.read);
    let set = PhotoSet { samples: &gathered.samples, photo: &photo, photos: gathered.photos };
    let told = progress(watch);
    let run = Run {
        checkpoint: files.map(|files| files.checkpoint.as_path()),
        every: CHECKPOINT_STEPS,
        log: files.map(|files| files.log.as_path()),
        progress: &told,
    };
    let trained = train_trunk(&set, architecture, &begin, &options, hardware, &run)?;
    let learnt = Weights::from_bytes(Path::new("the trained network"), trained.weights.clone(), None)?;
    let network = NetworkSettings { digest: learnt.digest(), place: Where::Kept, ..network.clone() };
    let settings = Settings { networks: vec![network], adapter: None, ..settings };
    let model = Arc::new(Model::of_weights(&settings, architecture, &learnt, hardware)?);
    let judged = judge_trunk(&gathered.samples, &options, &|images| {
        described(
            workshop,
            (&model, &base.read),
            &snapshot,
            images.iter().map(|&image| gathered.keys[image as usize].as_str()),
        )
    })?;
    let in_force = |images: &[u32]| gathered.in_force(images);
    let other = if judged.is_some() && gathered.displaces(base).is_some() {
        judge_trunk(&gathered.samples, &options, &in_force)?
    } else {
        None
    };
    let last = trained.log.last();
    let mut lines = vec![
        ("steps", trained.log.len().to_string()),
        ("last loss", last.map_or_else(String::new, |step| format!("{:.4}", step.loss))),
        ("images per second", format!("{:.1}", trained.images_per_second)),
        ("waited for photos", format!("{:.1} % of the time", 100.0 * trained.waited)),
    ];
    if let Some(files) = files {
        loss_plot(&files.plot, plan.loss.name(), &trained.log)?;
        lines.extend(files.shown());
    }
    if trained.never_seen > 0 {
        lines.push(("left out: too few photos of their shape", trained.never_seen.to_string()));
    }
    Ok(Tuned {
        weights: trained.weights,
        model,
        judged: judged.as_ref().map(|judged| Judged::of_images(judged, other.as_ref())),
        lines,
    })
}

/// Descriptors of images, from their photos.
fn described<'k>(
    workshop: &Workshop<'_>,
    (model, read): (&Arc<Model>, &Readings),
    snapshot: &Snapshot,
    keys: impl Iterator<Item = &'k str>,
) -> Result<Vec<Vec<f32>>> {
    let embedder = PhotoEmbedder::new(model.clone(), Keep::None);
    let keys: Vec<&str> = keys.collect();
    let mut vectors = Vec::with_capacity(keys.len());
    for chunk in keys.chunks(JUDGED_AT_ONCE) {
        let photo = |key: &&str| Ok(((*key).to_owned(), of_image(workshop.database, snapshot, key, read)?));
        let photos: Vec<(String, Photo)> = chunk.iter().map(photo).collect::<Result<_>>()?;
        for vector in embed_all(&embedder, &photos)? {
            vectors.push(vector?);
        }
        let at = Progress::new("photos judged by", vectors.len(), keys.len());
        if workshop.watch.is_some_and(|watch| watch.progress(at).is_break()) {
            return Err(Error::new(ErrorKind::Cancelled, "stopped during the comparison on images held out")
                .help("run the same command again to resume"));
        }
    }
    Ok(vectors)
}

fn options(plan: &TrainPlan, trunk: TrunkPlan) -> Result<TrunkOptions> {
    let loss = loss_options(plan)?;
    let defaults = TrunkOptions::new(loss.loss);
    Ok(TrunkOptions {
        loss,
        dimension: plan.dimension,
        epochs: plan.epochs as u64,
        scaleup_epochs: trunk.scaleup as u64,
        batch: plan.batch,
        sampling: sampling(plan, defaults.sampling),
        augmentation: match trunk.augment {
            Augment::None => Augmentation::None,
            Augment::Soft => Augmentation::Soft,
            Augment::Hard => Augmentation::Hard,
        },
        learns_p: trunk.gem == Gem::Learnt,
        rate: plan.rate,
        seed: plan.seed,
        validation: plan.validation,
        singles: Singles::LeaveOut,
        ..defaults
    })
}
