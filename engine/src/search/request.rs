//! A search request of a caller: its checks before any work, and the state that all its queries share.

use cairndb_query::{
    Expand, Field, MAX_ALPHA, MAX_BETA, MAX_COLLAPSED, MAX_CUT, MAX_DEGREE, MAX_EXPANDED, MAX_LABELS, MAX_REFINED,
    MAX_TAU, MIN_TAU, Order, Scope,
};

use super::filter::Filter;
use super::first_stage::{Context, Ready, Running};
use crate::answer::{Answer, Prediction, Query, Rerank, SearchRequest, Voter};
use crate::error::{Error, ErrorKind, Result};
use crate::operation::Role;
use crate::options::{MAX_SEARCH_DEPTH, MAX_VOTERS};
use crate::ports::CountInliers;
use crate::process::pool;
use crate::progress::Progress;
use crate::state::{Published, Snapshot};
use crate::vector::unit;

/// Queries searched at a time: bounds the memory of their first-stage lists.
const QUERIES_AT_ONCE: usize = 256;

impl Snapshot {
    /// Answers queries one by one, in order: exact first-stage search or the graph's, then the second stage if asked for.
    ///
    /// Several queries share one pass over the rows when the search is exact.
    ///
    /// # Errors
    /// A vector of another dimension or without direction, an unknown key in `without`, a parameter out of range, a damaged
    /// catalog; `Cancelled`: it was stopped ([`Snapshot::with_stop`]).
    pub fn search(&self, request: &SearchRequest, queries: &[Query]) -> Result<Vec<Answer>> {
        self.answered(request, queries, None)
    }

    /// [`Snapshot::search`] of a request that verifies ([`SearchRequest::verify`]); `inliers` counts for the first images of each list.
    /// Images that it cannot compare count as ones without inliers.
    ///
    /// # Errors
    /// As [`Snapshot::search`]; what `inliers` fails with.
    pub fn search_with_inliers(
        &self,
        request: &SearchRequest,
        queries: &[Query],
        inliers: &dyn CountInliers,
    ) -> Result<Vec<Answer>> {
        self.answered(request, queries, Some(inliers))
    }

    fn answered(
        &self,
        request: &SearchRequest,
        queries: &[Query],
        inliers: Option<&dyn CountInliers>,
    ) -> Result<Vec<Answer>> {
        let state = &self.state;
        state.pinned.catalog().refuse_in_fork()?;
        check(request)?;
        if request.verify.is_some() && inliers.is_none() {
            return Err(Error::invalid("the request verifies, and nobody counts inliers").help(
                "use Database::search_verified, which compares photos, or Snapshot::search_with_inliers; or leave verify out",
            ));
        }
        let request = &with_k_of(state, request.clone());
        let _running = Running::begin();
        let interrupt = &self.interrupt();
        interrupt.at(Progress::QUERIES, 0, queries.len())?;
        // All are checked before any is searched.
        let ready = queries.iter().map(|query| state.ready(query)).collect::<Result<Vec<_>>>()?;
        let augmented = match request.rerank.and_then(|asked| asked.augment) {
            Some(by) => Some(state.augmented_train(by, interrupt)?),
            None => None,
        };
        let revote = match &request.rerank {
            Some(asked) if augmented.is_some() || asked.k != state.options.vote_k => {
                Some(state.revote(asked.k, augmented.as_deref(), interrupt)?)
            }
            _ => None,
        };
        let (lag, filter) = (self.lag(), Filter::new(state, &request.filter));
        let context = Context { state, request, filter, lag, interrupt, revote, augmented };
        let mut answers = Vec::with_capacity(ready.len());
        let at_once = if is_transductive(request) { ready.len().max(1) } else { QUERIES_AT_ONCE };
        for ready in ready.chunks(at_once) {
            interrupt.at(Progress::QUERIES, answers.len(), queries.len())?;
            let first = context.first_stage(ready, answers.len(), inliers)?;
            let answer = |at: usize| {
                interrupt.look()?;
                context.answer(&ready[at], &first[at])
            };
            answers.extend(pool::try_each(ready.len(), answer)?);
        }
        Ok(answers)
    }

    /// [`Snapshot::search`] for one query.
    ///
    /// # Errors
    /// As [`Snapshot::search`].
    pub fn search_one(&self, request: &SearchRequest, query: &Query) -> Result<Answer> {
        let mut answers = self.search(request, std::slice::from_ref(query))?;
        answers.pop().ok_or_else(|| Error::corrupt("a search of one query gave no answer"))
    }

