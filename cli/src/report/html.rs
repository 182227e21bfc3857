//! A page as HTML. Maud's templates escape all data.

use cairn::Stage;
use maud::{Markup, PreEscaped, html};

use super::{Block, Measured, OPENING, Page, Shown, Sight, Strip, Tile};

const STYLE: &str = include_str!("style.css");

/// The methods as headings: name and short description.
const HEADINGS: [(&str, &str); 3] =
    [("kNN", "by similarity"), ("sort", "same prediction first"), ("sort + insert", "adds what similarity missed")];

/// Shortens long names in the middle; their ends tell them apart.
pub(super) fn short(text: &str, most: usize) -> String {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= most {
        return text.to_owned();
    }
    let head: String = chars[..most / 2].iter().collect();
    let tail: String = chars[chars.len() - (most - most / 2 - 1)..].iter().collect();
    format!("{head}\u{2026}{tail}")
}

pub(super) fn render(page: &Page) -> String {
    let body = html! {
        @if let Some(truth) = &page.truth { (measured(page, truth)) }
        (legend(page))
        @if let Some(selection) = &page.selection { p.note { (selection) } }
        (notes(&page.notes))
        @if page.blocks.is_empty() { p.note { "There are no queries." } }
        @for block in &page.blocks { (block_card(block)) }
    };
    document(&page.title, &page.facts, &page.pictures, &body)
}

/// A whole page: its head, the title and the facts, this body, and the footer.
pub(super) fn document(title: &str, facts: &[(String, String)], pictures: &[String], body: &Markup) -> String {
    let style: String =
        std::iter::once(STYLE.to_owned())
            .chain(pictures.iter().enumerate().map(|(number, picture)| {
                format!(".p{number}{{background-image:url(data:image/jpeg;base64,{picture})}}\n")
            }))
            .collect();
    let page = html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'";
            meta name="color-scheme" content="light dark";
            title { (title) }
            style { (PreEscaped(style)) }
        }
        body {
            main {
                header.top {
                    h1 { (title) }
                    dl.facts { @for (name, value) in facts { div { dt { (name) } dd { (value) } } } }
                }
                (body)
                footer {
                    "Made by Cairn " (env!("CARGO_PKG_VERSION"))
                    ". Two-stage discriminative re-ranking after Yokoo, Ozaki, Simo-Serra and Iizuka (CVPRW 2020)."
                }
            }
        }
    };
    // Names of files and labels may hold characters that no page may.
    let text = page.into_string().replace(|c: char| c.is_control() && c != '\n' && c != '\t', "\u{fffd}");
    format!("{OPENING}\n{text}\n</html>\n")
}

fn measured(page: &Page, truth: &Measured) -> Markup {
    let better = truth.queries.iter().filter(|ap| ap[2] > ap[0] + 1e-9).count();
    let worse = truth.queries.iter().filter(|ap| ap[2] < ap[0] - 1e-9).count();
    html! {
        section.card.measured {
            div {
                h2 { "Quality of the answers" }
                table {
                    thead { tr {
                        th { "method" }
                        th.wide { "mAP@" (page.depth) }
                        th { "P@10" }
                        th { "mean position" br; "of the first hit" }
                    } }
                    tbody {
                        @for ((name, words), metrics) in HEADINGS.iter().zip(&truth.metrics) {
                            @let map = format!("{:.2}", metrics.map * 100.0);
                            tr {
                                th scope="row" { (name) small { (words) } }
                                td.wide { div.bar { i style={ "width:" (map) "%" } {} b { (map) } } }
                                td { (format!("{:.2}", metrics.precision_at_10 * 100.0)) }
                                td { (format!("{:.2}", metrics.mean_position)) }
                            }
                        }
                    }
                }
                p.note {
                    "Against kNN, sort+insert improved " (better) " of " (truth.queries.len()) " queries and made " (worse)
                    " worse. mAP and P@10 in percent, higher is better; position 1 is best."
                }
            }
            @if truth.queries.len() > 1 { (chart(&truth.queries)) }
        }
    }
}

