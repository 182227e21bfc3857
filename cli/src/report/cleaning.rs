//! Turns a cleaning into the plain data of a page: which images it shows, each beside the one that contributed most.

use cairn::clean::{Cleaning, Judged, Judgement};
use cairn::language::CleanRule;

use super::names::{named, without_paths};
use super::pair::{MOST_DRAWN, holding, sample};
use super::pictures::{FRAME, Framed, Pictures};
use crate::failure::Result;
use crate::output::summary;

/// Number of images shown of those that were found.
const MOST_FOUND: usize = 120;
/// Number of images shown of those that passed.
const MOST_PASSED: usize = 12;

/// The data of the page.
pub(super) struct Page {
    pub(super) title: String,
    /// Name and value.
    pub(super) facts: Vec<(String, String)>,
    /// What the cleaning found and did.
    pub(super) words: Vec<String>,
    /// Notes about the pictures.
    pub(super) notes: Vec<String>,
    pub(super) sections: Vec<Section>,
    /// JPEGs in base64, without repetitions.
    pub(super) pictures: Vec<String>,
}

/// Images of one kind.
pub(super) struct Section {
    pub(super) heading: String,
    /// Which of them are shown, if not all are.
    pub(super) note: Option<String>,
    pub(super) findings: Vec<Finding>,
}

/// An image and the finding about it.
pub(super) struct Finding {
    /// Its rank among those of its kind, from 1.
    pub(super) rank: usize,
    pub(super) judged: Judged,
    pub(super) picture: Option<Framed>,
    pub(super) witness: Option<Framed>,
    /// Notes about the pictures.
    pub(super) note: Option<&'static str>,
}

pub(super) fn page(facts: Vec<(String, String)>, mut pictures: Pictures<'_>, cleaning: &Cleaning) -> Result<Page> {
    let kind = |is_it: fn(&Judgement) -> bool| -> Vec<&Judged> {
        cleaning.judged.iter().filter(|judged| is_it(&judged.judgement)).collect()
    };
    let mut found = kind(Judgement::is_found);
    let kept = kind(|judgement| *judgement == Judgement::Kept);
    let not_compared = kind(|judgement| matches!(judgement, Judgement::NotCompared(_)));
    let paper = cleaning.plan.rule == CleanRule::Paper;
    if paper {
        // Images of one label are adjacent; suspects stay in the order of their evidence.
        found.sort_by(|a, b| (&a.label, &a.key).cmp(&(&b.label, &b.key)));
    }
    let (all, shown) = (found.len(), found.len().min(MOST_FOUND));
    let heading = match (paper, all) {
        (true, 0) if not_compared.is_empty() => "Every image passes".to_owned(),
        (true, 0) => "No image is doubtful".to_owned(),
        (false, 0) => "No label is doubtful".to_owned(),
        (true, _) => format!("Doubtful: {all}"),
        (false, _) => format!("Suspects: {all}"),
    };
    let mut sections = vec![Section {
        heading,
        note: (shown < all).then(|| format!("The first {shown} of {all} are shown; --format csv lists all.")),
        findings: findings(&found[..shown], &mut pictures)?,
    }];
    if !not_compared.is_empty() {
        let (all, shown) = (not_compared.len(), not_compared.len().min(MOST_PASSED));
        sections.push(Section {
            heading: format!("Not compared: {all}"),
            note: (shown < all).then(|| format!("The first {shown} of {all}.")),
            findings: findings(&not_compared[..shown], &mut pictures)?,
        });
    }
    if !kept.is_empty() {
        let (all, sample) = (kept.len(), sample(&kept, MOST_PASSED));
        sections.push(Section {
            heading: format!("Passed: {all}"),
            note: (sample.len() < all).then(|| format!("{} of {all}, evenly spaced.", sample.len())),
            findings: findings(&sample, &mut pictures)?,
        });
    }
    let mut facts = facts;
    facts.push(("rule".to_owned(), without_paths(&cleaning.what)));
    let (notes, pictures) = pictures.finish();
    Ok(Page {
        title: if paper { "Cleaning of the train images" } else { "Doubtful labels of the train images" }.to_owned(),
        facts,
        words: summary(cleaning).iter().map(|line| without_paths(line)).collect(),
        notes,
        sections,
        pictures,
    })
}

