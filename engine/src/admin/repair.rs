//! Repair: it keeps the records and descriptors that can still be read, and derives everything else again.
//!
//! It works on a database that cannot be opened: it copies what can be read of a damaged catalog into a new one, drops images
//! that are only partly stored, and recomputes neighbours, predictions and postings; the next opening writes the segments again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::catalog::{Batch, Catalog, Lost, Pinned, RecordMessage, SegmentEntry, Waiting, codec};
use crate::disk::{COLUMNS, Folder, Lock, NEIGHBOURS, SEGMENTS, is_of_segments};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{ImageId, LabelId, SegmentId};
use crate::operation::{Operation, Role};
use crate::progress::{Interrupt, LOOK_EVERY, Progress};
use crate::report::Repaired;
use crate::rows::{NewRow, RowSet};
use crate::segment::{Expected, Segment, Truth, file_of};
use crate::state::lists::label_in;
use crate::state::watermark;
use crate::vector::unit;
use crate::vote::soft_vote;
use crate::write::deferred::Queue;
use crate::write::predictions::scan_lists;
use crate::write::writer::own;

/// More ids than there can be images whose every trace is lost; they are not given again.
const LOST_IDS: u64 = 1 << 32;
/// Images written by one batch.
const BATCH_ROWS: usize = 4096;

/// What a repair found and did, for people.
type Story = Vec<String>;

