//! Lists and arrays are read as their authors meant them, or refused with the reason: byte order marks, other separators and
//! encodings, spellings of one label, keys of lists, repeated photos, standard input.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use cairndb_tests::{cairn, run, run_ok, shared};

/// What the program said, and its exit code.
fn said(folder: &Path, words: &[&str]) -> (Option<i32>, String) {
    let output = run(folder, words);
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(!text.contains("panicked"), "cairn {words:?}: {text}");
    (output.status.code(), text)
}

/// The same of a program that must succeed.
fn ok(folder: &Path, words: &[&str]) -> String {
    let (code, text) = said(folder, words);
    assert_eq!(code, Some(0), "cairn {words:?}: {text}");
    text
}

/// The same of one that must fail with 1.
fn refused(folder: &Path, words: &[&str]) -> String {
    let (code, text) = said(folder, words);
    assert_eq!(code, Some(1), "cairn {words:?}: {text}");
    assert!(text.contains("error:"), "cairn {words:?}: {text}");
    text
}

/// The same with a text as standard input.
fn with_input(folder: &Path, words: &[&str], input: &[u8]) -> (Option<i32>, String) {
    let mut child = cairn();
    let child =
        child.current_dir(folder).args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

/// Vectors a to f in three directions, two each, as `v.npy` and `ids.txt`, and a database for them.
fn vectors(folder: &Path) {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    let header = format!("{:<117}\n", "{'descr': '<f4', 'fortran_order': False, 'shape': (6, 3), }");
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    for row in 0..6 {
        let mut vector = [0.1f32 * (row % 2) as f32; 3];
        vector[row / 2] = 1.0;
        vector.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
    }
    std::fs::write(folder.join("v.npy"), bytes).unwrap();
    std::fs::write(folder.join("ids.txt"), "a\nb\nc\nd\ne\nf\n").unwrap();
    run_ok(folder, &["create", "DB", "--dim", "3"]);
}

/// Labels and how many images carry each.
fn labels(folder: &Path) -> Vec<String> {
    let csv = run_ok(folder, &["query", "DB", "-c", "SHOW LABELS", "--format", "csv"]);
    csv.lines().skip(1).map(str::to_owned).collect()
}

fn train(folder: &Path, list: &[u8]) -> String {
    std::fs::write(folder.join("labels.csv"), list).unwrap();
    ok(folder, &["ingest", "DB", "v.npy", "--ids", "ids.txt", "--labels", "labels.csv", "--as", "train"])
}

/// Each line of the shared lists and arrays. It catches: any of them read as something else than its maker meant.
#[test]
fn the_shared_lists_and_arrays_come_out_right() {
    let Some(cases) = shared("cases") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let list = |name: &str| cases.join("lists").join(name).to_str().unwrap().to_owned();
    let array = |name: &str| cases.join("npy").join(name).to_str().unwrap().to_owned();
    let (vectors, ids) = (list("v.npy"), list("ids.txt"));
    let ingest = |db: &str, ids: &str, labels: &str| {
        run_ok(path, &["create", db, "--dim", "8"]);
        said(path, &["ingest", db, &vectors, "--ids", ids, "--labels", labels, "--as", "train"])
    };
    let of = |db: &str, statement: &str| run_ok(path, &["query", db, "-c", statement, "--format", "csv"]);
    let plain = ["label,train_images", "x0,3", "x1,3"];
    for (db, ids, labels) in [
        ("plain", &ids, list("labels.csv")),
        ("ids", &list("ids_bom.txt"), list("labels.csv")),
        ("labels", &ids, list("labels_bom.csv")),
        ("semicolon", &ids, list("labels_semicolon.csv")),
    ] {
        let (code, text) = ingest(db, ids, &labels);
        assert_eq!(code, Some(0), "{db}: {text}");
        assert_eq!(of(db, "SHOW LABELS").lines().collect::<Vec<_>>(), plain, "{db}");
        assert!(of(db, "SEARCH ID 'a' IN train K 6 INCLUDING SELF RETURN id").contains("\na\n"), "{db}");
    }
    let (_, text) = ingest("spaces", &ids, &list("labels_spaces.csv"));
    assert!(
        text.contains("joined 'Louvre ' with 'Louvre'") && text.contains("joined ' Louvre' with 'Louvre'"),
        "{text}"
    );
    assert_eq!(of("spaces", "SHOW LABELS").lines().skip(1).collect::<Vec<_>>(), ["Eiffel,3", "Louvre,3"]);
    let (_, text) = ingest("forms", &ids, &list("labels_nf.csv"));
    assert!(text.contains(r"joined 'Cafe\u{301}' with 'Café'"), "{text}");
    assert_eq!(of("forms", "SHOW LABELS").lines().skip(1).collect::<Vec<_>>(), ["Café,3", "Eiffel,3"]);

    run_ok(path, &["create", "index", "--dim", "8"]);
    ok(path, &["ingest", "index", &vectors, "--ids", &ids, "--as", "index"]);
    let eval = |truth: &str| {
        let (queries, names) = (list("q.npy"), list("q_ids.txt"));
        said(path, &["eval", "index", "--queries", &queries, "--query-ids", &names, "--truth", truth])
    };
    let (code, text) = eval(&list("truth.csv"));
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = eval(&list("truth_ext.csv"));
    assert!(code == Some(1) && text.contains("it has 'a.jpg', the database has 'a'"), "{text}");

    // The same six vectors, whatever their order, their bytes and their header.
    let mut answers = Vec::new();
    for (name, same) in [
        ("v3.npy", true),
        ("fortran.npy", true),
        ("big_endian.npy", true),
        ("double_quotes.npy", true),
        ("int8.npy", false),
    ] {
        run_ok(path, &["create", name, "--dim", "8"]);
        let text = ok(path, &["ingest", name, &array(name), "--ids", &ids, "--as", "index"]);
        assert!(text.contains("added 6"), "{name}: {text}");
        let answer = of(name, "SEARCH ID 'b' INCLUDING SELF EXACT RETURN id, similarity");
        if same {
            answers.push(answer);
        }
    }
    assert!(answers.windows(2).all(|two| two[0] == two[1]), "{answers:?}");
}

/// It catches: a mark that becomes part of the first id or column, a separator that makes one column of all, letters of another encoding.
#[test]
fn marks_separators_and_encodings_are_read_or_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    vectors(path);
    let rows = |separator: char| {
        let rows = ["a,x", "b,x", "c,y", "d,y", "e,z", "f,z"];
        format!("id,label\n{}\n", rows.join("\n")).replace(',', &separator.to_string())
    };
    std::fs::write(path.join("ids.txt"), "\u{feff}a\r\nb\r\nc\r\nd\r\ne\r\nf\r\n").unwrap();
    for text in [rows(','), format!("\u{feff}{}", rows(';')), rows('\t'), rows('|'), format!("sep=;\n{}", rows(';'))] {
        train(path, text.as_bytes());
        assert_eq!(labels(path), ["x,2", "y,2", "z,2"], "{text}");
    }
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let ingest = ["ingest", "DB", "v.npy", "--ids", "ids.txt", "--labels", "labels.csv", "--as", "train"];
    for text in [wide(&format!("\u{feff}{}", rows(','))), wide(&rows(','))] {
        std::fs::write(path.join("labels.csv"), text).unwrap();
        let error = refused(path, &ingest);
        assert!(error.contains("UTF-16 (little-endian)") && error.contains("labels.csv"), "{error}");
    }
    // Mixed, the cause is said.
    std::fs::write(path.join("labels.csv"), rows(',').replace("c,y", "c;y")).unwrap();
    let error = refused(path, &ingest);
    assert!(error.contains("line 4") && error.contains("the header has commas, this line has semicolons"), "{error}");
    // Scripts and known answers begin with a mark too.
    std::fs::write(path.join("script.sql"), "\u{feff}SHOW LABELS;").unwrap();
    assert!(ok(path, &["query", "DB", "-f", "script.sql"]).contains('x'));
    std::fs::write(path.join("script.sql"), wide("\u{feff}SHOW LABELS;")).unwrap();
    assert!(refused(path, &["query", "DB", "-f", "script.sql"]).contains("UTF-16"));
}

