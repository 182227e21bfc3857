//! Turns answers into the plain data of a page: queries, tiles, and moves between the lists.

use std::collections::{HashMap, HashSet};

use cairn::{Answer, Photo, Stage};
use cairndb_ingest::photo::{DecodeLimits, read_file};

use super::names::named;
use super::pictures::{Pictures, Sight};
use super::{Block, MOST_QUERIES, Measured, Page, Shown, Strip, Tile};
use crate::comparison::Comparison;
use crate::failure::Result;
use crate::solution::Solution;

/// Number of results shown of each list if the statement has no LIMIT.
const TILES: usize = 10;
/// The largest number of results shown of each list.
const MOST_TILES: usize = 60;
/// The smallest number of inserted results shown, even from low ranks.
const INSERTED_TILES: usize = 3;

pub(super) fn page(
    title: &str,
    facts: Vec<(String, String)>,
    mut pictures: Pictures<'_>,
    comparison: &Comparison,
    solution: Option<&Solution>,
) -> Result<Page> {
    let count = comparison.asked.len();
    let scores: Vec<Option<[f64; 3]>> =
        (0..count).map(|query| comparison.average_precisions(solution?, query)).collect();
    let truth = solution.filter(|_| scores.iter().any(Option::is_some)).map(|solution| Measured {
        metrics: comparison.metrics(solution),
        queries: scores.iter().copied().flatten().collect(),
    });
    let (chosen, selection) = choose(&scores);
    let mut blocks = Vec::new();
    for query in chosen {
        blocks.push(block(comparison, solution, scores[query], &mut pictures, query)?);
    }
    let (notes, pictures) = pictures.finish();
    Ok(Page {
        title: title.to_owned(),
        facts,
        truth,
        selection,
        notes,
        blocks,
        pictures,
        k: comparison.k,
        tau: comparison.tau,
        depth: comparison.depth,
    })
}

/// The queries that are shown: all, or those that gained most and least, or the first ones.
fn choose(scores: &[Option<[f64; 3]>]) -> (Vec<usize>, Option<String>) {
    let all: Vec<usize> = (0..scores.len()).collect();
    if all.len() <= MOST_QUERIES {
        return (all, None);
    }
    let mut ranked: Vec<(usize, f64)> =
        all.iter().filter_map(|&query| scores[query].map(|[knn, _, insert]| (query, insert - knn))).collect();
    if ranked.len() <= MOST_QUERIES {
        return (
            all[..MOST_QUERIES].to_vec(),
            Some(format!("The first {MOST_QUERIES} of {} queries are shown.", all.len())),
        );
    }
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let least = MOST_QUERIES / 3;
    let most = MOST_QUERIES - least;
    let mut chosen: Vec<usize> = ranked[..most].iter().map(|pair| pair.0).collect();
    chosen.extend(ranked[ranked.len() - least..].iter().map(|pair| pair.0));
    let note = format!(
        "{MOST_QUERIES} of {} queries are shown: the {most} that sort+insert improved most, then the {least} that it improved \
         least or made worse.",
        all.len()
    );
    (chosen, Some(note))
}

