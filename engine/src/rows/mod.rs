//! The rows in memory: vectors in shared chunks, what is known of each row in shared pages. A clone is cheap and never changes.

mod column;
mod set;

pub(crate) use column::Column;
pub(crate) use set::{NewRow, RowSet};
