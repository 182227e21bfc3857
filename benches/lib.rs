//! Benches of the engine. `cargo bench --profile dev --workspace --bench search` (or `upkeep`, or `scale`; the profile that
//! everything is built in). The comparison with other libraries is a separate package: `rivals/README.md`.
//!
//! Machines differ and are noisy: quote ratios within one run, and never compare times of different runs.

pub mod random;
