//! CHECK DEEP: it reads every byte, compares every copy, and recomputes every list.

use std::collections::{HashMap, HashSet};

use crate::admin::check::{Check, RECOMPUTED_ROWS, look};
use crate::catalog::Catalog;
use crate::error::Result;
use crate::id::ImageId;
use crate::operation::Role;
use crate::progress::Progress;
use crate::rows::Part;
use crate::state::lists::list_of;
use crate::state::snapshot::Published;
use crate::state::{GraphOwner, Neighbourhood};
use crate::vector::{encode, stride};
use crate::vote::{Candidate, soft_vote};

/// What makes a wrong neighbour graph right.
const REWRITTEN: &str = "COMPACT NEIGHBOURS computes it and saves it again";

impl Check<'_> {
    /// Every family can be read to the end from the disk, whatever is in memory of it.
    pub(crate) fn families(&mut self) -> Result<()> {
        let damages = self.core.catalog().damages(&mut || self.interrupt.look())?;
        self.looked_at("families read", Catalog::FAMILIES);
        for problem in damages {
            if self.is_overtaken_by(&problem) {
                self.is_overtaken = true;
            } else {
                self.wrong(problem);
            }
        }
        Ok(())
    }

    /// What no answer needs now can be understood too, and nothing is left that nobody would look up.
    pub(crate) fn meanings(&mut self) -> Result<()> {
        let strays = self.state.pinned.stray_entries(self.state.options.vote_k)?;
        for (family, count) in strays {
            self.wrong(format!("the family '{family}' has {count} entries that belong to no active model"));
        }
        self.interrupt.look()?;
        self.state.pinned.nonsense()?.into_iter().for_each(|problem| self.wrong(problem));
        Ok(())
    }

    /// The dead rows of segments are the buried ones: at the next opening they must be dead too, and nothing else.
    pub(crate) fn tombstones(&mut self) -> Result<()> {
        let mut buried = HashSet::new();
        self.state.pinned.tombstones(self.state.pinned.space(), |id| {
            buried.insert(id);
            Ok(())
        })?;
        for set in [&self.state.index, &self.state.train] {
            for row in 0..set.tail_start() {
                match (set.live[row], buried.contains(&set.id(row))) {
                    (true, true) => {
                        self.wrong(format!("'{}' is searched, but has a tombstone in its segment", set.key(row)))
                    }
                    (false, false) => {
                        self.wrong(format!("image {} was deleted, but has no tombstone in its segment", set.id(row).0))
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// The neighbour graph is that of the index images, both in the file that the catalog knows and in memory.
    pub(crate) fn neighbour_graph(&mut self) -> Result<()> {
        let (index, saved, held) = (&self.state.index, self.saved_graph()?, self.state.derived.held());
        let saved = saved.iter().map(|graph| ("saved neighbour graph", graph));
        let graphs: Vec<_> = saved.chain(held.iter().map(|graph| ("neighbour graph in memory", &**graph))).collect();
        let Some(others) = graphs.iter().map(|(_, graph)| graph.others()).max() else { return Ok(()) };
        let computed = Neighbourhood::of(index, others, self.interrupt)?;
        for (what, graph) in graphs {
            let moved = graph.moved_to(index, self.interrupt)?;
            let mut count = 0;
            for row in index.live() {
                let (has, wanted) = (moved.nearest(row, others), computed.nearest(row, graph.others()));
                count += wanted.len();
                if has != wanted {
                    let key = self.key(index, row).to_owned();
                    self.wrong(format!("the {what} has other images near '{key}': {REWRITTEN}"));
                }
            }
            self.looked_at(&format!("edges of the {what}"), count);
        }
        Ok(())
    }

    /// The graph in the file that the catalog knows. A file that is not the one that was written is a problem. No file is none, as in a
    /// backup, and neither is the file of another model.
    fn saved_graph(&mut self) -> Result<Option<Neighbourhood>> {
        let core = self.core;
        let pinned = core.catalog().pin();
        let Some(known) = pinned.neighbours_file()? else { return Ok(None) };
        let (next, train) = (pinned.next_image()?, &self.state.train);
        // An image that gets another role gets another id.
        let is_foreign = |id: &ImageId| id.0 >= next || train.row_of(*id).is_some();
        let wrong = match Neighbourhood::saved(&core.folder, GraphOwner::of(core.catalog()), known) {
            Ok(None) => return Ok(None),
            Ok(Some(graph)) => {
                let Some(id) = graph.images().find(is_foreign) else { return Ok(Some(graph)) };
                format!("the saved neighbour graph has image {}, which was never an index image", id.0)
            }
            Err(error) => format!("the saved neighbour graph cannot be used: {}", error.message()),
        };
        // While the file changes the catalog knows none, so another writer's file is no problem.
        let now = core.pinned_now()?.map(|now| now.neighbours_file()).transpose()?;
        if now.flatten() == Some(known) {
            self.wrong(format!("{wrong}: {REWRITTEN}"));
        }
        Ok(None)
    }

    /// Every live row's descriptor is the catalog's, bit for bit, and its code is what the descriptor gives.
    pub(crate) fn copies(&mut self) -> Result<()> {
        let state = self.state;
        let mut problems = Vec::new();
        let mut count = 0;
        let mut code = vec![0; stride(state.options.dimension)];
        let mut wrongly_coded: Vec<(Role, usize)> = Vec::new();
        let (interrupt, entries) = (self.interrupt, &mut self.entries);
        state.pinned.vectors(state.pinned.space(), ImageId(0), ImageId(u64::MAX), |id, bytes| {
            look(interrupt, entries)?;
            for role in Role::ALL {
                let set = state.rows(role);
                let Some(row) = set.row_of(id).filter(|&row| set.live[row]) else { continue };
                count += 1;
                let same = set.vector(row)?.iter().flat_map(|value| value.to_le_bytes()).eq(bytes.iter().copied());
                if !same {
                    problems.push(format!("the copy of the descriptor of '{}' differs", set.key(row)));
                    continue;
                }
                encode(&set.vector(row)?, &mut code);
                if set.coded(row) != code {
                    wrongly_coded.push((role, row));
                }
            }
            Ok(())
        })?;
        self.looked_at("descriptors compared", count);
        problems.into_iter().for_each(|problem| self.wrong(problem));
        self.codes_of_others(&wrongly_coded);
        self.vectors_of_nobody();
        Ok(())
    }

    /// Says which segments have rows that no descriptor can be: they were answered from the catalog, and compared with itself.
    fn vectors_of_nobody(&mut self) {
        for role in Role::ALL {
            for (part, entry, _) in self.state.rows(role).frozen() {
                let Part::Segment(segment) = part else { continue };
                let told = format!("segment {} ", entry.id.0);
                let is_told = self.report.problems.iter().any(|problem| problem.message.starts_with(&told));
                if segment.is_damaged() && !is_told {
                    self.wrong(format!("{told}has damaged vectors"));
                }
            }
        }
    }

    /// Says which segments give images another key than the catalog. They are made again while the database is open for writing.
    pub(crate) fn keys_of_others(&mut self, images: HashMap<ImageId, (Role, usize, String)>) {
        for role in Role::ALL {
            for (part, entry, start) in self.state.rows(role).frozen() {
                let own = start..start + part.rows();
                let count = images.values().filter(|(of, row, _)| *of == role && own.contains(row)).count();
                if count > 0 {
                    self.wrong(format!("segment {} has {count} keys that are not the catalog's", entry.id.0));
                    if let Part::Segment(segment) = part {
                        segment.set_damaged();
                    }
                }
            }
        }
        self.keys.extend(images.into_iter().map(|(id, (_, _, key))| (id, key)));
    }

    /// Says which segments have codes that their descriptors do not give; they are made again while the database is open for writing.
    fn codes_of_others(&mut self, rows: &[(Role, usize)]) {
        for role in Role::ALL {
            for (part, entry, start) in self.state.rows(role).frozen() {
                let own = start..start + part.rows();
                let count = rows.iter().filter(|(of, row)| *of == role && own.contains(row)).count();
                if count > 0 {
                    self.wrong(format!("segment {} has {count} codes that do not match its descriptors", entry.id.0));
                    if let Part::Segment(segment) = part {
                        segment.set_damaged();
                    }
                }
            }
        }
    }

    /// Law P: the lists, their floors and the predictions of these rows equal a recompute.
    pub(crate) fn recompute(&mut self, rows: &[usize]) -> Result<()> {
        let Published { index, train, options, pinned, .. } = self.state;
        let (of, all) = (Progress::PREDICTIONS, rows.len());
        for (at, rows) in rows.chunks(RECOMPUTED_ROWS).enumerate() {
            self.interrupt.at(of, at * RECOMPUTED_ROWS, all)?;
            // One more than any list holds: the floor must leave it out.
            let best =
                train.best_of_many(&index.gathered(rows)?, options.kept_neighbours + 1, |_, _| true, self.interrupt)?;
            for (&row, best) in rows.iter().zip(best) {
                let key = index.key(row);
                let Some(stored) = pinned.neighbours(pinned.space(), index.id(row))? else {
                    self.wrong(format!("'{key}' has no list of neighbours"));
                    continue;
                };
                let list = match list_of(stored, train) {
                    Ok(list) if list.knows(options.vote_k, train.live_rows()) => list,
                    Ok(_) => {
                        self.wrong(format!("the list of '{key}' is too short to vote"));
                        continue;
                    }
                    Err(error) => {
                        self.wrong(format!("'{key}': {}", error.message()));
                        continue;
                    }
                };
                let ranking: Vec<Candidate> = best
                    .iter()
                    .map(|hit| (hit, hit.row as usize))
                    .map(|(hit, row)| Candidate {
                        similarity: hit.similarity,
                        key: train.shared_key(row),
                        id: train.id(row).0,
                    })
                    .collect();
                if !list.is_head_of(&ranking, options.kept_neighbours) {
                    self.wrong(format!("the neighbours of '{key}' are not its nearest train images"));
                }
                if !list.has_floor_below(&ranking, options.vote_k) {
                    self.wrong(format!(
                        "the floor of '{key}' does not separate its neighbours from the other train images"
                    ));
                }
                let voters =
                    best.iter().filter_map(|hit| Some((train.instances[hit.row as usize]?.label, hit.similarity)));
                if soft_vote(voters, options.vote_k) != index.instances[row] {
                    self.wrong(format!("the prediction of '{key}' is not the vote of its neighbours"));
                }
            }
        }
        self.looked_at("predictions recomputed", rows.len());
        Ok(())
    }
}
