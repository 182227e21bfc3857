//! The page of a recognition: each query beside the train images that elected its label, with a line for each inlier.

use cairn::reports::{Asked, Recognitions};
use cairn::{NearImage, Photo, Recognition, Verdict};
use cairndb_ingest::photo::{DecodeLimits, read_file};
use maud::{Markup, html};

use super::MOST_QUERIES;
use super::html::{document, notes, short};
use super::names::{named, without_paths};
use super::pair::{MOST_DRAWN, holding, pair, sample};
use super::pictures::{FRAME, Framed, Pictures};
use crate::failure::Result;
use crate::output::{counted, notices, sentence};

/// Number of train images shown for a query.
const MOST_IMAGES: usize = 12;

/// A query, and what is shown of it.
struct Block {
    name: String,
    words: String,
    known: bool,
    images: Vec<Beside>,
    picture: Option<Framed>,
}

/// A near train image beside the query.
struct Beside {
    image: NearImage,
    /// The query in the frame of these lines.
    query: Option<Framed>,
    picture: Option<Framed>,
    note: Option<&'static str>,
}

/// The page as HTML.
///
/// # Errors
/// When the database cannot be read.
pub(super) fn page(facts: Vec<(String, String)>, mut pictures: Pictures<'_>, found: &Recognitions) -> Result<String> {
    let all = found.asked.len();
    let shown = all.min(MOST_QUERIES);
    let mut blocks = Vec::with_capacity(shown);
    for (asked, recognition) in found.asked.iter().zip(&found.recognitions).take(shown) {
        blocks.push(block(asked, recognition, &mut pictures)?);
    }
    let known = found.recognitions.iter().filter(|one| one.verdict == Verdict::Known).count();
    let mut words = vec![format!("{}: {known} known, {} not", counted(all, "photo"), all - known)];
    words.extend(notices(found).iter().map(|line| without_paths(line)));
    if shown < all {
        words.push(format!("The first {shown} of {all} are shown; --format csv lists all."));
    }
    let title = match found.asked.as_slice() {
        [one] => format!("Recognition: {}", named(&one.name)),
        many => format!("Recognition: {} photos", many.len()),
    };
    let (about_pictures, pictures) = pictures.finish();
    Ok(document(&title, &facts, &pictures, &render(&words, &about_pictures, &blocks)))
}

fn block(asked: &Asked, recognition: &Recognition, pictures: &mut Pictures<'_>) -> Result<Block> {
    let picture = match (&asked.photo, &asked.query.without) {
        // The user names this file, in the statement or in a list: its path does not come from the database.
        (Some(Photo::File(path)), _) => {
            read_file(path, &DecodeLimits::default()).ok().and_then(|bytes| pictures.framed_photo(&bytes, FRAME))
        }
        (Some(Photo::Bytes(bytes)), _) => pictures.framed_photo(bytes, FRAME),
        (None, Some(key)) => pictures.framed(key, FRAME)?.0,
        (None, None) => None,
    };
    let mut images = Vec::new();
    for image in recognition.images.iter().take(MOST_IMAGES) {
        let (framed, note) = pictures.framed(&image.key, FRAME)?;
        let mut image = image.clone();
        image.lines = sample(&image.lines, MOST_DRAWN);
        image.key = named(&image.key);
        images.push(Beside {
            query: picture.map(|framed| holding(framed, image.lines.iter().map(|line| line[0]))),
            picture: framed.map(|framed| holding(framed, image.lines.iter().map(|line| line[1]))),
            image,
            note,
        });
    }
    Ok(Block {
        name: named(&asked.name),
        words: sentence(recognition),
        known: recognition.verdict == Verdict::Known,
        images,
        picture,
    })
}

fn render(words: &[String], about_pictures: &[String], blocks: &[Block]) -> Markup {
    html! {
        section.card.did {
            @for line in words { p { (line.trim()) } }
            (notes(about_pictures))
        }
        @for block in blocks {
            h2 { (short(&block.name, 60)) }
            p.note { (block.words) }
            div.findings {
                @if block.images.is_empty() {
                    article.card.finding { (pair((&block.name, block.picture), None)) }
                }
                @for (at, beside) in block.images.iter().enumerate() { (card(block, at, beside)) }
            }
        }
    }
}

fn card(block: &Block, at: usize, Beside { image, query, picture, note }: &Beside) -> Markup {
    let class = if block.known { "kept" } else { "doubtful" };
    let inliers = image.inliers.map_or_else(|| "not compared".to_owned(), |count| counted(count as usize, "inlier"));
    html! {
        article class={ "card finding " (class) } {
            header {
                b { (at + 1) }
                span { (format!("similarity {:.3}", image.similarity)) }
                small { (inliers) }
                @if let Some(note) = note { small { (note) } }
            }
            (pair((&block.name, *query), Some((&image.key, *picture, &image.lines))))
            footer.names {
                div title=(block.name) { span.dim { (short(&block.name, 34)) } }
                div title=(image.key) { strong { (short(&image.label, 40)) } br; span.dim { (short(&image.key, 34)) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It catches: text of the data that a browser would read as markup, a missing picture that ends a page.
    #[test]
    fn nothing_from_data_reaches_the_page_unescaped() {
        let nasty = "<script>'\"&".to_owned();
        let image = {
            let mut image = NearImage::default();
            (image.key, image.label, image.inliers) = (nasty.clone(), nasty.clone(), Some(2));
            image.lines = vec![[[320.0, 240.0], [0.0, 480.0]]];
            image
        };
        let framed = Some(Framed { picture: 0, width: 640.0, height: 480.0 });
        let beside = |picture| Beside { image: image.clone(), query: framed, picture, note: Some("file changed") };
        let block = |images| Block { name: nasty.clone(), words: nasty.clone(), known: true, images, picture: None };
        let blocks = [block(vec![beside(framed), beside(None)]), block(Vec::new())];
        let text = render(std::slice::from_ref(&nasty), std::slice::from_ref(&nasty), &blocks).into_string();
        assert!(!text.contains("<script"));
        assert_eq!(text.matches("<line ").count(), 1, "without a picture nothing is drawn");
        assert_eq!(text.matches("2 inliers").count(), 2);
        assert!(text.contains("<line x1=\"320.0\" y1=\"240.0\" x2=\"652.0\" y2=\"480.0\">"), "{text}");
    }
}
