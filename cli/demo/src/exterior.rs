//! The outside of a place: a sky, a backdrop, a building of one of twelve kinds, the ground before it.

use super::canvas::{Canvas, Colour, Noise, arc, hsv, mix, shade};
use super::random::Random;
use super::setting;

/// How many kinds of building there are.
pub(crate) const KINDS: usize = 12;

/// What a place looks like from outside; the same in all its photos.
pub(crate) struct Exterior {
    kind: usize,
    wall: Colour,
    trim: Colour,
    roof: Colour,
    glass: Colour,
    ground: Colour,
    backdrop: usize,
    /// Rows, columns, towers and the like: each kind reads them its own way.
    count: usize,
    /// Proportions in 0..1.
    form: [f32; 4],
    stone: Noise,
    /// Size of the stones: bricks to ashlar; 0 is plaster.
    course: f32,
}

impl Exterior {
    /// The outside of a place.
    pub(crate) fn of(place: &mut Random, kind: usize) -> Self {
        let hue = place.unit();
        let warm = place.range(0.02, 0.13);
        let coloured = place.chance(0.35);
        let wall = if coloured {
            hsv(hue, place.range(0.25, 0.55), place.range(0.55, 0.9))
        } else {
            hsv(warm, place.range(0.05, 0.45), place.range(0.5, 0.92))
        };
        Self {
            kind: kind % KINDS,
            wall,
            trim: mix(wall, if place.chance(0.6) { [0.97, 0.95, 0.9] } else { [0.25, 0.2, 0.18] }, 0.7),
            roof: hsv(place.unit(), place.range(0.2, 0.65), place.range(0.22, 0.6)),
            glass: hsv(place.range(0.5, 0.66), place.range(0.2, 0.6), place.range(0.12, 0.45)),
            ground: [hsv(0.28, 0.45, 0.45), hsv(0.1, 0.12, 0.62), hsv(0.55, 0.4, 0.5), hsv(0.11, 0.4, 0.72)]
                [place.whole(0, 3)],
            backdrop: place.whole(0, 3),
            count: place.whole(2, 6),
            form: [place.unit(), place.unit(), place.unit(), place.unit()],
            stone: Noise::new(place),
            course: [0.0, 0.012, 0.022, 0.035][place.whole(0, 3)],
        }
    }

    /// Paints it with the weather of one photo.
    pub(crate) fn paint(&self, canvas: &mut Canvas, photo: &mut Random) {
        let dusk = setting::sky(canvas, photo);
        setting::behind(canvas, self.backdrop, self.stone, dusk);
        let breadth = canvas.breadth();
        let ground = shade(self.ground, 1.0 - 0.45 * dusk);
        let stone = self.stone;
        canvas.rectangle(0.0, 0.8, breadth, 1.0, |(x, y)| {
            shade(ground, 0.8 + 0.4 * stone.cloud(x * 9.0 / (y - 0.7), 2.0 / (y - 0.7)))
        });
        let middle = breadth / 2.0 + photo.range(-0.02, 0.02);
        let lit = Lit { place: self, light: 1.0 - 0.5 * dusk, windows: dusk > 0.4 };
        match self.kind {
            0 => lit.cathedral(canvas, middle),
            1 => lit.castle(canvas, middle),
            2 => lit.dome(canvas, middle),
            3 => lit.temple(canvas, middle),
            4 => lit.skyscraper(canvas, middle),
            5 => lit.pagoda(canvas, middle),
            6 => lit.lighthouse(canvas, middle),
            7 => lit.gabled_row(canvas, middle),
            8 => lit.palace(canvas, middle),
            9 => lit.bridge(canvas, middle),
            10 => lit.pyramid(canvas, middle),
            _ => lit.works(canvas, middle),
        }
    }
}

/// A place in the light of one photo.
struct Lit<'a> {
    place: &'a Exterior,
    light: f32,
    windows: bool,
}

