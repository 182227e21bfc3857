//! Recognition: which instance do queries show, or is nothing known on them?

use super::first_stage::{Ready, itself, joined};
use super::request::check_voters;
use super::verification::counted;
use crate::answer::{NearImage, Query, Recognition, RecognizeRequest, Verdict};
use crate::error::{Error, Result};
use crate::id::LabelId;
use crate::ports::CountInliers;
use crate::progress::{Interrupt, Progress};
use crate::state::{Published, Snapshot};
use crate::vector::Hit;
use crate::vote::recognition::{Elected, Near, distractors, recognise};
use cairndb_query::{MAX_TERM, MIN_TERM};

/// Queries that share a pass over the train images.
const QUERIES_AT_ONCE: usize = 256;

impl Snapshot {
    /// Recognises queries: the nearest train images, found exactly, elect a label by 2 cos - 1 and, with `inliers`, min(70, inliers) / 70
    /// (docs/ALGORITHMS.md). One recognition for each query, in order.
    ///
    /// The threshold that is learnt is of the similarity term alone; one that the request gives is of the whole score.
    ///
    /// Complexity: an exact scan of the train images, shared by 256 queries; the first one that learns a threshold scans them for 800
    /// images more.
    ///
    /// # Errors
    /// As [`Snapshot::search`]; `Invalid`: the request is out of range; what `inliers` fails with.
    pub fn recognise(
        &self,
        request: &RecognizeRequest,
        queries: &[Query],
        inliers: Option<&dyn CountInliers>,
    ) -> Result<Vec<Recognition>> {
        let state = &*self.state;
        state.pinned.catalog().refuse_in_fork()?;
        check(request)?;
        let interrupt = &self.interrupt();
        let ready = queries.iter().map(|query| state.ready(query)).collect::<Result<Vec<_>>>()?;
        let least = match request.least {
            None => state.least_score(request.n, interrupt)?,
            given => given,
        };
        let mut hits = Vec::with_capacity(ready.len());
        for part in ready.chunks(QUERIES_AT_ONCE) {
            interrupt.at(Progress::QUERIES, hits.len(), ready.len())?;
            hits.extend(state.nearest_train(part, request.n, interrupt)?);
        }
        let mut near = hits.iter().map(|hits| state.near_images(hits)).collect::<Result<Vec<_>>>()?;
        if let Some(inliers) = inliers {
            count(inliers, &mut near)?;
        }
        let elected = |(hits, images): (&Vec<Hit>, &Vec<NearImage>)| {
            recognise(hits.iter().zip(images).filter_map(|(hit, image)| {
                let label = state.train.instances[hit.row as usize]?.label;
                Some(Near { label, similarity: f64::from(hit.similarity), inliers: image.inliers })
            }))
        };
        let elected: Vec<Option<Elected<LabelId>>> = hits.iter().zip(&near).map(elected).collect();
        let sunk = request.distractors.map(|most| distractors(elected.iter().flatten().map(|own| own.label), most));
        // Photos of one kind have many inliers, whichever instance they show: the learnt threshold is of the similarity alone.
        let evidence = |elected: &Elected<LabelId>| match request.least {
            Some(_) => elected.score,
            None => elected.similarity,
        };
        let recognition = |(elected, images): (Option<Elected<LabelId>>, Vec<NearImage>)| {
            let sunk = elected.and_then(|elected| sunk.as_ref()?.get(&elected.label).copied());
            let verdict = match (&elected, sunk) {
                (None, _) => Verdict::NoTrainImages,
                (_, Some(_)) => Verdict::Distractor,
                (Some(elected), _) if least.is_some_and(|least| evidence(elected) < least) => Verdict::Unknown,
                _ => Verdict::Known,
            };
            Ok(Recognition {
                label: elected.map(|elected| state.label(elected.label).map(str::to_owned)).transpose()?,
                verdict,
                score: sunk.or(elected.map(|elected| elected.score)).unwrap_or_default(),
                similarity_term: elected.map(|elected| elected.similarity).unwrap_or_default(),
                inlier_term: elected.and_then(|elected| elected.inliers),
                evidence: elected.as_ref().map(evidence).unwrap_or_default(),
                images,
                least,
                as_of_sequence: state.sequence,
                lag: self.lag(),
            })
        };
        elected.into_iter().zip(near).map(recognition).collect()
    }
}

/// Counts the inliers of queries with their nearest images.
fn count(inliers: &dyn CountInliers, images: &mut [Vec<NearImage>]) -> Result<()> {
    let asked: Vec<(usize, Vec<String>)> = images
        .iter()
        .enumerate()
        .map(|(at, images)| (at, images.iter().map(|image| image.key.clone()).collect()))
        .collect();
    for (images, counts) in images.iter_mut().zip(counted(inliers, &asked)?) {
        images.iter_mut().zip(counts).for_each(|(image, count)| image.inliers = count);
    }
    Ok(())
}

fn check(request: &RecognizeRequest) -> Result<()> {
    check_voters(request.n)?;
    let (least, most) = (MIN_TERM * request.n as f64, MAX_TERM * request.n as f64);
    match request.least {
        // What is not a number is in no range.
        Some(score) if !(least..=most).contains(&score) => Err(Error::invalid(format!("the least score is {score}"))
            .help(format!("{} images give scores from {least} to {most}", request.n))),
        _ => Ok(()),
    }
}

impl Published {
    /// The nearest train images of each query, best first.
    fn nearest_train(&self, queries: &[Ready], n: usize, interrupt: &Interrupt<'_>) -> Result<Vec<Vec<Hit>>> {
        let itself: Vec<Option<usize>> = queries.iter().map(|query| itself(&self.train, query)).collect();
        self.train.best_of_many(&joined(queries), n, |query, row| Some(row) != itself[query], interrupt)
    }

    fn near_images(&self, hits: &[Hit]) -> Result<Vec<NearImage>> {
        let image = |hit: &Hit| {
            let row = hit.row as usize;
            let label = self.train.instances[row].map(|own| self.label(own.label)).transpose()?;
            Ok(NearImage {
                key: self.train.key(row).to_owned(),
                label: label.unwrap_or_default().to_owned(),
                similarity: hit.similarity,
                inliers: None,
                lines: Vec::new(),
            })
        };
        hits.iter().map(image).collect()
    }
}
