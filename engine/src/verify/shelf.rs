//! The local features of stored images: those that the database keeps, and those that are found now, which it keeps from then on.
//! A reader and a dry run put theirs into a file without a name instead.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::scratch::Scratch;
use super::sights::{Readings, Sight, Sights};
use crate::background::Shared;
use crate::catalog::Seen;
use crate::error::{Error, ErrorKind, Result};
use crate::id::ImageId;
use crate::options::Keep;
use crate::ports::{LocalFeatures, Photo};
use crate::process::pool;
use crate::progress::{Progress, Watch, report};
use crate::spatial::Features;
use crate::state::Snapshot;

/// Photos whose features are found before these are stored.
const STORED_AT_A_TIME: usize = 64;
/// How features are stored, as part of the extractor's name: those stored otherwise are found again.
const STORED_AS: &str = "2";

/// Features of images of one snapshot, which are identified by their positions in a list.
pub(super) struct Shelf<'a> {
    pub(super) shared: &'a Shared,
    snapshot: &'a Snapshot,
    keys: &'a [String],
    pub(super) ids: Vec<ImageId>,
    features: &'a dyn LocalFeatures,
    read: Arc<Readings>,
    /// What is found now; `None`: it goes into the database.
    beside: Option<Beside>,
}

/// Replaces the features and the counts of the database.
struct Beside {
    found: Scratch,
    /// Whether those of the database came of the same extractor.
    is_same_extractor: bool,
}

impl Beside {
    /// Whether what the database keeps of an image holds.
    fn trusts(&self, id: ImageId) -> bool {
        self.is_same_extractor && !self.found.has(id)
    }
}

/// What was seen of the images that are needed.
#[derive(Default)]
pub(super) struct Looked {
    /// What stood for each photo.
    pub(super) seen: HashMap<usize, Sight>,
    /// Why nothing could.
    pub(super) unseen: HashMap<usize, Error>,
}

impl<'a> Shelf<'a> {
    /// The features of these images, for comparisons of this kind (`how`). If it `keeps` what it finds, it drops the results of another
    /// extractor from the database; otherwise it ignores them.
    pub(super) fn new(
        shared: &'a Shared,
        snapshot: &'a Snapshot,
        keys: &'a [String],
        features: &'a dyn LocalFeatures,
        how: &str,
        keeps: bool,
    ) -> Result<Self> {
        let mut ids = Vec::with_capacity(keys.len());
        for key in keys {
            let found = snapshot.state.pinned.image(key)?;
            ids.push(found.ok_or_else(|| Error::corrupt(format!("'{key}' has no record")))?);
        }
        let fingerprint = Self::fingerprint(features, how);
        let core = shared.core();
        let is_same_extractor = core.snapshot().state.pinned.extractor()?.as_ref() == Some(&fingerprint);
        let beside = if keeps { None } else { Some(Beside { found: Scratch::new()?, is_same_extractor }) };
        if keeps && !is_same_extractor {
            core.keep(|batch| batch.set_extractor(&fingerprint))?;
        }
        Ok(Self { shared, snapshot, keys, ids, features, read: Arc::default(), beside })
    }

    /// The name under which the features of this extractor are stored, for comparisons of this kind.
    pub(super) fn fingerprint(features: &dyn LocalFeatures, how: &str) -> String {
        format!("{STORED_AS} {} {how}", features.fingerprint())
    }

    /// Notes the files that it reads there.
    pub(super) fn reading(self, read: Arc<Readings>) -> Self {
        Self { read, ..self }
    }

    /// Whether what is found goes into the database.
    pub(super) fn keeps(&self) -> bool {
        self.beside.is_none()
    }

    /// Finds the features of the images that are needed and have none.
    pub(super) fn look(&self, needed: &[bool], watch: Option<&dyn Watch>) -> Result<Looked> {
        let core = self.shared.core();
        let pinned = core.snapshot();
        let (mut missing, mut outdated, mut seen) = (Vec::new(), HashSet::new(), HashMap::new());
        for at in (0..self.keys.len()).filter(|&at| needed[at]) {
            match pinned.state.pinned.features(self.ids[at])? {
                None => missing.push(at),
                Some(_) if self.beside.as_ref().is_some_and(|beside| !beside.is_same_extractor) => missing.push(at),
                // The photo is back: it shows more than the thumbnail did.
                Some((Seen::Thumbnail, _)) if self.file(at)?.is_some() => {
                    missing.push(at);
                    outdated.insert(self.ids[at]);
                }
                Some((Seen::Thumbnail, _)) => _ = seen.insert(at, Sight::Thumbnail),
                Some((Seen::Whole, _)) if self.keeps_originals() && self.file(at)?.is_none() => {
                    seen.insert(at, Sight::Kept);
                }
                Some((Seen::Whole, _)) => _ = seen.insert(at, Sight::File),
            }
        }
        if self.keeps() && !outdated.is_empty() {
            let pairs = pinned.state.pinned.pairs_of(&outdated)?;
            core.keep(|batch| batch.forget_features(&outdated, &pairs))?;
        }
        let (all, mut done) = (missing.len(), 0);
        let mut unseen = HashMap::new();
        for images in missing.chunks(STORED_AT_A_TIME) {
            // The extractor may use other threads, and wait for them.
            let found: Vec<Result<(Sight, Features)>> = pool::on_threads(images, |&at| self.extract(at))?;
            let whole = || images.iter().zip(&found).filter_map(|(&at, found)| Some((at, found.as_ref().ok()?)));
            match &self.beside {
                Some(beside) => {
                    whole().try_for_each(|(at, (_, features))| beside.found.put(self.ids[at], &features.encode()))?;
                }
                None => core.keep(|batch| {
                    whole().try_for_each(|(at, (sight, found))| {
                        let seen = if *sight == Sight::Thumbnail { Seen::Thumbnail } else { Seen::Whole };
                        batch.put_features(self.ids[at], seen, &found.encode())
                    })
                })?,
            }
            seen.extend(whole().map(|(at, (sight, _))| (at, *sight)));
            unseen.extend(images.iter().zip(found).filter_map(|(&at, found)| Some((at, found.err()?))));
            done += images.len();
            report(watch, Progress::LOCAL_FEATURES, done, all)?;
        }
        Ok(Looked { seen, unseen })
    }