/// It catches: two labels that look the same to people, in lists, folders and statements; labels that are joined silently.
#[test]
fn spellings_of_a_label_are_one_label_and_it_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    vectors(path);
    let list = "id,label\na,Louvre\nb,Louvre \nc,\u{a0}Louvre\nd,Cafe\u{301}\ne,Caf\u{e9}\nf, Eiffel\n";
    let text = train(path, list.as_bytes());
    assert_eq!(labels(path), ["Caf\u{e9},2", "Eiffel,1", "Louvre,3"]);
    for line in [
        "joined 'Louvre ' with 'Louvre'",
        r"joined '\u{a0}Louvre' with 'Louvre'",
        r"joined 'Cafe\u{301}' with",
        "read ' Eiffel' as 'Eiffel'",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    // The same list again changes nothing.
    assert!(train(path, list.as_bytes()).contains("added 0, replaced 0, unchanged 6"));
    let query = |statement: &str| run_ok(path, &["query", "DB", "-c", statement, "--format", "csv"]);
    query("LABEL ID 'f' AS ' Louvre'; PUT ID 'g' VECTOR [1, 1, 0] LABEL 'Cafe\u{301} '");
    assert_eq!(labels(path), ["Caf\u{e9},3", "Louvre,4"]);
    for text in ["Cafe\u{301}", "Caf\u{e9} "] {
        let found = query(&format!("SEARCH VECTOR [1, 1, 1] IN train WHERE label = '{text}' RETURN id"));
        assert_eq!(found.lines().count(), 4, "{text}: {found}");
    }
    assert!(refused(path, &["query", "DB", "-c", "LABEL ID 'f' AS '  '"]).contains("label"));
}

