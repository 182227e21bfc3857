//! The inside of a place: a room in perspective from the photographer's position, with its furniture.

use super::canvas::{Canvas, Colour, Noise, Point, hsv, mix, shade};
use super::random::Random;

/// How many kinds of room there are.
pub(crate) const KINDS: usize = 10;

#[derive(Clone, Copy, PartialEq)]
enum Floor {
    Checker,
    Planks,
    Slabs,
    Runner,
    Pool,
}

#[derive(Clone, Copy, PartialEq)]
enum Wall {
    Paintings,
    Books,
    Arcade,
    Windows,
    Tiles,
    Stripes,
    Panels,
    Rock,
}

#[derive(Clone, Copy, PartialEq)]
enum Ceiling {
    Plain,
    Coffers,
    Beams,
    Glass,
    Vault,
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    Rose,
    Curtain,
    Picture,
    Doorway,
    Organ,
    Clock,
}

#[derive(Clone, Copy, PartialEq)]
enum Things {
    Columns,
    Pews,
    Tables,
    Statues,
    Plants,
    Seats,
}

/// What a place looks like from inside; the same in all its photos.
pub(crate) struct Interior {
    floor: Floor,
    wall: Wall,
    ceiling: Ceiling,
    end: End,
    things: [Things; 2],
    lamps: bool,
    /// Half width, height, depth in metres.
    room: [f32; 3],
    wall_colour: Colour,
    floor_colour: Colour,
    second: Colour,
    accent: Colour,
    accent_hue: f32,
    pitch: f32,
    grain: Noise,
}

/// Where a ray ends.
struct Hit {
    surface: usize,
    u: f32,
    v: f32,
    distance: f32,
}

/// The photographer: where they stand and where they look.
struct Eye {
    x: f32,
    y: f32,
    z: f32,
    yaw: f32,
    tilt: f32,
    zoom: f32,
}

impl Interior {
    /// The inside of a place.
    pub(crate) fn of(place: &mut Random, kind: usize) -> Self {
        let (floor, wall, ceiling, end, things, lamps) = match kind % KINDS {
            0 => (Floor::Checker, Wall::Arcade, Ceiling::Vault, End::Rose, [Things::Pews, Things::Columns], false),
            1 => (
                Floor::Planks,
                Wall::Paintings,
                Ceiling::Glass,
                End::Picture,
                [Things::Statues, Things::Statues],
                false,
            ),
            2 => (Floor::Planks, Wall::Books, Ceiling::Coffers, End::Doorway, [Things::Tables, Things::Tables], true),
            3 => {
                (Floor::Runner, Wall::Stripes, Ceiling::Coffers, End::Curtain, [Things::Columns, Things::Statues], true)
            }
            4 => (Floor::Slabs, Wall::Windows, Ceiling::Glass, End::Clock, [Things::Plants, Things::Plants], false),
            5 => (Floor::Checker, Wall::Tiles, Ceiling::Beams, End::Doorway, [Things::Tables, Things::Plants], true),
            6 => (Floor::Slabs, Wall::Rock, Ceiling::Vault, End::Doorway, [Things::Columns, Things::Statues], true),
            7 => (Floor::Runner, Wall::Panels, Ceiling::Plain, End::Curtain, [Things::Seats, Things::Seats], true),
            8 => (Floor::Pool, Wall::Tiles, Ceiling::Vault, End::Rose, [Things::Columns, Things::Plants], false),
            _ => (Floor::Planks, Wall::Windows, Ceiling::Beams, End::Organ, [Things::Pews, Things::Pews], true),
        };
        let accent_hue = place.unit();
        let stone = hsv(place.range(0.03, 0.14), place.range(0.08, 0.45), place.range(0.55, 0.9));
        let painted = hsv(place.unit(), place.range(0.2, 0.5), place.range(0.45, 0.85));
        Self {
            floor,
            wall,
            ceiling,
            end,
            things,
            lamps,
            room: [place.range(2.6, 5.0), place.range(3.6, 7.5), place.range(10.0, 22.0)],
            wall_colour: if place.chance(0.45) { stone } else { painted },
            floor_colour: hsv(place.range(0.02, 0.12), place.range(0.1, 0.6), place.range(0.3, 0.75)),
            second: hsv(place.unit(), place.range(0.05, 0.6), place.range(0.2, 0.9)),
            accent: hsv(accent_hue, place.range(0.55, 0.9), place.range(0.45, 0.8)),
            accent_hue,
            pitch: place.range(1.6, 3.4),
            grain: Noise::new(place),
        }
    }

