//! Names and reasons in a page. People share pages, so a page has no path that shows the folders of its machine.

use std::path::Path;

/// A key, the name of a query or the path of a file as given; of an absolute path, the last part.
pub(crate) fn named(text: &str) -> String {
    if text.starts_with('/') { last_of(text) } else { without_paths(text) }
}

/// A sentence in which each absolute path is replaced by its last part.
pub(super) fn without_paths(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let (mut rest, mut before) = (text, ' ');
    while let Some(c) = rest.chars().next() {
        let begins = before.is_whitespace() || "'\"`([{<=,;".contains(before);
        let is_path = c == '/' && begins && rest[1..].chars().next().is_some_and(|next| !next.is_whitespace());
        if !is_path {
            safe.push(c);
            rest = &rest[c.len_utf8()..];
            before = c;
            continue;
        }
        // A name in quotes ends with them; another one may contain spaces, and ends where the message continues.
        let end = match before {
            '\'' | '"' | '`' => rest.find(before),
            _ => [": ", ", ", "; ", "\n", ")", " ("].iter().filter_map(|end| rest.find(end)).min(),
        };
        let (path, after) = rest.split_at(end.unwrap_or(rest.len()));
        safe.push_str(&last_of(path));
        (rest, before) = (after, 'x');
    }
    safe
}

/// A path of the page's author, as its last part.
pub(crate) fn file_name(path: &Path) -> String {
    match path.file_name() {
        Some(name) => name.to_string_lossy().into_owned(),
        // For `.` or `..`, the name that they resolve to.
        None => path
            .canonicalize()
            .ok()
            .and_then(|real| Some(real.file_name()?.to_string_lossy().into_owned()))
            .unwrap_or_default(),
    }
}

fn last_of(path: &str) -> String {
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    format!("\u{2026}/{last}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_absolute_path_is_left() {
        for (text, shown) in [
            ("/home/anna/photos/a b.jpg", "\u{2026}/a b.jpg"),
            ("a/b.jpg", "a/b.jpg"),
            ("/home/anna/a b.jpg: not a regular file", "\u{2026}/a b.jpg: not a regular file"),
            ("'x': /home/anna/a.jpg: gone (/srv/b)", "'x': \u{2026}/a.jpg: gone (\u{2026}/b)"),
            ("CLEAN INTO '/tmp/r, s/x.html' RULE paper", "CLEAN INTO '\u{2026}/x.html' RULE paper"),
            ("the file /home/anna/a.jpg is gone", "the file \u{2026}/a.jpg is gone"),
            ("1 / 2 and/or 3", "1 / 2 and/or 3"),
            ("ä /srv/é", "ä \u{2026}/é"),
        ] {
            assert_eq!(without_paths(text), shown);
        }
        assert_eq!(named("/home/a: b/c.jpg"), "\u{2026}/c.jpg");
        assert_eq!(named("tower.jpg"), "tower.jpg");
        assert_eq!(file_name(Path::new("/srv/photos.db")), "photos.db");
        assert_eq!(file_name(Path::new("photos.db/.")), "photos.db");
    }
}
