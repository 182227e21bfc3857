//! Methods of the first stage: what is searched instead of the query, and what orders the images that were found.

mod augment;
mod calibration;
mod diffusion;
mod expand;
mod explore;
mod fusion;
mod joint;
mod reciprocal;
mod rows;
mod superglobal;
mod transductive;
mod voters;

use std::collections::HashSet;

use cairndb_query::Order;

use super::first_stage::{Context, Found, Ready};
use crate::answer::LabelWeight;
use crate::error::Result;
use crate::operation::Role;

impl Context<'_> {
    /// The first-stage list of each query by a method; `queries` are searched for, `asked` is what they were before an expansion.
    pub(super) fn ordered(&self, queries: &[Ready], asked: &[Ready], order: Order) -> Result<Vec<Vec<Found>>> {
        let depth = self.request.depth;
        let (more, filtered) = match order {
            Order::SuperGlobal(method) => (method.first, true),
            // These start at the nearest images, whether they meet the conditions or not.
            Order::Diffusion(method) => (method.sources, false),
            Order::Exploration(method) => (method.degree, false),
            Order::Reciprocal(method) => (method.k1, false),
            Order::Fusion(_) => (fusion::NEAREST, false),
            _ => (0, true),
        };
        let lists = self.nearest(queries, depth.max(more), filtered)?;
        // What a method does not reach follows by similarity.
        let rest = if filtered || self.filter.is_open() { None } else { Some(self.nearest(queries, depth, true)?) };
        let jointly = match order {
            Order::Reciprocal(method) if method.transductive => Some(self.reciprocal_jointly(queries, &lists, method)?),
            Order::Diffusion(method) if method.transductive => Some(self.diffused_jointly(queries, method)?),
            _ => None,
        };
        let one = |at: usize| {
            let (query, list) = (&queries[at], &lists[at]);
            let mut ordered = match order {
                Order::Reciprocal(_) | Order::Diffusion(_) if jointly.is_some() => {
                    self.sorted(jointly.iter().flat_map(|lists| lists[at].iter().copied()).collect())?
                }
                Order::SuperGlobal(method) => self.by_superglobal(query, list.clone(), method)?,
                Order::Diffusion(method) => {
                    let sources = &list[..method.sources.min(list.len())];
                    self.sorted(self.diffused(query, sources, method)?)?
                }
                Order::Reciprocal(method) => self.sorted(self.by_reciprocal(query, list, method)?)?,
                Order::Fusion(method) => self.sorted(self.fused((query, &asked[at]), list, method)?)?,
                Order::Exploration(method) => {
                    let mut reached = Vec::new();
                    self.explored(query, &list[..method.degree.min(list.len())], method, |found| {
                        if self.admits(found)? {
                            reached.push(*found);
                        }
                        Ok(reached.len() == depth)
                    })?;
                    reached
                }
                _ => list.clone(),
            };
            let known: HashSet<(Role, usize)> = ordered.iter().map(|found| (found.role, found.row)).collect();
            let rest = rest.as_ref().map_or(list, |rest| &rest[at]);
            ordered.extend(rest.iter().filter(|found| !known.contains(&(found.role, found.row))));
            ordered.truncate(depth);
            Ok(ordered)
        };
        crate::process::pool::try_each(queries.len(), one)
    }

    /// How much labels count, if the order is a fusion.
    pub(super) fn label_weight(&self) -> Result<Option<LabelWeight>> {
        let Some(Order::Fusion(method)) = self.request.order else { return Ok(None) };
        let calibration = self.state.calibration(self.interrupt)?;
        let weight = method.labels.unwrap_or(calibration.labels);
        Ok(Some(LabelWeight { weight, learnt: calibration.gate.is_some() }))
    }

    /// Those that meet the conditions, best first, equal ones by key.
    fn sorted(&self, mut found: Vec<Found>) -> Result<Vec<Found>> {
        found.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| self.key(a).cmp(self.key(b))));
        let mut left = Vec::with_capacity(self.request.depth.min(found.len()));
        for found in found {
            if left.len() == self.request.depth {
                break;
            }
            if self.admits(&found)? {
                left.push(found);
            }
        }
        Ok(left)
    }

    fn admits(&self, found: &Found) -> Result<bool> {
        self.filter.admits(found.role, found.row, self.instance(found.role, found.row))
    }
}
