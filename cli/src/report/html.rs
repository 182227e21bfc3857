//! A page as HTML. All data goes through [`escape`].

use std::fmt::Write;

use cairn::Stage;

use super::{Block, Measured, OPENING, Page, Shown, Sight, Strip, Tile};

const STYLE: &str = include_str!("style.css");

/// The methods as headings: name and short description.
const HEADINGS: [(&str, &str); 3] =
    [("kNN", "by similarity"), ("sort", "same prediction first"), ("sort + insert", "adds what similarity missed")];

/// Text that is safe between tags and in quoted attributes.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c if c.is_control() && c != '\n' && c != '\t' => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

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
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_page(&mut out, page);
    out
}

/// The start of a page.
pub(super) fn begin(
    out: &mut String,
    title: &str,
    facts: &[(String, String)],
    pictures: &[String],
) -> std::fmt::Result {
    let title = escape(title);
    writeln!(out, "{OPENING}\n<head>\n<meta charset=\"utf-8\">")?;
    writeln!(out, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")?;
    writeln!(
        out,
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
    )?;
    writeln!(out, "<meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>\n{STYLE}")?;
    for (number, picture) in pictures.iter().enumerate() {
        writeln!(out, ".p{number}{{background-image:url(data:image/jpeg;base64,{picture})}}")?;
    }
    writeln!(out, "</style>\n</head>\n<body>\n<main>\n<header class=\"top\"><h1>{title}</h1>")?;
    writeln!(out, "<dl class=\"facts\">")?;
    for (name, value) in facts {
        writeln!(out, "<div><dt>{}</dt><dd>{}</dd></div>", escape(name), escape(value))?;
    }
    writeln!(out, "</dl></header>")
}

/// The end of a page.
pub(super) fn end(out: &mut String) -> std::fmt::Result {
    writeln!(
        out,
        "<footer>Made by Cairn {}. Two-stage discriminative re-ranking after Yokoo, Ozaki, Simo-Serra and Iizuka (CVPRW 2020).</footer>",
        env!("CARGO_PKG_VERSION")
    )?;
    writeln!(out, "</main>\n</body>\n</html>")
}

fn write_page(out: &mut String, page: &Page) -> std::fmt::Result {
    begin(out, &page.title, &page.facts, &page.pictures)?;
    if let Some(truth) = &page.truth {
        measured(out, page, truth)?;
    }
    legend(out, page)?;
    if let Some(selection) = &page.selection {
        writeln!(out, "<p class=\"note\">{}</p>", escape(selection))?;
    }
    notes(out, &page.notes)?;
    if page.blocks.is_empty() {
        writeln!(out, "<p class=\"note\">There are no queries.</p>")?;
    }
    for block in &page.blocks {
        write_block(out, block)?;
    }
    end(out)
}

fn measured(out: &mut String, page: &Page, truth: &Measured) -> std::fmt::Result {
    writeln!(
        out,
        "<section class=\"card measured\"><div><h2>Quality of the answers</h2><table><thead><tr><th>method</th>"
    )?;
    writeln!(
        out,
        "<th class=\"wide\">mAP@{}</th><th>P@10</th><th>mean position<br>of the first hit</th></tr></thead><tbody>",
        page.depth
    )?;
    for ((name, words), metrics) in HEADINGS.iter().zip(&truth.metrics) {
        let map = metrics.map * 100.0;
        writeln!(
            out,
            "<tr><th scope=\"row\">{name}<small>{words}</small></th><td class=\"wide\"><div class=\"bar\"><i style=\"width:{map:.2}%\"></i><b>{map:.2}</b></div></td><td>{:.2}</td><td>{:.2}</td></tr>",
            metrics.precision_at_10 * 100.0,
            metrics.mean_position
        )?;
    }
    let better = truth.queries.iter().filter(|ap| ap[2] > ap[0] + 1e-9).count();
    let worse = truth.queries.iter().filter(|ap| ap[2] < ap[0] - 1e-9).count();
    writeln!(out, "</tbody></table>")?;
    writeln!(
        out,
        "<p class=\"note\">Against kNN, sort+insert improved {better} of {} queries and made {worse} worse. mAP and P@10 in percent, higher is better; position 1 is best.</p></div>",
        truth.queries.len()
    )?;
    if truth.queries.len() > 1 {
        chart(out, &truth.queries)?;
    }
    writeln!(out, "</section>")
}

/// A line for each query, from its average precision under kNN (ring) to that under sort+insert (dot).
fn chart(out: &mut String, queries: &[[f64; 3]]) -> std::fmt::Result {
    let mut sorted = queries.to_vec();
    sorted.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[2].total_cmp(&b[2])));
    let x = |at: usize| 34.0 + 450.0 * (at as f64 + 0.5) / sorted.len() as f64;
    let y = |value: f64| 172.0 - 158.0 * value;
    let radius = (150.0 / sorted.len() as f64).clamp(1.2, 3.6);
    writeln!(
        out,
        "<figure><figcaption>Average precision of each query: <span class=\"ring\">\u{25cb}</span> kNN \u{2192} <span class=\"dot\">\u{25cf}</span> sort+insert</figcaption>"
    )?;
    writeln!(
        out,
        "<svg viewBox=\"0 0 490 184\" role=\"img\" aria-label=\"Average precision of each query under kNN and under sort+insert\">"
    )?;
    for tick in [0, 25, 50, 75, 100] {
        let at = y(f64::from(tick) / 100.0);
        writeln!(
            out,
            "<line class=\"grid\" x1=\"34\" x2=\"484\" y1=\"{at:.1}\" y2=\"{at:.1}\"/><text x=\"28\" y=\"{:.1}\">{tick}</text>",
            at + 3.5
        )?;
    }
    for (at, ap) in sorted.iter().enumerate() {
        let class = if ap[2] + 1e-9 < ap[0] { "worse" } else { "better" };
        let (px, from, to) = (x(at), y(ap[0]), y(ap[2]));
        writeln!(out, "<line class=\"{class}\" x1=\"{px:.1}\" x2=\"{px:.1}\" y1=\"{from:.1}\" y2=\"{to:.1}\"/>")?;
        writeln!(
            out,
            "<circle class=\"was\" cx=\"{px:.1}\" cy=\"{from:.1}\" r=\"{radius:.1}\"/><circle class=\"{class}\" cx=\"{px:.1}\" cy=\"{to:.1}\" r=\"{radius:.1}\"/>"
        )?;
    }
    writeln!(out, "</svg></figure>")
}

