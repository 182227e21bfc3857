//! The page of a cleaning as HTML: an image, the finding about it, and beside it the image that contributed most, with a line for
//! each matching point.

use std::fmt::{Result, Write};

use cairn::clean::{Judgement, Witness};

use super::cleaning::{Finding, Page};
use super::html::{begin, end, escape, notes, short};
use super::pictures::Framed;
use crate::output::WOULD_EMPTY;

/// Gap between the two photos of a pair, in pixels of the drawing.
const GAP: f64 = 12.0;
/// Radius of the dot at the end of a line, in pixels of the drawing.
const DOT: f64 = 3.0;
/// Step of the hue from line to line, so that neighbours differ: the golden angle in degrees.
const HUE_STEP: f64 = 137.5;

pub(super) fn render(page: &Page) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_page(&mut out, page);
    out
}

fn write_page(out: &mut String, page: &Page) -> Result {
    begin(out, &page.title, &page.facts, &page.pictures)?;
    writeln!(out, "<section class=\"card did\">")?;
    for line in &page.words {
        writeln!(out, "<p>{}</p>", escape(line.trim()))?;
    }
    notes(out, &page.notes)?;
    writeln!(out, "</section>")?;
    for section in &page.sections {
        writeln!(out, "<h2>{}</h2>", escape(&section.heading))?;
        if let Some(note) = &section.note {
            writeln!(out, "<p class=\"note\">{}</p>", escape(note))?;
        }
        writeln!(out, "<div class=\"findings\">")?;
        for finding in &section.findings {
            write_finding(out, finding)?;
        }
        writeln!(out, "</div>")?;
    }
    end(out)
}

fn write_finding(out: &mut String, finding: &Finding) -> Result {
    let judged = &finding.judged;
    let class = match judged.judgement {
        Judgement::Kept | Judgement::NotCompared(_) => "kept",
        Judgement::Doubtful(_) => "doubtful",
        Judgement::Suspect { .. } => "suspect",
    };
    writeln!(out, "<article class=\"card finding {class}\"><header><b>{}</b>", finding.rank)?;
    match &judged.judgement {
        Judgement::Kept => write!(out, "<span>{} verified of {} compared</span>", judged.verified, judged.compared)?,
        Judgement::NotCompared(reason) => write!(out, "<span>{}</span>", escape(reason))?,
        Judgement::Doubtful(reason) => {
            write!(out, "<span>{}</span><small>{} compared</small>", escape(reason), judged.compared)?;
        }
        Judgement::Suspect { proposed, evidence } => {
            let percent = evidence.clamp(0.0, 1.0) * 100.0;
            write!(
                out,
                "<span><s>{}</s> \u{2192} <strong>{}</strong></span><div class=\"bar\" title=\"evidence against the label\"><i style=\"width:{percent:.1}%\"></i><b>{evidence:.3}</b></div>",
                escape(&short(&judged.label, 40)),
                escape(&short(proposed, 40))
            )?;
        }
    }
    if let Some(cleaning) = judged.marked {
        write!(out, "<small>marked by cleaning {cleaning}</small>")?;
    }
    if judged.would_empty {
        write!(out, "<small>{WOULD_EMPTY}</small>")?;
    }
    if let Some(note) = finding.note {
        write!(out, "<small>{note}</small>")?;
    }
    writeln!(out, "</header>")?;
    write_pair(out, finding)?;
    writeln!(out, "<footer class=\"names\">")?;
    name(out, &judged.key, &judged.label, "")?;
    match &judged.witness {
        Some(witness) => name(out, &witness.key, &witness.label, &measured(witness))?,
        None => writeln!(out, "<div class=\"dim\">nothing to compare with</div>")?,
    }
    writeln!(out, "</footer></article>")
}

fn name(out: &mut String, key: &str, label: &str, more: &str) -> Result {
    writeln!(
        out,
        "<div title=\"{}\"><strong>{}</strong><br><span class=\"dim\">{}{more}</span></div>",
        escape(key),
        escape(&short(label, 40)),
        escape(&short(key, 34))
    )
}

fn measured(witness: &Witness) -> String {
    let inliers = witness.inliers.map(|inliers| format!(", {inliers} inliers")).unwrap_or_default();
    if witness.similarity.is_finite() { format!("{inliers}, sim {:.3}", witness.similarity) } else { inliers }
}