/// A database of photos, and a folder of `count` pictures that differ.
fn photos(folder: &Path, name: &str, count: u8) {
    std::fs::create_dir_all(folder.join(name)).unwrap();
    for shade in 0..count {
        let picture = image::RgbImage::from_fn(64, 48, |x, y| image::Rgb([(x * 3) as u8, shade * 40, (y * 4) as u8]));
        picture.save(folder.join(name).join(format!("{shade}.png"))).unwrap();
    }
}

/// It catches: a list's own id refused because it is the name of its file; the same photos added silently under other keys, or
/// from a folder reached through a link.
#[test]
fn keys_of_lists_replace_and_photos_that_come_twice_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    run_ok(path, &["create", "DB", "--model", "lite0-gem"]);
    photos(path, "card1", 3);
    photos(path, "card2", 4);
    std::fs::rename(path.join("card2/3.png"), path.join("card2/0.png")).unwrap();
    std::fs::write(path.join("list.csv"), "id,path\n0.png,card1/0.png\n1.png,card1/1.png\n2.png,card1/2.png\n")
        .unwrap();
    ok(path, &["ingest", "DB", "list.csv", "--as", "index"]);
    // Read as a folder, another card's photo is another photo; the list's word replaces it.
    let (code, text) = said(path, &["ingest", "DB", "card2", "--as", "index"]);
    assert!(code == Some(5) && text.contains("another photo"), "{text}");
    std::fs::write(path.join("list.csv"), "id,path\n0.png,card2/0.png\n").unwrap();
    assert!(ok(path, &["ingest", "DB", "list.csv", "--as", "index"]).contains("replaced 1"));
    // Through a link it is the same folder, and a photo that was changed there is that one.
    std::os::unix::fs::symlink("card2", path.join("link")).unwrap();
    std::fs::copy(path.join("card1/0.png"), path.join("card2/0.png")).unwrap();
    let text = ok(path, &["ingest", "DB", "link/../card2/.", "--as", "index"]);
    assert!(text.contains("replaced 1, unchanged 2, failed 0") && !text.contains("same photo"), "{text}");
    // Under other keys they are reported.
    std::fs::write(path.join("list.csv"), "id,path\nmine,card1/1.png\n").unwrap();
    let text = ok(path, &["ingest", "DB", "list.csv", "--as", "index"]);
    assert!(text.contains("1 added photo is the same as a stored one") && text.contains("'mine' is '1.png'"), "{text}");
    std::fs::create_dir(path.join("all")).unwrap();
    std::fs::rename(path.join("card1"), path.join("all/card1")).unwrap();
    let text = ok(path, &["ingest", "DB", "all", "--as", "index"]);
    assert!(text.contains("3 added photos are the same as stored ones"), "{text}");
}

