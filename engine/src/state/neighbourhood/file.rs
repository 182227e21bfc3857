//! The neighbour graph in a file, so that another process need not compute it. The catalog has the file's checksum and length. Searches
//! ignore a file that it does not know, and CHECK DEEP names it. Images may come and go after the file was written: whoever reads it
//! brings the graph in line.

use std::io::Write;

use bytes::{Buf, BufMut, TryGetError};
use cairndb_query::MAX_DEGREE;

use super::Neighbourhood;
use crate::catalog::{Catalog, StoredFile};
use crate::disk::{Folder, NEIGHBOURS, write_whole};
use crate::error::{Error, Result};
use crate::id::{ImageId, SpaceId};
use crate::vector::Hit;

const MAGIC: [u8; 8] = *b"CAIRNKNN";
const VERSION: u32 = 1;
/// Bytes of an edge: the number of the other image, and their similarity.
const EDGE_BYTES: usize = 8;
/// A file may have this many times the images that are there now, and [`FEW`] more: with more gone ones it helps little.
const TIMES: usize = 2;
const FEW: usize = 1 << 12;

/// Whose graph it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) database: [u8; 16],
    pub(crate) space: SpaceId,
}

impl Owner {
    /// The owner of what is saved of this catalog's space.
    pub(crate) fn of(catalog: &Catalog) -> Self {
        Self { database: catalog.database(), space: catalog.space() }
    }
}

/// Writes a graph of images, and returns what the catalog is to know of the file.
///
/// # Errors
/// `Io`; the earlier file stays then.
pub(super) fn save(folder: &Folder, owner: Owner, graph: &Neighbourhood) -> Result<StoredFile> {
    let mut stored = StoredFile { check: 0, bytes: 0 };
    write_whole(folder, NEIGHBOURS, "neighbours", |file| {
        let mut hasher = crc32fast::Hasher::new();
        let mut put = |bytes: &[u8]| {
            stored.bytes += bytes.len() as u64;
            hasher.update(bytes);
            file.write_all(bytes).map_err(|error| Error::io(&folder.path_of(NEIGHBOURS), error))
        };
        let mut bytes = Vec::new();
        bytes.put_slice(&MAGIC);
        bytes.put_u32_le(VERSION);
        bytes.put_slice(&owner.database);
        bytes.put_u32_le(owner.space.0);
        bytes.put_u32_le(graph.others as u32);
        bytes.put_u32_le(graph.images.len() as u32);
        put(&bytes)?;
        // Dead rows have no place in it.
        let mut number_of = vec![u32::MAX; graph.rows()];
        graph.images.iter().zip(0..).for_each(|(&(row, _), number)| number_of[row] = number);
        for &(row, id) in &graph.images {
            bytes.clear();
            let edges = graph.nearest(row, usize::MAX);
            bytes.put_u64_le(id.0);
            bytes.put_u32_le(edges.len() as u32);
            for edge in edges {
                bytes.put_u32_le(number_of[edge.row as usize]);
                bytes.put_f32_le(edge.similarity);
            }
            put(&bytes)?;
        }
        stored.check = hasher.finalize();
        Ok(())
    })?;
    Ok(stored)
}

/// The graph in the file that the catalog knows; its rows are its own. `None`: there is none that can be believed, or it has far more
/// images than `images`.
pub(super) fn load(folder: &Folder, owner: Owner, known: StoredFile, images: usize) -> Option<Neighbourhood> {
    read(folder, owner, known, TIMES.saturating_mul(images).saturating_add(FEW)).ok()?
}

/// The graph in the file that the catalog knows; its rows are its own. `None`: there is no file, it is of another model's space, or it
/// has more than `most` images.
///
/// # Errors
/// `Corrupt`: it is not the file that was written; `Io`.
pub(super) fn read(folder: &Folder, owner: Owner, known: StoredFile, most: usize) -> Result<Option<Neighbourhood>> {
    let Some(bytes) = folder.read(NEIGHBOURS, known.bytes)? else { return Ok(None) };
    let wrong = |why: &str| Error::corrupt(format!("{} {why}", folder.path_of(NEIGHBOURS).display()));
    if bytes.len() as u64 != known.bytes {
        return Err(wrong(&format!("has {} bytes of the {} that were written", bytes.len(), known.bytes)));
    }
    if crc32fast::hash(&bytes) != known.check {
        return Err(wrong("has another checksum than what was written"));
    }
    decode(&bytes, owner, most).map_err(|Flaw(why)| wrong(why))
}