/// Both photos at one height, with the lines over them.
fn write_pair(out: &mut String, finding: &Finding) -> Result {
    let side = |framed: Option<Framed>| framed.map_or((4.0, 3.0), |framed| (framed.width, framed.height));
    let (first, second) = (side(finding.picture), side(finding.witness));
    let height = first.1.max(second.1);
    let (scale, other) = (height / first.1, height / second.1);
    let width = first.0 * scale;
    let right = width + GAP * height / 480.0;
    let all = if finding.judged.witness.is_some() { right + second.0 * other } else { width };
    let percent = |part: f64| 100.0 * part / all;
    writeln!(out, "<div class=\"two\" style=\"aspect-ratio:{all:.1}/{height:.1}\">")?;
    photo(out, finding.picture, &finding.judged.key, 0.0, percent(width))?;
    let Some(witness) = &finding.judged.witness else { return writeln!(out, "</div>") };
    photo(out, finding.witness, &witness.key, percent(right), percent(second.0 * other))?;
    if finding.picture.is_some() && finding.witness.is_some() && !witness.lines.is_empty() {
        writeln!(
            out,
            "<svg viewBox=\"0 0 {all:.1} {height:.1}\" role=\"img\" aria-label=\"{} matching points of both photos\">",
            witness.lines.len()
        )?;
        let radius = DOT * height / 480.0;
        for (at, [from, to]) in witness.lines.iter().enumerate() {
            let (x1, y1) = (f64::from(from[0]) * scale, f64::from(from[1]) * scale);
            let (x2, y2) = (right + f64::from(to[0]) * other, f64::from(to[1]) * other);
            let hue = (HUE_STEP * at as f64) % 360.0;
            writeln!(
                out,
                "<g style=\"--hue:{hue:.0}\"><line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/><circle cx=\"{x1:.1}\" cy=\"{y1:.1}\" r=\"{radius:.1}\"/><circle cx=\"{x2:.1}\" cy=\"{y2:.1}\" r=\"{radius:.1}\"/></g>"
            )?;
        }
        writeln!(out, "</svg>")?;
    }
    writeln!(out, "</div>")
}

fn photo(out: &mut String, framed: Option<Framed>, key: &str, left: f64, width: f64) -> Result {
    let place = format!("style=\"left:{left:.2}%;width:{width:.2}%\"");
    match framed {
        Some(framed) => writeln!(
            out,
            "<div class=\"whole p{}\" {place} role=\"img\" aria-label=\"{}\"></div>",
            framed.picture,
            escape(key)
        ),
        None => writeln!(out, "<div class=\"whole none\" {place}><span>{}</span></div>", escape(&short(key, 40))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::cleaning::Section;
    use super::*;
    use cairn::clean::Judged;

    fn finding(judgement: Judgement, lines: Vec<[[f32; 2]; 2]>) -> Finding {
        let nasty = "<script>'\"&";
        let framed = |picture| Some(Framed { picture, width: 640.0, height: 480.0 });
        let witness = {
            let mut witness = Witness::default();
            witness.key = nasty.to_owned();
            witness.label = nasty.to_owned();
            witness.similarity = 0.5;
            witness.inliers = Some(2);
            witness.lines = lines;
            witness
        };
        Finding {
            rank: 1,
            judged: {
                let mut judged = Judged::default();
                judged.key = nasty.to_owned();
                judged.label = nasty.to_owned();
                judged.judgement = judgement;
                judged.compared = 3;
                judged.verified = 1;
                judged.witness = Some(witness);
                judged.marked = Some(7);
                judged.would_empty = true;
                judged
            },
            picture: framed(0),
            witness: framed(1).map(|framed| Framed { height: 960.0, ..framed }),
            note: Some("file changed"),
        }
    }

    fn rendered(findings: Vec<Finding>) -> String {
        render(&Page {
            title: "<script>".to_owned(),
            facts: Vec::new(),
            words: vec!["<script>".to_owned()],
            notes: vec!["<script>".to_owned()],
            sections: vec![Section { heading: "<script>".to_owned(), note: None, findings }],
            pictures: Vec::new(),
        })
    }

    #[test]
    fn nothing_from_data_reaches_the_page_unescaped() {
        let mut lonely = finding(Judgement::Doubtful("<script>".to_owned()), Vec::new());
        (lonely.judged.witness, lonely.witness, lonely.picture) = (None, None, None);
        let suspect = Judgement::Suspect { proposed: "<script>".to_owned(), evidence: 0.9 };
        let text = rendered(vec![finding(suspect, Vec::new()), finding(Judgement::Kept, Vec::new()), lonely]);
        assert!(!text.contains("<script"));
        assert!(text.contains("width:90.0%") && text.contains("nothing to compare with"));
        assert_eq!(text.matches("marked by cleaning 7").count(), 3);
        for tag in ["div", "article", "section", "footer", "span"] {
            let (open, close) = (text.matches(&format!("<{tag}")).count(), text.matches(&format!("</{tag}>")).count());
            assert_eq!(open, close, "{tag}");
        }
    }

    #[test]
    fn a_line_ends_in_both_photos_where_they_are_drawn() {
        let text = rendered(vec![finding(Judgement::Kept, vec![[[320.0, 240.0], [0.0, 960.0]]])]);
        // The first photo is drawn twice as large, 1280 x 960, the second one at its size, after the gap of 24.
        assert!(text.contains("<line x1=\"640.0\" y1=\"480.0\" x2=\"1304.0\" y2=\"960.0\"/>"), "{text}");
        assert!(text.contains("aspect-ratio:1944.0/960.0"));
    }
}