/// Repairs the database of a folder and says what it did. Without `at_any_loss` one that would lose more images than it keeps is
/// refused before anything is changed. `look_first` is called when nobody else can open it, and says whether its files may be noted as known.
///
/// Complexity: as putting every image again.
///
/// # Errors
/// `Locked`; `Corrupt` when not even the options can be read, or when too much would be lost; `Io`. A repair that was cut short is
/// done again from the start.
pub(crate) fn repair(
    folder: &Folder,
    at_any_loss: bool,
    look_first: &dyn Fn() -> Result<bool>,
    interrupt: &Interrupt<'_>,
) -> Result<Repaired> {
    span!("repair", folder = %folder.path().display());
    let mut story = Story::new();
    let mut lock = Some(Lock::take(folder)?);
    let mut lock = || lock.take().map_or_else(|| Lock::take(folder), Ok);
    Catalog::take_up_salvage(folder)?;
    let may_be_known = look_first().inspect_err(|_| Catalog::clear_rehearsal(folder))?;
    let judge = |catalog: &Arc<Catalog>| {
        let found = readable(folder, catalog, &mut Story::new(), interrupt)?;
        found.must_be_worth_it(catalog.lost_by_repair()?, at_any_loss)
    };
    // What is only read first changes nothing where it is refused.
    let looked_at = Catalog::open_still(folder).and_then(|catalog| catalog.read_through().map(|()| catalog));
    let whole = match looked_at {
        Ok(catalog) => {
            judge(&Arc::new(catalog))?;
            Catalog::open_whole(folder, lock()?)
        }
        Err(error) if error.kind() == ErrorKind::OlderFormat => Catalog::open_whole(folder, lock()?),
        Err(error) => Err(error),
    };
    let mut lost_ids = 0;
    let catalog = match whole {
        Ok(catalog) => Arc::new(catalog),
        Err(error) if !Catalog::is_damaged(&error) => return Err(error),
        Err(error) => {
            story.push(format!("the catalog could not be read: {}", error.message()));
            let (catalog, salvaged) = Catalog::salvage(folder, lock()?, &judge)?;
            story.extend(salvaged);
            lost_ids = LOST_IDS;
            Arc::new(catalog)
        }
    };
    if may_be_known {
        catalog.vouch(folder);
    }
    let pinned = catalog.pin();
    let found = readable(folder, &catalog, &mut story, interrupt)?;
    let mut lost = catalog.lost_by_repair()?;
    found.must_be_worth_it(lost, at_any_loss)?;
    lost = lost.or(Lost { images: found.gone.len() as u64, ..Lost::default() });
    let Readable { kept, dropped, .. } = found;
    let sequence = pinned.sequence().unwrap_or(0);
    let (found, hopeless) = still_possible(&pinned, catalog.options().dimension, sequence, &kept, &mut story)?;
    let noted = watermark::noted(folder, catalog.database()).unwrap_or(0);
    let never_done = hopeless.iter().filter(|&&number| number > sequence).count() as u64;
    let gone = noted.saturating_sub(found.max(sequence));
    if gone > 0 {
        story.push(format!("writes {} to {noted} were acknowledged and are lost", found.max(sequence) + 1));
    }
    lost = lost.or(Lost { writes: never_done.max(gone), ..Lost::default() });
    if found > sequence {
        story.push(format!("writes {} to {found} are deferred; the next opening applies them", sequence + 1));
    }

    // From here on nobody but a repair may open it, until everything is made again.
    let mut batch = Batch::new(&catalog);
    batch.set_repairing(Some(&lost))?;
    batch.commit()?;
    // What only segments still hold is safe in the catalog before they go.
    let copies: Vec<&Kept> = kept.iter().filter(|kept| kept.is_copy).collect();
    for copies in copies.chunks(BATCH_ROWS) {
        let mut batch = Batch::new(&catalog);
        copies.iter().try_for_each(|kept| batch.put_vector(catalog.space(), kept.id, &kept.vector))?;
        batch.commit()?;
    }
    let mut batch = Batch::new(&catalog);
    for entry in pinned.all_segments().unwrap_or_default() {
        batch.delete_segment(entry.id)?;
    }
    batch.clear_derived()?;
    for key in dropped {
        batch.delete_record_at(&key)?;
    }
    hopeless.iter().try_for_each(|&sequence| batch.delete_waiting(sequence))?;
    batch.set_covered(ImageId(0))?;
    batch.set_sequence(sequence.max(if found > sequence { 0 } else { noted }))?;
    let next_image = kept.last().map_or(0, |kept| kept.id.0 + 1).max(pinned.next_image().unwrap_or(0));
    batch.set_next_image((next_image + lost_ids).min(codec::MOST_NUMBER))?;
    if pinned.readable_next_segment().is_none() {
        batch.set_next_segment(SegmentId(LOST_IDS))?;
    }
    batch.put_identity()?;
    batch.commit()?;
    if let Some(segments) = folder.inner(SEGMENTS)? {
        let ours = segments.names()?.into_iter().filter(|name| is_of_segments(name));
        ours.into_iter().try_for_each(|name| segments.remove(name, "repair"))?;
    }
    folder.remove(COLUMNS, "repair")?;
    folder.remove(NEIGHBOURS, "repair")?;

    let kept_images = kept.len();
    let (texts, lost_texts) = labels(&catalog, &pinned, &kept, &mut story)?;
    lost = lost.or(Lost { labels: lost_texts as u64, ..Lost::default() });
    let mut batch = Batch::new(&catalog);
    batch.set_repairing(Some(&lost))?;
    batch.commit()?;
    let (train, index) = rewrite(&catalog, kept, interrupt).map_err(unfinished)?;
    let predictions = recompute(&catalog, &train, &index, interrupt).map_err(unfinished)?;
    drop(pinned);
    let mut batch = Batch::new(&catalog);
    batch.set_repairing(None)?;
    batch.commit()?;
    let accepted = catalog.pin().sequence()?.max(found);
    watermark::note(folder, catalog.database(), accepted)?;
    story.push(format!(
        "kept {} train and {} index images and {texts} labels; made {predictions} predictions again",
        train.live_rows(),
        index.live_rows()
    ));
    event!(kept_images, dropped_images = lost.images, predictions, "the database is repaired");
    let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    Ok(Repaired {
        lines: story,
        kept_images,
        dropped_images: count(lost.images),
        dropped_labels: count(lost.labels),
        dropped_writes: lost.writes,
        unreadable_places: lost.places,
    })
}

/// A repair that was stopped behind its first change.
fn unfinished(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Cancelled => {
            error.help("the repair is unfinished, and no other call opens the database before it: repair it again")
        }
        _ => error,
    }
}