    /// Paints it from where one photo is taken.
    pub(crate) fn paint(&self, canvas: &mut Canvas, photo: &mut Random) {
        let [half, height, depth] = self.room;
        let eye = Eye {
            x: photo.range(-0.35, 0.35) * half,
            y: photo.range(1.4, 2.2).min(height * 0.5),
            z: photo.range(0.0, 0.16) * depth,
            yaw: photo.range(-0.14, 0.14),
            tilt: photo.range(-0.02, 0.12),
            zoom: photo.range(0.85, 1.1),
        };
        let breadth = canvas.breadth();
        canvas.paint(|at| {
            let hit = self.cast(&eye, at, breadth);
            let mist = (hit.distance / (depth * 1.5)).min(1.0);
            let colour = self.surface(&hit);
            let edge = 1.0 - 0.25 * (hit.distance / depth).clamp(0.0, 1.0);
            mix(shade(colour, edge), shade(self.wall_colour, 0.75), mist * 0.22)
        });
        self.furnish(canvas, &eye);
    }

    fn cast(&self, eye: &Eye, (x, y): Point, breadth: f32) -> Hit {
        let [half, height, depth] = self.room;
        let (sx, sy) = ((x - breadth / 2.0) / eye.zoom, (0.5 - y) / eye.zoom + eye.tilt);
        let (sin, cos) = eye.yaw.sin_cos();
        let (dx, dy, dz) = (sx * cos + sin, sy, cos - sx * sin);
        let mut best = Hit {
            surface: 4,
            u: eye.x + dx * (depth - eye.z) / dz,
            v: eye.y + dy * (depth - eye.z) / dz,
            distance: (depth - eye.z) / dz,
        };
        if dy < 0.0 {
            let t = -eye.y / dy;
            if t < best.distance {
                best = Hit { surface: 0, u: eye.x + dx * t, v: eye.z + dz * t, distance: t };
            }
        }
        let spring = if self.ceiling == Ceiling::Vault { height * 0.6 } else { height };
        if dx != 0.0 {
            let side = if dx > 0.0 { half } else { -half };
            let t = (side - eye.x) / dx;
            let v = eye.y + dy * t;
            if t < best.distance && v <= spring {
                best = Hit { surface: if dx > 0.0 { 2 } else { 1 }, u: eye.z + dz * t, v, distance: t };
            }
        }
        if self.ceiling == Ceiling::Vault {
            // (x / half)^2 + ((y - spring) / rise)^2 = 1
            let (rise, py) = (height - spring, eye.y - spring);
            let a = (dx / half).powi(2) + (dy / rise).powi(2);
            let b = eye.x * dx / (half * half) + py * dy / (rise * rise);
            let c = (eye.x / half).powi(2) + (py / rise).powi(2) - 1.0;
            let t = (-b + (b * b - a * c).max(0.0).sqrt()) / a.max(1e-9);
            if t > 0.0 && t < best.distance && eye.y + dy * t > spring {
                let angle = ((eye.y + dy * t - spring) / rise).atan2((eye.x + dx * t) / half);
                best = Hit { surface: 3, u: angle * half, v: eye.z + dz * t, distance: t };
            }
        } else if dy > 0.0 {
            let t = (height - eye.y) / dy;
            if t < best.distance {
                best = Hit { surface: 3, u: eye.x + dx * t, v: eye.z + dz * t, distance: t };
            }
        }
        best
    }

    fn surface(&self, hit: &Hit) -> Colour {
        match hit.surface {
            0 => self.floor_at(hit.u, hit.v),
            1 => self.wall_at(hit.u, hit.v, 1),
            2 => shade(self.wall_at(hit.u, hit.v, 2), 0.88),
            3 => self.ceiling_at(hit.u, hit.v),
            _ => self.end_at(hit.u, hit.v),
        }
    }