fn legend(out: &mut String, page: &Page) -> std::fmt::Result {
    writeln!(out, "<ul class=\"legend\">")?;
    writeln!(out, "<li><span class=\"swatch query\"></span>query</li>")?;
    if page.truth.is_some() {
        writeln!(
            out,
            "<li><span class=\"swatch right\">\u{2713}</span>right</li><li><span class=\"swatch wrong\">\u{2717}</span>wrong</li>"
        )?;
    }
    writeln!(out, "<li><span class=\"badge positive\">positive</span>found, with the query's predicted instance</li>")?;
    writeln!(
        out,
        "<li><span class=\"badge inserted\">+ inserted</span>not found by similarity; added because of its prediction</li>"
    )?;
    writeln!(out, "<li><span class=\"badge negative\">negative</span>found, with another predicted instance</li>")?;
    writeln!(out, "<li><span class=\"moved\">\u{25b2}4</span>ranks moved compared with kNN</li>")?;
    writeln!(
        out,
        "<li class=\"how\">k = {} voters, \u{3c4} = {}, {} candidates</li></ul>",
        page.k, page.tau, page.depth
    )
}

fn picture(out: &mut String, sight: Sight, label: &str) -> std::fmt::Result {
    match sight.picture {
        Some(number) => {
            write!(out, "<div class=\"photo p{number}\" role=\"img\" aria-label=\"{}\"></div>", escape(label))
        }
        None => write!(
            out,
            "<div class=\"photo none\"><span>{}{}</span></div>",
            escape(&short(label, 40)),
            sight.note.map(|note| format!("<br>({note})")).unwrap_or_default()
        ),
    }
}

/// The notes about the pictures of a page, one per line.
pub(super) fn notes(out: &mut String, notes: &[String]) -> std::fmt::Result {
    notes.iter().try_for_each(|note| writeln!(out, "<p class=\"note\">{}</p>", escape(note)))
}

