//! Lists: `id,path[,label]` names photos, `id,label` gives labels, and Google Landmarks' `id,url,landmark_id` does both. A header
//! is required; other columns are ignored.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use cairn::{Error, ErrorKind, Result, Role};

use super::described::{AttributeColumns, attributes};
use super::spelling::Spellings;
use super::table::{Table, Unique};
use super::text::Text;
use super::{Item, SHOWN, first_few};

/// Labels by key.
pub type Labels = HashMap<String, String>;

/// The names of the label column; the second one is Google Landmarks'.
const LABEL: [&str; 2] = ["label", "landmark_id"];
/// Columns that identify the separator.
const KNOWN: [&str; 5] = ["id", "path", "label", "landmark_id", "url"];
/// Letters of an id that are folders of Google Landmarks: `a/b/c/abc..jpg`.
const FOLDERS: usize = 3;
/// Folders beside Google Landmarks' lists that have its photos.
const BESIDE: [&str; 4] = ["", "train", "index", "test"];

/// The photos of a list, in its order. Paths are relative to `photos`, if given, otherwise to the list's folder. A list without
/// paths is Google Landmarks': the photo of the id `abcd` is `a/b/c/abcd.jpg` below `photos` or, with a column `url`, below the
/// list's folder or its `train`, `index` or `test`. The chosen columns become attributes.
///
/// # Errors
/// When the text cannot be read, a column is missing, a row is short, an id is repeated, or a value has not its column's type.
pub fn read_list(
    text: Text,
    photos: Option<&Path>,
    columns: &AttributeColumns,
    spellings: &mut Spellings,
) -> Result<Vec<Item>> {
    let (name, folder) = (text.name().to_owned(), text.folder().to_owned());
    let table = Table::open(text, &KNOWN)?;
    let id = table.needed(&["id"], "id,path")?;
    let path = match table.place(&["path"]) {
        None if photos.is_none() && table.place(&["url"]).is_none() => Some(table.needed(&["path"], "id,path")?),
        path => path,
    };
    let columns = columns.places(&table, &KNOWN)?;
    let mut places = vec![Some(id), path, table.place(&LABEL)];
    places.extend(columns.iter().map(|column| Some(column.place)));
    let needed = if path.is_some() { 2 } else { 1 };
    let (mut items, mut unique, mut base) = (Vec::new(), Unique::default(), photos.map(Path::to_owned));
    table.rows(&places, needed, |line, fields| {
        let id = fields[0].unwrap_or_default();
        unique.note(id, line)?;
        let label = fields[2].map(|label| spellings.plain(label)).filter(|label| !label.is_empty());
        let path = match fields[1] {
            Some("") => return Err(format!("id '{id}': the path is empty")),
            Some(file) if path.is_some() => photos.unwrap_or(&folder).join(file),
            _ => {
                let file = by_letters(id).ok_or_else(|| {
                    format!("id '{id}': the list has no path, and the id cannot be the name of a photo")
                })?;
                let base = match &base {
                    Some(base) => base,
                    None => base.insert(photos_beside(&folder, &file)?),
                };
                base.join(file)
            }
        };
        let attributes = attributes(&columns, &fields[3..]).map_err(|why| format!("id '{id}': {why}"))?;
        items.push(Item { key: id.to_owned(), path, label, given: true, attributes });
        Ok(())
    })?;
    if items.is_empty() {
        return Err(Error::invalid(format!("{name}: the list has no rows")));
    }
    Ok(items)
}

/// The photo of an id of Google Landmarks: `abcd` is `a/b/c/abcd.jpg`.
fn by_letters(id: &str) -> Option<PathBuf> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    if id.len() < FOLDERS || !id.chars().all(is_plain) {
        return None;
    }
    let folders: PathBuf = id.chars().take(FOLDERS).map(String::from).collect();
    Some(folders.join(format!("{id}.jpg")))
}