    fn floor_at(&self, x: f32, z: f32) -> Colour {
        let grain = 0.9 + 0.2 * self.grain.cloud(x * 2.0, z * 2.0);
        let [half, _, depth] = self.room;
        let tile = self.pitch * 0.4;
        match self.floor {
            Floor::Checker => {
                let dark = ((x / tile).floor() + (z / tile).floor()).rem_euclid(2.0) < 1.0;
                shade(if dark { self.second } else { [0.92, 0.9, 0.85] }, grain)
            }
            Floor::Planks => {
                let plank = (x / 0.22).floor();
                let joint = (z / 2.5 + self.grain.cell(plank as i64, 3) * 7.0).floor();
                shade(self.floor_colour, grain * (0.75 + 0.4 * self.grain.cell(plank as i64, joint as i64)))
            }
            Floor::Slabs => {
                let seam = (x / tile).rem_euclid(1.0) < 0.05 || (z / tile).rem_euclid(1.0) < 0.05;
                let tone = 0.8 + 0.3 * self.grain.cell((x / tile).floor() as i64, (z / tile).floor() as i64);
                shade(self.floor_colour, if seam { 0.55 } else { tone * grain })
            }
            Floor::Runner => {
                let off = x.abs() / (half * 0.4);
                if off > 1.0 {
                    shade(self.floor_colour, grain * if (x + z).rem_euclid(1.2) < 0.06 { 0.7 } else { 1.0 })
                } else if off > 0.86 {
                    shade([0.85, 0.7, 0.3], grain)
                } else {
                    let knot = ((x * 5.0).sin() * (z * 5.0 / self.pitch * 2.0).sin()).abs() > 0.6;
                    shade(self.accent, grain * if knot { 1.25 } else { 0.95 })
                }
            }
            Floor::Pool => {
                let inside = x.abs() < half * 0.6 && z > 2.2 && z < depth - 1.5;
                if inside {
                    let wave = self.grain.cloud(x * 3.0, z * 2.2);
                    mix(
                        hsv(0.45 + 0.12 * self.accent_hue, 0.7, 0.5),
                        [0.75, 0.95, 0.95],
                        (wave * 2.2 - 0.9).clamp(0.0, 0.7),
                    )
                } else {
                    let seam = (x / 0.5).rem_euclid(1.0) < 0.06 || (z / 0.5).rem_euclid(1.0) < 0.06;
                    shade(mix(self.floor_colour, [0.95; 3], 0.5), if seam { 0.75 } else { grain })
                }
            }
        }
    }

    fn wall_at(&self, z: f32, y: f32, side: i64) -> Colour {
        let height = self.room[1];
        let grain = 0.92 + 0.16 * self.grain.cloud(z * 3.0, y * 3.0);
        let plain = shade(self.wall_colour, grain);
        let bay = (z / self.pitch).floor() as i64;
        let (along, up) = ((z / self.pitch).rem_euclid(1.0), y / height);
        let chance = |n: i64| self.grain.cell(bay * 2 + side, n);
        match self.wall {
            Wall::Paintings => {
                let (w, h) = (0.26 + 0.12 * chance(1), 0.13 + 0.09 * chance(2));
                let (dx, dy) = ((along - 0.5).abs() / w, (up - 0.45).abs() / h);
                if dx < 1.0 && dy < 1.0 {
                    if dx > 0.86 || dy > 0.86 {
                        return [0.72, 0.55, 0.22];
                    }
                    let hue = self.accent_hue + 0.5 * chance(3);
                    let figure = self.grain.cloud(along * 9.0 + 31.0 * chance(4), up * 11.0);
                    return mix(
                        hsv(hue, 0.6, 0.35),
                        hsv(hue + 0.35, 0.5, 0.85),
                        ((figure - 0.35) * 3.0).clamp(0.0, 1.0),
                    );
                }
                if up < 0.12 { shade(self.second, grain) } else { plain }
            }
            Wall::Books => {
                let shelf = (y / 0.42).floor();
                if (y / 0.42).rem_euclid(1.0) < 0.12 || along < 0.05 || y > height * 0.85 {
                    return shade(self.floor_colour, 0.7 * grain);
                }
                let book = (z / 0.09).floor() as i64;
                let cell = |n: i64| self.grain.cell(book * 4 + side, shelf as i64 * 3 + n);
                if (y / 0.42).rem_euclid(1.0) > 0.7 + 0.25 * cell(0) {
                    [0.1, 0.07, 0.05]
                } else {
                    hsv(self.accent_hue + 0.3 * cell(1) - 0.15, 0.5, 0.25 + 0.5 * cell(2))
                }
            }
            Wall::Arcade => {
                let arch = 0.62 - 0.5 * ((along - 0.5).abs() * 2.0).powi(2);
                if (along - 0.5).abs() < 0.33 && up < arch && up > 0.02 {
                    let deep = mix([0.12, 0.1, 0.1], self.accent, 0.25 + 0.25 * up);
                    return if (along - 0.5).abs() > 0.29 || arch - up < 0.035 {
                        shade(self.second, grain)
                    } else {
                        deep
                    };
                }
                let seam = (y / 0.4).rem_euclid(1.0) < 0.06;
                shade(plain, if seam { 0.82 } else { 1.0 })
            }
            Wall::Windows => {
                let arch = 0.86 - 0.35 * ((along - 0.5).abs() * 2.0).powi(2);
                if (along - 0.5).abs() < 0.26 && up > 0.25 && up < arch {
                    let (pane_x, pane_y) = ((along * 16.0).floor(), (up * 16.0).floor());
                    if (along * 16.0).rem_euclid(1.0) < 0.14 || (up * 16.0).rem_euclid(1.0) < 0.1 {
                        return shade(self.second, 0.5);
                    }
                    let tint = self.grain.cell(pane_x as i64 + bay * 31, pane_y as i64);
                    return mix([0.93, 0.97, 1.0], hsv(self.accent_hue + 0.4 * tint, 0.75, 0.95), 0.25 + 0.5 * tint);
                }
                plain
            }
            Wall::Tiles => {
                let size = self.pitch * 0.13;
                let (column, row) = ((z / size).floor(), (y / size).floor());
                if (z / size).rem_euclid(1.0) < 0.07 || (y / size).rem_euclid(1.0) < 0.07 {
                    return [0.86, 0.86, 0.83];
                }
                let figure = (column + row).rem_euclid(3.0) < 1.0 && up < 0.5;
                shade(
                    if figure { self.accent } else { self.wall_colour },
                    0.85 + 0.25 * self.grain.cell(column as i64, row as i64),
                )
            }
            Wall::Stripes => {
                if up < 0.22 {
                    let panel = (along - 0.5).abs() < 0.42 && (0.04..0.19).contains(&up);
                    return shade(self.second, if panel { 0.9 } else { 0.65 } * grain);
                }
                let stripe = (z / 0.3).rem_euclid(1.0) < 0.5;
                shade(if stripe { self.wall_colour } else { mix(self.wall_colour, self.accent, 0.55) }, grain)
            }
            Wall::Panels => {
                let (inner, rim) = ((along - 0.5).abs(), (up * 4.0).rem_euclid(1.0));
                let edge = inner > 0.44 || !(0.1..0.9).contains(&rim);
                shade(self.floor_colour, if edge { 0.6 } else { 0.8 + 0.35 * self.grain.cloud(z * 1.2, y * 11.0) })
            }
            Wall::Rock => {
                let rough = self.grain.cloud(z * 1.3, y * 1.3);
                shade(self.wall_colour, 0.35 + 0.75 * rough)
            }
        }
    }