/// The number of the last deferred transaction that can still be applied, or 0; and those that cannot, or were applied before.
fn still_possible(
    pinned: &Pinned,
    dimension: usize,
    sequence: u64,
    kept: &[Kept],
    story: &mut Story,
) -> Result<(u64, Vec<u64>)> {
    let keys: HashSet<&str> = kept.iter().map(|kept| kept.record.key.as_str()).collect();
    let (mut queue, mut hopeless, mut lost) = (Queue::default(), Vec::new(), 0);
    pinned.each_waiting(|number, operations| {
        let is_possible = |operations: &Vec<Operation>| {
            number > sequence && queue.check(operations, dimension, |key| Ok(keys.contains(key))).is_ok()
        };
        match operations.ok().filter(is_possible) {
            Some(operations) => queue.push(Waiting { sequence: number, operations }),
            None => {
                lost += usize::from(number > sequence);
                hopeless.push(number);
            }
        }
        Ok(())
    })?;
    if lost > 0 {
        story.push(format!("{lost} deferred writes need lost images, or could not be read, and were dropped"));
    }
    Ok((queue.last().unwrap_or(0), hopeless))
}

/// An image that can be read as a whole.
struct Kept {
    id: ImageId,
    record: RecordMessage,
    vector: Vec<f32>,
    /// The catalog lost the descriptor; this is a segment's.
    is_copy: bool,
}

/// The segments that can be opened: their copies stand in for descriptors that the catalog lost.
fn sound_segments(folder: &Folder, pinned: &Pinned) -> Result<Vec<Segment>> {
    let Some(folder) = folder.inner(SEGMENTS)? else { return Ok(Vec::new()) };
    let no_other: Truth = Arc::new(|_| Err(Error::corrupt("the copy is damaged too")));
    let entries = pinned.segments().unwrap_or_default();
    let catalog = pinned.catalog();
    let open = |&entry: &SegmentEntry| {
        let expected = Expected { database: catalog.database(), dimension: catalog.options().dimension, entry };
        Segment::open(&folder, &file_of(entry.id), &expected, Arc::clone(&no_other)).ok()
    };
    Ok(entries.iter().filter_map(open).collect())
}

/// What of a catalog's images is left.
struct Readable {
    /// Those that are stored as a whole, of two with one key the newer.
    kept: Vec<Kept>,
    /// Where the records of all others are.
    dropped: Vec<Vec<u8>>,
    /// Images of which something is left, and too little.
    gone: HashSet<ImageId>,
}

impl Readable {
    /// Refuses a repair that would lose more than it keeps.
    ///
    /// # Errors
    /// `Corrupt`.
    fn must_be_worth_it(&self, lost: Lost, at_any_loss: bool) -> Result<()> {
        let (kept, gone) = (self.kept.len(), self.gone.len());
        if at_any_loss || gone <= kept && (kept > 0 || lost.places == 0) {
            return Ok(());
        }
        let all = kept + gone;
        let more = if lost.places > 0 { ", and an unknown number that cannot be read at all" } else { "" };
        Err(Error::new(
            ErrorKind::Corrupt,
            format!("a repair would drop {gone} of {all} images{more}; nothing was changed"),
        )
        .help("restore a backup; if there is none, accept the loss: cairn repair DB --accept-loss"))
    }
}