/// The folder beside a list that has its first photo.
fn photos_beside(folder: &Path, first: &Path) -> Result<PathBuf, String> {
    let mut folders = BESIDE.into_iter().map(|name| folder.join(name));
    folders.find(|folder| folder.join(first).is_file()).ok_or_else(|| {
        format!(
            "the list has no column 'path', and {} is neither beside it nor in train, index or test there; name the folder of the \
             photos with --photos-from",
            first.display()
        )
    })
}

/// The labels of a text with the columns `id` and `label` (or Google Landmarks' `landmark_id`), for known ids: it keeps only
/// theirs, however many others the text has.
///
/// # Errors
/// When the text cannot be read, a column is missing, a row is short, a label is empty, or an id is repeated; `NotFound`: unknown
/// ids.
pub fn read_labels(text: Text, spellings: &mut Spellings, is_known: &dyn Fn(&str) -> bool) -> Result<Labels> {
    let table = Table::open(text, &KNOWN)?;
    let places = [Some(table.needed(&["id"], "id,label")?), Some(table.needed(&LABEL, "id,label")?)];
    let (mut labels, mut unique) = (Labels::new(), Unique::default());
    let mut unknown = Unknown::default();
    table.rows(&places, places.len(), |line, fields| {
        let (id, label) = (fields[0].unwrap_or_default(), fields[1].unwrap_or_default());
        if !id.is_empty() && !is_known(id) {
            unknown.note(id);
            return Ok(());
        }
        unique.note(id, line)?;
        let label = spellings.plain(label);
        if label.is_empty() {
            return Err(format!("id '{id}': the label is empty"));
        }
        labels.insert(id.to_owned(), label);
        Ok(())
    })?;
    unknown.check()?;
    Ok(labels)
}

/// Ids of a file of labels without an image: their number, and the first ones.
#[derive(Default)]
struct Unknown {
    count: usize,
    first: Vec<String>,
}

impl Unknown {
    fn note(&mut self, id: &str) {
        self.count += 1;
        if self.first.len() <= SHOWN {
            self.first.push(id.to_owned());
        }
    }

    fn check(self) -> Result<()> {
        if self.count == 0 {
            return Ok(());
        }
        let shown = first_few(self.first.iter().map(String::as_str), self.count);
        let what = format!("{} labelled ids have no image: {shown}", self.count);
        Err(Error::new(ErrorKind::NotFound, what)
            .help("ids of the labels file must be keys: for a folder, the paths relative to it; for a list, its ids"))
    }
}

/// The label of each key in a role: none for index images; for train images that of the labels file, or its own.
///
/// # Errors
/// When a train image would have no label, a labelled id has no key, or labels are given for index images.
pub fn labels_for(
    role: Role,
    keys: &[String],
    own: Vec<Option<String>>,
    labels: Option<&Labels>,
) -> Result<Vec<Option<String>>> {
    if role == Role::Index {
        return match labels {
            Some(_) => {
                Err(Error::invalid("index images have no label").help("leave the labels out, or ingest as train"))
            }
            None => Ok(vec![None; keys.len()]),
        };
    }
    if let Some(labels) = labels {
        let known: std::collections::HashSet<&str> = keys.iter().map(String::as_str).collect();
        let mut ids: Vec<&str> = labels.keys().map(String::as_str).filter(|id| !known.contains(id)).collect();
        ids.sort_unstable();
        let mut unknown = Unknown::default();
        ids.into_iter().for_each(|id| unknown.note(id));
        unknown.check()?;
    }
    let found: Vec<Option<String>> =
        keys.iter().zip(own).map(|(key, own)| labels.and_then(|labels| labels.get(key).cloned()).or(own)).collect();
    let without: Vec<&str> =
        keys.iter().zip(&found).filter(|(_, label)| label.is_none()).map(|(key, _)| key.as_str()).collect();
    if without.is_empty() {
        return Ok(found);
    }
    Err(Error::invalid(format!(
        "{} no label: {}",
        match without.len() {
            1 => "1 train image has".to_owned(),
            count => format!("{count} train images have"),
        },
        first_few(without.iter().copied(), without.len())
    ))
    .help("give a file id,label with --labels, a list with a label column, or ingest them as index"))
}

