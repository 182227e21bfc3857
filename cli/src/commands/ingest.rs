//! `cairn ingest`: puts photos or vectors into a database, with progress and a summary that names the failures.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use cairn::limits::GRAPH_FROM_ROWS;
use cairn::lists::Reading;
use cairn::model::ModelInfo;
use cairn::{Database, Progress, Role, Watch};
use cairndb_ingest::photo::DecodeLimits;
use cairndb_ingest::source::{
    AttributeColumns, Exclude, Item, Labels, LeftOut, Listing, MAX_LIST_BYTES, STANDARD_INPUT, Sort, Spellings,
    VectorFile, is_named_like_a_photo, is_vectors, labels_for, list_folder_but, read_ids, read_labels, read_list,
    sniff, with_role,
};
use cairndb_ingest::{IngestOptions, Report, Survey};

use super::listed;
use super::partial::{self, Tally};
use super::prune;
use crate::args::{Ingest, LabelsWord, ModelArgs, Prune, RoleWord};
use crate::failure::{Failure, Result};
use crate::interrupt::{self, Again};
use crate::lists::{one_standard, text};
use crate::networks::{embedder, propose};
use crate::output::{Format, counted, name_failed};
use crate::progress::Bar;
use crate::session::open_for_writing;
use crate::terminal::note;

/// The longest path that a line of a text file may have: Linux's limit.
const MAX_PATH_BYTES: usize = 4096;

/// The arguments of an ingest.
pub(super) struct Job<'a> {
    pub(super) database: &'a Path,
    pub(super) sources: &'a [PathBuf],
    pub(super) role: RoleWord,
    pub(super) ids: Option<&'a Path>,
    pub(super) labels: Option<&'a Path>,
    /// The sources' labels replace the present ones, even those set by hand.
    pub(super) overrules: bool,
    pub(super) label_from_folder: bool,
    /// Patterns of files and folders that are left out.
    pub(super) exclude: &'a [String],
    /// Columns of a list that become attributes.
    pub(super) attributes: &'a [String],
    /// Most millions of pixels of a photo.
    pub(super) max_pixels: Option<u64>,
    /// Images whose files are gone are deleted.
    pub(super) prune: Option<&'a Prune>,
    /// The folder of a list's photos, if not the list's.
    pub(super) photos_from: Option<&'a Path>,
    pub(super) model: &'a ModelArgs,
    pub(super) list_failures: Option<Format>,
}

/// Runs the command.
///
/// # Errors
/// When a source cannot be read, the database refuses it, Ctrl-C was pressed, or more photos failed than are allowed. The other
/// photos are stored.
pub(super) fn run(args: &Ingest) -> Result<()> {
    let mut files = args.labels.iter().filter_map(|word| match word {
        LabelsWord::File(path) => Some(path.as_path()),
        LabelsWord::List => None,
    });
    let labels = files.next();
    if files.next().is_some() {
        return Err(Failure::usage("--labels takes one file").help("write all labels into one file with id,label"));
    }
    one_standard(args.sources.iter().map(PathBuf::as_path).chain(labels).chain(args.ids.as_deref()))?;
    if args.label_from_folder && labels.is_some() {
        return Err(Failure::usage("--label-from-folder and a file of --labels exclude each other"));
    }
    let tally = ingest(&Job {
        database: &args.database,
        sources: &args.sources,
        role: args.role,
        ids: args.ids.as_deref(),
        labels,
        overrules: args.labels.contains(&LabelsWord::List),
        label_from_folder: args.label_from_folder,
        exclude: &args.exclude,
        attributes: &args.attributes,
        max_pixels: args.max_pixels,
        prune: args.prune.prune.then_some(&args.prune),
        photos_from: args.photos_from.as_deref(),
        model: &args.model,
        list_failures: args.failures.list_failures,
    })?;
    tally.end(args.failures.allow_failures, "ingested", LIST_THEM)
}

/// How to get a list of all failures.
const LIST_THEM: &str = "--list-failures writes all of them to standard output";

