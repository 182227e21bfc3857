//! Label-aware fusion (docs/ALGORITHMS.md, fusion): nearness by reciprocal neighbourhoods, and the evidence that labels give, in one
//! score. Sort-step and insert-step are its hard limit.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cairndb_query::Fusion;

use super::super::first_stage::{Context, Found, Ready, itself};
use super::rows::{mean_of, row_of_query};
use crate::error::Result;
use crate::id::{ImageId, LabelId};
use crate::operation::Role;
use crate::state::lists::{label_in, list_of};
use crate::state::{Calibration, Neighbourhood, Shares, Sparse, kept};

/// k1 and k2 of the neighbourhoods, of an index that is large enough.
const K1: usize = 20;
const K2: usize = 6;
/// Train images whose labels an image shares.
pub(super) const VOTERS: usize = 8;
/// Power of a voter's cosine in its share.
const POWER: i32 = 24;
/// Weight of the plain cosine beside that of the neighbourhoods.
const PLAIN: f64 = 0.3;
/// Weight of contradicting labels beside agreeing ones.
const CONTRADICTION: f64 = 0.5;
/// Images of the first round whose neighbourhoods stand for the query in the second.
const FEEDBACK: usize = 10;
/// Nearest images of the query that are ordered.
pub(super) const NEAREST: usize = 200;
/// Of so many of them, so many neighbours are ordered too.
const HOPS: usize = 20;
/// Images that are ordered because of their predictions, among the likely labels by their shares.
pub(super) const PREDICTED: usize = 200;
/// Index images whose shares a state keeps.
const KEPT_SHARES: usize = 200_000;
/// Likely labels: so many, with at least this share.
const LIKELY: (usize, f64) = (3, 0.05);

/// k1 and k2 for a graph of so many live rows: small ones have no 20 near neighbours.
pub(super) fn widths(rows: usize) -> (usize, usize) {
    let k1 = K1.min((rows / 4).max(1));
    (k1, K2.min(k1 + 1))
}

impl Shares {
    /// Of voters in rank order.
    pub(super) fn of(voters: impl IntoIterator<Item = (LabelId, f32)>) -> Self {
        let mut shares = Self::default();
        for (label, cosine) in voters.into_iter().take(VOTERS) {
            shares.best = shares.best.or(Some(cosine));
            let weight = f64::from(cosine).max(0.0).powi(POWER);
            match shares.parts.iter_mut().find(|(known, _)| *known == label) {
                Some((_, sum)) => *sum += weight,
                None => shares.parts.push((label, weight)),
            }
        }
        let whole: f64 = shares.parts.iter().map(|(_, weight)| weight).sum();
        shares.parts.iter_mut().for_each(|(_, weight)| *weight /= if whole > 0.0 { whole } else { 1.0 });
        shares
    }

    fn of_label(&self, label: LabelId) -> f64 {
        self.parts.iter().find(|(known, _)| *known == label).map_or(0.0, |(_, part)| *part)
    }

    /// The share of a label.
    pub(super) fn share(&self, label: LabelId) -> f64 {
        self.of_label(label)
    }

    /// What labels say of two images being of one instance: about 1 if they share a label that is certain, -0.5 if certain labels
    /// contradict each other, 0 if nothing is certain.
    pub(super) fn evidence(&self, other: &Self, gate: &Calibration) -> f64 {
        let (Some(one), Some(two)) = (self.best, other.best) else { return 0.0 };
        let agreement: f64 = self.parts.iter().map(|&(label, part)| part * other.of_label(label)).sum();
        gate.certainty(one) * gate.certainty(two) * ((1.0 + CONTRADICTION) * agreement - CONTRADICTION)
    }
}

/// What the ranking asks of the rows: their neighbourhoods, their cosines to the query, and what labels say of them.
pub(super) struct Rows<'a> {
    pub(super) graph: &'a Neighbourhood,
    /// k1 and k2 ([`widths`]).
    pub(super) widths: (usize, usize),
    pub(super) row: &'a dyn Fn(usize) -> Result<Sparse>,
    /// The neighbourhood averaged over the row and its k2 - 1 nearest.
    pub(super) mean: &'a dyn Fn(usize) -> Result<Sparse>,
    pub(super) cosine: &'a dyn Fn(usize) -> Result<f32>,
    pub(super) evidence: &'a dyn Fn(usize) -> Result<f64>,
    /// Of rows with equal scores.
    pub(super) ties: &'a dyn Fn(usize, usize) -> Ordering,
}