    fn ceiling_at(&self, x: f32, z: f32) -> Colour {
        let pale = mix(self.wall_colour, [0.95, 0.93, 0.88], 0.5);
        match self.ceiling {
            Ceiling::Plain => shade(pale, 0.75),
            Ceiling::Coffers => {
                let size = self.pitch * 0.5;
                let (dx, dz) = (((x / size).rem_euclid(1.0) - 0.5).abs(), ((z / size).rem_euclid(1.0) - 0.5).abs());
                let inset = dx.max(dz);
                if inset > 0.4 {
                    shade([0.85, 0.72, 0.4], 0.8)
                } else if inset > 0.3 {
                    shade(self.second, 0.6)
                } else {
                    shade(self.second, 0.95)
                }
            }
            Ceiling::Beams => {
                if (z / (self.pitch * 0.6)).rem_euclid(1.0) < 0.24 {
                    shade(self.floor_colour, 0.55)
                } else {
                    shade(pale, 0.85)
                }
            }
            Ceiling::Glass => {
                if (z / (self.pitch * 0.5)).rem_euclid(1.0) < 0.1 || (x / 0.9).rem_euclid(1.0) < 0.08 {
                    shade(self.second, 0.45)
                } else {
                    mix([0.66, 0.82, 0.96], [1.0; 3], self.grain.cloud(x * 0.4, z * 0.3))
                }
            }
            Ceiling::Vault => {
                let rib =
                    (z / self.pitch).rem_euclid(1.0) < 0.12 || ((z / self.pitch) + x * 0.25).rem_euclid(1.0) < 0.05;
                if rib { shade(self.second, 0.8) } else { shade(pale, 0.68 + 0.2 * self.grain.cloud(x, z)) }
            }
        }
    }

