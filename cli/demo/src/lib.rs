//! Photos for `cairn demo` and `cairn device`: made on the spot from a seed, or the user's own, split into train, index and queries.
//!
//! `places` plans a set, `exterior` and `interior` paint the two views of a place on a `canvas`, `camera` takes the
//! photo; `own` splits a folder of real photos; `split` makes the lists. No clock and no global randomness: a seed gives
//! the same bytes every time. Nothing here writes a file: the program does, through its one door.
//!
//! The painter is our own (100 lines) because each pixel of a wall is a function of its place: stones, noise, light. A library for
//! vector graphics fills a shape with one colour, a gradient or a picture, so every wall would be a picture painted by hand first.

mod camera;
mod canvas;
mod exterior;
mod interior;
mod own;
mod places;
mod random;
mod setting;
mod split;

pub use own::split_folder;
pub use places::{Keep, MOST_PLACES, generate, photos_of};
pub use random::Random;
pub use split::{Part, Photo, lists};
