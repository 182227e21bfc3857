//! RECOGNIZE, and searches that verify: what compares the photos of queries with stored images.

use std::sync::Arc;

use super::arguments::Arguments;
use super::database::Database;
use super::execute::seen;
use super::outcome::{Answers, Outcome, Recognitions};
use super::ports::Ports;
use crate::answer::{Answer, Asked, Query, Recognition, RecognizeRequest, SearchRequest, Verdict};
use crate::error::{Error, Result};
use crate::ports::{LocalFeatures, Photo};
use crate::progress::Watch;
use crate::state::Snapshot;
use crate::verify::{AskedPhoto, QueryComparer, Shown, Verification};
use cairndb_query::{RecognizePlan, SearchPlan, Source};

impl Database {
    /// Recognises queries, with the inliers of their photos: [`Snapshot::recognise`] whose local features Cairn compares itself. A query
    /// has its photo, or is the stored image that it leaves out (`without`); other queries have no inlier term.
    ///
    /// Cairn uses the features that a cleaning or an earlier call stored. It finds missing ones in the photos, and stores them if the
    /// database is open for writing, has room, and has no features of another extractor; then it waits for a write that is being applied.
    ///
    /// Complexity: as [`Snapshot::recognise`]; `n` comparisons of local features a query, about 10 ms of one core each.
    ///
    /// # Errors
    /// As [`Snapshot::recognise`]; `Cancelled`.
    pub fn recognise(
        &self,
        request: &RecognizeRequest,
        queries: &[(Query, Option<Photo>)],
        features: &dyn LocalFeatures,
        watch: Option<&dyn Watch>,
    ) -> Result<(Vec<Recognition>, Verification)> {
        self.compared(queries, features, watch, |snapshot, queries, comparer| {
            snapshot.recognise(request, queries, Some(comparer))
        })
    }

    /// Searches for queries and verifies the first images of each list ([`SearchRequest::verify`]): [`Snapshot::search_with_inliers`]
    /// whose local features Cairn compares itself, as [`Database::recognise`] does.
    ///
    /// Complexity: as [`Snapshot::search`]; a comparison of local features for each verified image, about 10 ms of one core.
    ///
    /// # Errors
    /// As [`Snapshot::search`]; `Cancelled`.
    pub fn search_verified(
        &self,
        request: &SearchRequest,
        queries: &[(Query, Option<Photo>)],
        features: &dyn LocalFeatures,
        watch: Option<&dyn Watch>,
    ) -> Result<(Vec<Answer>, Verification)> {
        self.compared(queries, features, watch, |snapshot, queries, comparer| {
            snapshot.search_with_inliers(request, queries, comparer)
        })
    }

