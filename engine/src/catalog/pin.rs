//! A RocksDB snapshot that keeps its database alive, so that a reader can hold it for as long as it likes.

use std::sync::Arc;

use self_cell::self_cell;

use super::Catalog;
use crate::id::SpaceId;
use crate::process::leaving::{Inside, inside};

type Inner<'c> = rocksdb::Snapshot<'c>;

self_cell!(
    struct Cell {
        owner: Arc<Catalog>,
        #[covariant]
        dependent: Inner,
    }
);

/// The catalog as it was at one moment. Reading never waits for the writer.
pub(crate) struct Pinned {
    cell: Cell,
    /// Behind what is let go.
    closing: Option<Inside>,
}

impl Drop for Pinned {
    fn drop(&mut self) {
        self.closing = Some(inside());
    }
}

impl Pinned {
    /// Pins the catalog's present state.
    pub(super) fn of(catalog: Arc<Catalog>) -> Self {
        let _inside = inside();
        Self { cell: Cell::new(catalog, |catalog| catalog.store.db.snapshot()), closing: None }
    }

    /// The database it is a view of.
    pub(crate) fn catalog(&self) -> &Catalog {
        self.cell.borrow_owner()
    }

    /// The space it is a view of.
    pub(crate) fn space(&self) -> SpaceId {
        self.catalog().space
    }

    /// The view.
    pub(super) fn snapshot(&self) -> &rocksdb::Snapshot<'_> {
        self.cell.borrow_dependent()
    }
}
