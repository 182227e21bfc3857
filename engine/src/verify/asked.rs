//! Counts the inliers of queries with stored images: what recognition and searches that verify ask for. It keeps features of stored
//! images that it finds, if the database is open for writing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use super::compare::{ends, way};
use super::shelf::Shelf;
use super::sights::{Readings, Sight, Sights};
use crate::background::Shared;
use crate::error::{Error, Result};
use crate::ports::{CountInliers, LocalFeatures, Photo};
use crate::process::pool;
use crate::progress::{Progress, Watch, report};
use crate::spatial::{Features, Verify, verify};
use crate::state::Snapshot;

/// Queries whose features are found between two looks at the watch.
const QUERIES_AT_ONCE: usize = 64;

/// What shows a query.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shown {
    /// A stored image with this key.
    Stored(String),
    /// A photo.
    Photo(Photo),
    /// Nothing: it is a bare vector.
    Nothing,
}

/// The name of a query and what shows it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AskedPhoto {
    pub(crate) name: String,
    pub(crate) shown: Shown,
}

/// How photos were compared for recognition or for a search.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Verification {
    /// What stood for the stored images that queries were compared with, each counted once.
    pub sights: Sights,
    /// Number of stored images that could not be compared.
    pub unseen: usize,
    /// Number of queries that could not be compared.
    pub unseen_queries: usize,
    /// Why some could not: names and reasons, some of them.
    pub reasons: Vec<(String, String)>,
}

/// The inlier counts of a call, for searches of the same queries that order the same images.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KnownInliers {
    /// By the number of the query and the key of the image.
    counts: HashMap<(usize, String), Option<u32>>,
}

impl CountInliers for KnownInliers {
    fn count(&self, asked: &[(usize, Vec<String>)]) -> Result<Vec<Vec<Option<u32>>>> {
        let one = |(query, keys): &(usize, Vec<String>)| -> Vec<Option<u32>> {
            keys.iter().map(|key| self.counts.get(&(*query, key.clone())).copied().flatten()).collect()
        };
        Ok(asked.iter().map(one).collect())
    }
}

/// Reasons that are named.
const REASONS: usize = 3;

/// Inlier counts of queries with images of one snapshot.
pub(crate) struct QueryComparer<'a> {
    shared: &'a Shared,
    snapshot: &'a Snapshot,
    queries: &'a [AskedPhoto],
    features: &'a dyn LocalFeatures,
    watch: Option<&'a dyn Watch>,
    how: Verify,
    /// Keeps the counts and the lines between inliers, for a report.
    draws: bool,
    read: Arc<Readings>,
    noted: Mutex<Noted>,
}

#[derive(Default)]
struct Noted {
    sights: HashMap<String, Sight>,
    unseen: BTreeMap<String, String>,
    unseen_queries: BTreeMap<usize, String>,
    known: KnownInliers,
    /// By query and key.
    lines: HashMap<(usize, String), Vec<[[f32; 2]; 2]>>,
}

/// An image of a query, and its inliers with it.
type Counted = (Option<u32>, Vec<[[f32; 2]; 2]>);

impl<'a> QueryComparer<'a> {
    pub(crate) fn new(
        shared: &'a Shared,
        snapshot: &'a Snapshot,
        queries: &'a [AskedPhoto],
        features: &'a dyn LocalFeatures,
        watch: Option<&'a dyn Watch>,
    ) -> Self {
        let (how, read, noted) = (way(features), Arc::default(), Mutex::default());
        Self { shared, snapshot, queries, features, watch, how, draws: false, read, noted }
    }

    /// Keeps the counts and the lines between inliers, for a report.
    pub(crate) fn drawing(self, draws: bool) -> Self {
        Self { draws, ..self }
    }

    /// What was compared until now.
    pub(crate) fn verification(&self) -> Verification {
        let noted = self.noted.lock();
        let mut sights = Sights { read: self.read.line(), ..Sights::default() };
        noted.sights.values().for_each(|&sight| sights.count(sight));
        let queries = noted.unseen_queries.iter().map(|(&at, why)| (self.queries[at].name.clone(), why.clone()));
        let images = noted.unseen.iter().map(|(key, why)| (key.clone(), why.clone()));
        Verification {
            sights,
            unseen: noted.unseen.len(),
            unseen_queries: noted.unseen_queries.len(),
            reasons: queries.chain(images).take(REASONS).collect(),
        }
    }

    /// The counts until now.
    pub(crate) fn known(&self) -> KnownInliers {
        self.noted.lock().known.clone()
    }

    /// The lines between the inliers of a query and an image; none unless it draws.
    pub(crate) fn lines(&self, query: usize, key: &str) -> Vec<[[f32; 2]; 2]> {
        self.noted.lock().lines.remove(&(query, key.to_owned())).unwrap_or_default()
    }

    /// A statement that only asks must not wait for what it cannot get, nor drop what another extractor found for a cleaning.
    fn may_keep(&self, fingerprint: &str) -> Result<bool> {
        let core = self.shared.core();
        let can_write =
            core.refuse_when_read_only().is_ok() && core.refuse_when_poisoned().is_ok() && core.shortage().is_none();
        Ok(can_write && core.snapshot().state.pinned.extractor()?.is_none_or(|found| found == fingerprint))
    }

