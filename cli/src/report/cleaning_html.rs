//! The page of a cleaning as HTML: an image, the finding about it, and beside it the image that contributed most, with a line for
//! each matching point.

use cairn::clean::{Judgement, Witness};
use maud::{Markup, html};

use super::cleaning::{Finding, Page};
use super::html::{at, document, notes, short};
use super::pair::pair;
use crate::output::WOULD_EMPTY;

pub(super) fn render(page: &Page) -> String {
    let body = html! {
        section.card.did {
            @for line in &page.words { p { (line.trim()) } }
            (notes(&page.notes))
        }
        @for section in &page.sections {
            h2 { (section.heading) }
            @if let Some(note) = &section.note { p.note { (note) } }
            div.findings { @for finding in &section.findings { (card(finding)) } }
        }
    };
    document(&page.title, &page.facts, &page.pictures, &body)
}

fn card(finding: &Finding) -> Markup {
    let judged = &finding.judged;
    let class = match judged.judgement {
        Judgement::Kept | Judgement::NotCompared(_) => "kept",
        Judgement::Doubtful(_) => "doubtful",
        Judgement::Suspect { .. } => "suspect",
    };
    html! {
        article class={ "card finding " (class) } {
            header {
                b { (finding.rank) }
                @match &judged.judgement {
                    Judgement::Kept => span { (judged.verified) " verified of " (judged.compared) " compared" },
                    Judgement::NotCompared(reason) => span { (reason) },
                    Judgement::Doubtful(reason) => { span { (reason) } small { (judged.compared) " compared" } }
                    Judgement::Suspect { proposed, evidence } => {
                        span { s { (short(&judged.label, 40)) } " \u{2192} " strong { (short(proposed, 40)) } }
                        div.bar title="evidence against the label" {
                            i style={ "width:" (at(evidence.clamp(0.0, 1.0) * 100.0)) "%" } {}
                            b { (format!("{evidence:.3}")) }
                        }
                    }
                }
                @if let Some(cleaning) = judged.marked { small { "marked by cleaning " (cleaning) } }
                @if judged.would_empty { small { (WOULD_EMPTY) } }
                @if let Some(note) = finding.note { small { (note) } }
            }
            (pair((&judged.key, finding.picture), judged.witness.as_ref().map(|of| (&*of.key, finding.witness, &*of.lines))))
            footer.names {
                (name(&judged.key, &judged.label, ""))
                @match &judged.witness {
                    Some(witness) => (name(&witness.key, &witness.label, &measured(witness))),
                    None => div.dim { "nothing to compare with" },
                }
            }
        }
    }
}

fn name(key: &str, label: &str, more: &str) -> Markup {
    html! { div title=(key) { strong { (short(label, 40)) } br; span.dim { (short(key, 34)) (more) } } }
}

fn measured(witness: &Witness) -> String {
    let inliers = witness.inliers.map(|inliers| format!(", {inliers} inliers")).unwrap_or_default();
    if witness.similarity.is_finite() { format!("{inliers}, sim {:.3}", witness.similarity) } else { inliers }
}

#[cfg(test)]
mod tests {
    use super::super::cleaning::Section;
    use super::super::pictures::Framed;
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
        assert!(text.contains("<line x1=\"640.0\" y1=\"480.0\" x2=\"1304.0\" y2=\"960.0\"></line>"), "{text}");
        assert!(text.contains("aspect-ratio:1944.0/960.0"));
    }
}
