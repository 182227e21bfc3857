//! CSV lists: `id,path[,label]` names photos, `id,label` gives labels. A header is required; other columns are passed over.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use cairn::{Error, ErrorKind, Result, Role};

use super::{Item, first_few};

/// Labels by key.
pub type Labels = HashMap<String, String>;

/// The photos of a list, in its order. Paths are relative to the list's folder.
///
/// # Errors
/// When the file cannot be read, a column is missing, a row is short, or an id stands twice.
pub fn read_list(path: &Path) -> Result<Vec<Item>> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut items = Vec::new();
    each_row(path, &["id", "path"], &["label"], |fields| {
        let label = fields[2].filter(|label| !label.is_empty()).map(str::to_owned);
        let (id, file) = (fields[0].unwrap_or_default(), fields[1].unwrap_or_default());
        items.push(Item { key: id.to_owned(), path: folder.join(file), label });
        if file.is_empty() { Err("the path is empty".to_owned()) } else { Ok(()) }
    })?;
    if items.is_empty() {
        return Err(Error::invalid(format!("{}: the list has no rows", path.display())));
    }
    Ok(items)
}

/// The labels of a file with the columns `id` and `label`.
///
/// # Errors
/// When the file cannot be read, a column is missing, a row is short, a label is empty, or an id stands twice.
pub fn read_labels(path: &Path) -> Result<Labels> {
    let mut labels = Labels::new();
    each_row(path, &["id", "label"], &[], |fields| {
        let (id, label) = (fields[0].unwrap_or_default(), fields[1].unwrap_or_default());
        labels.insert(id.to_owned(), label.to_owned());
        if label.is_empty() { Err("the label is empty".to_owned()) } else { Ok(()) }
    })?;
    Ok(labels)
}

/// Calls `row` with the fields of the needed and the optional columns, in that order; the first needed one is the id.
fn each_row(
    path: &Path,
    needed: &[&str],
    optional: &[&str],
    mut row: impl FnMut(&[Option<&str>]) -> Result<(), String>,
) -> Result<()> {
    let file = File::open(path).map_err(|error| Error::io(path, error))?;
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(file);
    let broken = |error: csv::Error| {
        Error::invalid(format!("{}: {error}", path.display()))
            .help("expected is a CSV file in UTF-8 with a header line")
    };
    let header = reader.headers().map_err(broken)?.clone();
    let name = |column: &str| column.trim_start_matches('\u{feff}').trim().to_ascii_lowercase();
    let found: Vec<String> = header.iter().map(name).collect();
    let place = |column: &&str| found.iter().position(|found| found == column);
    if let Some(missing) = needed.iter().find(|column| place(column).is_none()) {
        return Err(Error::invalid(format!(
            "{}: there is no column '{missing}'; the columns are {}",
            path.display(),
            first_few(header.iter().map(str::trim))
        ))
        .help(format!("the first line must be a header with {}", needed.join(","))));
    }
    let places: Vec<Option<usize>> = needed.iter().chain(optional).map(place).collect();
    let mut lines: HashMap<String, u64> = HashMap::new();
    let mut record = csv::StringRecord::new();
    loop {
        let line = reader.position().line();
        if !reader.read_record(&mut record).map_err(broken)? {
            return Ok(());
        }
        let refuse = |what: String| Err(Error::invalid(format!("{}, line {line}: {what}", path.display())));
        let fields: Vec<Option<&str>> = places.iter().map(|place| place.and_then(|at| record.get(at))).collect();
        if let Some((column, _)) = needed.iter().zip(&fields).find(|(_, field)| field.is_none()) {
            return refuse(format!("the column '{column}' is missing"));
        }
        let id = fields.first().copied().flatten().unwrap_or_default();
        if id.is_empty() {
            return refuse("the id is empty".to_owned());
        }
        if let Some(before) = lines.insert(id.to_owned(), line) {
            return refuse(format!("the id '{id}' stands in line {before} already"));
        }
        if let Err(what) = row(&fields) {
            return refuse(format!("id '{id}': {what}"));
        }
    }
}