    /// How many images were compared by what, and the files that were read.
    pub(super) fn sights(&self, seen: &HashMap<usize, Sight>) -> Sights {
        let mut sights = Sights { read: self.read.line(), ..Sights::default() };
        seen.values().for_each(|&sight| sights.count(sight));
        sights
    }

    /// The inliers of a pair that was counted before.
    pub(super) fn counted(&self, state: &Snapshot, at: usize, other: usize) -> Result<Option<u32>> {
        let (id, other) = (self.ids[at], self.ids[other]);
        match &self.beside {
            Some(beside) if !(beside.trusts(id) && beside.trusts(other)) => Ok(None),
            _ => state.state.pinned.inliers(id, other),
        }
    }

    pub(super) fn stored(&self, state: &Snapshot, at: usize) -> Result<Option<Features>> {
        let id = self.ids[at];
        let stored = match &self.beside {
            Some(beside) if !beside.trusts(id) => beside.found.get(id)?,
            _ => state.state.pinned.features(id)?.map(|(_, bytes)| bytes),
        };
        stored.map(|bytes| Features::decode(&bytes)).transpose()
    }

    /// The path of the photo, if it exists, and the digest of the stored one. Without a digest the path could have any file of
    /// this machine: it is not read.
    fn file(&self, at: usize) -> Result<Option<(PathBuf, [u8; 32])>> {
        let Some(record) = self.snapshot.record(&self.keys[at])? else { return Ok(None) };
        let path = record.source.map(PathBuf::from).filter(|path| path.is_file());
        Ok(path.zip(record.content))
    }

    /// The features of the photo or, where it is not there or cannot be read, of what is kept of it. The inner error is the photo's,
    /// the outer one the database's.
    fn extract(&self, at: usize) -> Result<Result<(Sight, Features)>> {
        let mut unreadable = None;
        // The file as it came shows more than what is kept of it.
        if let Some((path, content)) = self.file(at)? {
            self.read.note(&path);
            match self.found_in(&self.keys[at], &Photo::File(path), Some(&content)) {
                Ok(found) => return Ok(Ok((Sight::File, found))),
                Err(error) => unreadable = Some(error),
            }
        }
        let seen = if self.keeps_originals() { Sight::Kept } else { Sight::Thumbnail };
        let kept = self.snapshot.state.pinned.photo(self.ids[at])?;
        let found = kept.map(|bytes| self.found_in(&self.keys[at], &Photo::Bytes(bytes), None));
        Ok(match (found, unreadable) {
            (Some(Ok(found)), _) => Ok((seen, found)),
            (_, Some(error)) | (Some(Err(error)), None) => Err(error),
            (None, None) => Err(self.nothing_of(at)?),
        })
    }

    fn keeps_originals(&self) -> bool {
        self.shared.options().keep == Keep::Original
    }

    /// Why there is no photo of an image.
    fn nothing_of(&self, at: usize) -> Result<Error> {
        let key = &self.keys[at];
        let record = self.snapshot.record(key)?;
        let is_there = |path: &String| Path::new(path).is_file();
        Ok(match record.filter(|record| record.content.is_none()).and_then(|record| record.source).filter(is_there) {
            Some(path) => Error::invalid(format!("the photo of '{key}' was put without a digest, so {path} is not read"))
                .help("put it again with its content (Put::content), or by cairn ingest"),
            None => Error::not_found(format!("the photo of '{key}' does not exist")).help(
                "restore the file, or delete the image; databases created with --keep original keep the photos themselves",
            ),
        })
    }

    /// The features of a photo, which `name` identifies in errors.
    pub(super) fn found_in(&self, name: &str, photo: &Photo, content: Option<&[u8; 32]>) -> Result<Features> {
        let found = self.features.extract(photo, content).map_err(|error| {
            let named = Error::new(error.kind(), format!("'{name}': {}", error.message()));
            match error.next_step() {
                Some(help) => named.help(help),
                None => named,
            }
        })?;
        let places = found.locations.clone();
        let checked = Features::new(found.dimension, places, &found.descriptors);
        let checked = checked.and_then(|features| found.check().map(|()| features));
        checked.map_err(|error| {
            let what = format!("'{name}': the extractor of local features returned {}", error.message());
            Error::new(ErrorKind::Mismatch, what).help("its LocalFeatureSet does not meet the port's contract")
        })
    }
}
