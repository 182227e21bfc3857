//! The rows of a role as readers see them: segments and then the tail, the rows newer than the segments. The parts of a row that
//! can change (liveness, prediction, floor) are in shared pages beside them. A clone is cheap and never changes.

mod column;
mod part;
mod reach;
mod scan;
mod set;
mod sieve;
mod sketched;

pub(crate) use column::Column;
pub(crate) use part::Part;
pub(crate) use set::{NewRow, RowSet};
pub(crate) use sketched::MOST_SKETCHED_ROWS;
