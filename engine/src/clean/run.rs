//! A run of CLEAN: it finds train images that do not belong to their label, by the paper's rule or by their neighbours, and acts
//! on them in one transaction that can be undone (paper, section 3.1).

use std::collections::{HashMap, HashSet};

use super::{LEAST_IMAGES, Neighbour, Pair, Rule, Verdict, Weighing, clean, suspects, would_empty};
use crate::answer::{Query, SearchRequest};
use crate::background::Shared;
use crate::catalog::{ChangeMessage, CleaningMessage};
use crate::error::{Error, Result};
use crate::id::ImageId;
use crate::operation::{Operation, Receipt, Role};
use crate::options::GRAPH_FROM_ROWS;
use crate::ports::LocalFeatures;
use crate::progress::{Progress, Watch, report};
use crate::state::{Published, Snapshot};
use crate::verify::{Compared, Comparer, Sight, Sights};
use crate::write::Note;
use cairndb_query::{Action, CleanPlan, CleanRule, Cut, Scope};

/// Number of train images whose neighbours are searched at a time.
const SEARCHED_ROWS: usize = 1024;
/// If thumbnails would replace more than one in this many images, a cleaning asks first.
const THUMBNAILS_FROM_SHARE: usize = 10;

/// The judgement of a cleaning about a train image.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Judged {
    /// External key.
    pub key: String,
    /// Its label.
    pub label: String,
    /// The finding.
    pub judgement: Judgement,
    /// Number of neighbours with its own label that it was compared with.
    pub compared: usize,
    /// Number of those with enough inliers.
    pub verified: usize,
    /// The image that contributed most: the pair with most inliers, or the strongest neighbour of the other label.
    pub witness: Option<Witness>,
    /// Number of an earlier cleaning whose mark it has.
    pub marked: Option<u64>,
    /// The source of its comparison; `None`: it was not compared.
    pub seen: Option<Sight>,
    /// It is found, but RELABEL leaves it unchanged: its label would have no image ([`would_empty`]).
    pub would_empty: bool,
}

/// The finding about a train image.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Judgement {
    /// It belongs to its label.
    #[default]
    Kept,
    /// It could not be judged, and is unchanged; the reason in words.
    NotCompared(String),
    /// Nothing shows that it belongs to its label; the reason in words.
    Doubtful(String),
    /// Its neighbours say that it belongs to another one.
    Suspect {
        /// The proposed label.
        proposed: String,
        /// The evidence, from 0 to 1.
        evidence: f64,
    },
}

impl Judgement {
    /// Whether the rule finds the image, so that the cleaning acts on it.
    pub fn is_found(&self) -> bool {
        matches!(self, Self::Doubtful(_) | Self::Suspect { .. })
    }
}

/// The image that a judgement is based on.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Witness {
    /// External key.
    pub key: String,
    /// Its label.
    pub label: String,
    /// Cosine of the two descriptors.
    pub similarity: f32,
    /// Inliers, if local features were compared.
    pub inliers: Option<u32>,
    /// Matched points in pixels of the extractor's frames, the judged image's first. Only for a report.
    pub lines: Vec<[[f32; 2]; 2]>,
}

/// The outcome of CLEAN.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Cleaning {
    /// The plan.
    pub plan: CleanPlan,
    /// Its number in the log; `None`: it changed nothing.
    pub number: Option<u64>,
    /// Rule and parameters, for people.
    pub what: String,
    /// For the paper's rule every train image, by key; otherwise the suspects, best evidence first.
    pub judged: Vec<Judged>,
    /// Number of images that were changed or marked, or would be without DRY RUN.
    pub found: usize,
    /// Number of images that the rule also finds and that are unchanged: an earlier cleaning marked them, and this one would do
    /// no more.
    pub marked_already: usize,
    /// Number of images that the rule also finds and that are unchanged: somebody changed or deleted them meanwhile.
    pub changed_meanwhile: usize,
    /// Number of images that the rule also finds and that RELABEL leaves unchanged: their label would have no image.
    pub would_empty: usize,
    /// How many images were compared by which source, if the rule compares photos.
    pub sights: Option<Sights>,
    /// The transaction.
    pub receipt: Option<Receipt>,
    /// The state that was examined; only for a report (INTO), which shows more of it.
    pub snapshot: Option<Snapshot>,
}