/// Ingests everything and prints a summary; returns the number of failures and of items.
///
/// # Errors
/// As [`run`].
pub(super) fn ingest(job: &Job<'_>) -> Result<Tally> {
    let database = open_for_writing(job.database)?;
    interrupt::listen(Again::Ends);
    interrupt::forget();
    let mut spellings = Spellings::default();
    // Deferred writes of an earlier run must be applied first, so that their photos are recognised as unchanged.
    carry_out(&database)?;
    let reading = database.snapshot().reading().overruling(job.overrules);
    let voters = database.snapshot().counts().train;
    let model = database.options().model.clone();
    let (report, unread) = match (job.sources.iter().filter(|source| is_vectors(source)).count(), model) {
        (0, Some(info)) => photos(&database, job, &info, reading, &mut spellings)?,
        (0, None) => {
            return Err(Failure::new(format!(
                "{} is a database of bare vectors and cannot embed photos",
                job.database.display()
            ))
            .help("give .npy, .npz or .fvecs files, or create a database with --model lite0-gem"));
        }
        (count, _) if count < job.sources.len() => {
            return Err(Failure::usage("vectors and photos cannot be ingested together"));
        }
        _ => (vectors(&database, job, reading, &mut spellings)?, 0),
    };
    if !carry_out(&database)? {
        note("note: some writes are deferred; the next command that opens the database for writing applies them");
    }
    listed::joined(&spellings);
    let noun = if job.sources.iter().any(|source| is_vectors(source)) { "vector" } else { "photo" };
    listed::twins(&report.twins(&database.snapshot())?, noun);
    make_segments(&database)?;
    let lost = voters.saturating_sub(database.snapshot().counts().train);
    if lost > 0 {
        note(&listed::lost(lost));
    }
    let tally = summary(&report, job);
    let pruned = match job.prune.filter(|_| !report.stopped) {
        Some(prune) => prune::run(&database, prune, &folders(job), unread),
        None => Ok(()),
    };
    database.close()?;
    let tally = tally?;
    pruned?;
    Ok(tally)
}

/// Applies deferred writes; `false` after a Ctrl-C.
fn carry_out(database: &Database) -> Result<bool> {
    let mut snapshot = database.snapshot();
    if snapshot.lag() > 0 {
        note(&format!("updating the predictions after {} ..", counted(snapshot.lag() as usize, "write")));
    }
    while snapshot.lag() > 0 && !interrupt::pressed() {
        snapshot = database.wait_for(snapshot.sequence() + 1)?;
    }
    Ok(snapshot.lag() == 0)
}

/// Finishes the background work: short commands that follow would each start it and none would finish it.
fn make_segments(database: &Database) -> Result<()> {
    let counts = database.snapshot().counts();
    let in_segments: usize = database.segments().iter().map(|segment| segment.live).sum();
    let tail = (counts.train + counts.index).saturating_sub(in_segments);
    if tail >= GRAPH_FROM_ROWS && !interrupt::pressed() {
        note(&format!("writing segments of {tail} images .. (Ctrl-C twice stops this; nothing is lost)"));
        database.flush()?;
    }
    Ok(())
}

fn role(word: RoleWord) -> Role {
    match word {
        RoleWord::Train => Role::Train,
        RoleWord::Index => Role::Index,
    }
}

/// Progress of an ingest, as a bar that appears once the number of items is known.
struct Shown {
    bar: OnceLock<Bar>,
    noun: &'static str,
}

impl Shown {
    fn new(noun: &'static str) -> Self {
        Self { bar: OnceLock::new(), noun }
    }

    fn finish(&self) {
        if let Some(bar) = self.bar.get() {
            bar.finish();
        }
    }
}

