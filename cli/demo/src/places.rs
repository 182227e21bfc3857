//! The generated photo set: places with two views that look nothing alike, a labelled train split, an index, queries, the truth.

use std::path::Path;

use cairn::Error;
use cairn::runtime::pool;

use super::camera;
use super::canvas::Canvas;
use super::exterior::{self, Exterior};
use super::interior::{self, Interior};
use super::random::Random;
use super::split::{Part, Photo};

/// Photos of each view of a place in the train split.
const TRAIN_PER_VIEW: usize = 3;
/// Photos of each view of a place in the index.
const INDEX_PER_VIEW: usize = 7;
/// Queries of each view of a place.
const QUERIES_PER_VIEW: usize = 1;
/// Share of train photos with the label of another place, as on the web.
const WRONG_LABELS: f32 = 0.05;
/// Most places that can be asked for.
pub const MOST_PLACES: usize = 1_000;

const NAMES: [&str; 24] = [
    "Alder",
    "Brindle",
    "Corrin",
    "Dunmore",
    "Elswick",
    "Farrow",
    "Garrick",
    "Hollin",
    "Iskar",
    "Jarrow",
    "Kestrel",
    "Larkhill",
    "Merrow",
    "Norwick",
    "Orrin",
    "Penhallow",
    "Quill",
    "Rowan",
    "Selwyn",
    "Tarrant",
    "Ulverton",
    "Vesper",
    "Wexley",
    "Yarrow",
];
const BUILDINGS: [&str; exterior::KINDS] = [
    "Cathedral",
    "Castle",
    "Dome",
    "Temple",
    "Tower",
    "Pagoda",
    "Lighthouse",
    "Row",
    "Palace",
    "Bridge",
    "Pyramid",
    "Works",
];

/// One photo to be made.
struct Shot {
    place: usize,
    outside: bool,
    photo: Photo,
    stream: Random,
}

/// The name of a place.
fn label(place: usize, kind: usize) -> String {
    let round = place / NAMES.len();
    let name = NAMES[place % NAMES.len()];
    let building = BUILDINGS[kind];
    if round == 0 { format!("{name} {building}") } else { format!("{name} {building} {}", round + 1) }
}

/// The kinds of the places: each kind equally often, in an order of the seed's own.
fn kinds(seed: u64, stream: u64, places: usize, kinds: usize) -> Vec<usize> {
    let mut list: Vec<usize> = (0..places).map(|place| place % kinds).collect();
    Random::of(&[seed, stream]).shuffle(&mut list);
    list
}

fn plan(places: usize, seed: u64) -> Vec<Shot> {
    let outsides = kinds(seed, 1, places, exterior::KINDS);
    let labels: Vec<String> = outsides.iter().enumerate().map(|(place, &kind)| label(place, kind)).collect();
    let mut shots = Vec::new();
    for (place, truth) in labels.iter().enumerate() {
        for outside in [true, false] {
            for number in 0..TRAIN_PER_VIEW + INDEX_PER_VIEW + QUERIES_PER_VIEW {
                let mut stream = Random::of(&[seed, 2, place as u64, u64::from(outside), number as u64]);
                let part = match number {
                    n if n < TRAIN_PER_VIEW => Part::Train,
                    n if n < TRAIN_PER_VIEW + INDEX_PER_VIEW => Part::Index,
                    _ => Part::Query,
                };
                let id = format!("{:016x}", stream.bits());
                let wrong = part == Part::Train && places > 1 && stream.chance(WRONG_LABELS);
                let given = if wrong { &labels[(place + stream.whole(1, places - 1)) % places] } else { truth };
                let photo = Photo {
                    path: format!("images/{id}.jpg").into(),
                    id,
                    part,
                    truth: truth.clone(),
                    given: given.clone(),
                };
                shots.push(Shot { place, outside, photo, stream });
            }
        }
    }
    shots.sort_by(|a, b| a.photo.id.cmp(&b.photo.id));
    shots
}

/// What becomes of a photo that was made: its path in the set, and its JPEG.
pub type Keep<'k, E> = dyn Fn(&Path, &[u8]) -> Result<(), E> + Sync + 'k;

/// Makes the photos of this many places and passes each to `keep`, from several threads. Their order in the result and their
/// bytes depend only on `places` and `seed`.
///
/// # Errors
/// Those of `keep`; then some photos are not made.
pub fn generate<E: From<Error> + Send>(places: usize, seed: u64, keep: &Keep<'_, E>) -> Result<Vec<Photo>, E> {
    let outsides = kinds(seed, 1, places, exterior::KINDS);
    let insides = kinds(seed, 3, places, interior::KINDS);
    let shots = plan(places, seed);
    pool::try_map(&shots, |shot| -> Result<(), E> {
        let place = shot.place as u64;
        let mut stream = shot.stream.clone();
        let mut scene = Canvas::new(480, 360);
        if shot.outside {
            Exterior::of(&mut Random::of(&[seed, 4, place]), outsides[shot.place]).paint(&mut scene, &mut stream);
        } else {
            Interior::of(&mut Random::of(&[seed, 5, place]), insides[shot.place]).paint(&mut scene, &mut stream);
        }
        camera::occlude(&mut scene, &mut stream, shot.outside);
        let path = &shot.photo.path;
        let jpeg = camera::take(&scene, &mut stream, shot.outside)
            .map_err(|error| Error::invalid(format!("{}: {error}", path.display())))?;
        keep(path, &jpeg)
    })?;
    Ok(shots.into_iter().map(|shot| shot.photo).collect())
}

/// How many photos that many places give.
pub fn photos_of(places: usize) -> usize {
    places * 2 * (TRAIN_PER_VIEW + INDEX_PER_VIEW + QUERIES_PER_VIEW)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::lists;

    #[test]
    fn the_plan_depends_on_the_seed_alone() {
        let ids = |seed| plan(6, seed).into_iter().map(|shot| (shot.photo.id, shot.photo.given)).collect::<Vec<_>>();
        assert_eq!(ids(7), ids(7));
        assert_ne!(ids(7), ids(8));
        assert_eq!(ids(7).len(), photos_of(6));
    }

    #[test]
    fn train_shows_both_views_of_each_place_and_some_labels_are_wrong() {
        let shots = plan(24, 7);
        for place in 0..24 {
            for outside in [true, false] {
                let count = |part| {
                    shots.iter().filter(|s| s.place == place && s.outside == outside && s.photo.part == part).count()
                };
                assert_eq!(count(Part::Train), TRAIN_PER_VIEW);
                assert_eq!(count(Part::Query), QUERIES_PER_VIEW);
            }
        }
        let wrong = shots.iter().filter(|shot| shot.photo.given != shot.photo.truth).count();
        assert!((1..=20).contains(&wrong), "{wrong}");
        assert!(shots.iter().all(|shot| shot.photo.part == Part::Train || shot.photo.given == shot.photo.truth));
    }

    #[test]
    fn the_same_seed_writes_the_same_bytes() {
        let write = |seed| {
            let made = std::sync::Mutex::new(std::collections::BTreeMap::new());
            let keep = |path: &Path, jpeg: &[u8]| -> cairn::Result<()> {
                made.lock().unwrap().insert(path.to_owned(), jpeg.to_owned());
                Ok(())
            };
            let photos = generate(1, seed, &keep).unwrap();
            (made.into_inner().unwrap(), lists(&photos).unwrap())
        };
        assert_eq!(write(3), write(3));
        assert_ne!(write(3), write(4));
    }
}