/// Looks for the images that are stored as a whole.
fn readable(folder: &Folder, catalog: &Arc<Catalog>, story: &mut Story, interrupt: &Interrupt<'_>) -> Result<Readable> {
    let pinned = &catalog.pin();
    let segments = &sound_segments(folder, pinned)?;
    let (mut records, mut dropped) = pinned.readable_records()?;
    let most = most_label(pinned)?;
    let is_possible = |record: &RecordMessage| record.label.max(listed_label(record)).is_none_or(|label| label <= most);
    dropped.extend(
        records.extract_if(.., |(_, record)| !is_possible(record)).map(|(id, _)| codec::image_key(id).to_vec()),
    );
    let mut gone: HashSet<ImageId> = dropped.iter().filter_map(|key| codec::image_of_key(key).ok()).collect();
    let mut old = HashSet::new();
    let unreadable = dropped.len();
    let mut newest: HashMap<&str, ImageId> = HashMap::new();
    for (id, record) in &records {
        let newest = newest.entry(&record.key).or_insert(*id);
        *newest = (*newest).max(*id);
    }
    let newest: HashMap<String, ImageId> = newest.into_iter().map(|(key, id)| (key.to_owned(), id)).collect();
    let (mut kept, mut copied, mut partial, mut doubled) = (Vec::new(), 0, 0, 0);
    let all = records.len();
    for (at, (id, record)) in records.into_iter().enumerate() {
        if at.is_multiple_of(LOOK_EVERY) {
            interrupt.at(Progress::IMAGES, at, all)?;
        }
        if newest.get(&record.key) != Some(&id) {
            doubled += 1;
            old.insert(id);
            dropped.push(codec::image_key(id).to_vec());
            continue;
        }
        let is_sound = |vector: &Vec<f32>| unit(vector).is_ok_and(|unit| unit == *vector);
        let copy = || {
            let row = |segment: &Segment| segment.ids().binary_search(&id.0).ok();
            let (segment, row) = segments.iter().find_map(|segment| Some((segment, row(segment)?)))?;
            segment.vector(row).ok().map(|vector| vector.to_vec())
        };
        let stored = pinned.vector(pinned.space(), id).ok().flatten().filter(is_sound);
        let is_copy = stored.is_none();
        match stored.or_else(|| copy().filter(is_sound)) {
            Some(vector) => {
                copied += usize::from(is_copy);
                kept.push(Kept { id, record, vector, is_copy });
            }
            None => {
                partial += 1;
                gone.insert(id);
                dropped.push(codec::image_key(id).to_vec());
            }
        }
    }
    let known: HashSet<ImageId> = kept.iter().map(|kept| kept.id).collect();
    let going: HashSet<Vec<u8>> = dropped.iter().cloned().collect();
    let before = dropped.len();
    pinned.vectors(pinned.space(), ImageId(0), ImageId(u64::MAX), |id, _| {
        let key = codec::image_key(id).to_vec();
        if !known.contains(&id) && !going.contains(&key) {
            gone.insert(id);
            dropped.push(key);
        }
        Ok(())
    })?;
    gone.extend(named_elsewhere(pinned, segments).into_iter().filter(|id| !known.contains(id) && !old.contains(id)));
    let lonely = dropped.len() - before;
    for (count, what) in [
        (unreadable, "records could not be read"),
        (copied, "images had lost their descriptor, which was restored from a segment"),
        (partial, "images had no undamaged descriptor and were dropped"),
        (lonely, "descriptors had no record and were dropped"),
        (doubled, "images had a newer version under the same key and were dropped"),
    ] {
        if count > 0 {
            story.push(format!("{count} {what}"));
        }
    }
    if !gone.is_empty() {
        story.push(format!("dropped {} of {} images", gone.len(), gone.len() + kept.len()));
    }
    Ok(Readable { kept, dropped, gone })
}

/// The label that a list gave an image.
fn listed_label(record: &RecordMessage) -> Option<u32> {
    record.listed.as_ref().and_then(|listed| listed.label)
}

/// The greatest number that a label can have: texts may be lost, but not without end.
fn most_label(pinned: &Pinned) -> Result<u32> {
    /// Labels whose text may be lost; each gets a text again.
    const LOST_LABELS: u32 = 1 << 20;
    // They are numbered without gaps.
    Ok(u32::try_from(pinned.readable_labels()?.len()).unwrap_or(u32::MAX).saturating_add(LOST_LABELS))
}

/// Images that a key leads to, or that a segment holds and nobody deleted.
fn named_elsewhere(pinned: &Pinned, segments: &[Segment]) -> HashSet<ImageId> {
    let mut named: HashSet<ImageId> =
        segments.iter().flat_map(|segment| segment.ids()).map(|&id| ImageId(id)).collect();
    let dead = pinned.tombstones(pinned.space(), |id| {
        named.remove(&id);
        Ok(())
    });
    if dead.is_err() {
        // Who is dead cannot be read, so a segment says nothing.
        named.clear();
    }
    // As many as can be read: whoever is missed is not counted.
    let _unreadable = pinned.each_key(|_, id| {
        named.insert(id);
    });
    named
}