    /// [`Snapshot::search`] with queries that the model of this fingerprint made (`None`: none did): another one may have become
    /// active since, even one of the same dimension, and descriptors of different models cannot be compared.
    ///
    /// # Errors
    /// `Mismatch`: the snapshot is of another model; as [`Snapshot::search`].
    pub fn search_of_model(
        &self,
        fingerprint: Option<&str>,
        request: &SearchRequest,
        queries: &[Query],
    ) -> Result<Vec<Answer>> {
        self.must_be_of(fingerprint)?;
        self.search(request, queries)
    }

    /// [`Snapshot::predict`] of a query that the model of this fingerprint made, as for [`Snapshot::search_of_model`].
    ///
    /// # Errors
    /// `Mismatch`: the snapshot is of another model; as [`Snapshot::search`].
    pub fn predict_of_model(&self, fingerprint: Option<&str>, query: &Query, k: usize) -> Result<Prediction> {
        self.must_be_of(fingerprint)?;
        self.predict(query, k)
    }

    fn must_be_of(&self, fingerprint: Option<&str>) -> Result<()> {
        let own = self.model().map(|model| model.fingerprint.as_str());
        if own == fingerprint {
            return Ok(());
        }
        let name = |fingerprint: Option<&str>| {
            fingerprint.map_or_else(|| "no model".to_owned(), |text| format!("the model {text}"))
        };
        let what = format!("the query's model is {}, the snapshot's is {}", name(fingerprint), name(own));
        Err(Error::new(ErrorKind::Mismatch, what)
            .help("take a snapshot, and embed the query with the model that it names (Snapshot::model)"))
    }