/// Why bytes are no graph, in words that follow the file's path.
struct Flaw(&'static str);

impl From<TryGetError> for Flaw {
    fn from(_: TryGetError) -> Self {
        Self("ends before its last image")
    }
}

fn decode(mut bytes: &[u8], owner: Owner, most: usize) -> Result<Option<Neighbourhood>, Flaw> {
    let (mut magic, mut database) = ([0; 8], [0; 16]);
    bytes.try_copy_to_slice(&mut magic)?;
    let version = bytes.try_get_u32_le()?;
    if (magic, version) != (MAGIC, VERSION) {
        return Err(Flaw("has another format than this build writes"));
    }
    bytes.try_copy_to_slice(&mut database)?;
    let space = SpaceId(bytes.try_get_u32_le()?);
    if database != owner.database {
        return Err(Flaw("is of another database"));
    }
    let others = bytes.try_get_u32_le()? as usize;
    let count = bytes.try_get_u32_le()? as usize;
    if !(1..=MAX_DEGREE).contains(&others) {
        return Err(Flaw("has an impossible number of edges an image"));
    }
    if space != owner.space || count > most {
        return Ok(None);
    }
    let mut graph = Neighbourhood { others, starts: vec![0], edges: Vec::new(), images: Vec::new() };
    for number in 0..count {
        let (id, edges) = (ImageId(bytes.try_get_u64_le()?), bytes.try_get_u32_le()? as usize);
        // Each image has all others, or as many as the graph gives.
        if edges != others.min(count - 1) {
            return Err(Flaw("has an image with too few or too many edges"));
        }
        if bytes.len() / EDGE_BYTES < edges {
            return Err(Flaw("ends before its last image"));
        }
        if graph.images.last().is_some_and(|&(_, last)| last >= id) {
            return Err(Flaw("has image ids that do not rise"));
        }
        for _ in 0..edges {
            let edge = Hit { row: bytes.get_u32_le(), similarity: bytes.get_f32_le() };
            if edge.row as usize >= count || edge.row as usize == number || !edge.similarity.is_finite() {
                return Err(Flaw("has an edge that leads nowhere"));
            }
            graph.edges.push(edge);
        }
        graph.starts.push(graph.edges.len());
        graph.images.push((number, id));
    }
    if bytes.is_empty() { Ok(Some(graph)) } else { Err(Flaw("has bytes behind its last image")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Folder;
    use crate::progress::UNINTERRUPTED;
    use crate::rows::{NewRow, RowSet};
    use crate::vector::unit;

    fn graph() -> Neighbourhood {
        let mut set = RowSet::new(2);
        for at in 0..9u64 {
            let row = NewRow { id: ImageId(2 * at), key: at.to_string().into(), instance: None, floor: 0.0 };
            set.append(vec![row], unit(&[at as f32, 3.0]).unwrap());
        }
        set.kill(4);
        Neighbourhood::of(&set, 3, &UNINTERRUPTED).unwrap()
    }

    fn images_and_edges(graph: &Neighbourhood) -> Vec<(ImageId, Vec<(ImageId, f32)>)> {
        let id = |row: usize| graph.images.iter().find(|(known, _)| *known == row).unwrap().1;
        let edges =
            |row: usize| graph.nearest(row, 9).iter().map(|edge| (id(edge.row as usize), edge.similarity)).collect();
        graph.images.iter().map(|&(row, known)| (known, edges(row))).collect()
    }

    const OWNER: Owner = Owner { database: [7; 16], space: SpaceId(2) };

    #[test]
    fn a_graph_comes_back_as_it_was_and_to_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Folder::open(folder.path()).unwrap();
        let known = save(&folder, OWNER, &graph()).unwrap();
        let back = load(&folder, OWNER, known, 8).unwrap();
        assert_eq!(images_and_edges(&back), images_and_edges(&graph()));
        assert_eq!(back.others, 3);
        for owner in [Owner { space: SpaceId(3), ..OWNER }, Owner { database: [8; 16], ..OWNER }] {
            assert!(load(&folder, owner, known, 8).is_none());
        }
        for known in [StoredFile { check: known.check ^ 1, ..known }, StoredFile { bytes: known.bytes - 1, ..known }] {
            assert!(load(&folder, OWNER, known, 8).is_none());
        }
    }

    /// It catches: a cut or changed file with a fitting checksum that panics, takes memory for what it only claims, or gives edges that
    /// lead nowhere.
    #[test]
    fn hostile_files_are_ignored_or_give_a_sound_graph() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NEIGHBOURS);
        let folder = Folder::open(folder.path()).unwrap();
        save(&folder, OWNER, &graph()).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let load_as = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            load(&folder, OWNER, StoredFile { check: crc32fast::hash(bytes), bytes: bytes.len() as u64 }, 8)
        };
        for length in 0..whole.len() {
            assert!(load_as(&whole[..length]).is_none(), "{length} bytes");
        }
        for at in 0..whole.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut changed = whole.clone();
                changed[at] = value;
                let Some(graph) = load_as(&changed) else { continue };
                let is_sound = |edge: &Hit| (edge.row as usize) < graph.rows() && edge.similarity.is_finite();
                assert!((0..graph.rows()).all(|row| graph.nearest(row, 9).iter().all(is_sound)), "byte {at}: {value}");
            }
        }
    }
}