/// The label of each key under a role: none for index images; for train images that of the labels file, or its own.
///
/// # Errors
/// When a train image would have no label, a labelled id is not among the keys, or labels are given for index images.
pub fn labels_for(
    role: Role,
    keys: &[String],
    own: Vec<Option<String>>,
    labels: Option<&Labels>,
) -> Result<Vec<Option<String>>> {
    if role == Role::Index {
        return match labels {
            Some(_) => {
                Err(Error::invalid("index images carry no label").help("leave the labels away, or ingest as train"))
            }
            None => Ok(vec![None; keys.len()]),
        };
    }
    if let Some(labels) = labels {
        let known: std::collections::HashSet<&str> = keys.iter().map(String::as_str).collect();
        let mut unknown: Vec<&str> = labels.keys().map(String::as_str).filter(|id| !known.contains(id)).collect();
        unknown.sort_unstable();
        if !unknown.is_empty() {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("{} labelled ids are not among the images: {}", unknown.len(), first_few(unknown.into_iter())),
            )
            .help(
                "ids of the labels file must be the keys: of a folder, the paths relative to it; of a list, its ids",
            ));
        }
    }
    let found: Vec<Option<String>> =
        keys.iter().zip(own).map(|(key, own)| labels.and_then(|labels| labels.get(key).cloned()).or(own)).collect();
    let without: Vec<&str> =
        keys.iter().zip(&found).filter(|(_, label)| label.is_none()).map(|(key, _)| key.as_str()).collect();
    if without.is_empty() {
        return Ok(found);
    }
    Err(Error::invalid(format!("{} train images have no label: {}", without.len(), first_few(without.into_iter())))
        .help("give a file id,label with --labels, a list with a label column, or ingest them as index"))
}

/// The items under a role; see [`labels_for`].
///
/// # Errors
/// Those of [`labels_for`].
pub fn with_role(items: Vec<Item>, role: Role, labels: Option<&Labels>) -> Result<Vec<Item>> {
    let keys: Vec<String> = items.iter().map(|item| item.key.clone()).collect();
    let (own, paths): (Vec<_>, Vec<_>) = items.into_iter().map(|item| (item.label, item.path)).unzip();
    let labels = labels_for(role, &keys, own, labels)?;
    Ok(keys.into_iter().zip(paths).zip(labels).map(|((key, path), label)| Item { key, path, label }).collect())
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

    #[test]
    fn a_list_gives_keys_paths_beside_it_and_labels() {
        let (folder, path) = written("\u{feff}id,Path,label,more\na,x/1.jpg,cat,7\n\"b,c\",2.jpg,,8\n");
        let items = read_list(&path).unwrap();
        assert_eq!(items[0], Item { key: "a".into(), path: folder.path().join("x/1.jpg"), label: Some("cat".into()) });
        assert_eq!((items[1].key.as_str(), &items[1].label), ("b,c", &None));
    }

    #[test]
    fn what_is_wrong_with_a_list_is_said() {
        for (text, said) in [
            ("id,file\na,1.jpg\n", "no column 'path'; the columns are 'id', 'file'"),
            ("", "no column 'id'"),
            ("a,1.jpg\n", "no column 'id'"),
            ("id,path\n", "no rows"),
            ("id,path\na,1\na,2\n", "line 3: the id 'a' stands in line 2 already"),
            ("id,path\na\n", "line 2: the column 'path' is missing"),
            ("id,path\n,x\n", "line 2: the id is empty"),
        ] {
            let error = read_list(&written(text).1).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        let error = read_labels(&written("id,path\na,b\n").1).unwrap_err().to_string();
        assert!(error.contains("no column 'label'; the columns are 'id', 'path'"), "{error}");
        let (_folder, latin) = written("");
        std::fs::write(&latin, b"id,path\n\xff,x\n").unwrap();
        assert!(read_list(&latin).is_err());
        assert_eq!(read_list(Path::new("/no/list.csv")).unwrap_err().kind(), ErrorKind::NotFound);
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
        assert!(without.to_string().contains("1 train images have no label: 'b'"), "{without}");
        assert_eq!(labels_for(Role::Index, &keys, vec![Some("own".into()), None], None).unwrap(), none());
        assert!(labels_for(Role::Index, &keys, none(), Some(&labels(&["a"]))).is_err());
    }
}
