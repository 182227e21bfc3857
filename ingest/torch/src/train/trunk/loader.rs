//! Mini-batches of photos, prepared ahead of the network by separate threads.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Scope;
use std::time::{Duration, Instant};

use cairn::{Error, Photo, Result};

use super::TrunkOptions;
use crate::train::aspect::Sizes;
use crate::train::batches::Pool;
use cairndb_ingest::photo::{DecodeLimits, about_photo, decode, read_photo, resize};

/// Finished batches that wait for the network, of each thread.
const AHEAD: usize = 2;

/// The photo of a train image, by its place among those that are learnt from.
pub(super) type Open<'a> = &'a (dyn Fn(u32) -> Result<Photo> + Sync);

/// Pixels of a mini-batch, all of one size.
pub(super) struct Batch {
    pub(super) width: u32,
    pub(super) height: u32,
    /// RGB bytes of one photo after the other.
    pub(super) rgb: Vec<u8>,
}

/// Everything that decides a mini-batch. What it gives is a function of the step, whichever thread asks.
pub(super) struct Recipe<'a> {
    pub(super) pool: Pool<'a>,
    pub(super) open: Open<'a>,
    pub(super) options: &'a TrunkOptions,
    /// Sizes of the groups, and those of the last epochs.
    pub(super) sizes: [Sizes; 2],
    pub(super) per_epoch: u64,
}

impl Recipe<'_> {
    /// One view of each image of the batch.
    fn batch(&self, at: u64, images: &[u32]) -> Result<Batch> {
        let epoch = at / self.per_epoch;
        let is_last = epoch + self.options.scaleup_epochs >= self.options.epochs;
        let group = images.first().and_then(|&image| self.pool.groups?.get(image as usize)).copied().unwrap_or(2);
        let (width, height) = self.sizes[usize::from(is_last)][usize::from(group) % 5];
        let mut rgb = Vec::with_capacity(images.len() * width as usize * height as usize * 3);
        for (slot, &image) in (0..).zip(images) {
            rgb.extend_from_slice(&self.view((at, slot), image, width, height)?);
        }
        Ok(Batch { width, height, rgb })
    }

    /// An image that is in an epoch more than once gets different views.
    fn view(&self, (at, slot): (u64, u64), image: u32, width: u32, height: u32) -> Result<Vec<u8>> {
        let (photo, limits) = ((self.open)(image)?, DecodeLimits::default());
        let view = || {
            let pixels = decode(&read_photo(&photo, &limits)?, &limits)?;
            // Views are cut from a photo that is no larger than they need.
            let room = self.options.augmentation.headroom();
            let ratio = |side: u32, of: u32| f64::from(side) / f64::from(of.max(1));
            let factor = room * ratio(width, pixels.width()).max(ratio(height, pixels.height()));
            let side = |side: u32| (f64::from(side) * factor).round().max(1.0) as u32;
            let pixels =
                if factor < 1.0 { resize(&pixels, side(pixels.width()), side(pixels.height()))? } else { pixels };
            let view = self.options.augmentation.view(&pixels, self.options.seed, at, slot)?;
            Ok(resize(&view, width, height)?.rgb().to_vec())
        };
        view().map_err(|error| {
            about_photo(&photo, error)
                .help("fix the file and rerun to resume; or DELETE the image, which restarts the training")
        })
    }

    /// The batches of steps `from`, `from + stride`, .. as long as somebody takes them.
    fn make(&self, from: u64, stride: u64, send: &dyn Fn(Result<Batch>) -> bool) {
        let mut epoch: (u64, Vec<Vec<u32>>) = (u64::MAX, Vec::new());
        let end = self.per_epoch * self.options.epochs;
        let mut at = from;
        while at < end {
            if epoch.0 != at / self.per_epoch {
                epoch = (at / self.per_epoch, self.pool.epoch(at / self.per_epoch));
            }
            let images = usize::try_from(at % self.per_epoch).ok().and_then(|place| epoch.1.get(place));
            if !send(self.batch(at, images.map_or(&[], Vec::as_slice))) {
                return;
            }
            at += stride;
        }
    }
}

/// The threads that make batches, and what they have made.
pub(super) struct Loader<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    recipe: &'env Recipe<'env>,
    threads: usize,
    made: Vec<Receiver<Result<Batch>>>,
    /// The step whose batch comes next.
    next: u64,
    /// The first step that was asked for.
    first: u64,
    /// Time that was spent waiting for a batch.
    pub(super) waited: Duration,
    /// Images taken.
    pub(super) seen: usize,
}

impl<'scope, 'env> Loader<'scope, 'env> {
    /// Threads begin with the first step that is asked for.
    pub(super) fn new(scope: &'scope Scope<'scope, 'env>, recipe: &'env Recipe<'env>, threads: usize) -> Self {
        let waited = Duration::ZERO;
        Self { scope, recipe, threads: threads.max(1), made: Vec::new(), next: 0, first: 0, waited, seen: 0 }
    }

    /// The batch of step `at`. Steps are taken in order.
    ///
    /// # Errors
    /// When a photo of it cannot be read.
    pub(super) fn take(&mut self, at: u64) -> Result<Batch> {
        if self.made.is_empty() {
            (self.first, self.next) = (at, at);
            for thread in 0..self.threads as u64 {
                let (send, receive) = sync_channel(AHEAD);
                let (recipe, stride) = (self.recipe, self.threads as u64);
                self.scope.spawn(move || recipe.make(at + thread, stride, &|batch| send.send(batch).is_ok()));
                self.made.push(receive);
            }
        }
        assert_eq!(at, self.next, "steps are taken in order");
        let from = usize::try_from((at - self.first) % self.threads as u64).unwrap_or(0);
        let start = Instant::now();
        let batch = self.made[from].recv();
        self.waited += start.elapsed();
        self.next += 1;
        let batch = batch
            .unwrap_or_else(|_| Err(Error::invalid("the thread that reads photos ended before the training did")))?;
        self.seen += batch.rgb.len() / (batch.width as usize * batch.height as usize * 3).max(1);
        Ok(batch)
    }
}