    fn end_at(&self, x: f32, y: f32) -> Colour {
        let [half, height, _] = self.room;
        let (across, up) = (x / half, y / height);
        let plain = shade(self.wall_colour, 0.82 + 0.16 * self.grain.cloud(x * 2.0, y * 2.0));
        match self.end {
            End::Rose => {
                let (dx, dy) = (x / (height * 0.22), (y - height * 0.58) / (height * 0.22));
                let radius = (dx * dx + dy * dy).sqrt();
                if radius > 1.0 {
                    return plain;
                }
                let petals = 6.0 + (self.accent_hue * 8.0).floor();
                let spoke = (dy.atan2(dx) * petals / std::f32::consts::TAU).rem_euclid(1.0);
                if spoke < 0.14 || (radius * 3.0).rem_euclid(1.0) < 0.12 {
                    [0.15, 0.12, 0.1]
                } else {
                    hsv(self.accent_hue + 0.25 * (radius * 3.0).floor(), 0.75, 0.95)
                }
            }
            End::Curtain => {
                if across.abs() > 0.85 || up > 0.88 {
                    return [0.75, 0.6, 0.28];
                }
                shade(self.accent, 0.65 + 0.4 * (x * 9.0 + (y * 1.5).sin()).sin().abs())
            }
            End::Picture => {
                let (dx, dy) = ((across / 0.55).abs(), ((up - 0.48) / 0.3).abs());
                if dx > 1.0 || dy > 1.0 {
                    return plain;
                }
                if dx > 0.93 || dy > 0.9 {
                    [0.78, 0.6, 0.25]
                } else {
                    hsv(self.accent_hue + 0.6 * self.grain.cloud(x * 1.5, y * 1.5), 0.55, 0.3 + 0.6 * up)
                }
            }
            End::Doorway => {
                let arch = 0.6 - 0.2 * (across / 0.3).powi(2);
                if across.abs() < 0.3 && up < arch {
                    mix([0.95, 0.9, 0.7], [0.55, 0.7, 0.85], up * 1.5)
                } else if across.abs() < 0.36 && up < arch + 0.06 {
                    shade(self.second, 0.8)
                } else {
                    plain
                }
            }
            End::Organ => {
                let pipe = (x / 0.28).floor();
                let top = 0.88 - 0.12 * (pipe.rem_euclid(5.0) - 2.0).abs();
                if across.abs() < 0.75 && up > 0.3 && up < top {
                    shade([0.78, 0.76, 0.68], 0.5 + 0.8 * (x / 0.28).rem_euclid(1.0))
                } else if across.abs() < 0.8 && up < 0.3 {
                    shade(self.floor_colour, 0.6)
                } else {
                    plain
                }
            }
            End::Clock => {
                let (dx, dy) = (x / (height * 0.17), (y - height * 0.6) / (height * 0.17));
                let radius = (dx * dx + dy * dy).sqrt();
                if radius < 1.0 {
                    let hand =
                        (dx.abs() < 0.06 && (0.0..0.8).contains(&dy)) || (dy.abs() < 0.07 && (0.0..0.55).contains(&dx));
                    return if radius > 0.86 || hand { [0.1, 0.1, 0.12] } else { [0.97, 0.95, 0.88] };
                }
                if across.abs() < 0.5 && up < 0.3 { shade(self.accent, 0.8) } else { plain }
            }
        }
    }

    fn furnish(&self, canvas: &mut Canvas, eye: &Eye) {
        let [half, height, depth] = self.room;
        let breadth = canvas.breadth();
        let project = |x: f32, y: f32, z: f32| -> (f32, f32, f32) {
            let (sin, cos) = eye.yaw.sin_cos();
            let (dx, dz) = (x - eye.x, z - eye.z);
            let (right, ahead) = (dx * cos - dz * sin, (dx * sin + dz * cos).max(0.05));
            let scale = eye.zoom / ahead;
            (breadth / 2.0 + right * scale, 0.5 - (y - eye.y) * scale + eye.tilt * eye.zoom, scale)
        };
        let rows = (depth / self.pitch) as usize;
        for row in (0..rows).rev() {
            let z = self.pitch * (row as f32 + 0.75);
            if z < eye.z + 1.1 {
                continue;
            }
            let light = 1.0 - 0.4 * z / depth;
            for side in [-1.0, 1.0] {
                let thing = self.things[row % 2];
                let stand = if thing == Things::Columns { 0.74 } else { 0.6 };
                let (x, y, scale) = project(side * half * stand, 0.0, z);
                self.stand(canvas, thing, (x, y), scale, height, light);
            }
            if self.lamps && row % 2 == 1 {
                let (x, y, scale) = project(0.0, height * 0.68, z);
                let top = project(0.0, height, z).1;
                canvas.line((x, top), (x, y), 0.03 * scale, [0.3, 0.25, 0.15]);
                canvas.ellipse((x, y), 0.55 * scale, 0.16 * scale, |_| [0.7, 0.55, 0.25]);
                for bulb in -2..=2 {
                    canvas.ellipse(
                        (x + bulb as f32 * 0.22 * scale, y - 0.12 * scale),
                        0.07 * scale,
                        0.1 * scale,
                        |_| [1.0, 0.95, 0.75],
                    );
                }
            }
        }
    }