    /// The features of the queries of these numbers; the reason, where there are none.
    fn of_queries(
        &self,
        shelf: &Shelf<'_>,
        places: &HashMap<&str, usize>,
        asked: &[(usize, Vec<String>)],
    ) -> Result<Vec<Result<Features>>> {
        let state = self.shared.snapshot();
        let one = |(query, _): &(usize, Vec<String>)| -> Result<Result<Features>> {
            let AskedPhoto { name, shown } = &self.queries[*query];
            Ok(match shown {
                Shown::Photo(photo) => shelf.found_in(name, photo, None),
                Shown::Stored(key) => shelf
                    .stored(&state, places[key.as_str()])?
                    .ok_or_else(|| Error::not_found("there is no photo of it that can be read")),
                Shown::Nothing => Err(Error::invalid("it is a vector, which has no photo to compare")),
            })
        };
        let mut found = Vec::with_capacity(asked.len());
        for part in asked.chunks(QUERIES_AT_ONCE) {
            // The extractor may use other threads, and wait for them.
            found.extend(pool::on_threads(part, one)?);
            report(self.watch, Progress::LOCAL_FEATURES, found.len(), asked.len())?;
        }
        Ok(found)
    }
}

impl CountInliers for QueryComparer<'_> {
    fn count(&self, asked: &[(usize, Vec<String>)]) -> Result<Vec<Vec<Option<u32>>>> {
        let stored = |query: usize| match &self.queries[query].shown {
            Shown::Stored(key) => Some(key),
            _ => None,
        };
        // A query that nothing shows needs no image.
        let compared = |query: usize| self.queries[query].shown != Shown::Nothing;
        let needed = asked.iter().filter(|(query, _)| compared(*query));
        let keys: BTreeSet<&String> = needed.flat_map(|(query, keys)| keys.iter().chain(stored(*query))).collect();
        let keys: Vec<String> = keys.into_iter().cloned().collect();
        let places: HashMap<&str, usize> = keys.iter().enumerate().map(|(at, key)| (key.as_str(), at)).collect();
        let way = format!("{:?}", self.how);
        let keeps = self.may_keep(&Shelf::fingerprint(self.features, &way))?;
        let shelf = Shelf::new(self.shared, self.snapshot, &keys, self.features, &way, keeps)?;
        let shelf = shelf.reading(Arc::clone(&self.read));
        let looked = shelf.look(&vec![true; keys.len()], self.watch)?;
        let own = self.of_queries(&shelf, &places, asked)?;
        let state = self.shared.snapshot();
        let with = |own: &Features, key: &String| -> Result<Counted> {
            let Some(other) = shelf.stored(&state, places[key.as_str()])? else { return Ok((None, Vec::new())) };
            let verified = verify(own, &other, &self.how)?;
            let lines = if self.draws { ends(own, &other, &verified) } else { Vec::new() };
            Ok((Some(verified.inliers.len() as u32), lines))
        };
        let one = |at: usize| -> Result<Vec<Counted>> {
            match &own[at] {
                Ok(own) => asked[at].1.iter().map(|key| with(own, key)).collect(),
                Err(_) => Ok(vec![(None, Vec::new()); asked[at].1.len()]),
            }
        };
        let mut counted = Vec::with_capacity(asked.len());
        while counted.len() < asked.len() {
            let first = counted.len();
            let part = QUERIES_AT_ONCE.min(asked.len() - first);
            counted.extend(pool::try_each(part, |within| one(first + within))?);
            report(self.watch, Progress::PAIRS, counted.len(), asked.len())?;
        }
        let mut noted = self.noted.lock();
        // Images that a query was compared with: its own photo is none of them, nor are those of a query without features.
        let could = asked.iter().zip(&own).filter(|(_, own)| own.is_ok());
        let compared: BTreeSet<usize> = could.flat_map(|((_, keys), _)| keys).map(|key| places[key.as_str()]).collect();
        let seen = looked.seen.iter().filter(|(at, _)| compared.contains(at));
        noted.sights.extend(seen.map(|(&at, &sight)| (keys[at].clone(), sight)));
        let unseen = looked.unseen.iter().filter(|(at, _)| compared.contains(at));
        noted.unseen.extend(unseen.map(|(&at, why)| (keys[at].clone(), why.message().to_owned())));
        for ((query, _), own) in asked.iter().zip(&own) {
            if let Err(why) = own {
                noted.unseen_queries.insert(*query, why.message().to_owned());
            }
        }
        let mut counts = Vec::with_capacity(counted.len());
        for ((query, keys), counted) in asked.iter().zip(counted) {
            let mut of_query = Vec::with_capacity(counted.len());
            for (key, (count, lines)) in keys.iter().zip(counted) {
                of_query.push(count);
                if self.draws {
                    noted.known.counts.insert((*query, key.clone()), count);
                }
                if !lines.is_empty() {
                    noted.lines.insert((*query, key.clone()), lines);
                }
            }
            counts.push(of_query);
        }
        Ok(counts)
    }
}
