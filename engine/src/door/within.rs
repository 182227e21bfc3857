//! The watcher of a call that others wait for.

use std::ops::ControlFlow;

use crate::process::callback::Called;
use crate::progress::{Progress, Watch};
use crate::write::Core;

/// The watcher of a call that holds what others wait for: calls that would wait for it are refused.
pub(super) struct Within<'w> {
    database: usize,
    watch: Option<&'w dyn Watch>,
}

impl<'w> Within<'w> {
    pub(super) fn of(core: &Core, watch: Option<&'w dyn Watch>) -> Self {
        Self { database: core.catalog().handle_number(), watch }
    }

    pub(super) fn watch(&self) -> Option<&dyn Watch> {
        self.watch.map(|_| self as &dyn Watch)
    }
}

impl Watch for Within<'_> {
    fn progress(&self, at: Progress<'_>) -> ControlFlow<()> {
        let _called = Called::by(self.database, "the watcher of a backup or a compaction");
        self.watch.map_or(ControlFlow::Continue(()), |watch| watch.progress(at))
    }

    fn reason(&self) -> Option<String> {
        self.watch.and_then(Watch::reason)
    }
}
