//! The page of a comparison: plots of means with their ranges, and the table.

use maud::{Markup, html};

use super::html::{at, document, notes, short};
use crate::output::Cell;

/// Number of colours and shapes; series beyond them repeat.
const STYLES: usize = 5;
/// Where the plot begins and ends, in the drawing's units.
const LEFT: f64 = 180.0;
const RIGHT: f64 = 640.0;
/// Height of a mark's line, and of the space between groups.
const LINE: f64 = 9.0;
const SPACE: f64 = 8.0;
/// Height of the axis above the first group.
const TOP: f64 = 18.0;

/// A comparison: its table, and a plot of each measure.
#[derive(Debug, Default)]
pub(crate) struct Sheet {
    pub(crate) columns: Vec<String>,
    /// One cell for each column.
    pub(crate) rows: Vec<Vec<Cell>>,
    /// What holds for the whole table.
    pub(crate) notes: Vec<String>,
    /// Names of the marks.
    pub(crate) series: Vec<String>,
    pub(crate) charts: Vec<Chart>,
}

/// The plot of a measure.
#[derive(Debug)]
pub(crate) struct Chart {
    pub(crate) title: String,
    /// From top to bottom.
    pub(crate) groups: Vec<Group>,
}

/// Marks that stand together.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) marks: Vec<Mark>,
}

/// A mean in percent, and its range.
#[derive(Debug)]
pub(crate) struct Mark {
    /// Number of its series.
    pub(crate) series: usize,
    pub(crate) least: f64,
    pub(crate) mean: f64,
    pub(crate) most: f64,
}

pub(super) fn render(title: &str, facts: &[(String, String)], sheet: &Sheet) -> String {
    let body = html! {
        section.card {
            ul.legend {
                @for (number, name) in sheet.series.iter().enumerate() {
                    li { span class={ "series s" (number % STYLES) } { "\u{25cf}" } (name) }
                }
            }
            div.charts { @for chart in &sheet.charts { (plot(chart)) } }
            p.note { "Dots are means in percent, lines their ranges." }
        }
        section.card.sheet {
            table {
                thead { tr { @for name in &sheet.columns { th { (name) } } } }
                tbody { @for row in &sheet.rows { tr { @for cell in row { (shown(cell)) } } } }
            }
            (notes(&sheet.notes))
        }
    };
    document(title, facts, &[], &body)
}

fn shown(cell: &Cell) -> Markup {
    html! { @if cell.is_number() { td { (cell.shown()) } } @else { td.words { (cell.shown()) } } }
}

/// The values of an axis that holds all marks: its ends and its step, in percent.
fn axis(chart: &Chart) -> (f64, f64, f64) {
    let marks = || chart.groups.iter().flat_map(|group| &group.marks);
    let least = marks().map(|mark| mark.least).fold(f64::INFINITY, f64::min);
    let most = marks().map(|mark| mark.most).fold(f64::NEG_INFINITY, f64::max);
    let step = match most - least {
        span if span <= 5.0 => 1.0,
        span if span <= 25.0 => 5.0,
        _ => 10.0,
    };
    let (begin, end) = ((least / step).floor() * step, (most / step).ceil() * step);
    if begin < end { (begin, end, step) } else { (begin - step, begin + step, step) }
}

/// A line for each mark, from the least to the most of its range, with a dot at the mean.
fn plot(chart: &Chart) -> Markup {
    let (begin, end, step) = axis(chart);
    let x = |value: f64| at(LEFT + (RIGHT - LEFT) * (value - begin) / (end - begin));
    let ticks = (0..=((end - begin) / step).round() as usize).map(|number| begin + step * number as f64);
    let heights: Vec<f64> = chart.groups.iter().map(|group| group.marks.len() as f64 * LINE + SPACE).collect();
    let tops: Vec<f64> = heights
        .iter()
        .scan(TOP, |top, height| {
            *top += height;
            Some(*top - height)
        })
        .collect();
    let bottom = TOP + heights.iter().sum::<f64>();
    html! {
        figure {
            figcaption { (chart.title) }
            svg viewBox={ "0 0 660 " (at(bottom + 4.0)) } role="img" aria-label={ "Means and ranges of " (chart.title) } {
                @for tick in ticks {
                    line.grid x1=(x(tick)) x2=(x(tick)) y1=(at(TOP - 4.0)) y2=(at(bottom)) {}
                    text.tick x=(x(tick)) y=(at(TOP - 8.0)) { (tick) }
                }
                @for (group, top) in chart.groups.iter().zip(&tops) {
                    text x=(at(LEFT - 10.0)) y=(at(top + group.marks.len() as f64 * LINE / 2.0 + SPACE / 2.0 + 3.5)) {
                        (short(&group.name, 28))
                    }
                    @for (number, mark) in group.marks.iter().enumerate() {
                        @let y = at(top + SPACE / 2.0 + (number as f64 + 0.5) * LINE);
                        g class={ "s" (mark.series % STYLES) } {
                            title { (format!("{:.2} ({:.2} to {:.2})", mark.mean, mark.least, mark.most)) }
                            line x1=(x(mark.least)) x2=(x(mark.most)) y1=(y) y2=(y) {}
                            circle cx=(x(mark.mean)) cy=(y) r="3" {}
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet(name: &str, values: [f64; 3]) -> Sheet {
        let [least, mean, most] = values;
        Sheet {
            columns: vec![name.to_owned()],
            rows: vec![vec![Cell::Text(name.to_owned())]],
            notes: vec![name.to_owned()],
            series: vec![name.to_owned()],
            charts: vec![Chart {
                title: name.to_owned(),
                groups: vec![Group { name: name.to_owned(), marks: vec![Mark { series: 0, least, mean, most }] }],
            }],
        }
    }

    /// It catches: names that reach the page as markup, a mark outside of the plot or at another place of the axis.
    #[test]
    fn a_mark_stands_where_the_axis_says() {
        let page = render("t", &[], &sheet("<b>&", [20.0, 25.0, 40.0]));
        assert!(!page.contains("<b>") && page.contains("&lt;b&gt;&amp;"));
        // From 20 to 40: the mean is a quarter of the way.
        assert!(page.contains("cx=\"295.0\"") && page.contains("x1=\"180.0\" x2=\"640.0\""), "{page}");
        assert!(page.contains("25.00 (20.00 to 40.00)"));
        // One value has no span.
        assert_eq!(axis(&sheet("one", [50.0, 50.0, 50.0]).charts[0]), (49.0, 51.0, 1.0));
    }
}
