//! Search: first-stage candidates, the query's own vote, the second stage.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cairndb_query::{Field, MAX_TAU, MIN_TAU, Scope};

use super::filter::Filter;
use super::rerank::{gate, rerank};
use crate::answer::{Answer, Prediction, Query, Rerank, Row, SearchRequest, Stage, Voter};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{ImageId, LabelId};
use crate::motion::{Published, Revote, Snapshot};
use crate::operation::Role;
use crate::options::{MAX_SEARCH_DEPTH, MAX_VOTERS};
use crate::process::pool;
use crate::rows::{MOST_SKETCHED_ROWS, RowSet};
use crate::vector::{Hit, dot, unit};
use crate::vote::Ballot;

/// From this many train images on, a search with EF votes approximately too, through their sketches: an exact scan of fewer takes no
/// longer.
const SKETCH_VOTE_FROM_ROWS: usize = 1_024;
/// From this many components on the signs of a rotation tell what their theory says; fewer are scored fast.
const SKETCH_VOTE_FROM_DIMENSION: usize = 32;
/// Least breadth of a vote through the graph: a vote hangs on three rows, so missing one weighs more than in a list of a hundred.
const VOTE_EF: usize = 256;
/// From this many train images on, the vote of a query that is alone is looked for on another processor: handing over the search of
/// fewer takes longer than it.
const VOTE_ASIDE_FROM_ROWS: usize = 32_768;
/// Queries searched at a time: bounds the memory of their first-stage lists.
const QUERIES_AT_ONCE: usize = 256;

/// A row of either role and its similarity to the query.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Found {
    role: Role,
    row: usize,
    similarity: f32,
}

/// A query made ready.
#[derive(Clone)]
struct Ready {
    vector: Vec<f32>,
    /// The stored image that must not answer or vote for itself.
    without: Option<ImageId>,
}

/// What the second stage begins with.
struct FirstStage {
    retrieved: Vec<Found>,
    /// The query's own; none where nothing is re-ranked or nobody votes.
    vote: Option<Ballot<LabelId>>,
}

/// What a search needs from the snapshot, fetched once for all its queries.
struct Context<'a> {
    state: &'a Arc<Published>,
    request: &'a SearchRequest,
    filter: Filter<'a>,
    lag: u64,
    /// Votes for a k that is not stored.
    revote: Option<Arc<Revote>>,
}

/// Searches that are being answered in this process.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// One of them.
struct Running;

impl Running {
    fn begin() -> Self {
        RUNNING.fetch_add(1, Ordering::Relaxed);
        Self
    }

