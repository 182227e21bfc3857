//! The rows of a role as readers see them: segments and, behind them, the tail of rows newer than the segments. What can change of
//! a row (liveness, prediction, floor) stands in shared pages beside them. A clone is cheap and never changes.

mod column;
mod part;
mod scan;
mod set;
mod sieve;
mod sketched;

pub(crate) use column::Column;
pub(crate) use part::Part;
pub(crate) use scan::Run;
pub(crate) use set::{NewRow, RowSet};
pub(crate) use sketched::MOST_SKETCHED_ROWS;