impl Cleaning {
    /// Whether some of the found images are unchanged because their label would have no image.
    fn leave(&mut self, stay: Vec<usize>) {
        self.found -= stay.len();
        self.would_empty = stay.len();
        stay.into_iter().for_each(|at| self.judged[at].would_empty = true);
    }

    /// The images that could not be judged, with the reason: neither their photo nor the database's copy can be read, or not
    /// those of enough neighbours.
    pub fn not_compared(&self) -> Vec<(&str, &str)> {
        let mut list = Vec::new();
        for judged in &self.judged {
            if let Judgement::NotCompared(why) = &judged.judgement {
                list.push((judged.key.as_str(), why.as_str()));
            }
        }
        list
    }
}

/// The judged images, the positions of those that the rule finds, and the sources of their comparison.
type Judging = (Vec<Judged>, Vec<usize>, Option<Sights>);

/// The train set as a cleaning sees it.
struct Train {
    snapshot: Snapshot,
    keys: Vec<String>,
    labels: Vec<String>,
    /// The cleaning that marked it.
    marked: Vec<Option<u64>>,
    /// Nearest other train images, best first; for the paper's rule only those that an image is compared with.
    near: Vec<Vec<(usize, f32)>>,
}

/// CLEAN, as `Database::clean` documents it.
pub(crate) fn run(
    shared: &Shared,
    plan: &CleanPlan,
    features: Option<&dyn LocalFeatures>,
    watch: Option<&dyn Watch>,
) -> Result<Cleaning> {
    check_cleaning(shared, plan)?;
    let train = train_set(shared, plan, watch)?;
    let what = words(plan);
    let (judged, mut found, sights): Judging = match plan.rule {
        CleanRule::Paper => by_the_paper(shared, &train, plan, features, watch)?,
        CleanRule::Suspects(cut) => by_neighbours(&train, cut)?,
    };
    let by_the_rule = found.len();
    let keep_voters = plan.action == Action::KeepVoters;
    found.retain(|&at| !keep_voters || judged[at].marked.is_none());
    let (marked_already, found_now) = (by_the_rule - found.len(), found.len());
    let plan = plan.clone();
    let mut cleaning = Cleaning {
        plan,
        number: None,
        what,
        judged,
        found: found_now,
        marked_already,
        changed_meanwhile: 0,
        would_empty: 0,
        sights,
        receipt: None,
        snapshot: None,
    };
    cleaning.snapshot = cleaning.plan.into.is_some().then(|| train.snapshot.clone());
    let spares_labels = cleaning.plan.action == Action::Relabel;
    if cleaning.plan.dry_run || found.is_empty() {
        let leaving = found.iter().map(|&at| cleaning.judged[at].label.as_str());
        let stay = would_empty(leaving.filter(|_| spares_labels), tally(train.labels.iter().map(String::as_str)));
        let stay = found.iter().zip(stay).filter_map(|(&at, stays)| stays.then_some(at)).collect();
        cleaning.leave(stay);
        return Ok(cleaning);
    }
    let found_at = found;
    let found: Vec<&Judged> = found_at.iter().map(|&at| &cleaning.judged[at]).collect();
    let mut stay: HashSet<String> = HashSet::new();
    let (_no_flip, core) = shared.enter()?;
    let written = core.write_noted(|now| {
        let mut changes = still_there(&train.snapshot.state, now, &found, cleaning.plan.action)?;
        if spares_labels {
            let counts = now.label_counts().into_iter().map(|(id, count)| Ok((now.label(id)?, count)));
            let stays = would_empty(changes.iter().map(|change| change.label.as_str()), counts.collect::<Result<_>>()?);
            let keys = changes.iter().zip(stays).filter(|(_, stays)| *stays);
            stay = keys.map(|(change, _)| change.key.clone()).collect();
            changes.retain(|change| !stay.contains(&change.key));
        }
        if changes.is_empty() {
            return Ok(None);
        }
        let operations = if keep_voters { Vec::new() } else { changes.iter().map(operation).collect() };
        let note = CleaningMessage {
            number: now.pinned.cleanings()?.last().map_or(1, |last| last.number + 1),
            sequence: now.sequence + 1,
            what: cleaning.what.clone(),
            changes,
            keep_voters,
            ..CleaningMessage::default()
        };
        Ok(Some((operations, Note::Cleaning(note))))
    })?;
    cleaning.found = 0;
    if let Some((receipt, Note::Cleaning(note))) = &written {
        (cleaning.number, cleaning.receipt) = (Some(note.number), Some(*receipt));
        cleaning.found = note.changes.len();
    }
    cleaning.changed_meanwhile = found_now - cleaning.found - stay.len();
    cleaning.found += stay.len();
    let stay = found_at.into_iter().filter(|&at| stay.contains(&cleaning.judged[at].key)).collect();
    cleaning.leave(stay);
    Ok(cleaning)
}