fn block(
    comparison: &Comparison,
    solution: Option<&Solution>,
    scores: Option<[f64; 3]>,
    pictures: &mut Pictures<'_>,
    query: usize,
) -> Result<Block> {
    let asked = &comparison.asked[query];
    let relevant = solution.and_then(|solution| comparison.relevant(solution, query));
    let first: HashMap<&str, usize> =
        comparison.answers[0][query].rows.iter().enumerate().map(|(at, row)| (row.id.as_str(), at + 1)).collect();
    let mut strips = Vec::new();
    for (method, answers) in comparison.answers.iter().enumerate() {
        let answer = &answers[query];
        let wanted = if comparison.limit < comparison.depth { comparison.limit.min(MOST_TILES) } else { TILES };
        let mut tiles = Vec::new();
        let mut last = 0;
        for at in places(answer, wanted) {
            if at > last {
                tiles.push(Shown::Gap(at - last));
            }
            last = at + 1;
            let row = &answer.rows[at];
            let sight = pictures.of_stored(&row.id)?;
            tiles.push(Shown::Tile(Tile {
                id: named(&row.id),
                rank: at + 1,
                similarity: row.similarity,
                prediction: row.prediction.as_ref().map(|vote| (vote.instance.clone(), vote.score)),
                stage: row.stage,
                right: relevant.map(|relevant| relevant.contains(&row.id)),
                was: first.get(row.id.as_str()).copied().filter(|&was| method > 0 && was != at + 1),
                sight,
            }));
        }
        strips.push(Strip {
            tiles,
            rows: answer.rows.len(),
            inserted: answer.rows.iter().filter(|row| row.stage == Some(Stage::Inserted)).count(),
            right_of_ten: relevant.map(|relevant| right(answer, relevant)),
            average_precision: scores.map(|scores| scores[method]),
        });
    }
    let sight = match (&asked.photo, &asked.query.without, &asked.id) {
        // The user names this file, in the statement or in a list: its path does not come from the database.
        (Some(Photo::File(path)), ..) => {
            let bytes = read_file(path, &DecodeLimits::default()).ok();
            Sight { picture: bytes.and_then(|bytes| pictures.of_bytes(&bytes)), note: None }
        }
        (Some(Photo::Bytes(bytes)), ..) => Sight { picture: pictures.of_bytes(bytes), note: None },
        (None, Some(key), _) | (None, None, Some(key)) => pictures.of_stored(key)?,
        (None, None, None) => Sight::default(),
    };
    let prediction = comparison.answers[2][query].prediction.as_ref().map(|vote| (vote.instance.clone(), vote.score));
    let mut strips = strips.into_iter();
    let mut next = || {
        strips.next().unwrap_or(Strip {
            tiles: Vec::new(),
            rows: 0,
            inserted: 0,
            right_of_ten: None,
            average_precision: None,
        })
    };
    Ok(Block {
        name: named(&asked.name),
        sight,
        prediction,
        relevant: relevant.map(HashSet::len),
        strips: [next(), next(), next()],
    })
}

/// The rows that are shown: the first ones, and some of the inserted ones if they come later.
fn places(answer: &Answer, wanted: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..answer.rows.len().min(wanted)).collect();
    let is_inserted = |at: &usize| answer.rows[*at].stage == Some(Stage::Inserted);
    let seen = places.iter().filter(|at| is_inserted(at)).count();
    let later = (places.len()..answer.rows.len()).filter(is_inserted).take(INSERTED_TILES.saturating_sub(seen));
    places.extend(later.collect::<Vec<_>>());
    places
}

fn right(answer: &Answer, relevant: &HashSet<String>) -> usize {
    let found: HashSet<&str> =
        answer.rows.iter().take(10).map(|row| row.id.as_str()).filter(|id| relevant.contains(*id)).collect();
    found.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_queries_are_cut_to_the_best_and_the_worst() {
        let scores: Vec<_> = (0..100).map(|query| Some([0.0, 0.0, f64::from(query) / 100.0])).collect();
        let (chosen, note) = choose(&scores);
        assert_eq!(chosen.len(), MOST_QUERIES);
        assert_eq!(chosen[0], 99);
        assert_eq!(chosen[MOST_QUERIES - 1], 0);
        assert!(note.unwrap().contains("of 100 queries"));
        assert_eq!(choose(&scores[..5]), ((0..5).collect(), None));
        assert_eq!(choose(&vec![None; 30]).0, (0..MOST_QUERIES).collect::<Vec<_>>());
    }

    #[test]
    fn inserted_rows_are_shown_however_late_they_come() {
        let row = |at: usize| {
            let mut row = cairn::Row::default();
            row.id = at.to_string();
            row.similarity = 0.5;
            row.stage = Some(if (12..20).contains(&at) { Stage::Inserted } else { Stage::Positive });
            row.split = cairn::Role::Index;
            row
        };
        let answer = {
            let mut answer = Answer::default();
            answer.rows = (0..30).map(row).collect();
            answer.as_of_sequence = 1;
            answer
        };
        assert_eq!(places(&answer, 10)[10..], [12, 13, 14]);
        assert_eq!(places(&answer, 14)[14..], [14]);
    }
}
