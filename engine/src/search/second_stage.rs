//! The second stage: items predicted to be the query's instance move to the front (sort-step), and items with the same prediction
//! that similarity did not find follow them (insert-step).

use std::collections::HashSet;

use super::first_stage::{Context, FirstStage, Found, Ready, itself};
use super::rerank::{gate, rerank};
use super::shown::Shown;
use crate::answer::{Answer, Row, Stage};
use crate::error::{Error, Result};
use crate::id::LabelId;
use crate::operation::Role;
use crate::vote::Ballot;

impl Context<'_> {
    pub(super) fn answer(&self, query: &Ready, first: &FirstStage) -> Result<Answer> {
        let depth = self.request.depth;
        let (mut retrieved, vote) = (first.retrieved.clone(), first.vote);
        if self.request.least_similarity.is_some() {
            retrieved = self.similar_enough(query, retrieved)?;
        }
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
            .shown(query, staged)?
            .into_iter()
            .map(|Shown { found, stage, similarity, copies }| {
                let prediction =
                    self.instance(found.role, found.row).map(|ballot| self.state.vote(ballot)).transpose()?;
                let label = match found.role {
                    Role::Train => self.state.train.instances[found.row].map(|own| self.state.label(own.label)),
                    Role::Index => None,
                };
                let path = if self.request.paths { self.path(&found)? } else { None };
                let score = (stage != Some(Stage::Inserted)).then_some(found.score);
                Ok(Row {
                    id: self.key(&found).to_owned(),
                    similarity,
                    score,
                    copies,
                    inliers: first.inliers.get(&(found.role, found.row)).copied(),
                    prediction,
                    stage,
                    label: label.transpose()?.map(str::to_owned),
                    split: found.role,
                    path,
                })
            })
            .collect::<Result<_>>()?;
        let prediction = vote.map(|ballot| self.state.vote(ballot)).transpose()?;
        Ok(Answer {
            prediction,
            rows,
            labels: self.label_weight()?,
            as_of_sequence: self.state.sequence,
            lag: self.lag,
        })
    }

    /// Where an image came from.
    fn path(&self, found: &Found) -> Result<Option<String>> {
        let id = self.state.rows(found.role).id(found.row);
        Ok(self.state.pinned.record(id)?.and_then(|record| record.source))
    }

    /// Whether rows of this similarity to the query are shown.
    fn is_similar(&self, similarity: f32) -> bool {
        // In the precision of similarities: what a row shows as 0.7 passes a threshold that was typed as 0.7.
        self.request.least_similarity.is_none_or(|least| similarity >= least as f32)
    }

    /// The images of the list that are similar enough to the query.
    fn similar_enough(&self, query: &Ready, list: Vec<Found>) -> Result<Vec<Found>> {
        let by_similarity = self.is_by_similarity();
        let mut left = Vec::with_capacity(list.len());
        for (at, found) in list.into_iter().enumerate() {
            self.interrupt.look_at(at)?;
            let similarity = if by_similarity { found.score } else { self.similarity(query, &found)? };
            if self.is_similar(similarity) {
                left.push(found);
            }
        }
        Ok(left)
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
            let (mut taken, mut visited) = (0, 0);
            let mut visit = |score: f32, row: usize| -> Result<bool> {
                if !gate(vote.score, score, tau) || taken == room {
                    return Ok(false);
                }
                self.interrupt.look_at(visited)?;
                visited += 1;
                let known = known.contains(&(role, row));
                let admitted =
                    !known && Some(row) != itself && self.filter.admits(role, row, self.instance(role, row))?;
                let inserted = Found { role, row, score };
                let is_near = self.request.least_similarity.is_none();
                if admitted && (is_near || self.is_similar(self.similarity(query, &inserted)?)) {
                    found.push((score, inserted));
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
                            .ok_or_else(|| Error::corrupt(format!("a posting names '{key}', which does not exist")))?;
                        visit(score, row)
                    },
                )?,
            }
        }
        found.sort_by(|(a, x), (b, y)| (b + 0.0).total_cmp(&(a + 0.0)).then_with(|| self.key(x).cmp(self.key(y))));
        Ok(found.into_iter().map(|(_, found)| found).collect())
    }
}