/// Refuses a cleaning that would fail after the work.
///
/// # Errors
/// `ReadOnly`: the database was opened for reading only; `Invalid`: it has no photos to compare.
pub(crate) fn check_cleaning(shared: &Shared, plan: &CleanPlan) -> Result<()> {
    let compares = plan.rule == CleanRule::Paper;
    if !plan.dry_run {
        shared.core().refuse_when_read_only()?;
    }
    if !compares || shared.options().model.is_some() {
        return Ok(());
    }
    let snapshot = shared.snapshot();
    let keys = snapshot.keys(Some(Role::Train))?;
    for key in &keys {
        if snapshot.record(key)?.is_some_and(|record| record.source.is_some()) || snapshot.photo(key)?.is_some() {
            return Ok(());
        }
    }
    if keys.is_empty() {
        return Ok(());
    }
    Err(Error::invalid("this is a database of bare vectors without photos, but the paper's rule compares photos")
        .help("use the neighbours instead: CLEAN RULE suspects; SHOW SUSPECTS shows them first"))
}

fn train_set(shared: &Shared, plan: &CleanPlan, watch: Option<&dyn Watch>) -> Result<Train> {
    // A dry run changes nothing, and judges what readers see.
    let snapshot = if plan.dry_run { shared.snapshot() } else { shared.apply_pending()? };
    let keys = snapshot.keys(Some(Role::Train))?;
    if keys.len() < 2 {
        return Err(Error::invalid(format!("with {} labelled images there is nothing to compare", keys.len()))
            .help("give labels with LABEL, or ingest photos with a list of labels"));
    }
    let (mut labels, mut marked) = (Vec::with_capacity(keys.len()), Vec::with_capacity(keys.len()));
    for key in &keys {
        let (label, mark) = snapshot.record(key)?.map_or((None, None), |record| (record.label, record.marked));
        labels.push(label.ok_or_else(|| Error::corrupt(format!("train image '{key}' has no label")))?);
        marked.push(mark);
    }
    let place: HashMap<&str, usize> = keys.iter().enumerate().map(|(at, key)| (key.as_str(), at)).collect();
    let wanted = match plan.rule {
        CleanRule::Paper => plan.nn,
        CleanRule::Suspects(_) => Weighing::default().k,
    };
    let ef = (keys.len() >= GRAPH_FROM_ROWS).then_some(2 * wanted);
    let request = SearchRequest::new().scope(Scope::Train).depth(wanted).limit(wanted).ef(ef);
    let mut near = Vec::with_capacity(keys.len());
    for keys in keys.chunks(SEARCHED_ROWS) {
        let mut queries = Vec::with_capacity(keys.len());
        for key in keys {
            let vector = snapshot.vector(key)?;
            let vector = vector.ok_or_else(|| Error::corrupt(format!("'{key}' has no descriptor")))?;
            queries.push(Query { vector, without: Some(key.clone()) });
        }
        for answer in snapshot.search(&request, &queries)? {
            let own = &labels[near.len()];
            let rows = answer.rows.iter().filter_map(|row| Some((*place.get(row.id.as_str())?, row.similarity)));
            // All neighbours of all images would be gigabytes of a large train set.
            near.push(match plan.rule {
                // The image itself is the first of its neighbours (docs/ALGORITHMS.md).
                CleanRule::Paper => {
                    let same = rows.filter(|&(other, _)| labels[other] == *own);
                    same.take(plan.neighbours.saturating_sub(1)).collect()
                }
                CleanRule::Suspects(_) => rows.collect(),
            });
        }
        report(watch, Progress::NEIGHBOURS, near.len(), labels.len())?;
    }
    Ok(Train { snapshot, keys, labels, marked, near })
}

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

