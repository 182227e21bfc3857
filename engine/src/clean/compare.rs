//! Compares stored photos by their local features, and stores everything that took time; a dry run reads stored features and adds
//! none.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use super::scratch::Scratch;
use super::sights::{Readings, Sight, Sights};
use super::spatial::{Features, Matching, Ransac, Verify, verify};
use crate::background::Shared;
use crate::catalog::Seen;
use crate::error::{Error, ErrorKind, Result};
use crate::id::ImageId;
use crate::options::Keep;
use crate::ports::{LocalFeatures, Photo};
use crate::process::pool;
use crate::progress::{Progress, Watch, report};
use crate::state::Snapshot;

/// Photos whose features are found, or images whose pairs are compared, before what came out is stored.
const STORED_AT_A_TIME: usize = 64;
/// If thumbnails would replace more than one in this many images, a cleaning asks first.
const THUMBNAILS_FROM_SHARE: usize = 10;
/// How features are stored, as part of the extractor's name: those stored otherwise are found again.
const STORED_AS: &str = "2";

fn too_many_thumbnails(sights: &Sights) -> Error {
    let message = format!(
        "{} of {} photos were moved or have changed: CLEAN would compare their thumbnails, which show less and verify \
         fewer pairs",
        sights.thumbnails,
        sights.all()
    );
    Error::invalid(message).help(
        "restore the photos, or see the result first: CLEAN .. DRY RUN; CLEAN .. THUMBNAILS (--thumbnails) accepts thumbnails",
    )
}

/// Compares images of one snapshot, which are identified by their positions in a list.
pub(crate) struct Comparer<'a> {
    shared: &'a Shared,
    snapshot: &'a Snapshot,
    keys: &'a [String],
    ids: Vec<ImageId>,
    features: &'a dyn LocalFeatures,
    how: Verify,
    read: Readings,
    /// What a dry run finds; `None`: what is found goes into the database.
    dry: Option<Dry>,
}

/// What a dry run has instead of the database's features and counts.
struct Dry {
    found: Scratch,
    /// Whether those of the database came of the same extractor.
    is_same_extractor: bool,
}

impl Dry {
    /// Whether what the database keeps of an image holds.
    fn trusts(&self, id: ImageId) -> bool {
        self.is_same_extractor && !self.found.has(id)
    }
}

/// What was seen of the images that are needed.
struct Looked {
    /// What stood for each photo.
    seen: HashMap<usize, Sight>,
    /// Why nothing could.
    unseen: HashMap<usize, Error>,
}

/// What comparing gave.
pub(crate) struct Compared {
    /// Inliers of each image with each of its candidates, in their order; `None`: one of the two could not be seen.
    pub(crate) inliers: Vec<Vec<Option<u32>>>,
    /// Images of which neither the photo nor what is kept of it can be read, and why.
    pub(crate) unseen: HashMap<usize, String>,
    /// What each of the others was compared by.
    pub(crate) seen: HashMap<usize, Sight>,
    /// How many by what.
    pub(crate) sights: Sights,
}

impl<'a> Comparer<'a> {
    /// A comparer of these images. It drops the results of another extractor; in a dry run it ignores them.
    pub(crate) fn new(
        shared: &'a Shared,
        snapshot: &'a Snapshot,
        keys: &'a [String],
        features: &'a dyn LocalFeatures,
        dry_run: bool,
    ) -> Result<Self> {
        let mut ids = Vec::with_capacity(keys.len());
        for key in keys {
            let found = snapshot.state.pinned.image(key)?;
            ids.push(found.ok_or_else(|| Error::corrupt(format!("'{key}' has no record")))?);
        }
        let matching = Matching { max_distance: features.max_distance(), mutual: true };
        let how = Verify { matching, ransac: Ransac::default() };
        let fingerprint = format!("{STORED_AS} {} {how:?}", features.fingerprint());
        let core = shared.core();
        let is_same_extractor = core.snapshot().state.pinned.extractor()?.as_ref() == Some(&fingerprint);
        let dry = if dry_run { Some(Dry { found: Scratch::new()?, is_same_extractor }) } else { None };
        if dry.is_none() && !is_same_extractor {
            core.keep(|batch| batch.set_extractor(&fingerprint))?;
        }
        Ok(Self { shared, snapshot, keys, ids, features, how, read: Readings::default(), dry })
    }

