//! Admin: checks, backups and repairs of a database, and the scout that first reads a foreign one.

pub(crate) mod backup;
mod beside;
mod check;
pub(crate) mod repair;
pub(crate) mod scouting;