/// A coordinate of a drawing.
pub(super) fn at(value: f64) -> String {
    format!("{value:.1}")
}

/// A line for each query, from its average precision under kNN (ring) to that under sort+insert (dot).
fn chart(queries: &[[f64; 3]]) -> Markup {
    let mut sorted = queries.to_vec();
    sorted.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[2].total_cmp(&b[2])));
    let count = sorted.len() as f64;
    let x = |number: usize| at(34.0 + 450.0 * (number as f64 + 0.5) / count);
    let y = |value: f64| 172.0 - 158.0 * value;
    let radius = at((150.0 / count).clamp(1.2, 3.6));
    html! {
        figure {
            figcaption {
                "Average precision of each query: " span.ring { "\u{25cb}" } " kNN \u{2192} " span.dot { "\u{25cf}" } " sort+insert"
            }
            svg viewBox="0 0 490 184" role="img" aria-label="Average precision of each query under kNN and under sort+insert" {
                @for tick in [0, 25, 50, 75, 100] {
                    @let height = y(f64::from(tick) / 100.0);
                    line.grid x1="34" x2="484" y1=(at(height)) y2=(at(height)) {}
                    text x="28" y=(at(height + 3.5)) { (tick) }
                }
                @for (number, ap) in sorted.iter().enumerate() {
                    @let class = if ap[2] + 1e-9 < ap[0] { "worse" } else { "better" };
                    @let (x, from, to) = (x(number), at(y(ap[0])), at(y(ap[2])));
                    line class=(class) x1=(x) x2=(x) y1=(from) y2=(to) {}
                    circle.was cx=(x) cy=(from) r=(radius) {}
                    circle class=(class) cx=(x) cy=(to) r=(radius) {}
                }
            }
        }
    }
}

fn legend(page: &Page) -> Markup {
    html! {
        ul.legend {
            li { span.swatch.query {} "query" }
            @if page.truth.is_some() {
                li { span.swatch.right { "\u{2713}" } "right" }
                li { span.swatch.wrong { "\u{2717}" } "wrong" }
            }
            li { span.badge.positive { "positive" } "found, with the query's predicted instance" }
            li { span.badge.inserted { "+ inserted" } "not found by similarity; added because of its prediction" }
            li { span.badge.negative { "negative" } "found, with another predicted instance" }
            li { span.moved { "\u{25b2}4" } "ranks moved compared with kNN" }
            li.how { "k = " (page.k) " voters, \u{3c4} = " (page.tau) ", " (page.depth) " candidates" }
        }
    }
}

fn picture(sight: Sight, label: &str) -> Markup {
    html! {
        @if let Some(number) = sight.picture {
            div class={ "photo p" (number) } role="img" aria-label=(label) {}
        } @else {
            div.photo.none { span { (short(label, 40)) @if let Some(note) = sight.note { br; "(" (note) ")" } } }
        }
    }
}

/// The notes about the pictures of a page, one per line.
pub(super) fn notes(notes: &[String]) -> Markup {
    html! { @for note in notes { p.note { (note) } } }
}

fn block_card(block: &Block) -> Markup {
    html! {
        section.card.query-card {
            div.query {
                div.frame { (picture(block.sight, &block.name)) }
                h3 title=(block.name) { (short(&block.name, 44)) }
                @match &block.prediction {
                    Some((instance, score)) => {
                        p { "predicted " strong { (short(instance, 40)) } br; "score " (format!("{score:.2}")) }
                    }
                    None => p { "no prediction" },
                }
                @if let Some(relevant) = block.relevant {
                    p.dim { (relevant) " image" @if relevant != 1 { "s" } " to find" }
                }
            }
            div.strips {
                @for ((name, words), strip) in HEADINGS.iter().zip(&block.strips) { (strip_list(name, words, strip)) }
            }
        }
    }
}

