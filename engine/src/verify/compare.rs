//! Compares stored photos by their local features, and stores everything that took time; a dry run and a reader read what is stored
//! and add nothing.

use std::collections::HashMap;

use super::shelf::{Looked, Shelf};
use super::sights::{Sight, Sights};
use crate::background::Shared;
use crate::error::Result;
use crate::ports::LocalFeatures;
use crate::process::pool;
use crate::progress::{Progress, Watch, report};
use crate::spatial::{Features, Matching, Ransac, Verified, Verify, verify};
use crate::state::Snapshot;

/// Images whose pairs are compared before the counts are stored.
const STORED_AT_A_TIME: usize = 64;

/// Compares images of one snapshot, which are identified by their positions in a list.
pub(crate) struct Comparer<'a> {
    shelf: Shelf<'a>,
    how: Verify,
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

/// How photos are compared with the features of an extractor.
pub(super) fn way(features: &dyn LocalFeatures) -> Verify {
    let matching = Matching { max_distance: features.max_distance(), mutual: true };
    Verify { matching, ransac: Ransac::default() }
}

/// The ends of the inliers: places in the first photo and in the second.
pub(super) fn ends(first: &Features, second: &Features, verified: &Verified) -> Vec<[[f32; 2]; 2]> {
    let place = |features: &Features, at: u32| features.locations()[at as usize];
    verified.inliers.iter().map(|pair| [place(first, pair.first), place(second, pair.second)]).collect()
}

impl<'a> Comparer<'a> {
    /// A comparer of these images. If it `keeps` what it finds, it drops the results of another extractor from the database;
    /// otherwise it ignores them.
    pub(crate) fn new(
        shared: &'a Shared,
        snapshot: &'a Snapshot,
        keys: &'a [String],
        features: &'a dyn LocalFeatures,
        keeps: bool,
    ) -> Result<Self> {
        let how = way(features);
        Ok(Self { shelf: Shelf::new(shared, snapshot, keys, features, &format!("{how:?}"), keeps)?, how })
    }

    /// Compares each image with its candidates. An image without a readable photo is reported and stops nothing, unless all
    /// images are like that.
    ///
    /// # Errors
    /// What `check` makes of the sources of the photos, before any pair is compared.
    pub(crate) fn compare(
        &self,
        candidates: &[Vec<usize>],
        check: impl FnOnce(&Sights) -> Result<()>,
        watch: Option<&dyn Watch>,
    ) -> Result<Compared> {
        let shelf = &self.shelf;
        let core = shelf.shared.core();
        let mut needed = vec![false; shelf.ids.len()];
        for (at, others) in candidates.iter().enumerate().filter(|(_, others)| !others.is_empty()) {
            needed[at] = true;
            others.iter().for_each(|&other| needed[other] = true);
        }
        let looked = shelf.look(&needed, watch)?;
        let sights = shelf.sights(&looked.seen);
        let (seen, unseen) = looked.unless_all(&needed)?;
        check(&sights)?;
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
                    if let Some(known) = shelf.counted(&state, at, other)? {
                        return Ok((Some(known), false));
                    }
                    if own.is_none() {
                        own = shelf.stored(&state, at)?;
                    }
                    // One that was deleted meanwhile has none any more.
                    let (Some(own), Some(other)) = (&own, shelf.stored(&state, other)?) else {
                        return Ok((None, false));
                    };
                    Ok((Some(verify(own, &other, &self.how)?.inliers.len() as u32), true))
                };
                others.iter().map(count_with).collect()
            };
            let counted = pool::try_each(images.len(), |within| count(first + within, &images[within]))?;
            if shelf.keeps() && counted.iter().flatten().any(|count| count.1) {
                core.keep(|batch| {
                    for (within, counts) in counted.iter().enumerate() {
                        for (&other, &(count, is_new)) in images[within].iter().zip(counts) {
                            if let (true, Some(count)) = (is_new, count) {
                                batch.put_inliers(shelf.ids[first + within], shelf.ids[other], count)?;
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
        let state = self.shelf.shared.snapshot();
        let (Some(first), Some(second)) = (self.shelf.stored(&state, at)?, self.shelf.stored(&state, other)?) else {
            return Ok(Vec::new());
        };
        Ok(ends(&first, &second, &verify(&first, &second, &self.how)?))
    }
}

impl Looked {
    /// What stood for the photos, and why nothing stood for the others.
    ///
    /// # Errors
    /// The first image's reason, if nothing could be seen of any needed image: then it is rather whoever finds features, or the place
    /// of the photos, that is at fault.
    pub(super) fn unless_all(self, needed: &[bool]) -> Result<(HashMap<usize, Sight>, HashMap<usize, String>)> {
        let Self { seen, mut unseen, .. } = self;
        if unseen.len() == needed.iter().filter(|&&needed| needed).count()
            && let Some(first) = unseen.keys().min().copied()
            && let Some(error) = unseen.remove(&first)
        {
            return Err(error);
        }
        Ok((seen, unseen.into_iter().map(|(at, error)| (at, error.message().to_owned())).collect()))
    }
}