fn by_the_paper(
    shared: &Shared,
    train: &Train,
    plan: &CleanPlan,
    features: Option<&dyn LocalFeatures>,
    watch: Option<&dyn Watch>,
) -> Result<Judging> {
    let features = features.ok_or_else(|| {
        Error::invalid("the paper's rule compares local features, but this program has no extractor for them")
            .help("use a program that has one, or: CLEAN RULE suspects")
    })?;
    let candidates: Vec<Vec<usize>> =
        train.near.iter().map(|near| near.iter().map(|&(other, _)| other).collect()).collect();
    let comparer = Comparer::new(shared, &train.snapshot, &train.keys, features, !plan.dry_run)?;
    // A dry run shows what would come of it.
    let takes_thumbnails = plan.thumbnails || plan.dry_run;
    let Compared { inliers, unseen, seen, sights } = comparer.compare(
        &candidates,
        |sights| {
            let many = !takes_thumbnails && sights.thumbnails * THUMBNAILS_FROM_SHARE > sights.all();
            if many { Err(too_many_thumbnails(sights)) } else { Ok(()) }
        },
        watch,
    )?;
    let pairs = candidates.iter().enumerate().zip(&inliers).flat_map(|((image, others), counts)| {
        others.iter().zip(counts).filter_map(move |(&other, &inliers)| Some(Pair { image, other, inliers: inliers? }))
    });
    let pairs: Vec<Pair> = pairs.collect();
    let rule = Rule { min_inliers: u32::try_from(plan.inliers).unwrap_or(u32::MAX), freq: plan.freq };
    let labels: Vec<&str> = train.labels.iter().map(String::as_str).collect();
    let verdicts = clean(&labels, &pairs, &rule)?;
    let why_not_compared = |at: usize| {
        let seen = inliers[at].iter().flatten().count();
        // It could not have passed, whatever it shows.
        let lacks_neighbours = || seen < rule.freq && candidates[at].len() >= rule.freq;
        let lacking = || format!("only {seen} of its {} neighbours can be compared", candidates[at].len());
        unseen.get(&at).cloned().or_else(|| lacks_neighbours().then(lacking))
    };
    let not_compared: Vec<Option<String>> = (0..train.keys.len()).map(why_not_compared).collect();
    let mut staying: HashMap<&str, usize> = HashMap::new();
    let stay = labels.iter().zip(&not_compared).filter(|(_, why)| why.is_some());
    stay.for_each(|(label, _)| *staying.entry(label).or_default() += 1);
    let mut judged = Vec::with_capacity(verdicts.len());
    for (at, verdict) in verdicts.iter().enumerate() {
        let counted = candidates[at].iter().zip(&inliers[at]);
        let best = counted
            .filter_map(|(&other, &count)| Some((other, count?)))
            .max_by_key(|&(other, count)| (count, std::cmp::Reverse(other)));
        let mut witness = best.map(|(other, count)| Witness { inliers: Some(count), ..train.witness(at, other) });
        if let (true, Some(witness), Some((other, _))) = (plan.into.is_some(), &mut witness, best) {
            witness.lines = comparer.lines(at, other)?;
        }
        let stays_with = |left: usize| left + staying.get(labels[at]).copied().unwrap_or_default();
        let judgement = match (&not_compared[at], verdict) {
            (Some(why), _) => Judgement::NotCompared(why.clone()),
            (None, Verdict::Kept { .. }) => Judgement::Kept,
            (None, Verdict::LabelTooSmall { left }) if stays_with(*left) >= LEAST_IMAGES => Judgement::Kept,
            (None, other) => Judgement::Doubtful(other.to_string()),
        };
        judged.push(Judged {
            key: train.keys[at].clone(),
            label: train.labels[at].clone(),
            judgement,
            compared: inliers[at].iter().flatten().count(),
            verified: inliers[at].iter().flatten().filter(|&&count| count >= rule.min_inliers).count(),
            witness,
            marked: train.marked[at],
            seen: seen.get(&at).copied(),
            would_empty: false,
        });
    }
    let found = (0..judged.len()).filter(|&at| judged[at].judgement.is_found()).collect();
    Ok((judged, found, Some(sights)))
}

impl Train {
    fn witness(&self, of: usize, other: usize) -> Witness {
        let similarity = self.near[of].iter().find(|near| near.0 == other).map_or(f32::NAN, |near| near.1);
        Witness {
            key: self.keys[other].clone(),
            label: self.labels[other].clone(),
            similarity,
            inliers: None,
            lines: Vec::new(),
        }
    }
}