fn strip_list(name: &str, words: &str, strip: &Strip) -> Markup {
    html! {
        div.strip {
            h4 {
                (name) small { (words) }
                span {
                    @if strip.inserted > 0 { em { (strip.inserted) " inserted" } }
                    @if let Some(right) = strip.right_of_ten { (right) " right in the first 10 \u{b7} " }
                    @if let Some(ap) = strip.average_precision { "AP " (format!("{:.1}", ap * 100.0)) " \u{b7} " }
                    (strip.rows) " rows"
                }
            }
            ol {
                @for shown in &strip.tiles {
                    @match shown {
                        Shown::Tile(tile) => (tile_item(tile)),
                        Shown::Gap(count) => li.gap { (count) br; "more" },
                    }
                }
                @if strip.rows == 0 { li.gap { "nothing" br; "found" } }
            }
        }
    }
}

fn tile_item(tile: &Tile) -> Markup {
    let (right, mark) = match tile.right {
        Some(true) => (" right", Some(("right", '\u{2713}'))),
        Some(false) => (" wrong", Some(("wrong", '\u{2717}'))),
        None => ("", None),
    };
    let stage = tile.stage.map_or("", Stage::word);
    html! {
        li class={ "tile" (right) " " (stage) } title=(tile.id) {
            div.frame {
                (picture(tile.sight, &tile.id))
                b.rank { (tile.rank) }
                @if let Some((label, mark)) = mark { b.mark aria-label=(label) { (mark) } }
            }
            div.text {
                @if let Some((instance, score)) = &tile.prediction {
                    strong { (short(instance, 34)) } span.score { (format!("{score:.2}")) }
                } @else {
                    strong.dim { (short(&tile.id, 34)) }
                }
            }
            div.foot {
                span.dim { "sim " (format!("{:.3}", tile.similarity)) }
                @if let Some(was) = tile.was {
                    @let (arrow, by) = if was > tile.rank { ('\u{25b2}', was - tile.rank) } else { ('\u{25bc}', tile.rank - was) };
                    span.moved title={ "kNN rank " (was) } { (arrow) (by) }
                }
                @match tile.stage {
                    Some(Stage::Inserted) => span.badge.inserted { "+ inserted" },
                    Some(stage) => span class={ "badge " (stage.word()) } { (stage.word()) },
                    None => {},
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_data_reaches_the_page_unescaped() {
        let nasty = "<script>alert('1')</script>\"&\u{1}";
        let tile = |stage| {
            Shown::Tile(Tile {
                id: nasty.to_owned(),
                rank: 1,
                similarity: 0.5,
                prediction: Some((nasty.to_owned(), 1.0)),
                stage,
                right: Some(false),
                was: Some(3),
                sight: Sight::default(),
            })
        };
        let strip = |stage| Strip {
            tiles: vec![tile(stage), Shown::Gap(2)],
            rows: 9,
            inserted: 1,
            right_of_ten: Some(1),
            average_precision: Some(0.5),
        };
        let page = Page {
            title: nasty.to_owned(),
            facts: vec![(nasty.to_owned(), nasty.to_owned())],
            truth: None,
            selection: Some(nasty.to_owned()),
            notes: vec![nasty.to_owned()],
            blocks: vec![Block {
                name: nasty.to_owned(),
                sight: Sight { picture: None, note: Some("file changed") },
                prediction: Some((nasty.to_owned(), 0.1)),
                relevant: Some(1),
                strips: [strip(None), strip(Some(Stage::Negative)), strip(Some(Stage::Inserted))],
            }],
            pictures: Vec::new(),
            k: 3,
            tau: 0.6,
            depth: 100,
        };
        let text = render(&page);
        assert!(!text.contains("<script") && !text.contains('\u{1}'));
        assert!(text.contains("&lt;script&gt;alert('1')&lt;/script&gt;&quot;&amp;\u{fffd}"));
        assert!(text.contains("+ inserted"));
        assert!(text.contains("\u{2717}"));
        assert_eq!(text.matches("<li").count(), text.matches("</li>").count());
        assert_eq!(text.matches("<div").count(), text.matches("</div>").count());
    }

    #[test]
    fn long_names_keep_both_ends() {
        assert_eq!(short("abcdefghij", 7), "abc\u{2026}hij");
        assert_eq!(short("äöü", 3), "äöü");
    }
}