impl Watch for Shown {
    fn progress(&self, at: Progress<'_>) -> ControlFlow<()> {
        self.bar.get_or_init(|| Bar::new(at.all as u64, self.noun)).reach(at.done as u64);
        if interrupt::pressed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

fn photos(
    database: &Database,
    job: &Job<'_>,
    info: &ModelInfo,
    reading: Reading,
    spellings: &mut Spellings,
) -> Result<(Report, usize)> {
    if job.ids.is_some() {
        return Err(Failure::usage("--ids is for vectors")
            .help("a photo's id is the one in its list, or its path in the folder"));
    }
    let (Listing { items, refused, left_out }, labels) = list(job, spellings)?;
    left_out.sentences().iter().for_each(|sentence| note(&format!("left out: {sentence}")));
    let labels = labels.as_ref();
    let items = match (labels, job.role) {
        // A list with labels can be an index list too: its labels are ignored.
        (None, RoleWord::Index) => items.into_iter().map(|item| Item { label: None, ..item }).collect(),
        _ => {
            let is_emptied = listed::emptied(
                database,
                role(job.role),
                items.iter().map(|item| (&*item.key, is_labelled(item, labels))),
            )?;
            let (emptied, items): (Vec<Item>, Vec<Item>) =
                items.into_iter().partition(|item| is_emptied.contains(&item.key));
            let mut items = with_role(items, role(job.role), labels)?;
            items.extend(emptied);
            items
        }
    };
    let embedder = Arc::unwrap_or_clone(embedder(database, info, job.model)?).with_limits(limits(job.max_pixels));
    propose(database, job.model)?;
    let watch = Shown::new("photos");
    let (survey, moved) = survey(database, job, &items)?;
    let options = IngestOptions { reading: Some(reading), survey, ..IngestOptions::default() };
    let done = cairndb_ingest::ingest(database, &embedder, &items, &options, &watch);
    watch.finish();
    let mut report = done?;
    report.moved += moved;
    let unread = refused.len();
    report.failed.splice(0..0, refused);
    Ok((report, unread))
}

/// Limits on photos of so many millions of pixels; above the default also those on memory and files grow with them.
fn limits(millions: Option<u64>) -> DecodeLimits {
    /// What an RGB picture takes while it is turned upright.
    const BYTES_PER_PIXEL: u64 = 6;
    let usual = DecodeLimits::default();
    match millions.map(|millions| millions * 1_000_000) {
        None => usual,
        Some(pixels) if pixels <= usual.pixels => DecodeLimits { pixels, ..usual },
        Some(pixels) => DecodeLimits {
            pixels,
            working_bytes: usual.working_bytes.max(pixels * BYTES_PER_PIXEL),
            file_bytes: usual.file_bytes.max(pixels * BYTES_PER_PIXEL),
        },
    }
}

/// The sources that are folders.
fn folders(job: &Job<'_>) -> Vec<PathBuf> {
    job.sources.iter().filter(|source| source.is_dir()).cloned().collect()
}

/// The contents of the folders' items, with every photo that moved under its new key; how many did. Of a database without photos of these
/// folders nothing is read.
fn survey(database: &Database, job: &Job<'_>, items: &[Item]) -> Result<(Survey, usize)> {
    let folders = folders(job);
    if !Survey::is_needed(&database.snapshot(), &folders)? {
        return Ok((Survey::default(), 0));
    }
    let survey = Survey::of(items, &limits(job.max_pixels));
    let moved = survey.relocate(database, items, &folders)?;
    Ok((survey, moved))
}

/// The photos of all sources, with the labels of `--labels`. A label file may name a photo of a folder by its path in the folder,
/// or by its name without extension; photos without a label are left out.
fn list(job: &Job<'_>, spellings: &mut Spellings) -> Result<(Listing, Option<Labels>)> {
    let (mut refused, mut sources, mut left_out) = (Vec::new(), Vec::new(), LeftOut::default());
    let exclude = Exclude::new(job.exclude.iter().cloned());
    let columns = AttributeColumns::new(job.attributes.iter().cloned())?;
    if let (Some(folder), true) = (job.photos_from, job.sources.iter().all(|source| source.is_dir())) {
        let what = format!("--photos-from {} is for a list, and no source is a list", folder.display());
        return Err(Failure::usage(what).help("leave --photos-from out; a folder needs no list"));
    }
    for source in job.sources {
        let items = if source.is_dir() {
            let listing = list_folder_but(source, &exclude, job.label_from_folder.then_some(&mut *spellings))?;
            refused.extend(listing.refused);
            left_out.extend(listing.left_out);
            listing.items
        } else if is_photo(source)? {
            let key = source.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            vec![Item::found(key, source)]
        } else if source.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("txt")) {
            paths(source, job.photos_from)?
        } else {
            read_list(text(source)?, job.photos_from, &columns, spellings)?
        };
        sources.push((source, items));
    }
    let labels = match job.labels {
        None => None,
        Some(path) => {
            let items = sources.iter().flat_map(|(_, items)| items);
            let known: HashSet<&str> = items.flat_map(|item| [Some(&*item.key), stem(item)]).flatten().collect();
            Some(read_labels(text(path)?, spellings, &|id| known.contains(id))?)
        }
    };
    let mut items = Vec::new();
    for (source, found) in sources {
        match &labels {
            Some(labels) if source.is_dir() => {
                let all = found.len();
                let chosen: Vec<Item> = found.into_iter().filter_map(|item| labelled(item, labels)).collect();
                if chosen.len() < all {
                    note(&format!(
                        "note: {} of {} have no label and are left out",
                        counted(all - chosen.len(), "photo"),
                        source.display()
                    ));
                }
                items.extend(chosen);
            }
            _ => items.extend(found),
        }
    }
    let mut seen = HashSet::new();
    match items.iter().find(|item| !seen.insert(item.key.as_str())) {
        None => Ok((Listing { items, refused, left_out }, labels)),
        Some(twice) => Err(Failure::new(format!("the id '{}' comes from two sources", twice.key))
            .help("give the folder that contains both, or a list that gives each photo another id (id,path)")),
    }
}

/// Whether a file that was named is a photo; otherwise it is read as a list.
///
/// # Errors
/// When it is neither.
fn is_photo(source: &Path) -> Result<bool> {
    const LISTS: [&str; 4] = ["csv", "tsv", "txt", "tab"];
    let is_list = |ending: &std::ffi::OsStr| LISTS.iter().any(|list| ending.eq_ignore_ascii_case(list));
    if source == Path::new(STANDARD_INPUT.0) || source.extension().is_some_and(is_list) {
        return Ok(false);
    }
    if is_named_like_a_photo(source) {
        return Ok(true);
    }
    let what = match sniff(source)? {
        Sort::Photo => return Ok(true),
        Sort::Text if source.extension().is_none() => return Ok(false),
        Sort::Text => "a text, and lists end in .csv, .tsv or .txt",
        Sort::Other(what) => what,
    };
    Err(Failure::new(format!("{} is no photo and no list: it is {what}", source.display()))
        .help("give a folder of photos, photos, a list (id,path), or vectors (.npy, .npz, .fvecs)"))
}

fn is_labelled(item: &Item, labels: Option<&Labels>) -> bool {
    item.label.is_some() || labels.is_some_and(|labels| labels.contains_key(&item.key))
}

/// The name of a photo without its extension.
fn stem(item: &Item) -> Option<&str> {
    item.path.file_stem()?.to_str()
}

/// The item under the id that the labels use.
fn labelled(item: Item, labels: &Labels) -> Option<Item> {
    if labels.contains_key(&item.key) {
        return Some(item);
    }
    let key = stem(&item)?.to_owned();
    labels.contains_key(&key).then_some(Item { key, given: true, ..item })
}

/// The photos of a text file with one path per line, relative to `photos` or to the file; the line is the id.
fn paths(file: &Path, photos: Option<&Path>) -> Result<Vec<Item>> {
    let text = text(file)?;
    let folder = photos.unwrap_or(text.folder()).to_owned();
    let mut items = Vec::new();
    text.lines(MAX_PATH_BYTES, MAX_LIST_BYTES, |_, line| {
        let line = line.trim();
        if !line.is_empty() {
            items.push(Item::found(line, folder.join(line)));
        }
        Ok(())
    })?;
    if items.is_empty() {
        return Err(Failure::new(format!("{} has no paths", file.display())));
    }
    Ok(items)
}

fn vectors(database: &Database, job: &Job<'_>, reading: Reading, spellings: &mut Spellings) -> Result<Report> {
    if job.label_from_folder {
        return Err(
            Failure::usage("--label-from-folder is for photos").help("label vectors with --ids FILE and --labels FILE")
        );
    }
    let [source] = job.sources else {
        return Err(
            Failure::usage("one call of ingest takes one file of vectors").help("its ids come from one --ids file")
        );
    };
    let mut file = VectorFile::open(source)?;
    let keys = match job.ids {
        Some(path) => read_ids(text(path)?, file.rows())?,
        None => {
            return Err(Failure::usage("vectors need ids").help("give them with --ids FILE, one per line"));
        }
    };
    let labels = match job.labels {
        None => None,
        Some(path) => {
            let known: HashSet<&str> = keys.iter().map(String::as_str).collect();
            Some(read_labels(text(path)?, spellings, &|id| known.contains(id))?)
        }
    };
    let labels = labels.as_ref();
    let has_label = |key: &str| labels.is_some_and(|labels| labels.contains_key(key));
    let is_emptied = listed::emptied(database, role(job.role), keys.iter().map(|key| (&**key, has_label(key))))?;
    let (emptied, others): (Vec<String>, Vec<String>) = keys.iter().cloned().partition(|key| is_emptied.contains(key));
    let labels = match emptied.is_empty() {
        true => labels_for(role(job.role), &keys, vec![None; keys.len()], labels)?,
        false => {
            let given = labels_for(role(job.role), &others, vec![None; others.len()], labels)?;
            let given: HashMap<String, Option<String>> = others.into_iter().zip(given).collect();
            keys.iter().map(|key| given.get(key).cloned().flatten()).collect()
        }
    };
    propose(database, job.model)?;
    let watch = Shown::new("vectors");
    let done = cairndb_ingest::ingest_vector_list(database, &mut file, &keys, &labels, reading, &watch);
    watch.finish();
    Ok(done?)
}

fn summary(report: &Report, job: &Job<'_>) -> Result<Tally> {
    let failed = report.failed.len();
    note(&format!(
        "added {}, replaced {}, unchanged {}, failed {failed}",
        report.added, report.replaced, report.unchanged
    ));
    if report.moved > 0 {
        note(&format!("{} found at another place; keys and paths follow", counted(report.moved, "stored photo")));
    }
    if report.described > 0 {
        note(&format!("attributes changed: {}", counted(report.described, "image")));
    }
    let gives_labels =
        job.label_from_folder || job.labels.is_some() || job.sources.iter().any(|source| !source.is_dir());
    listed::said(&report.labels, gives_labels).iter().for_each(|line| note(line));
    match job.list_failures {
        None => name_failed(report.failed.iter().map(|(key, reason)| (&**key, &**reason))),
        Some(format) => partial::list(&report.failed, format)?,
    }
    if report.stopped {
        return Err(Failure::interrupted(format!(
            "stopped by {}; {} has everything that was finished",
            interrupt::cause(),
            job.database.display()
        ))
        .help("run the same command again to resume"));
    }
    Ok(Tally { failed, all: report.added + report.replaced + report.unchanged + failed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_photo_of_a_folder_is_labelled_by_its_path_or_its_stem() {
        let labels: Labels = [("a/x.jpg", "cat"), ("y", "dog")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let item = |key: &str| Item::found(key, Path::new("d").join(key));
        let key = |name| labelled(item(name), &labels).map(|item| item.key);
        assert_eq!(key("a/x.jpg").as_deref(), Some("a/x.jpg"));
        assert_eq!(key("b/y.jpg").as_deref(), Some("y"));
        assert_eq!(key("z.jpg"), None);
    }

    #[test]
    fn a_text_file_names_photos_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("list.txt");
        std::fs::write(&list, "\u{feff}a.jpg\n\n  b/c.png \n").unwrap();
        let items = paths(&list, None).unwrap();
        assert_eq!((items[0].key.as_str(), items[1].key.as_str()), ("a.jpg", "b/c.png"));
        assert_eq!(items[1].path, folder.path().join("b/c.png"));
        std::fs::write(&list, "\n").unwrap();
        assert!(paths(&list, None).is_err());
    }
}
