//! Benches of the engine. `cargo bench --profile dev --workspace --bench search` (or `upkeep`; the profile everything is built in).
//!
//! Machines differ and are noisy: quote ratios of one run, never a time from one run against a time from another.