    /// What `ask` finds for these queries, with a comparer of their photos, and how they were compared.
    fn compared<T>(
        &self,
        queries: &[(Query, Option<Photo>)],
        features: &dyn LocalFeatures,
        watch: Option<&dyn Watch>,
        ask: impl FnOnce(&Snapshot, &[Query], &QueryComparer<'_>) -> Result<T>,
    ) -> Result<(T, Verification)> {
        let (queries, photos) = parted(queries);
        let snapshot = self.snapshot();
        let comparer = QueryComparer::new(&self.shared, &snapshot, &photos, features, watch);
        let found = ask(&snapshot, &queries, &comparer)?;
        Ok((found, comparer.verification()))
    }

    pub(super) fn run_search(&self, plan: SearchPlan, arguments: &Arguments, ports: &Ports) -> Result<Outcome> {
        // Before photos are read.
        let features = plan.request.verify.map(|_| features_of(ports)).transpose()?;
        let (snapshot, (asked, failed)) =
            self.queries_of((&plan.source, plan.freshness), plan.including_self, arguments, ports)?;
        let queries: Vec<Query> = asked.iter().map(|asked| asked.query.clone()).collect();
        let watched: Snapshot = snapshot.clone().with_watch(ports.watch.clone());
        let (answers, verification, inliers) = match features {
            None => (watched.search(&plan.request, &queries)?, None, None),
            Some(features) => {
                let (photos, watch) = (shown(&asked, &plan.source), ports.watch.as_deref());
                let comparer = QueryComparer::new(&self.shared, &snapshot, &photos, &*features, watch)
                    .drawing(plan.into.is_some());
                let answers = watched.search_with_inliers(&plan.request, &queries, &comparer)?;
                (answers, Some(comparer.verification()), plan.into.is_some().then(|| comparer.known()))
            }
        };
        let snapshot = plan.into.is_some().then_some(snapshot);
        Ok(Outcome::Answers(Box::new(Answers { plan, asked, answers, failed, verification, inliers, snapshot })))
    }

    pub(super) fn run_recognition(&self, plan: RecognizePlan, arguments: &Arguments, ports: &Ports) -> Result<Outcome> {
        // Before photos are read.
        let features = plan.verify.then(|| features_of(ports)).transpose()?;
        let (snapshot, (asked, failed)) = self.queries_of((&plan.source, plan.freshness), false, arguments, ports)?;
        let queries: Vec<Query> = asked.iter().map(|asked| asked.query.clone()).collect();
        let photos = shown(&asked, &plan.source);
        let watched: Snapshot = snapshot.clone().with_watch(ports.watch.clone());
        let draws = plan.into.is_some();
        let (recognitions, verification) = match features {
            None => (watched.recognise(&plan.request, &queries, None)?, None),
            Some(features) => {
                let watch = ports.watch.as_deref();
                let comparer = QueryComparer::new(&self.shared, &snapshot, &photos, &*features, watch).drawing(draws);
                let mut found = watched.recognise(&plan.request, &queries, Some(&comparer))?;
                for (query, recognition) in found.iter_mut().enumerate() {
                    recognition.images.iter_mut().for_each(|image| image.lines = comparer.lines(query, &image.key));
                }
                (found, Some(comparer.verification()))
            }
        };
        let snapshot = plan.into.is_some().then_some(snapshot);
        Ok(Outcome::Recognitions(Box::new(Recognitions { plan, asked, recognitions, failed, verification, snapshot })))
    }
}

/// The extractor of local features, which VERIFY needs.
fn features_of(ports: &Ports) -> Result<Arc<dyn LocalFeatures>> {
    let load = ports.features.as_ref().ok_or_else(|| {
        Error::invalid("this program finds no local features, so VERIFY is not supported")
            .help("leave VERIFY out, or pass an extractor (Ports::features)")
    })?;
    load()
}

/// Queries, and what shows each.
fn parted(queries: &[(Query, Option<Photo>)]) -> (Vec<Query>, Vec<AskedPhoto>) {
    let one = |(at, (query, photo)): (usize, &(Query, Option<Photo>))| AskedPhoto {
        name: format!("query {at}"),
        shown: match (photo, &query.without) {
            (Some(photo), _) => Shown::Photo(photo.clone()),
            (None, Some(key)) => Shown::Stored(key.clone()),
            (None, None) => Shown::Nothing,
        },
    };
    (queries.iter().map(|(query, _)| query.clone()).collect(), queries.iter().enumerate().map(one).collect())
}

/// What shows the queries of a statement.
fn shown(asked: &[Asked], source: &Source) -> Vec<AskedPhoto> {
    let one = |asked: &Asked| AskedPhoto {
        name: asked.name.clone(),
        shown: match (&asked.photo, &asked.id, source) {
            (Some(photo), ..) => Shown::Photo(photo.clone()),
            // The id of a file's query is no key.
            (None, Some(key), source) if !matches!(source, Source::Queries(_)) => Shown::Stored(key.clone()),
            _ => Shown::Nothing,
        },
    };
    asked.iter().map(one).collect()
}

/// The lines of EXPLAIN ANALYZE about a recognition.
pub(super) fn recognised(found: &Recognitions) -> Vec<String> {
    let Recognitions { recognitions, failed, verification, .. } = found;
    let mut lines = Vec::new();
    if let Some(first) = recognitions.first() {
        lines.push(seen(first.as_of_sequence, first.lag));
        lines.push(match first.least {
            Some(least) => format!("least score {least:.4}"),
            None => "no least score: the train images are too few to teach one".to_owned(),
        });
    }
    let count = |verdict: Verdict| recognitions.iter().filter(|one| one.verdict == verdict).count();
    let failed = if failed.is_empty() { String::new() } else { format!(", failed {}", failed.len()) };
    lines.push(format!(
        "queries {}: known {}, unknown {}, distractors {}{failed}",
        recognitions.len(),
        count(Verdict::Known),
        count(Verdict::Unknown),
        count(Verdict::Distractor)
    ));
    lines.extend(verification.iter().flat_map(verified));
    lines
}

/// The lines of EXPLAIN ANALYZE about the comparison of photos.
pub(super) fn verified(verification: &Verification) -> Vec<String> {
    let sights = &verification.sights;
    let mut lines = vec![format!(
        "compared by photo files {}, kept originals {}, thumbnails {}; not compared: images {}, queries {}",
        sights.files, sights.kept, sights.thumbnails, verification.unseen, verification.unseen_queries
    )];
    lines.extend(sights.read.as_ref().map(|read| format!("photo files read {read}")));
    lines
}