fn by_neighbours(train: &Train, cut: Cut) -> Result<Judging> {
    let labels: Vec<&str> = train.labels.iter().map(String::as_str).collect();
    if labels.iter().all(|label| *label == labels[0]) {
        return Err(Error::invalid(format!(
            "every labelled image has the label '{}': there is no other label to compare with",
            labels[0]
        ))
        .help("suspects need at least two labels"));
    }
    let neighbour = |&(image, similarity): &(usize, f32)| Neighbour { image, similarity, inliers: None };
    let near: Vec<Vec<Neighbour>> = train.near.iter().map(|near| near.iter().map(neighbour).collect()).collect();
    let ranked = suspects(&labels, &near, &Weighing::default())?;
    let found = match cut {
        Cut::Top(most) => ranked.len().min(most),
        Cut::Evidence(least) => ranked.iter().take_while(|suspect| suspect.evidence >= least).count(),
    };
    let judge = |suspect: &crate::clean::Suspect<&str>| Judged {
        key: train.keys[suspect.image].clone(),
        label: suspect.label.to_owned(),
        judgement: Judgement::Suspect { proposed: suspect.proposed.to_owned(), evidence: suspect.evidence },
        compared: suspect.given.images.len() + suspect.other.images.len(),
        verified: suspect.given.verified + suspect.other.verified,
        witness: suspect.other.images.first().map(|&other| train.witness(suspect.image, other)),
        marked: train.marked[suspect.image],
        seen: None,
        would_empty: false,
    };
    Ok((ranked.iter().take(found).map(judge).collect(), (0..found).collect(), None))
}

/// The operations on those of the found images that are still `now` as the cleaning read them: the same image in the same
/// version, with the same mark or none.
fn still_there(seen: &Published, now: &Published, found: &[&Judged], action: Action) -> Result<Vec<ChangeMessage>> {
    let as_of = |state: &Published, key: &str| -> Result<Option<(ImageId, u64, Option<u64>)>> {
        let Some((id, record)) = state.stored(key)? else { return Ok(None) };
        Ok(Some((id, record.version, state.pinned.mark(id)?)))
    };
    let mut changes = Vec::with_capacity(found.len());
    for judged in found {
        let Some(image @ (id, version, _)) = as_of(seen, &judged.key)? else { continue };
        if as_of(now, &judged.key)? != Some(image) {
            continue;
        }
        let was_by = now.stored(&judged.key)?.and_then(|(_, record)| record.origin);
        let becomes = match (&judged.judgement, action) {
            (Judgement::Suspect { proposed, .. }, action) if action.relabels() => Some(proposed.clone()),
            _ => None,
        };
        let (key, label) = (judged.key.clone(), judged.label.clone());
        // Which id it is left with is known once the change is made.
        let (judged, left) = (Some(id.0), None);
        changes.push(ChangeMessage { key, label, becomes, version, left_alone: false, judged, left, was_by });
    }
    Ok(changes)
}

/// The number of images of each label.
fn tally<'l>(labels: impl Iterator<Item = &'l str>) -> HashMap<&'l str, usize> {
    let mut counts = HashMap::new();
    labels.for_each(|label| *counts.entry(label).or_default() += 1);
    counts
}

fn operation(change: &ChangeMessage) -> Operation {
    let key = change.key.clone();
    match &change.becomes {
        Some(label) => Operation::Label { key, label: label.clone() },
        None => Operation::Unlabel { key },
    }
}

/// Rule and parameters as typed.
fn words(plan: &CleanPlan) -> String {
    let CleanPlan { nn, neighbours, inliers, freq, .. } = plan;
    let rule = match plan.rule {
        CleanRule::Paper => format!("RULE paper nn={nn} neighbours={neighbours} inliers={inliers} freq={freq}"),
        CleanRule::Suspects(Cut::Top(top)) => format!("RULE suspects top={top}"),
        CleanRule::Suspects(Cut::Evidence(least)) => format!("RULE suspects evidence={least}"),
    };
    format!("{rule} {}", plan.action.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::Database;
    use crate::operation::Put;
    use crate::options::Options;

    #[test]
    fn neighbours_that_no_image_is_compared_with_are_not_held() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::create(folder.path().join("db"), Options::for_vectors(2)).unwrap();
        let put = |at: usize| Put::new(format!("i{at}"), [1.0, at as f32 * 0.001]).label(format!("{}", at % 3)).into();
        database.write((0..60).map(put)).unwrap();
        let train = train_set(&database.shared, &CleanPlan::default().neighbours(5), None).unwrap();
        for (at, near) in train.near.iter().enumerate() {
            assert_eq!(near.len(), 4, "the image itself is the fifth");
            assert!(near.iter().all(|&(other, _)| train.labels[other] == train.labels[at]));
        }
    }
}