/// It catches: Google Landmarks' lists refused, with the folder of their photos named or beside them.
#[test]
fn google_landmarks_layout_goes_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    run_ok(path, &["create", "DB", "--model", "lite0-gem"]);
    photos(path, "made", 2);
    let ids = ["6e158a47eb2ca3f6", "202cd79556f30760"];
    let mut list = "\"id\",\"url\",\"landmark_id\"\n".to_owned();
    for (id, photo) in ids.iter().zip(["0.png", "1.png"]) {
        let place = path.join(format!("gldv2/train/{}/{}/{}", &id[..1], &id[1..2], &id[2..3]));
        std::fs::create_dir_all(&place).unwrap();
        std::fs::copy(path.join("made").join(photo), place.join(format!("{id}.jpg"))).unwrap();
        list.push_str(&format!("\"{id}\",\"https://x/1.jpg\",\"142820\"\n"));
    }
    std::fs::write(path.join("gldv2/train.csv"), &list).unwrap();
    std::fs::write(path.join("train.csv"), &list).unwrap();
    assert!(ok(path, &["ingest", "DB", "gldv2/train.csv", "--as", "train"]).contains("added 2"));
    assert_eq!(labels(path), ["142820,2"]);
    let again = ok(path, &["ingest", "DB", "train.csv", "--as", "train", "--photos-from", "gldv2/train"]);
    assert!(again.contains("added 0, replaced 0, unchanged 2"), "{again}");
    // The list gives labels to a folder as well.
    let again = ok(path, &["ingest", "DB", "gldv2/train", "--labels", "train.csv", "--as", "train"]);
    assert!(again.contains("added 0, replaced 0, unchanged 2"), "{again}");
    std::fs::write(path.join("elsewhere.csv"), &list).unwrap();
    std::fs::rename(path.join("gldv2"), path.join("moved")).unwrap();
    assert!(refused(path, &["ingest", "DB", "elsewhere.csv", "--as", "train"]).contains("--photos-from"));
}

/// It catches: a pipe that is waited for, a device that is read without an end, standard input that is not read though it is asked for.
#[test]
fn pipes_and_devices_are_refused_and_standard_input_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    vectors(path);
    let pipe = std::process::Command::new("mkfifo").arg(path.join("pipe.npy")).arg(path.join("pipe")).status().unwrap();
    assert!(pipe.success());
    std::fs::write(path.join("labels.csv"), "id,label\na,x\nb,x\nc,y\nd,y\ne,z\nf,z\n").unwrap();
    std::fs::write(path.join("q.txt"), "q\n").unwrap();
    let (train, index) = (["--as", "train"], ["--as", "index"]);
    for words in [
        [&["ingest", "DB", "pipe.npy", "--ids", "ids.txt"][..], &index].concat(),
        [&["ingest", "DB", "v.npy", "--ids", "pipe"][..], &index].concat(),
        [&["ingest", "DB", "v.npy", "--ids", "/dev/zero"][..], &index].concat(),
        [&["ingest", "DB", "v.npy", "--ids", "ids.txt", "--labels", "pipe"][..], &train].concat(),
        vec!["query", "DB", "-c", "SEARCH QUERIES 'pipe.npy'"],
        vec!["eval", "DB", "--queries", "v.npy", "--query-ids", "q.txt", "--truth", "pipe"],
        vec!["eval", "DB", "--queries", "v.npy", "--query-ids", "pipe", "--truth", "labels.csv"],
        vec!["create", "M", "--model", "resnet18-gem", "--weights", "pipe"],
    ] {
        let error = refused(path, &words);
        let is_named = error.contains("not a regular file") || error.contains("'images'");
        assert!(is_named, "{words:?}: {error}");
    }
    let ids = std::fs::read(path.join("ids.txt")).unwrap();
    let (code, text) = with_input(path, &["ingest", "DB", "v.npy", "--ids", "-", "--as", "index"], &ids);
    assert!(code == Some(0) && text.contains("added 6"), "{text}");
    let list = std::fs::read(path.join("labels.csv")).unwrap();
    let words = ["ingest", "DB", "v.npy", "--ids", "ids.txt", "--labels", "-", "--as", "train"];
    let (code, text) = with_input(path, &words, &list);
    assert!(code == Some(0) && text.contains("replaced 6"), "{text}");
    let (code, text) =
        with_input(path, &["ingest", "DB", "v.npy", "--ids", "-", "--labels", "-", "--as", "train"], &list);
    assert!(code == Some(2) && text.contains("given twice"), "{text}");
    // No more is read than is wanted, however much there is.
    std::fs::File::create(path.join("ids.txt")).unwrap().set_len(3 << 30).unwrap();
    let error = refused(path, &["ingest", "DB", "v.npy", "--ids", "ids.txt", "--as", "index"]);
    assert!(error.contains("line 1 has more than 1024 bytes"), "{error}");
    std::fs::File::create(path.join("labels.csv")).unwrap().set_len(3 << 30).unwrap();
    std::fs::write(path.join("ids.txt"), ids).unwrap();
    let error =
        refused(path, &["ingest", "DB", "v.npy", "--ids", "ids.txt", "--labels", "labels.csv", "--as", "train"]);
    assert!(error.contains("a list may have 1073741824"), "{error}");
}