fn write_block(out: &mut String, block: &Block) -> std::fmt::Result {
    writeln!(out, "<section class=\"card query-card\"><div class=\"query\"><div class=\"frame\">")?;
    picture(out, block.sight, &block.name)?;
    writeln!(out, "</div><h3 title=\"{}\">{}</h3>", escape(&block.name), escape(&short(&block.name, 44)))?;
    match &block.prediction {
        Some((instance, score)) => {
            writeln!(out, "<p>predicted <strong>{}</strong><br>score {score:.2}</p>", escape(&short(instance, 40)))?;
        }
        None => writeln!(out, "<p>no prediction</p>")?,
    }
    if let Some(relevant) = block.relevant {
        writeln!(out, "<p class=\"dim\">{relevant} image{} to find</p>", if relevant == 1 { "" } else { "s" })?;
    }
    writeln!(out, "</div><div class=\"strips\">")?;
    for ((name, words), strip) in HEADINGS.iter().zip(&block.strips) {
        write_strip(out, name, words, strip)?;
    }
    writeln!(out, "</div></section>")
}

fn write_strip(out: &mut String, name: &str, words: &str, strip: &Strip) -> std::fmt::Result {
    write!(out, "<div class=\"strip\"><h4>{name}<small>{words}</small><span>")?;
    if strip.inserted > 0 {
        write!(out, "<em>{} inserted</em>", strip.inserted)?;
    }
    if let Some(right) = strip.right_of_ten {
        write!(out, "{right} right in the first 10 \u{b7} ")?;
    }
    if let Some(ap) = strip.average_precision {
        write!(out, "AP {:.1} \u{b7} ", ap * 100.0)?;
    }
    write!(out, "{} rows", strip.rows)?;
    writeln!(out, "</span></h4><ol>")?;
    for shown in &strip.tiles {
        match shown {
            Shown::Tile(tile) => write_tile(out, tile)?,
            Shown::Gap(count) => writeln!(out, "<li class=\"gap\">{count}<br>more</li>")?,
        }
    }
    if strip.rows == 0 {
        writeln!(out, "<li class=\"gap\">nothing<br>found</li>")?;
    }
    writeln!(out, "</ol></div>")
}

fn write_tile(out: &mut String, tile: &Tile) -> std::fmt::Result {
    let (right, mark) = match tile.right {
        Some(true) => (" right", "<b class=\"mark\" aria-label=\"right\">\u{2713}</b>"),
        Some(false) => (" wrong", "<b class=\"mark\" aria-label=\"wrong\">\u{2717}</b>"),
        None => ("", ""),
    };
    let stage = tile.stage.map_or("", Stage::word);
    write!(out, "<li class=\"tile{right} {stage}\" title=\"{}\"><div class=\"frame\">", escape(&tile.id))?;
    picture(out, tile.sight, &tile.id)?;
    write!(out, "<b class=\"rank\">{}</b>{mark}</div><div class=\"text\">", tile.rank)?;
    match &tile.prediction {
        Some((instance, score)) => {
            write!(out, "<strong>{}</strong><span class=\"score\">{score:.2}</span>", escape(&short(instance, 34)))?
        }
        None => write!(out, "<strong class=\"dim\">{}</strong>", escape(&short(&tile.id, 34)))?,
    }
    write!(out, "</div><div class=\"foot\"><span class=\"dim\">sim {:.3}</span>", tile.similarity)?;
    if let Some(was) = tile.was {
        let (arrow, by) = if was > tile.rank { ('\u{25b2}', was - tile.rank) } else { ('\u{25bc}', tile.rank - was) };
        write!(out, "<span class=\"moved\" title=\"kNN rank {was}\">{arrow}{by}</span>")?;
    }
    match tile.stage {
        Some(Stage::Inserted) => write!(out, "<span class=\"badge inserted\">+ inserted</span>")?,
        Some(stage) => write!(out, "<span class=\"badge {0}\">{0}</span>", stage.word())?,
        None => {}
    }
    writeln!(out, "</div></li>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_data_reaches_the_page_unescaped() {
        let nasty = "<script>alert('1')</script>\"&\u{1}";
        assert_eq!(escape(nasty), "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot;&amp;\u{fffd}");
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
        assert!(!text.contains("<script"));
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