impl Rows<'_> {
    /// Rows that are ordered besides those that are predicted: the nearest ones, and neighbours of the best of them.
    pub(super) fn around(&self, near: &[(usize, f32)]) -> BTreeSet<usize> {
        let hops = near.iter().take(HOPS).flat_map(|&(row, _)| self.graph.nearest(row, HOPS));
        hops.map(|edge| edge.row as usize).chain(near.iter().map(|&(row, _)| row)).collect()
    }

    /// The candidates with their scores, best first. `near` are the query's nearest rows.
    pub(super) fn ranked(&self, near: &[(usize, f32)], candidates: &[usize], labels: f64) -> Result<Vec<(usize, f64)>> {
        let query = Weights::of(row_of_query(self.graph, self.widths, near, self.cosine, self.row)?);
        let mut scored = Vec::with_capacity(candidates.len());
        for &row in candidates {
            let (cosine, evidence) = (f64::from((self.cosine)(row)?), labels * (self.evidence)(row)?);
            let first = (1.0 - PLAIN) * query.nearness(&(self.mean)(row)?) + PLAIN * cosine;
            scored.push((row, first, cosine, evidence));
        }
        let mut order: Vec<usize> = (0..scored.len()).collect();
        let sum = |at: usize| scored[at].1 + scored[at].3;
        order.sort_by(|&a, &b| sum(b).total_cmp(&sum(a)).then_with(|| (self.ties)(scored[a].0, scored[b].0)));
        order.truncate(FEEDBACK);
        let mut second: BTreeMap<u32, f64> = BTreeMap::new();
        for &at in &order {
            for &(row, weight) in &*(self.row)(scored[at].0)? {
                *second.entry(row).or_default() += f64::from(weight) / order.len() as f64;
            }
        }
        let second = Weights::of(second);
        let mut ranked = Vec::with_capacity(scored.len());
        for (row, first, cosine, evidence) in scored {
            let again = (1.0 - PLAIN) * second.nearness(&(self.mean)(row)?) + PLAIN * cosine;
            ranked.push((row, (first + again) / 2.0 + evidence));
        }
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| (self.ties)(a.0, b.0)));
        Ok(ranked)
    }
}

/// A neighbourhood that others are compared with: rows in order, weights and their roots.
struct Weights(Vec<(u32, f64, f64)>);

impl Weights {
    fn of(row: BTreeMap<u32, f64>) -> Self {
        Self(row.into_iter().map(|(row, weight)| (row, weight, weight.sqrt())).collect())
    }

    /// The mean of Jaccard and Hellinger similarity; the rows of the other one are in order, too.
    fn nearness(&self, other: &[(u32, f32)]) -> f64 {
        let (mut least, mut product) = (0.0, 0.0);
        let mut own = self.0.iter().peekable();
        for &(row, weight) in other {
            while own.next_if(|(before, ..)| *before < row).is_some() {}
            if let Some(&&(_, own, root)) = own.peek().filter(|(same, ..)| *same == row) {
                least += own.min(f64::from(weight));
                product += root * f64::from(weight).sqrt();
            }
        }
        (least / (2.0 - least) + product) / 2.0
    }
}