    /// Whether there are two processors for each of them.
    fn leave_processors() -> bool {
        2 * RUNNING.load(Ordering::Relaxed) <= pool::threads()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Snapshot {
    /// Answers queries one by one, in order: exact first-stage search or the graph's, then the second stage if asked for.
    ///
    /// Several queries share one pass over the rows when the search is exact.
    ///
    /// # Errors
    /// A vector of another dimension or without direction, an unknown key in `without`, a parameter out of range, or a damaged
    /// catalog.
    pub fn search(&self, request: &SearchRequest, queries: &[Query]) -> Result<Vec<Answer>> {
        let state = &self.state;
        state.pinned.catalog().refuse_in_fork()?;
        check(request)?;
        let request = &with_k_of(state, request.clone());
        let _running = Running::begin();
        // All are checked before any is searched.
        let ready = queries.iter().map(|query| state.ready(query)).collect::<Result<Vec<_>>>()?;
        let revote = match &request.rerank {
            Some(asked) if asked.k != state.options.vote_k => Some(state.revote(asked.k)?),
            _ => None,
        };
        let context = Context { state, request, filter: Filter::new(state, &request.filter), lag: self.lag(), revote };
        let mut answers = Vec::with_capacity(ready.len());
        for ready in ready.chunks(QUERIES_AT_ONCE) {
            let first = context.first_stage(ready)?;
            answers.extend(pool::try_each(ready.len(), |at| context.answer(&ready[at], &first[at]))?);
        }
        Ok(answers)
    }

    /// [`Snapshot::search`] with queries that the model of this fingerprint made (`None`: none did): another one can have come in force
    /// since they were made, of the same dimension even, and descriptors of two models are never compared.
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
        let what = format!("the query was made by {}, the snapshot is of {}", name(fingerprint), name(own));
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
        let hits = state.voters(&ready, k)?;
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

fn check_voters(k: usize) -> Result<()> {
    match k {
        0 => Err(Error::invalid("k is 0: nobody would vote").help("the paper's k is 3")),
        k if k > MAX_VOTERS => {
            Err(Error::invalid(format!("k is {k}"))
                .help(format!("at most {MAX_VOTERS} images vote; the paper's k is 3")))
        }
        _ => Ok(()),
    }
}

fn check(request: &SearchRequest) -> Result<()> {
    if request.depth == 0 || request.limit == 0 {
        return Err(Error::invalid("a search of depth or limit 0 has no answer").help("use 1 or more"));
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
    let Some(asked) = &request.rerank else { return Ok(()) };
    if let Some(tau) = asked.insert.filter(|tau| !(MIN_TAU..=MAX_TAU).contains(tau)) {
        return Err(Error::invalid(format!("tau is {tau}"))
            .help(format!("scores sum to {MIN_TAU} .. {MAX_TAU}; the paper's tau is 0.6")));
    }
    if asked.k == Rerank::STORED_K { Ok(()) } else { check_voters(asked.k) }
}

/// The request with the number of voters that the database stores predictions of, where none was chosen.
fn with_k_of(state: &Published, mut request: SearchRequest) -> SearchRequest {
    if let Some(asked) = request.rerank.as_mut().filter(|asked| asked.k == Rerank::STORED_K) {
        asked.k = state.options.vote_k;
    }
    request
}

impl Published {
    fn ready(&self, query: &Query) -> Result<Ready> {
        if query.vector.len() != self.options.dimension {
            return Err(Error::new(
                ErrorKind::Mismatch,
                format!("the query has dimension {}, the database has {}", query.vector.len(), self.options.dimension),
            )
            .help("query with the model that the database was filled with"));
        }
        let without = match &query.without {
            Some(key) => {
                let id = self.pinned.image(key)?;
                Some(id.ok_or_else(|| {
                    Error::not_found(format!("there is no image '{key}'")).help("keys are case-sensitive")
                })?)
            }
            None => None,
        };
        Ok(Ready { vector: unit(&query.vector)?, without })
    }

    /// The train images that vote for a query.
    fn voters(&self, query: &Ready, k: usize) -> Result<Vec<Hit>> {
        let itself = itself(&self.train, query);
        self.train.best(&query.vector, k, |row| Some(row) != itself)
    }

    /// Those that are found through sketches or the graph.
    fn near_voters(&self, query: &Ready, k: usize, ef: usize) -> Result<Vec<Hit>> {
        let train = &self.train;
        let itself = itself(train, query);
        let admit = |row| Some(row) != itself;
        let by_sketch = train.len() < MOST_SKETCHED_ROWS;
        let sketched = if by_sketch { train.near_by_sketch(&query.vector, k, admit)? } else { None };
        let hits = match sketched {
            Some(hits) => hits,
            None => train.near(&query.vector, k, breadth(ef.max(VOTE_EF), k), admit)?,
        };
        if hits.len() >= k.min(others(train, query)) { Ok(hits) } else { self.voters(query, k) }
    }

    fn ballot_of(&self, hits: &[Hit], k: usize) -> Option<Ballot<LabelId>> {
        self.ballot(hits.iter().map(|hit| (self.train.id(hit.row as usize), hit.similarity)), k)
    }
}

/// Breadth of a graph search that must give `count` rows besides the query itself.
fn breadth(ef: usize, count: usize) -> usize {
    ef.max(count).saturating_add(1)
}

/// The row that this query leaves out.
fn itself(set: &RowSet, query: &Ready) -> Option<usize> {
    query.without.and_then(|id| set.row_of(id))
}

/// Live rows that may answer this query.
fn others(set: &RowSet, query: &Ready) -> usize {
    set.live_rows() - usize::from(itself(set, query).is_some_and(|row| set.live[row]))
}

/// The descriptors of queries, row-major.
fn joined(queries: &[Ready]) -> Vec<f32> {
    queries.iter().flat_map(|query| &query.vector).copied().collect()
}

/// Searches for each query, on all processors when there are several.
fn each<T: Send>(queries: &[Ready], one: impl Fn((usize, &Ready)) -> Result<T> + Sync + Send) -> Result<Vec<T>> {
    match queries {
        [query] => Ok(vec![one((0, query))?]),
        _ => pool::try_each(queries.len(), |at| one((at, &queries[at]))),
    }
}

impl Context<'_> {
    fn roles(&self) -> &'static [Role] {
        match self.request.scope {
            Scope::Index => &[Role::Index],
            Scope::Train => &[Role::Train],
            Scope::All => &[Role::Index, Role::Train],
        }
    }

    /// The prediction of a row for the k of this search.
    fn instance(&self, role: Role, row: usize) -> Option<Ballot<LabelId>> {
        match (role, &self.revote) {
            (Role::Index, Some(revote)) => revote.ballots[row],
            _ => self.state.rows(role).instances[row],
        }
    }

    /// The first-stage list of each query, best first.
    fn retrieve(&self, queries: &[Ready]) -> Result<Vec<Vec<Found>>> {
        let mut lists: Vec<Vec<Found>> = queries.iter().map(|_| Vec::new()).collect();
        for &role in self.roles() {
            for (list, hits) in lists.iter_mut().zip(self.retrieve_in(role, queries)?) {
                list.extend(hits.iter().map(|hit| Found { role, row: hit.row as usize, similarity: hit.similarity }));
            }
        }
        if self.roles().len() > 1 {
            for list in &mut lists {
                list.sort_by(|a, b| b.similarity.total_cmp(&a.similarity).then_with(|| self.key(a).cmp(self.key(b))));
                list.truncate(self.request.depth);
            }
        }
        Ok(lists)
    }

    fn retrieve_in(&self, role: Role, queries: &[Ready]) -> Result<Vec<Vec<Hit>>> {
        let set = self.state.rows(role);
        let depth = self.request.depth;
        // Decided once a row, not once a query: a path condition reads the catalog.
        let admitted: Option<Vec<bool>> = if self.filter.is_open() {
            None
        } else {
            let admit = |row| Ok(set.live[row] && self.filter.admits(role, row, self.instance(role, row))?);
            Some((0..set.len()).map(admit).collect::<Result<_>>()?)
        };
        let itself: Vec<Option<usize>> = queries.iter().map(|query| itself(set, query)).collect();
        let admit = |query: usize, row: usize| {
            Some(row) != itself[query] && admitted.as_ref().is_none_or(|admitted| admitted[row])
        };
        if let (Some(ef), None) = (self.request.ef, &admitted) {
            let one = |(at, query): (usize, &Ready)| {
                let hits = set.near(&query.vector, depth, breadth(ef, depth), |row| admit(at, row))?;
                // The graphs may reach too few rows; what was asked for is min(K, rows).
                let enough = depth.min(others(set, query));
                if hits.len() >= enough { Ok(hits) } else { set.best(&query.vector, depth, |row| admit(at, row)) }
            };
            return each(queries, one);
        }
        match queries {
            [query] => Ok(vec![set.best(&query.vector, depth, |row| admit(0, row))?]),
            _ => set.best_of_many(&joined(queries), depth, admit),
        }
    }

    /// The first-stage list of each query and its vote.
    fn first_stage(&self, queries: &[Ready]) -> Result<Vec<FirstStage>> {
        let Some(asked) = &self.request.rerank else {
            let unranked = |retrieved| FirstStage { retrieved, vote: None };
            return Ok(self.retrieve(queries)?.into_iter().map(unranked).collect());
        };
        let k = asked.k;
        let aside = match (self.voting_breadth(), queries) {
            (Some(ef), [query])
                if self.state.train.len() >= VOTE_ASIDE_FROM_ROWS && Running::leave_processors() && pool::is_free() =>
            {
                Some((ef, query))
            }
            _ => None,
        };
        let (retrieved, voters) = match aside {
            Some((ef, query)) => {
                let votes = || self.state.near_voters(query, k, ef);
                let (retrieved, voters) = pool::join(|| self.retrieve(queries), votes);
                (retrieved?, vec![voters?])
            }
            None => (self.retrieve(queries)?, self.voters(queries, k)?),
        };
        let votes = voters.iter().map(|voters| self.state.ballot_of(voters, k));
        Ok(retrieved.into_iter().zip(votes).map(|(retrieved, vote)| FirstStage { retrieved, vote }).collect())
    }

    /// EF, when votes need not be exact.
    fn voting_breadth(&self) -> Option<usize> {
        let train = &self.state.train;
        let many = train.live_rows() >= SKETCH_VOTE_FROM_ROWS && train.dimension() >= SKETCH_VOTE_FROM_DIMENSION;
        self.request.ef.filter(|_| many)
    }

    /// The train images that vote for each query: with EF as [`Published::near_voters`] finds them, otherwise exact.
    fn voters(&self, queries: &[Ready], k: usize) -> Result<Vec<Vec<Hit>>> {
        let train = &self.state.train;
        match (self.voting_breadth(), queries) {
            (Some(ef), _) => {
                if queries.len() > 1 && train.len() < MOST_SKETCHED_ROWS {
                    train.make_sketches();
                }
                each(queries, |(_, query)| self.state.near_voters(query, k, ef))
            }
            (None, [query]) => Ok(vec![self.state.voters(query, k)?]),
            (None, _) => {
                let itself: Vec<Option<usize>> = queries.iter().map(|query| itself(train, query)).collect();
                train.best_of_many(&joined(queries), k, |query, row| Some(row) != itself[query])
            }
        }
    }

    fn key(&self, found: &Found) -> &str {
        self.state.rows(found.role).key(found.row)
    }

    fn answer(&self, query: &Ready, first: &FirstStage) -> Result<Answer> {
        let depth = self.request.depth;
        let (retrieved, vote) = (first.retrieved.clone(), first.vote);
        let staged: Vec<(Found, Option<Stage>)> = match &self.request.rerank {
            None => retrieved.into_iter().map(|found| (found, None)).collect(),
            Some(asked) => {
                let is_positive = |found: &Found| {
                    let instance = self.instance(found.role, found.row);
                    matches!((instance, vote), (Some(instance), Some(vote)) if instance.label == vote.label)
                };
                let candidates = match (asked.insert, vote) {
                    (Some(tau), Some(vote)) => {
                        // What stands before the inserted ones takes its places first.
                        let before = if asked.sort {
                            retrieved.iter().filter(|&found| is_positive(found)).count()
                        } else {
                            retrieved.iter().rposition(is_positive).map_or(0, |last| last + 1)
                        };
                        self.candidates(query, &retrieved, vote, tau, depth.saturating_sub(before))?
                    }
                    _ => Vec::new(),
                };
                let list = rerank(retrieved, is_positive, asked.sort, candidates, depth);
                list.into_iter().map(|(found, stage)| (found, Some(stage))).collect()
            }
        };
        let rows = self
            .with_similarities(query, staged)?
            .into_iter()
            .map(|(found, stage)| {
                let prediction =
                    self.instance(found.role, found.row).map(|ballot| self.state.vote(ballot)).transpose()?;
                let label = match found.role {
                    Role::Train => self.state.train.instances[found.row].map(|own| self.state.label(own.label)),
                    Role::Index => None,
                };
                Ok(Row {
                    id: self.key(&found).to_owned(),
                    similarity: found.similarity,
                    prediction,
                    stage,
                    label: label.transpose()?.map(str::to_owned),
                    split: found.role,
                    path: None,
                })
            })
            .collect::<Result<_>>()?;
        let prediction = vote.map(|ballot| self.state.vote(ballot)).transpose()?;
        Ok(Answer { prediction, rows, as_of_sequence: self.state.sequence, lag: self.lag })
    }

    /// The rows that are shown, with the similarities of those that were inserted by their prediction.
    fn with_similarities(
        &self,
        query: &Ready,
        mut staged: Vec<(Found, Option<Stage>)>,
    ) -> Result<Vec<(Found, Option<Stage>)>> {
        staged.truncate(self.request.limit);
        let is_inserted = |staged: &(Found, Option<Stage>)| staged.1 == Some(Stage::Inserted);
        let inserted: Vec<usize> = (0..staged.len()).filter(|&at| is_inserted(&staged[at])).collect();
        for (number, &at) in inserted.iter().enumerate() {
            if let Some(&next) = inserted.get(number + 1) {
                let next = staged[next].0;
                self.state.rows(next.role).prefetch(next.row);
            }
            let found = &mut staged[at].0;
            found.similarity = dot(&query.vector, &self.state.rows(found.role).vector(found.row)?);
        }
        Ok(staged)
    }

    /// Items predicted to be the query's instance that were not retrieved, best score first (equal scores by key), at most `room` of
    /// each role: a range scan of the postings that ends at the first score that the gate refuses. Their similarities are not computed
    /// yet.
    fn candidates(
        &self,
        query: &Ready,
        retrieved: &[Found],
        vote: Ballot<LabelId>,
        tau: f64,
        room: usize,
    ) -> Result<Vec<Found>> {
        let mut found: Vec<(f32, Found)> = Vec::new();
        let known: HashSet<(Role, usize)> = retrieved.iter().map(|found| (found.role, found.row)).collect();
        for &role in self.roles() {
            let set = self.state.rows(role);
            let itself = itself(set, query);
            let mut taken = 0;
            let mut visit = |score: f32, row: usize| -> Result<bool> {
                if !gate(vote.score, score, tau) || taken == room {
                    return Ok(false);
                }
                let known = known.contains(&(role, row));
                if !known && Some(row) != itself && self.filter.admits(role, row, self.instance(role, row))? {
                    found.push((score, Found { role, row, similarity: f32::NAN }));
                    taken += 1;
                }
                Ok(true)
            };
            match (role, &self.revote) {
                (Role::Index, Some(revote)) => {
                    for &row in revote.by_label.get(&vote.label).into_iter().flatten() {
                        let score = revote.ballots[row as usize].map_or(f32::NEG_INFINITY, |ballot| ballot.score);
                        if !visit(score, row as usize)? {
                            break;
                        }
                    }
                }
                _ => self.state.pinned.postings(
                    self.state.pinned.space(),
                    self.state.options.vote_k,
                    role,
                    vote.label,
                    |score, key, id| {
                        let row = set
                            .row_of(id)
                            .ok_or_else(|| Error::corrupt(format!("a posting names '{key}', which is gone")))?;
                        visit(score, row)
                    },
                )?,
            }
        }
        found.sort_by(|(a, x), (b, y)| (b + 0.0).total_cmp(&(a + 0.0)).then_with(|| self.key(x).cmp(self.key(y))));
        Ok(found.into_iter().map(|(_, found)| found).collect())
    }
}
