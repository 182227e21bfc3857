//! Whole commands, as people type them, against reference data and real photos: one program, one module per promise.

mod as_meant;
mod bad_input;
mod bare_vectors;
mod bench_commands;
mod device;
mod evaluation;
mod failures;
mod golden_lists;
mod golden_verification;
mod hostile;
mod house;
mod interface;
mod kill_and_resume;
mod labels;
mod leaving_shell;
mod maintenance;
mod maintenance_kills;
mod outputs;
mod queries;
mod reading;
mod real_photos;
mod recognition;
mod reports;
mod revisited_oxford;
mod scripts;
mod signals;