    fn stand(&self, canvas: &mut Canvas, thing: Things, (x, y): Point, scale: f32, height: f32, light: f32) {
        let wood = shade(self.floor_colour, 0.7 * light);
        let stone = shade(mix(self.wall_colour, [0.9, 0.88, 0.84], 0.5), light);
        let accent = shade(self.accent, light);
        match thing {
            Things::Columns => {
                let (thick, top) = (0.26 * scale, y - height * 0.82 * scale);
                canvas.rectangle(x - thick, top, x + thick, y, |(px, _)| {
                    shade(stone, 1.12 - 0.55 * ((px - x + thick * 0.3) / thick).abs())
                });
                for (low, high) in [(y - 0.35 * scale, y), (top, top + 0.3 * scale)] {
                    canvas.rectangle(x - thick * 1.4, low, x + thick * 1.4, high, |_| shade(self.second, light));
                }
            }
            Things::Pews => {
                canvas.rectangle(x - 0.95 * scale, y - 0.9 * scale, x + 0.95 * scale, y - 0.1 * scale, |(_, py)| {
                    shade(wood, if (py / scale * 5.0).fract() < 0.2 { 0.7 } else { 1.0 })
                });
                canvas
                    .rectangle(x - 0.98 * scale, y - scale, x + 0.98 * scale, y - 0.88 * scale, |_| shade(wood, 1.35));
            }
            Things::Tables => {
                canvas.rectangle(x - 0.85 * scale, y - 0.8 * scale, x + 0.85 * scale, y - 0.7 * scale, |_| {
                    shade(wood, 1.3)
                });
                for leg in [-0.75, 0.7] {
                    canvas.rectangle(x + leg * scale, y - 0.7 * scale, x + (leg + 0.08) * scale, y, |_| wood);
                }
                canvas.rectangle(x - 0.1 * scale, y - 1.1 * scale, x + 0.1 * scale, y - 0.8 * scale, |_| accent);
            }
            Things::Statues => {
                canvas.rectangle(x - 0.32 * scale, y - 0.9 * scale, x + 0.32 * scale, y, |_| shade(self.second, light));
                canvas.polygon(
                    &[
                        (x - 0.28 * scale, y - 0.9 * scale),
                        (x - 0.2 * scale, y - 1.8 * scale),
                        (x + 0.2 * scale, y - 1.8 * scale),
                        (x + 0.28 * scale, y - 0.9 * scale),
                    ],
                    |_| stone,
                );
                canvas.ellipse((x, y - 1.98 * scale), 0.15 * scale, 0.2 * scale, |_| shade(stone, 1.1));
            }
            Things::Plants => {
                canvas.polygon(
                    &[
                        (x - 0.28 * scale, y - 0.5 * scale),
                        (x - 0.2 * scale, y),
                        (x + 0.2 * scale, y),
                        (x + 0.28 * scale, y - 0.5 * scale),
                    ],
                    |_| accent,
                );
                for leaf in -3..=3 {
                    let lean = leaf as f32 * 0.24;
                    canvas.polygon(
                        &[
                            (x - 0.06 * scale, y - 0.5 * scale),
                            (x + lean * scale, y - (1.9 - lean.abs()) * scale),
                            (x + 0.06 * scale, y - 0.5 * scale),
                        ],
                        |_| shade([0.2, 0.5, 0.22], light * (0.8 + 0.1 * leaf as f32)),
                    );
                }
            }
            Things::Seats => {
                for seat in -1..=1 {
                    let at = x + seat as f32 * 0.62 * scale;
                    canvas.rectangle(at - 0.27 * scale, y - scale, at + 0.27 * scale, y - 0.2 * scale, |_| accent);
                    canvas.rectangle(at - 0.24 * scale, y - 0.55 * scale, at + 0.24 * scale, y - 0.4 * scale, |_| {
                        shade(accent, 0.7)
                    });
                }
            }
        }
    }
}
