//! Spans and events of the feature `tracing`. Without the feature nothing of them is compiled, their arguments neither.
//!
//! All have the target `cairn`. Spans, at level info: `open`, `flush`, `merge`, `apply`, `backup`, `repair`. Events inside and beside them
//! say what became of the work: at level info what was done, at level warn a segment that is set aside and a failure behind the writers.

/// Enters a span until the end of the block.
macro_rules! span {
    ($($field:tt)*) => {
        #[cfg(feature = "tracing")]
        let _span = tracing::info_span!(target: "cairn", $($field)*).entered();
    };
}

/// Reports what was done.
macro_rules! event {
    ($($field:tt)*) => {
        #[cfg(feature = "tracing")]
        tracing::info!(target: "cairn", $($field)*);
    };
}

/// Reports what went wrong.
macro_rules! warn_of {
    ($($field:tt)*) => {
        #[cfg(feature = "tracing")]
        tracing::warn!(target: "cairn", $($field)*);
    };
}
