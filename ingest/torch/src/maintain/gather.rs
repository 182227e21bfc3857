//! Collects the train images and index images of a training, and opens the database for it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use cairn::clean::Marked;
use cairn::language::{Flip, TrainPlan};
use cairn::model::ModelInfo;
use cairn::{Database, Error, Result, Role, Snapshot, Watch};

use super::base::{Base, Gathering};
use crate::device::Hardware;
use crate::train::Samples;

/// What surrounds a training.
pub(super) struct Workshop<'a> {
    pub(super) database: &'a Database,
    pub(super) hardware: &'a Hardware,
    /// Where the file of weights is now, if it was moved.
    pub(super) weights: Option<&'a Path>,
    pub(super) watch: Option<&'a dyn Watch>,
}

/// What is learnt from.
pub(super) struct Gathered {
    /// The images, in the order of `samples`.
    pub(super) keys: Vec<String>,
    pub(super) samples: Samples,
    /// The number of each label.
    pub(super) numbers: BTreeMap<String, u32>,
    /// Number of images skipped because a cleaning marked them.
    pub(super) marked: Vec<Marked>,
    /// The last cleaning; 0: there was none.
    pub(super) cleaning: u64,
    /// BLAKE3 of their photos' own.
    pub(super) photos: blake3::Hash,
    /// What they were gathered from.
    pub(super) snapshot: Snapshot,
    /// The active model at that time.
    pub(super) model: Option<ModelInfo>,
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

    /// The other images of a training that knew the cleanings' marks only up to this one; no photo is read for skipped images
    /// anyway.
    pub(super) fn marked_since(&self, base: &Base, cleaning: u64) -> Result<Samples> {
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

    /// The active model, which a new one would replace; `None`: it is the base.
    pub(super) fn displaces(&self, base: &Base) -> Option<&ModelInfo> {
        self.model.as_ref().filter(|model| model.fingerprint != base.model.info().fingerprint)
    }

    /// The images that are the only ones of their label: they say nothing of what its images have in common.
    pub(super) fn alone(&self) -> HashSet<u32> {
        let labels = &self.samples.labels;
        let mut counts = vec![0usize; self.numbers.len()];
        labels.iter().for_each(|&label| counts[label as usize] += 1);
        (0u32..).zip(labels).filter(|(_, label)| counts[**label as usize] == 1).map(|(image, _)| image).collect()
    }

    /// Descriptors of images by the active model, by their numbers.
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

    /// The plan without the decision about its model, with the images and labels. It names the initial network only if the plan
    /// does: the active one changes at the end of the training.
    pub(super) fn asked(&self, plan: &TrainPlan, base: &Base) -> String {
        let mut hasher = self.named();
        if plan.from.is_some() {
            hasher.update(base.model.info().fingerprint.as_bytes());
        }
        hasher.update(self.photos.as_bytes());
        let plan = plan.clone().flip(Flip::UnlessWorse);
        hasher.update(format!("{plan:?}").as_bytes());
        hasher.finalize().to_hex().to_string()
    }

    pub(super) fn named(&self) -> blake3::Hasher {
        let mut hasher = blake3::Hasher::new();
        for (key, label) in self.keys.iter().zip(&self.samples.labels) {
            hasher.update(&(key.len() as u64).to_le_bytes());
            hasher.update(key.as_bytes());
            hasher.update(&label.to_le_bytes());
        }
        hasher
    }
}

/// The labelled images with the base's descriptors; `dry`: as readers see them, without applying deferred writes.
pub(super) fn gather(database: &Database, base: &Base, dry: bool, watch: Option<&dyn Watch>) -> Result<Gathered> {
    let snapshot = if dry { database.snapshot() } else { database.apply_pending()? };
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