impl Lit<'_> {
    fn tone(&self, colour: Colour) -> Colour {
        shade(colour, self.light)
    }

    fn glass(&self) -> Colour {
        if self.windows { [0.98, 0.8, 0.42] } else { self.tone(self.place.glass) }
    }

    /// Walls: plaster or courses of stones, darker to one side of `middle`.
    fn wall(&self, middle: f32) -> impl Fn((f32, f32)) -> Colour + use<> {
        let (stone, course, colour) = (self.place.stone, self.place.course, self.tone(self.place.wall));
        move |(x, y)| {
            let side = if x < middle { 1.04 } else { 0.9 };
            let mut grain = 0.9 + 0.2 * stone.cloud(x * 18.0, y * 18.0);
            if course > 0.0 {
                let row = (y / course).floor();
                let along = x / (course * 2.0) + 0.5 * (row.rem_euclid(2.0));
                grain *= 0.86 + 0.24 * stone.cell(along.floor() as i64, row as i64);
                if (y / course).fract() < 0.13 || along.fract() < 0.07 {
                    grain *= 0.78;
                }
            }
            shade(colour, grain * side)
        }
    }

    fn flat(&self, colour: Colour) -> impl Fn((f32, f32)) -> Colour + use<> {
        let (stone, colour) = (self.place.stone, self.tone(colour));
        move |(x, y)| shade(colour, 0.88 + 0.24 * stone.cloud(x * 25.0, y * 60.0))
    }

    /// A grid of windows between two corners.
    fn window_grid(
        &self,
        canvas: &mut Canvas,
        (left, top): (f32, f32),
        (right, bottom): (f32, f32),
        columns: usize,
        rows: usize,
    ) {
        let (dx, dy) = ((right - left) / columns as f32, (bottom - top) / rows as f32);
        let glass = self.glass();
        let trim = self.tone(self.place.trim);
        for row in 0..rows {
            for column in 0..columns {
                let (x, y) = (left + dx * (column as f32 + 0.5), top + dy * (row as f32 + 0.12));
                let (w, h) = (dx * (0.3 + 0.35 * self.place.form[2]), dy * 0.7);
                canvas.rectangle(x - w * 0.62, y - h * 0.07, x + w * 0.62, y + h * 1.08, |_| trim);
                if self.place.form[3] > 0.5 {
                    canvas.arch(x, y, y + h, w, self.place.form[3] > 0.8, |_| glass);
                } else {
                    canvas.rectangle(x - w / 2.0, y, x + w / 2.0, y + h, |_| glass);
                    canvas.line((x, y), (x, y + h), w * 0.1, trim);
                }
            }
        }
    }

    fn spire(&self, canvas: &mut Canvas, middle: f32, half: f32, base: f32, tip: f32) {
        canvas.polygon(
            &[(middle - half * 1.15, base), (middle, tip), (middle + half * 1.15, base)],
            self.flat(self.place.roof),
        );
        let dark = self.tone(shade(self.place.roof, 0.7));
        canvas.polygon(&[(middle, base), (middle, tip), (middle + half * 1.15, base)], |_| dark);
    }

    fn cathedral(&self, canvas: &mut Canvas, middle: f32) {
        let form = self.place.form;
        let (half, eaves) = (0.2 + 0.08 * form[0], 0.42 + 0.08 * form[1]);
        let tower = 0.075 + 0.03 * form[2];
        canvas.polygon(
            &[
                (middle - half, 0.84),
                (middle - half, eaves),
                (middle, eaves - 0.16),
                (middle + half, eaves),
                (middle + half, 0.84),
            ],
            self.wall(middle),
        );
        let towers: &[f32] = if self.place.count.is_multiple_of(3) { &[0.0] } else { &[-1.0, 1.0] };
        for side in towers {
            let x = middle + side * (half + tower * 0.2);
            let top = 0.3 - 0.08 * form[3];
            canvas.rectangle(x - tower, top, x + tower, 0.84, self.wall(x));
            self.spire(canvas, x, tower, top, top - 0.12 - 0.14 * form[0]);
            for level in 0..3 {
                canvas.arch(
                    x,
                    top + 0.04 + 0.13 * level as f32,
                    top + 0.13 + 0.13 * level as f32,
                    tower * 0.55,
                    true,
                    |_| self.glass(),
                );
            }
        }
        let trim = self.tone(self.place.trim);
        let glass = self.glass();
        let rose = (middle, eaves + 0.02);
        canvas.ellipse(rose, 0.075, 0.075, |_| trim);
        canvas.ellipse(rose, 0.062, 0.062, |_| glass);
        for spoke in arc(rose, 0.062, 0.062, 0.0, 360.0).iter().step_by(if form[1] > 0.5 { 4 } else { 7 }) {
            canvas.line(rose, *spoke, 0.006, trim);
        }
        canvas.arch(middle, 0.6, 0.84, 0.12, true, |_| trim);
        canvas.arch(middle, 0.63, 0.84, 0.085, true, |_| [0.16, 0.1, 0.07]);
    }

    fn castle(&self, canvas: &mut Canvas, middle: f32) {
        let form = self.place.form;
        let half = 0.36 + 0.14 * form[0];
        let top = 0.52 + 0.08 * form[1];
        canvas.rectangle(middle - half, top, middle + half, 0.84, self.wall(middle));
        let teeth = 14 + self.place.count * 2;
        for tooth in (0..teeth).step_by(2) {
            let x = middle - half + 2.0 * half * tooth as f32 / teeth as f32;
            canvas.rectangle(x, top - 0.03, x + half * 1.9 / teeth as f32, top, self.wall(middle));
        }
        for tower in 0..self.place.count {
            let x = middle - half + 2.0 * half * (tower as f32 + 0.5) / self.place.count as f32;
            let radius = 0.05 + 0.03 * form[2];
            let rise = top - 0.12 - 0.16 * self.place.stone.cell(tower as i64, 4);
            canvas.rectangle(x - radius, rise, x + radius, 0.84, self.wall(x));
            if form[3] > 0.4 {
                self.spire(canvas, x, radius, rise, rise - 0.16);
            } else {
                for tooth in 0..3 {
                    let left = x - radius * 1.1 + radius * 0.8 * tooth as f32;
                    canvas.rectangle(left, rise - 0.03, left + radius * 0.5, rise, self.wall(x));
                }
            }
            canvas.arch(x, rise + 0.06, rise + 0.12, 0.022, false, |_| self.glass());
        }
        canvas.arch(middle, 0.66, 0.84, 0.11, false, |_| [0.12, 0.08, 0.06]);
    }

    fn dome(&self, canvas: &mut Canvas, middle: f32) {
        let form = self.place.form;
        let half = 0.3 + 0.12 * form[0];
        canvas.rectangle(middle - half, 0.56, middle + half, 0.84, self.wall(middle));
        let radius = 0.15 + 0.06 * form[1];
        canvas.rectangle(middle - radius, 0.46, middle + radius, 0.57, self.wall(middle));
        let roof = self.flat(self.place.roof);
        let mut outline = arc((middle, 0.46), radius, radius * (0.9 + 0.5 * form[2]), 180.0, 360.0);
        if form[3] > 0.5 {
            outline.insert(15, (middle, 0.46 - radius * (1.15 + 0.5 * form[2])));
        }
        canvas.polygon(&outline, |p| shade(roof(p), 1.15 - 0.9 * (p.0 - middle).abs() / radius * 0.6));
        canvas.line(
            (middle, 0.47 - radius * (1.0 + 0.5 * form[2])),
            (middle, 0.36 - radius * (1.0 + 0.5 * form[2])),
            0.01,
            self.tone(self.place.trim),
        );
        self.window_grid(canvas, (middle - radius, 0.48), (middle + radius, 0.56), 5 + self.place.count, 1);
        self.window_grid(canvas, (middle - half, 0.6), (middle + half, 0.8), 4 + self.place.count, 1);
        if self.place.count.is_multiple_of(2) {
            for side in [-1.0, 1.0] {
                let x = middle + side * (half + 0.05);
                canvas.rectangle(x - 0.02, 0.2, x + 0.02, 0.84, self.wall(x));
                canvas.rectangle(x - 0.03, 0.36, x + 0.03, 0.38, self.flat(self.place.trim));
                self.spire(canvas, x, 0.024, 0.2, 0.1);
            }
        }
    }

    fn temple(&self, canvas: &mut Canvas, middle: f32) {
        let form = self.place.form;
        let half = 0.34 + 0.14 * form[0];
        let top = 0.42 + 0.06 * form[1];
        for step in 0..4 {
            let out = half + 0.09 - 0.02 * step as f32;
            let y = 0.86 - 0.022 * step as f32;
            let tone = self.tone(shade(self.place.wall, 0.8 + 0.07 * step as f32));
            canvas.rectangle(middle - out, y - 0.022, middle + out, y, |_| tone);
        }
        let inside = self.tone(shade(self.place.wall, 0.42));
        canvas.rectangle(middle - half, top, middle + half, 0.78, |_| inside);
        let columns = 4 + self.place.count;
        for column in 0..columns {
            let x = middle - half + 2.0 * half * (column as f32 + 0.5) / columns as f32;
            let thick = half * (0.35 + 0.25 * form[2]) / columns as f32 * 1.6;
            let stone = self.tone(self.place.wall);
            canvas.rectangle(x - thick, top, x + thick, 0.78, |(px, _)| {
                let flute = if form[3] > 0.5 { 0.94 + 0.06 * ((px - x) * 500.0).sin() } else { 1.0 };
                shade(stone, flute * (1.1 - 0.5 * ((px - x + thick * 0.4) / thick).abs()))
            });
            canvas.rectangle(x - thick * 1.3, top, x + thick * 1.3, top + 0.025, self.flat(self.place.trim));
        }
        canvas.rectangle(middle - half - 0.03, top - 0.06, middle + half + 0.03, top, self.flat(self.place.trim));
        canvas.polygon(
            &[
                (middle - half - 0.05, top - 0.06),
                (middle, top - 0.16 - 0.1 * form[1]),
                (middle + half + 0.05, top - 0.06),
            ],
            self.flat(self.place.roof),
        );
        canvas.polygon(
            &[
                (middle - half + 0.02, top - 0.07),
                (middle, top - 0.14 - 0.08 * form[1]),
                (middle + half - 0.02, top - 0.07),
            ],
            self.wall(middle),
        );
    }

    fn skyscraper(&self, canvas: &mut Canvas, middle: f32) {
        let form = self.place.form;
        let mut half = 0.14 + 0.07 * form[0];
        let mut bottom = 0.84;
        for tier in 0..self.place.count.min(4) {
            let top = 0.84 - (0.84 - 0.12) * (tier + 1) as f32 / self.place.count.min(4) as f32;
            canvas.rectangle(middle - half, top, middle + half, bottom, self.wall(middle + half * 0.2));
            let rows = ((bottom - top) * (24.0 + 20.0 * form[1])).max(2.0) as usize;
            self.window_grid(
                canvas,
                (middle - half * 0.94, top + 0.01),
                (middle + half * 0.94, bottom),
                (half * (50.0 + 20.0 * form[3])) as usize + 2,
                rows,
            );
            bottom = top;
            half *= 0.62 + 0.22 * form[2];
        }
        if form[3] > 0.3 {
            self.spire(canvas, middle, half, bottom, bottom - 0.08);
        }
        canvas.line((middle, bottom), (middle, 0.01), 0.008, self.tone(self.place.trim));
    }

    fn pagoda(&self, canvas: &mut Canvas, middle: f32) {
        let form = self.place.form;
        let storeys = 3 + self.place.count % 4;
        let mut half = 0.24 + 0.08 * form[0];
        let rise = (0.84 - 0.16) / storeys as f32;
        for storey in 0..storeys {
            let bottom = 0.84 - rise * storey as f32;
            canvas.rectangle(middle - half * 0.72, bottom - rise, middle + half * 0.72, bottom, self.wall(middle));
            self.window_grid(
                canvas,
                (middle - half * 0.66, bottom - rise * 0.62),
                (middle + half * 0.66, bottom),
                3 + self.place.count / 2,
                1,
            );
            let (eave, ridge, curl) = (bottom - rise * 0.66, bottom - rise * 1.02, 0.02 + 0.03 * form[1]);
            let outline = [
                (middle - half * 1.15, eave - curl),
                (middle - half * 0.9, eave),
                (middle + half * 0.9, eave),
                (middle + half * 1.15, eave - curl),
                (middle + half * 0.6, ridge),
                (middle - half * 0.6, ridge),
            ];
            let roof = self.flat(self.place.roof);
            canvas.polygon(&outline, |(x, y)| shade(roof((x, y)), if (x * 90.0).fract() < 0.3 { 0.75 } else { 1.05 }));
            canvas.line((middle - half * 0.95, eave), (middle + half * 0.95, eave), 0.009, self.tone(self.place.trim));
            half *= 0.8 + 0.08 * form[2];
        }
        canvas.line((middle, 0.18), (middle, 0.05), 0.012, self.tone(self.place.trim));
    }

    fn lighthouse(&self, canvas: &mut Canvas, middle: f32) {
        let form = self.place.form;
        let x = middle + 0.2 * (form[0] - 0.5);
        let (foot, neck) = (0.11 + 0.05 * form[1], 0.06 + 0.02 * form[2]);
        let bands = 3.0 + self.place.count as f32;
        let (one, two) = (self.wall(x), self.flat(self.place.roof));
        let spiral = if form[3] > 0.6 { 2.5 } else { 0.0 };
        canvas.polygon(&[(x - foot, 0.84), (x - neck, 0.24), (x + neck, 0.24), (x + foot, 0.84)], |p| {
            let band = ((p.1 - 0.24) / 0.6 * bands + (p.0 - x) * spiral * 4.0).floor();
            let round = 1.1 - 4.0 * (p.0 - x + 0.03).abs();
            shade(if band.rem_euclid(2.0) < 1.0 { one(p) } else { two(p) }, round)
        });
        canvas.rectangle(x - neck * 1.5, 0.22, x + neck * 1.5, 0.245, self.flat(self.place.trim));
        let lamp = if self.windows { [1.0, 0.95, 0.7] } else { self.glass() };
        canvas.rectangle(x - neck * 0.8, 0.14, x + neck * 0.8, 0.22, |_| lamp);
        self.spire(canvas, x, neck, 0.14, 0.07);
        let cottage = x + 0.32 * if form[0] > 0.5 { -1.0 } else { 1.0 };
        canvas.rectangle(cottage - 0.14, 0.68, cottage + 0.14, 0.84, self.flat(self.place.trim));
        canvas.polygon(&[(cottage - 0.17, 0.68), (cottage, 0.57), (cottage + 0.17, 0.68)], self.flat(self.place.roof));
        self.window_grid(canvas, (cottage - 0.12, 0.71), (cottage + 0.12, 0.82), 3, 1);
    }

    fn gabled_row(&self, canvas: &mut Canvas, middle: f32) {
        let form = self.place.form;
        let houses = 4 + self.place.count;
        let whole = 1.1 + 0.2 * form[0];
        let width = whole / houses as f32;
        for house in 0..houses {
            let cell = |n: i64| self.place.stone.cell(house as i64, n);
            let x = middle - whole / 2.0 + width * house as f32;
            let top = 0.36 + 0.14 * cell(1);
            let colour = self.tone(hsv(form[1] + 0.5 * cell(2), 0.3 + 0.35 * form[2], 0.55 + 0.35 * cell(3)));
            canvas.rectangle(x, top, x + width, 0.84, |p| {
                shade(colour, 0.9 + 0.2 * self.place.stone.cloud(p.0 * 30.0, p.1 * 30.0))
            });
            let gable = top - 0.07 - 0.06 * form[3];
            if cell(4) > 0.5 {
                canvas.polygon(&[(x, top), (x + width / 2.0, gable), (x + width, top)], |_| shade(colour, 0.95));
            } else {
                for step in 0..3 {
                    let inset = width * 0.15 * step as f32;
                    canvas.rectangle(
                        x + inset,
                        top - (top - gable) * (step + 1) as f32 / 3.0,
                        x + width - inset,
                        top,
                        |_| shade(colour, 0.97),
                    );
                }
            }
            self.window_grid(canvas, (x + width * 0.08, top + 0.02), (x + width * 0.92, 0.72), 2, 3);
            canvas.rectangle(x + width * 0.36, 0.74, x + width * 0.62, 0.84, self.flat(self.place.roof));
        }
    }

    fn palace(&self, canvas: &mut Canvas, middle: f32) {
        let form = self.place.form;
        let half = 0.46 + 0.12 * form[0];
        let top = 0.48 + 0.06 * form[1];
        canvas.polygon(
            &[
                (middle - half, top),
                (middle - half + 0.06, top - 0.1),
                (middle + half - 0.06, top - 0.1),
                (middle + half, top),
            ],
            self.flat(self.place.roof),
        );
        canvas.rectangle(middle - half, top, middle + half, 0.84, self.wall(middle));
        self.window_grid(
            canvas,
            (middle - half, top + 0.02),
            (middle + half, 0.83),
            9 + self.place.count,
            2 + self.place.count % 2,
        );
        let pavilion = 0.1 + 0.05 * form[2];
        canvas.rectangle(middle - pavilion, top - 0.08, middle + pavilion, 0.84, self.wall(middle));
        if form[3] > 0.5 {
            canvas.polygon(&arc((middle, top - 0.08), pavilion, 0.12, 180.0, 360.0), self.flat(self.place.roof));
        } else {
            canvas.polygon(
                &[(middle - pavilion * 1.15, top - 0.08), (middle, top - 0.18), (middle + pavilion * 1.15, top - 0.08)],
                self.flat(self.place.trim),
            );
        }
        self.window_grid(canvas, (middle - pavilion, top - 0.04), (middle + pavilion, 0.7), 3, 3);
        canvas.arch(middle, 0.71, 0.84, pavilion * 0.7, false, |_| [0.15, 0.1, 0.08]);
        canvas.rectangle(
            middle - half - 0.01,
            top - 0.012,
            middle + half + 0.01,
            top + 0.01,
            self.flat(self.place.trim),
        );
    }

    fn bridge(&self, canvas: &mut Canvas, middle: f32) {
        let form = self.place.form;
        let breadth = canvas.breadth();
        let stone = self.place.stone;
        let water = self.tone([0.2, 0.38, 0.46]);
        canvas.rectangle(0.0, 0.72, breadth, 1.0, |(x, y)| shade(water, 0.75 + 0.5 * stone.at(x * 12.0, y * 70.0)));
        let deck = 0.52 + 0.06 * form[0];
        if form[3] > 0.5 {
            for side in [-1.0, 1.0] {
                let x = middle + side * (0.26 + 0.08 * form[1]);
                canvas.rectangle(x - 0.025, 0.14, x + 0.025, 0.78, self.wall(x));
                for cable in 0..(5 + self.place.count) {
                    let reach = 0.05 + 0.05 * cable as f32;
                    for way in [-1.0, 1.0] {
                        canvas.line(
                            (x, 0.17 + 0.015 * cable as f32),
                            (x + way * reach, deck),
                            0.005,
                            self.tone(self.place.trim),
                        );
                    }
                }
            }
            canvas.rectangle(0.0, deck, breadth, deck + 0.035, self.flat(self.place.roof));
        } else {
            canvas.rectangle(0.0, deck, breadth, 0.8, self.wall(middle));
            let arches = 2 + self.place.count;
            for span in 0..arches {
                let x = breadth * (span as f32 + 0.5) / arches as f32;
                let sea = self.tone([0.35, 0.5, 0.56]);
                canvas.arch(
                    x,
                    deck + 0.05,
                    0.8,
                    breadth / arches as f32 * (0.7 + 0.15 * form[2]),
                    form[1] > 0.7,
                    |(x, y)| shade(sea, 0.85 + 0.3 * stone.at(x * 12.0, y * 70.0)),
                );
            }
            canvas.rectangle(0.0, deck - 0.03, breadth, deck, self.flat(self.place.trim));
        }
    }

    fn pyramid(&self, canvas: &mut Canvas, middle: f32) {
        let form = self.place.form;
        let tiers = 4 + self.place.count * 2;
        let half = 0.42 + 0.12 * form[0];
        let top = 0.22 + 0.12 * form[1];
        for tier in 0..tiers {
            let part = tier as f32 / tiers as f32;
            let width = half * (1.0 - part * (0.75 + 0.15 * form[2]));
            let y = 0.86 - (0.86 - top) * part;
            canvas.rectangle(middle - width, y - (0.86 - top) / tiers as f32, middle + width, y, self.wall(middle));
            canvas.rectangle(middle - width, y - 0.012, middle + width, y, self.flat(shade(self.place.wall, 0.6)));
        }
        let stairs = 0.05 + 0.04 * form[3];
        let light = self.tone(self.place.trim);
        canvas.polygon(
            &[
                (middle - stairs * 1.5, 0.86),
                (middle - stairs, top),
                (middle + stairs, top),
                (middle + stairs * 1.5, 0.86),
            ],
            |(_, y)| shade(light, if (y * 70.0).fract() < 0.4 { 0.7 } else { 1.0 }),
        );
        canvas.rectangle(middle - 0.09, top - 0.1, middle + 0.09, top, self.wall(middle));
        canvas.rectangle(middle - 0.03, top - 0.07, middle + 0.03, top, |_| [0.1, 0.08, 0.07]);
        canvas.rectangle(middle - 0.11, top - 0.125, middle + 0.11, top - 0.1, self.flat(self.place.roof));
    }

    fn works(&self, canvas: &mut Canvas, middle: f32) {
        let form = self.place.form;
        let half = 0.42 + 0.12 * form[0];
        for chimney in 0..self.place.count.min(4) {
            let x = middle - half * 0.8 + 0.17 * chimney as f32 + 0.1 * form[1];
            let top = 0.12 + 0.16 * self.place.stone.cell(chimney as i64, 9);
            canvas.polygon(&[(x - 0.035, 0.84), (x - 0.022, top), (x + 0.022, top), (x + 0.035, 0.84)], self.wall(x));
            canvas.rectangle(x - 0.026, top + 0.03, x + 0.026, top + 0.055, self.flat(self.place.trim));
        }
        canvas.rectangle(middle - half, 0.56, middle + half, 0.84, self.wall(middle));
        let teeth = 3 + self.place.count;
        let width = 2.0 * half / teeth as f32;
        for tooth in 0..teeth {
            let x = middle - half + width * tooth as f32;
            canvas.polygon(&[(x, 0.57), (x, 0.44), (x + width, 0.57)], self.flat(self.place.roof));
            canvas.rectangle(x + width * 0.04, 0.47, x + width * 0.12, 0.56, |_| self.glass());
        }
        self.window_grid(
            canvas,
            (middle - half + 0.02, 0.6),
            (middle + half - 0.02, 0.76),
            6 + self.place.count * 2,
            1 + self.place.count % 3,
        );
        canvas.rectangle(
            middle + half * (form[3] - 0.5),
            0.7,
            middle + half * (form[3] - 0.5) + 0.12,
            0.84,
            self.flat(self.place.trim),
        );
    }
}