impl Context<'_> {
    /// The images around the query and those of its likely labels, by fused scores; in no order.
    /// `asked` is the query before an expansion: labels always speak of that.
    pub(in crate::search) fn fused(
        &self,
        (query, asked): (&Ready, &Ready),
        list: &[Found],
        method: Fusion,
    ) -> Result<Vec<Found>> {
        let (index, train) = (&self.state.index, &self.state.train);
        let graph = self.state.neighbourhood(K1, self.interrupt)?;
        let (k1, k2) = widths(index.live_rows());
        let calibration = self.state.calibration(self.interrupt)?;
        let labels = method.labels.unwrap_or(calibration.labels);
        let voters = self.voters(std::slice::from_ref(asked), VOTERS)?;
        let own_shares = Shares::of(
            voters
                .first()
                .into_iter()
                .flatten()
                .filter_map(|hit| Some((label_in(train, train.id(hit.row as usize))?, hit.similarity))),
        );
        let near: Vec<(usize, f32)> = list.iter().take(NEAREST).map(|found| (found.row, found.score)).collect();
        let row = |row: usize| self.reciprocal_row(&graph, row, k1);
        let rows = Rows {
            graph: &graph,
            widths: (k1, k2),
            row: &row,
            mean: &|of| self.mean_row(&graph, of, (k1, k2)),
            cosine: &|row| self.cosine(query, row),
            evidence: &|row| Ok(own_shares.evidence(&*self.shares(row)?, &calibration)),
            ties: &|a, b| index.key(a).cmp(index.key(b)),
        };
        let mut candidates = rows.around(&near);
        candidates.extend(self.predicted(&own_shares)?);
        let own = itself(index, query);
        let candidates: Vec<usize> =
            candidates.into_iter().filter(|&row| index.live[row] && Some(row) != own).collect();
        let ranked = rows.ranked(&near, &candidates, labels)?;
        let found = |(row, score): (usize, f64)| Found { role: Role::Index, row, score: score as f32 };
        Ok(ranked.into_iter().map(found).collect())
    }

    /// Index images predicted to show one of the likely labels, the best-scored first.
    fn predicted(&self, shares: &Shares) -> Result<Vec<usize>> {
        let mut likely: Vec<(LabelId, f64)> =
            shares.parts.iter().copied().filter(|(_, part)| *part >= LIKELY.1).collect();
        // The order of the voters decides between equal shares.
        likely.sort_by(|a, b| b.1.total_cmp(&a.1));
        let mut rows = Vec::new();
        for (label, part) in likely.into_iter().take(LIKELY.0) {
            let (most, before) = ((PREDICTED as f64 * part).round() as usize, rows.len());
            let (pinned, k) = (&self.state.pinned, self.state.options.vote_k);
            pinned.postings(pinned.space(), k, Role::Index, label, |_, _, id| {
                if rows.len() - before == most {
                    return Ok(false);
                }
                rows.extend(self.state.index.row_of(id));
                Ok(true)
            })?;
        }
        Ok(rows)
    }

    fn mean_row(&self, graph: &Neighbourhood, of: usize, (k1, k2): (usize, usize)) -> Result<Sparse> {
        self.state.derived.row(crate::state::Derivation::Mean(k1, k2), of, || {
            let mean = mean_of(graph, of, k2, |_| true, |row| self.reciprocal_row(graph, row, k1))?;
            Ok(mean.into_iter().map(|(row, weight)| (row, weight as f32)).collect())
        })
    }

    /// The label shares of an index image, which this state keeps.
    fn shares(&self, row: usize) -> Result<Arc<Shares>> {
        kept(&self.state.shares, KEPT_SHARES, row, || Ok(Arc::new(self.shares_of(row)?)))
    }

    /// Of its stored list, or of an exact search where that is too short.
    fn shares_of(&self, row: usize) -> Result<Shares> {
        let state = self.state;
        let id = state.index.id(row);
        let wanted = VOTERS.min(state.options.kept_neighbours);
        let labelled = |entries: &[(ImageId, f32)]| {
            let label = |&(id, cosine): &(ImageId, f32)| Some((label_in(&state.train, id)?, cosine));
            Shares::of(entries.iter().filter_map(label).take(wanted))
        };
        if let Some(stored) = state.pinned.neighbours(state.pinned.space(), id)? {
            let list = list_of(stored, &state.train)?;
            if list.knows(wanted, state.train.live_rows()) {
                let entries: Vec<_> = list.entries.iter().map(|entry| (ImageId(entry.id), entry.similarity)).collect();
                return Ok(labelled(&entries));
            }
        }
        let best = state.train.best(&state.index.vector(row)?, wanted, |_| true, self.interrupt)?;
        let entries: Vec<_> = best.iter().map(|hit| (state.train.id(hit.row as usize), hit.similarity)).collect();
        Ok(labelled(&entries))
    }
}
