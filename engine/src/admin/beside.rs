//! A backup of a database that another process may be writing: the data that is durable at one moment of the call.

use crate::catalog::{Catalog, too_busy};
use crate::disk::{Folder, Making, SEGMENTS, link_or_copy};
use crate::error::{ErrorKind, Result};
use crate::options::OpenOptions;
use crate::segment::file_of;
use crate::state::watermark;
use crate::write::core::{BESIDE_LOOKS, Core};
use crate::write::deferred::Queue;
use std::sync::Arc;

impl Core {
    /// Copies catalog and segments, of which the writer beside merges some away: what a copied catalog names and nobody has any more
    /// is looked for in a newer one.
    ///
    /// # Errors
    /// `Locked`: the writer is too busy; `Corrupt`: the copy lacks what was acknowledged before; `Io`.
    pub(crate) fn copy_beside(&self, making: &Making<'_>, to: &Folder) -> Result<()> {
        let mut missed = Vec::new();
        for _ in 0..BESIDE_LOOKS {
            let note = watermark::read(&self.folder);
            copy_segments(&self.folder, to)?;
            Catalog::copy_beside(&self.folder, making.catalog())?;
            copy_segments(&self.folder, to)?;
            let catalog = Arc::new(Catalog::beside(making.catalog(), making.folder(), &OpenOptions::new())?);
            let pinned = catalog.pin();
            let accepted = Queue::of(pinned.waiting()?).last().unwrap_or(0).max(pinned.sequence()?);
            watermark::check(note, catalog.database(), accepted)?;
            let named: Vec<_> = pinned.segments()?.iter().map(|entry| file_of(entry.id)).collect();
            let mut gone = Vec::new();
            for name in &named {
                if to.about(name)?.is_none() {
                    gone.push(name.clone());
                }
            }
            // What a newer catalog names still was not merged away: it is lost, and is made again by whoever opens the copy.
            if gone.iter().any(|name| !missed.contains(name)) {
                missed = gone;
                continue;
            }
            for name in to.names()?.into_iter().filter(|name| !named.iter().any(|named| name == named.as_str())) {
                to.discard(&name)?;
            }
            return Ok(());
        }
        Err(too_busy(&self.folder))
    }
}

/// Copies the segments that are there and were not copied yet. They have their names when they are whole, and never change.
fn copy_segments(folder: &Folder, to: &Folder) -> Result<()> {
    let Some(from) = folder.inner(SEGMENTS)? else { return Ok(()) };
    for name in from.names()?.iter().filter(|name| name.to_string_lossy().ends_with(".segment")) {
        if to.about(name)?.is_some() {
            continue;
        }
        match link_or_copy(&from, to, name) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            copied => copied?,
        }
    }
    Ok(())
}
