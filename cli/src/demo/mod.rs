//! Photos for `cairn demo`: made on the spot from a seed, or the user's own, split into train, index and queries.
//!
//! [`places`] plans a set, [`exterior`] and [`interior`] paint the two views of a place on a [`canvas`], [`camera`] takes the
//! photo; [`own`] splits a folder of real photos; [`split`] writes the lists. No clock and no global randomness: a seed gives
//! the same bytes every time.

mod camera;
mod canvas;
mod exterior;
mod interior;
mod own;
mod places;
mod random;
mod setting;
mod split;

pub(crate) use own::split_folder;
pub(crate) use places::{MOST_PLACES, generate, photos_of};
pub(crate) use random::Random;
pub(crate) use split::{Part, Photo, write_lists};