    /// The vote for one image and its voters, by exact search.
    ///
    /// # Errors
    /// As [`Snapshot::search`].
    pub fn predict(&self, query: &Query, k: usize) -> Result<Prediction> {
        let state = &*self.state;
        state.pinned.catalog().refuse_in_fork()?;
        check_voters(k)?;
        let ready = state.ready(query)?;
        let hits = state.voters(&ready, k, &self.interrupt())?;
        let vote = state.ballot_of(&hits, k).map(|ballot| state.vote(ballot)).transpose()?;
        let voters = hits
            .iter()
            .map(|hit| {
                let label = state.train.instances[hit.row as usize].map(|own| state.label(own.label)).transpose()?;
                Ok(Voter {
                    key: state.train.key(hit.row as usize).to_owned(),
                    label: label.unwrap_or_default().to_owned(),
                    similarity: hit.similarity,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Prediction { vote, voters, as_of_sequence: state.sequence, lag: self.lag() })
    }
}

pub(super) fn check_voters(k: usize) -> Result<()> {
    match k {
        0 => Err(Error::invalid("k is 0: no image would vote").help("the paper's k is 3")),
        k if k > MAX_VOTERS => {
            Err(Error::invalid(format!("k is {k}"))
                .help(format!("at most {MAX_VOTERS} images vote; the paper's k is 3")))
        }
        _ => Ok(()),
    }
}

fn check(request: &SearchRequest) -> Result<()> {
    if request.depth == 0 || request.limit == 0 {
        return Err(Error::invalid("depth and limit must be at least 1").help("use 1 or more"));
    }
    for (name, number) in [("depth", request.depth), ("breadth (ef)", request.ef.unwrap_or(1))] {
        if !(1..=MAX_SEARCH_DEPTH).contains(&number) {
            return Err(Error::invalid(format!("the {name} is {number}")).help(format!("use 1 to {MAX_SEARCH_DEPTH}")));
        }
    }
    for condition in request.filter.iter().filter(|condition| condition.field == Field::Split && !condition.like) {
        if !Role::ALL.iter().any(|role| role.name() == condition.value) {
            return Err(Error::invalid(format!("no image has the split '{}'", condition.value))
                .help("the splits are train and index"));
        }
    }
    check_methods(request)?;
    if request.verify.is_some_and(|images| !(1..=request.depth).contains(&images)) {
        return Err(Error::invalid(format!("{} images are verified", request.verify.unwrap_or_default()))
            .help(format!("verify 1 to {}, which is the depth", request.depth)));
    }
    let Some(asked) = &request.rerank else { return Ok(()) };
    if let Some(tau) = asked.insert.filter(|tau| !(MIN_TAU..=MAX_TAU).contains(tau)) {
        return Err(Error::invalid(format!("tau is {tau}"))
            .help(format!("scores sum to {MIN_TAU} .. {MAX_TAU}; the paper's tau is 0.6")));
    }
    asked.augment.as_ref().map_or(Ok(()), check_expand)?;
    if asked.k == Rerank::STORED_K { Ok(()) } else { check_voters(asked.k) }
}

/// Whether queries are compared with each other, too.
fn is_transductive(request: &SearchRequest) -> bool {
    match request.order {
        Some(Order::Diffusion(method)) => method.transductive,
        Some(Order::Reciprocal(method)) => method.transductive,
        _ => false,
    }
}

fn within(name: &str, value: f64, least: f64, most: f64) -> Result<()> {
    // What is not a number is in no range.
    let fits = (least..=most).contains(&value);
    fits.then_some(())
        .ok_or_else(|| Error::invalid(format!("{name} is {value}")).help(format!("use {least} to {most}")))
}

fn check_averaged(images: usize) -> Result<()> {
    within("the number of averaged images", images as f64, 2.0, MAX_EXPANDED as f64)
}

pub(super) fn check_expand(expand: &Expand) -> Result<()> {
    check_averaged(expand.images)?;
    within("alpha", expand.alpha, 0.0, MAX_ALPHA)
}

fn check_methods(request: &SearchRequest) -> Result<()> {
    [&request.expand, &request.augment].into_iter().flatten().try_for_each(check_expand)?;
    let degree = |name: &str, value: usize, least: usize| within(name, value as f64, least as f64, MAX_DEGREE as f64);
    match &request.order {
        Some(Order::SuperGlobal(method)) => {
            check_averaged(method.images)?;
            within("the number of refined images", method.first as f64, 2.0, MAX_REFINED as f64)?;
            within("beta", method.beta, 0.0, MAX_BETA)?;
        }
        Some(Order::Diffusion(method)) => {
            degree("the degree", method.degree, 2)?;
            degree("the number of sources", method.sources, 1)?;
            within("the cut", method.cut.unwrap_or(2) as f64, 2.0, MAX_CUT as f64)?;
            if method.transductive && method.cut.is_none() {
                return Err(Error::invalid("a transductive diffusion has no cut").help("set a cut, for example 1000"));
            }
        }
        Some(Order::Exploration(method)) => {
            degree("the degree", method.degree, 2)?;
            within("the threshold", method.threshold.unwrap_or(0.0), -1.0, 1.0)?;
        }
        Some(Order::Reciprocal(method)) => {
            degree("k1", method.k1, 1)?;
            within("k2", method.k2 as f64, 1.0, (method.k1 + 1) as f64)?;
            within("lambda", method.lambda, 0.0, 1.0)?;
        }
        Some(Order::Fusion(method)) => {
            within("the weight of labels", method.labels.unwrap_or(0.0), 0.0, MAX_LABELS)?;
        }
        _ => {}
    }
    // The other orders work on any images.
    let needs_graph = request.augment.is_some() || !matches!(request.order, None | Some(Order::SuperGlobal(_)));
    if needs_graph && request.scope != Scope::Index {
        return Err(Error::invalid("this method takes index images, and the request searches others")
            .help("search index images: only they have a neighbour graph"));
    }
    if request.augment.is_some() && (request.order.is_some() || request.ef.is_some()) {
        return Err(Error::invalid("augmented descriptors are neither in the graphs nor in the neighbour graph")
            .help("leave the order and ef out, or the augmentation"));
    }
    if let Some(least) = request.least_similarity {
        within("the least similarity", least, -1.0, 1.0)?;
    }
    let Some(near) = request.collapse else { return Ok(()) };
    within("the similarity of copies", near, -1.0, 1.0)?;
    if request.depth > MAX_COLLAPSED {
        return Err(Error::invalid(format!("the depth is {} and copies are left out", request.depth))
            .help(format!("use a depth of at most {MAX_COLLAPSED}: each row is compared with those before it")));
    }
    Ok(())
}

/// The request with the number of voters that the database stores predictions of, where none was chosen.
fn with_k_of(state: &Published, mut request: SearchRequest) -> SearchRequest {
    if let Some(asked) = request.rerank.as_mut().filter(|asked| asked.k == Rerank::STORED_K) {
        asked.k = state.options.vote_k;
    }
    request
}

impl Published {
    pub(super) fn ready(&self, query: &Query) -> Result<Ready> {
        if query.vector.len() != self.options.dimension {
            return Err(Error::new(
                ErrorKind::Mismatch,
                format!("the query has dimension {}, the database has {}", query.vector.len(), self.options.dimension),
            )
            .help("the query must come from the model that made the stored descriptors, or have their dimension"));
        }
        let without = match &query.without {
            Some(key) => {
                let id = self.pinned.image(key)?;
                Some(id.ok_or_else(|| {
                    Error::not_found(format!("image '{key}' does not exist")).help("keys are case-sensitive")
                })?)
            }
            None => None,
        };
        Ok(Ready { vector: unit(&query.vector)?, without })
    }
}