fn findings(list: &[&Judged], pictures: &mut Pictures<'_>) -> Result<Vec<Finding>> {
    let mut findings = Vec::with_capacity(list.len());
    for (at, &judged) in list.iter().enumerate() {
        let mut judged = judged.clone();
        let (mut picture, mut note) = pictures.framed(&judged.key, FRAME)?;
        let mut witness = None;
        if let Some(of) = &mut judged.witness {
            of.lines = sample(&of.lines, MOST_DRAWN);
            let other;
            (witness, other) = pictures.framed(&of.key, FRAME)?;
            note = note.or(other);
            of.key = named(&of.key);
            picture = picture.map(|framed| holding(framed, of.lines.iter().map(|line| line[0])));
            witness = witness.map(|framed| holding(framed, of.lines.iter().map(|line| line[1])));
        }
        judged.key = named(&judged.key);
        if let Judgement::NotCompared(reason) | Judgement::Doubtful(reason) = &mut judged.judgement {
            *reason = without_paths(reason);
        }
        findings.push(Finding { rank: at + 1, judged, picture, witness, note });
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn::clean::Witness;
    use cairn::language::CleanPlan;
    use cairn::{Database, Operation, Options, Put};

    /// A photo of slanted stripes, wider than the frame.
    fn photo(red: u8) -> Vec<u8> {
        let stripes = image::RgbImage::from_fn(800, 600, |x, y| image::Rgb([red, ((x + y) / 3 % 256) as u8, 90]));
        let mut bytes = std::io::Cursor::new(Vec::new());
        stripes.write_to(&mut bytes, image::ImageFormat::Jpeg).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn a_page_shows_what_is_doubtful_beside_its_best_pair_and_then_some_that_passed() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::create(folder.path().join("db"), Options::for_vectors(2)).unwrap();
        let put = |key: &str, photo| {
            let label = Some("tower".to_owned());
            Operation::Put({
                let mut put = Put::new(key.to_owned(), vec![1.0, 0.5]);
                put.label = label;
                put.photo = photo;
                put
            })
        };
        database.write(vec![put("a", Some(photo(20))), put("b", Some(photo(200))), put("c", None)]).unwrap();
        let lines = (0..200).map(|n| [[3.0 * n as f32, 2.4 * n as f32], [2.0 * n as f32, 300.0]]).collect();
        let judged = |key: &str, judgement, other: &str, lines| {
            let mut judged = Judged::default();
            judged.key = key.to_owned();
            judged.label = "tower".to_owned();
            judged.judgement = judgement;
            judged.compared = 2;
            judged.verified = 1;
            judged.witness = Some({
                let mut witness = Witness::default();
                witness.key = other.to_owned();
                witness.label = "tower".to_owned();
                witness.similarity = 0.8;
                witness.inliers = Some(200);
                witness.lines = lines;
                witness
            });
            judged.would_empty = false;
            judged
        };
        let doubtful = Judgement::Doubtful("1 of 3 verified pairs".to_owned());
        let cleaning = {
            let mut cleaning = Cleaning::default();
            cleaning.plan = CleanPlan::default();
            cleaning.what = "RULE paper".to_owned();
            cleaning.judged = vec![judged("a", doubtful, "b", lines), judged("b", Judgement::Kept, "c", Vec::new())];
            cleaning.found = 1;
            cleaning
        };
        let (snapshot, folders) = (database.snapshot(), super::super::PhotoFolders::default());
        let page = page(Vec::new(), Pictures::new(&snapshot, &folders), &cleaning).unwrap();
        let headings: Vec<&str> = page.sections.iter().map(|section| section.heading.as_str()).collect();
        assert_eq!(headings, ["Doubtful: 1", "Passed: 1"]);
        assert_eq!(page.pictures.len(), 2, "each photo is there once, though b is shown twice");
        let (first, second) = (&page.sections[0].findings[0], &page.sections[1].findings[0]);
        assert_eq!(first.picture, Some(Framed { picture: 0, width: 640.0, height: 480.0 }));
        assert_eq!(first.judged.witness.as_ref().map(|witness| witness.lines.len()), Some(MOST_DRAWN));
        assert!(second.witness.is_none(), "c has no photo");
        let text = super::super::cleaning_html::render(&page);
        assert_eq!(text.matches("<line ").count(), MOST_DRAWN);
        assert_eq!(text.matches("data:image/jpeg").count(), 2);
    }
}