    /// Finds the features of the images that are needed and have none.
    fn look(&self, needed: &[bool], watch: Option<&dyn Watch>) -> Result<Looked> {
        let core = self.shared.core();
        let pinned = core.snapshot();
        let (mut missing, mut outdated, mut seen) = (Vec::new(), HashSet::new(), HashMap::new());
        for at in (0..self.keys.len()).filter(|&at| needed[at]) {
            match pinned.state.pinned.features(self.ids[at])? {
                None => missing.push(at),
                Some(_) if self.dry.as_ref().is_some_and(|dry| !dry.is_same_extractor) => missing.push(at),
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
        if self.dry.is_none() && !outdated.is_empty() {
            let pairs = pinned.state.pinned.pairs_of(&outdated)?;
            core.keep(|batch| batch.forget_features(&outdated, &pairs))?;
        }
        let (all, mut done) = (missing.len(), 0);
        let mut unseen = HashMap::new();
        for images in missing.chunks(STORED_AT_A_TIME) {
            // The extractor may use other threads, and wait for them.
            let found: Vec<Result<(Sight, Features)>> = pool::on_threads(images, |&at| self.extract(at))?;
            let whole = || images.iter().zip(&found).filter_map(|(&at, found)| Some((at, found.as_ref().ok()?)));
            match &self.dry {
                Some(dry) => {
                    whole().try_for_each(|(at, (_, features))| dry.found.put(self.ids[at], &features.encode()))?;
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

    /// Compares each image with its candidates. An image without a readable photo is reported and stops nothing, unless all
    /// images are like that.
    ///
    /// # Errors
    /// `Invalid`: more than one in [`THUMBNAILS_FROM_SHARE`] would be compared by a thumbnail, and `takes_thumbnails` is off.
    pub(crate) fn compare(
        &self,
        candidates: &[Vec<usize>],
        takes_thumbnails: bool,
        watch: Option<&dyn Watch>,
    ) -> Result<Compared> {
        let core = self.shared.core();
        let mut needed = vec![false; self.keys.len()];
        for (at, others) in candidates.iter().enumerate().filter(|(_, others)| !others.is_empty()) {
            needed[at] = true;
            others.iter().for_each(|&other| needed[other] = true);
        }
        let Looked { seen, mut unseen } = self.look(&needed, watch)?;
        // Then it is rather whoever finds them, or the place of the photos, that is at fault.
        if unseen.len() == needed.iter().filter(|&&needed| needed).count()
            && let Some(first) = unseen.keys().min().copied()
            && let Some(error) = unseen.remove(&first)
        {
            return Err(error);
        }
        let mut sights = Sights { read: self.read.line(), ..Sights::default() };
        seen.values().for_each(|&sight| sights.count(sight));
        if !takes_thumbnails && sights.thumbnails * THUMBNAILS_FROM_SHARE > sights.all() {
            return Err(too_many_thumbnails(&sights));
        }
        let unseen: HashMap<usize, String> =
            unseen.into_iter().map(|(at, error)| (at, error.message().to_owned())).collect();
        let mut inliers = Vec::with_capacity(candidates.len());
        for (chunk, images) in candidates.chunks(STORED_AT_A_TIME).enumerate() {
            let first = chunk * STORED_AT_A_TIME;
            let state = core.snapshot();
            let count = |at: usize, others: &[usize]| -> Result<Vec<(Option<u32>, bool)>> {
                let mut own = None;
                let count_with = |&other: &usize| {
                    if unseen.contains_key(&at) || unseen.contains_key(&other) {
                        return Ok((None, false));
                    }
                    if let Some(known) = self.counted(&state, at, other)? {
                        return Ok((Some(known), false));
                    }
                    if own.is_none() {
                        own = self.stored(&state, at)?;
                    }
                    // One that was deleted meanwhile has none any more.
                    let (Some(own), Some(other)) = (&own, self.stored(&state, other)?) else {
                        return Ok((None, false));
                    };
                    Ok((Some(verify(own, &other, &self.how)?.inliers.len() as u32), true))
                };
                others.iter().map(count_with).collect()
            };
            let counted = pool::try_each(images.len(), |within| count(first + within, &images[within]))?;
            if self.dry.is_none() && counted.iter().flatten().any(|count| count.1) {
                core.keep(|batch| {
                    for (within, counts) in counted.iter().enumerate() {
                        for (&other, &(count, is_new)) in images[within].iter().zip(counts) {
                            if let (true, Some(count)) = (is_new, count) {
                                batch.put_inliers(self.ids[first + within], self.ids[other], count)?;
                            }
                        }
                    }
                    Ok(())
                })?;
            }
            inliers.extend(counted.into_iter().map(|counts| counts.into_iter().map(|count| count.0).collect()));
            report(watch, Progress::PAIRS, inliers.len(), candidates.len())?;
        }
        Ok(Compared { inliers, unseen, seen, sights })
    }

    /// The matched places of a pair; none of one that was deleted since.
    pub(crate) fn lines(&self, at: usize, other: usize) -> Result<Vec<[[f32; 2]; 2]>> {
        let state = self.shared.snapshot();
        let (Some(first), Some(second)) = (self.stored(&state, at)?, self.stored(&state, other)?) else {
            return Ok(Vec::new());
        };
        let verified = verify(&first, &second, &self.how)?;
        let place = |features: &Features, at: u32| features.locations()[at as usize];
        Ok(verified.inliers.iter().map(|pair| [place(&first, pair.first), place(&second, pair.second)]).collect())
    }

    /// The inliers of a pair that was counted before.
    fn counted(&self, state: &Snapshot, at: usize, other: usize) -> Result<Option<u32>> {
        let (id, other) = (self.ids[at], self.ids[other]);
        match &self.dry {
            Some(dry) if !(dry.trusts(id) && dry.trusts(other)) => Ok(None),
            _ => state.state.pinned.inliers(id, other),
        }
    }

    fn stored(&self, state: &Snapshot, at: usize) -> Result<Option<Features>> {
        let id = self.ids[at];
        let stored = match &self.dry {
            Some(dry) if !dry.trusts(id) => dry.found.get(id)?,
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
            match self.found_in(at, &Photo::File(path), Some(&content)) {
                Ok(found) => return Ok(Ok((Sight::File, found))),
                Err(error) => unreadable = Some(error),
            }
        }
        let seen = if self.keeps_originals() { Sight::Kept } else { Sight::Thumbnail };
        let kept = self.snapshot.state.pinned.photo(self.ids[at])?;
        let found = kept.map(|bytes| self.found_in(at, &Photo::Bytes(bytes), None));
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
        let is_there = |path: &String| std::path::Path::new(path).is_file();
        Ok(match record.filter(|record| record.content.is_none()).and_then(|record| record.source).filter(is_there) {
            Some(path) => Error::invalid(format!("the photo of '{key}' was put without a digest, so {path} is not read"))
                .help("put it again with its content (Put::content), or by cairn ingest"),
            None => Error::not_found(format!("the photo of '{key}' does not exist")).help(
                "restore the file, or delete the image; databases created with --keep original keep the photos themselves",
            ),
        })
    }

    fn found_in(&self, at: usize, photo: &Photo, content: Option<&[u8; 32]>) -> Result<Features> {
        let found = self.features.extract(photo, content).map_err(|error| {
            let named = Error::new(error.kind(), format!("'{}': {}", self.keys[at], error.message()));
            match error.next_step() {
                Some(help) => named.help(help),
                None => named,
            }
        })?;
        let places = found.locations.clone();
        let checked = Features::new(found.dimension, places, &found.descriptors);
        let checked = checked.and_then(|features| found.check().map(|()| features));
        checked.map_err(|error| {
            let what = format!("'{}': the extractor of local features returned {}", self.keys[at], error.message());
            Error::new(ErrorKind::Mismatch, what).help("its LocalFeatureSet does not meet the port's contract")
        })
    }
}