/// Gives every label that is used a text, and returns how many labels there are, and how many texts were gone.
fn labels(catalog: &Arc<Catalog>, pinned: &Pinned, kept: &[Kept], story: &mut Story) -> Result<(usize, usize)> {
    let of_record = |record: &RecordMessage| record.label.max(listed_label(record));
    let used = kept.iter().filter_map(|kept| of_record(&kept.record)).max().map_or(0, |most| most as usize + 1);
    let (mut known, most) = (pinned.readable_labels()?, most_label(pinned)?);
    let mut batch = Batch::new(catalog);
    for (number, _) in known.extract_if(|&number, _| number > most) {
        batch.delete_label(LabelId(number))?;
    }
    let count = used.max(known.keys().max().map_or(0, |&most| most as usize + 1));
    let mut lost = 0;
    for number in 0..count as u32 {
        if !known.contains_key(&number) {
            lost += 1;
            batch.put_label(LabelId(number), &format!("lost label {number}"))?;
        }
    }
    batch.commit()?;
    if lost > 0 {
        story.push(format!("the texts of {lost} labels were lost; they are called 'lost label N' now"));
    }
    Ok((count, lost))
}

/// Writes keys again and gives the rows of both roles.
fn rewrite(catalog: &Arc<Catalog>, kept: Vec<Kept>, interrupt: &Interrupt<'_>) -> Result<(RowSet, RowSet)> {
    let dimension = catalog.options().dimension;
    let (mut train, mut index) = (RowSet::new(dimension), RowSet::new(dimension));
    let mut batch = Batch::new(catalog);
    batch.clear_keys()?;
    batch.commit()?;
    for (at, rows) in kept.chunks(BATCH_ROWS).enumerate() {
        interrupt.at(Progress::IMAGES, at * BATCH_ROWS, kept.len())?;
        let mut batch = Batch::new(catalog);
        for Kept { id, record, vector, .. } in rows {
            batch.put_record(*id, record)?;
            let instance = record.label.map(|label| own(LabelId(label)));
            let set = if instance.is_some() { &mut train } else { &mut index };
            let row = NewRow { id: *id, key: record.key.as_str().into(), instance, floor: f32::NEG_INFINITY };
            set.append(vec![row], vector.clone());
            if let Some(own) = instance {
                batch.put_posting(catalog.space(), catalog.options().vote_k, Role::Train, *id, &record.key, own)?;
            }
        }
        batch.commit()?;
    }
    Ok((train, index))
}

/// Makes lists, reverse index, predictions and postings of all index images again.
fn recompute(catalog: &Arc<Catalog>, train: &RowSet, index: &RowSet, interrupt: &Interrupt<'_>) -> Result<usize> {
    let options = catalog.options();
    let rows: Vec<usize> = index.live().collect();
    for (at, some) in rows.chunks(BATCH_ROWS).enumerate() {
        interrupt.at(Progress::PREDICTIONS, at * BATCH_ROWS, rows.len())?;
        let mut batch = Batch::new(catalog);
        for (row, list) in scan_lists(index, some, train, options.kept_neighbours, None, interrupt)? {
            let (id, key) = (index.id(row), index.key(row));
            batch.put_neighbours(catalog.space(), id, &list)?;
            for entry in &list.entries {
                batch.put_voter(catalog.space(), ImageId(entry.id), id)?;
            }
            let voters =
                list.entries.iter().filter_map(|entry| Some((label_in(train, ImageId(entry.id))?, entry.similarity)));
            if let Some(ballot) = soft_vote(voters, options.vote_k) {
                batch.put_prediction(catalog.space(), options.vote_k, id, key, ballot)?;
            }
        }
        batch.commit()?;
    }
    Ok(rows.len())
}