/// The items in a role; see [`labels_for`].
///
/// # Errors
/// Those of [`labels_for`].
pub fn with_role(items: Vec<Item>, role: Role, labels: Option<&Labels>) -> Result<Vec<Item>> {
    let keys: Vec<String> = items.iter().map(|item| item.key.clone()).collect();
    let own = items.iter().map(|item| item.label.clone()).collect();
    let labels = labels_for(role, &keys, own, labels)?;
    Ok(items.into_iter().zip(labels).map(|(item, label)| Item { label, ..item }).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn written(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list.csv");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    fn list(path: &Path) -> Result<Vec<Item>> {
        read_list(Text::open(path)?, None, &AttributeColumns::default(), &mut Spellings::default())
    }

    fn labels(text: &'static str) -> Result<Labels> {
        read_labels(Text::standard(text.as_bytes()), &mut Spellings::default(), &|id| id.len() == 1)
    }

    #[test]
    fn a_list_gives_keys_paths_beside_it_and_labels() {
        let (folder, path) = written("\u{feff}id,Path,label,more\na,x/1.jpg,cat,7\n\"b,c\",2.jpg,,8\n");
        let items = list(&path).unwrap();
        let path_of_a = folder.path().join("x/1.jpg");
        assert_eq!(items[0], Item { label: Some("cat".into()), given: true, ..Item::found("a", path_of_a) });
        assert_eq!((items[1].key.as_str(), &items[1].label), ("b,c", &None));
        let elsewhere = read_list(
            Text::open(&path).unwrap(),
            Some(Path::new("/photos")),
            &AttributeColumns::default(),
            &mut Spellings::default(),
        );
        assert_eq!(elsewhere.unwrap()[0].path, Path::new("/photos/x/1.jpg"));
    }

    /// It catches: Google Landmarks' own lists refused, or a folder used that does not have its photos.
    #[test]
    fn google_landmarks_lists_are_read_as_they_are_published() {
        let text = "\"id\",\"url\",\"landmark_id\"\n\"6e158a47eb2ca3f6\",\"https://x/1.jpg\",\"142820\"\n";
        let (folder, path) = written(text);
        let refused = list(&path).unwrap_err().to_string();
        assert!(refused.contains("--photos-from") && refused.contains("6/e/1/6e158a47eb2ca3f6.jpg"), "{refused}");
        let named = read_list(
            Text::open(&path).unwrap(),
            Some(Path::new("p")),
            &AttributeColumns::default(),
            &mut Spellings::default(),
        )
        .unwrap();
        let expected = Path::new("p/6/e/1/6e158a47eb2ca3f6.jpg");
        assert_eq!((named[0].path.as_path(), named[0].label.as_deref()), (expected, Some("142820")));
        std::fs::create_dir_all(folder.path().join("train/6/e/1")).unwrap();
        std::fs::write(folder.path().join("train/6/e/1/6e158a47eb2ca3f6.jpg"), "x").unwrap();
        assert!(list(&path).unwrap()[0].path.ends_with("train/6/e/1/6e158a47eb2ca3f6.jpg"));
        assert_eq!(
            read_labels(Text::open(&path).unwrap(), &mut Spellings::default(), &|_| true).unwrap()["6e158a47eb2ca3f6"],
            "142820"
        );
        // The lists of its index and test photos have only ids; an id cannot lead out of the folder.
        let ids = |text: &'static str| {
            read_list(
                Text::standard(text.as_bytes()),
                Some(Path::new("p")),
                &AttributeColumns::default(),
                &mut Spellings::default(),
            )
        };
        assert_eq!(ids("id\nabcd\n").unwrap()[0].path, Path::new("p/a/b/c/abcd.jpg"));
        for id in ["../x", "ab", "a/b/c"] {
            assert!(by_letters(id).is_none(), "{id}");
        }
        assert!(ids("id\n../../x\n").unwrap_err().to_string().contains("line 2"));
    }

    #[test]
    fn what_is_wrong_with_a_list_is_said() {
        for (text, said) in [
            ("id,file\na,1.jpg\n", "no column 'path'; the columns are 'id', 'file'"),
            ("", "no column 'id'"),
            ("a,1.jpg\n", "no column 'id'"),
            ("id,path\n", "no rows"),
            ("id,path\na,1\na,2\n", "line 3: the id 'a' is already in line 2"),
            ("id,path\na\n", "line 2: the column 'path' is missing"),
            ("id,path\n,x\n", "line 2: the id is empty"),
            ("id,path\na,\n", "line 2: id 'a': the path is empty"),
        ] {
            let error = list(&written(text).1).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        let error = labels("id,path\na,b\n").unwrap_err().to_string();
        assert!(error.contains("no column 'label'; the columns are 'id', 'path'"), "{error}");
        assert!(labels("id,label\na, \n").unwrap_err().to_string().contains("the label is empty"));
        // Unknown ids are counted and named, and cost no memory.
        let error = labels("id,label\na,x\nother,x\nb,x\nmore,x\n").unwrap_err().to_string();
        assert!(error.contains("2 labelled ids have no image: 'other', 'more'"), "{error}");
        let (_folder, latin) = written("");
        std::fs::write(&latin, b"id,path\n\xff,x\n").unwrap();
        assert!(list(&latin).unwrap_err().to_string().contains("line 2 is not UTF-8"));
        assert_eq!(list(Path::new("/no/list.csv")).unwrap_err().kind(), ErrorKind::NotFound);
    }

    /// It catches: labels that are kept as typed, and labels that are joined silently.
    #[test]
    fn labels_are_spelt_one_way_and_what_was_joined_is_told() {
        let mut spellings = Spellings::default();
        let text = "id, label\na,Louvre\nb,Louvre \nc, Louvre\nd,Eiffel \ne,Cafe\u{301}\n";
        let labels = read_labels(Text::standard(text.as_bytes()), &mut spellings, &|_| true).unwrap();
        assert!(["a", "b", "c"].iter().all(|id| labels[*id] == "Louvre"));
        assert_eq!((labels["d"].as_str(), labels["e"].as_str()), ("Eiffel", "Caf\u{e9}"));
        assert_eq!(
            spellings.told(),
            [
                "read 'Cafe\\u{301}' as 'Caf\u{e9}'",
                "read 'Eiffel ' as 'Eiffel'",
                "joined ' Louvre' with 'Louvre'",
                "joined 'Louvre ' with 'Louvre'",
            ]
        );
    }

    #[test]
    fn labels_must_fit_the_images() {
        let keys: Vec<String> = ["a", "b"].map(str::to_owned).to_vec();
        let labels = |ids: &[&str]| ids.iter().map(|id| ((*id).to_owned(), "x".to_owned())).collect::<Labels>();
        let none = || vec![None, None];
        assert_eq!(
            labels_for(Role::Train, &keys, none(), Some(&labels(&["a", "b"]))).unwrap()[1].as_deref(),
            Some("x")
        );
        let unknown = labels_for(Role::Train, &keys, none(), Some(&labels(&["a", "b", "zz"]))).unwrap_err();
        assert!(unknown.to_string().contains("'zz'"), "{unknown}");
        let without = labels_for(Role::Train, &keys, none(), Some(&labels(&["a"]))).unwrap_err();
        assert!(without.to_string().contains("1 train image has no label: 'b'"), "{without}");
        assert_eq!(labels_for(Role::Index, &keys, vec![Some("own".into()), None], None).unwrap(), none());
        assert!(labels_for(Role::Index, &keys, none(), Some(&labels(&["a"]))).is_err());
    }
}
