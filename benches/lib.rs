//! Benches of the engine. `cargo bench --profile dev --workspace --bench search` (or `upkeep`, or `scale`; the profile everything is
//! built in). The comparison with other libraries is a package of its own: `rivals/README.md`.
//!
//! Machines differ and are noisy: quote ratios of one run, never a time from one run against a time from another.

pub mod random;
