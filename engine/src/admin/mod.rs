//! Admin: is a database sound, how is it copied, what can be saved of a damaged one, and which process looks at a foreign one first?

pub(crate) mod backup;
mod beside;
mod check;
pub(crate) mod repair;
pub(crate) mod scouting;
