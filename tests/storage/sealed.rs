//! RocksDB's own checksums, for tests that craft its files: those of a table's blocks and footer, and of a log's records.

use std::ops::Range;

/// Secret of XXH3.
const SECRET: [u8; 192] = [
    0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c, 0xde, 0xd4, 0x6d,
    0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f, 0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0,
    0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21, 0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0,
    0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c, 0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b,
    0x1b, 0x53, 0x2e, 0xa3, 0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac,
    0xd8, 0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d, 0x8a, 0x51,
    0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64, 0xea, 0xc5, 0xac, 0x83, 0x34,
    0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb, 0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49,
    0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e, 0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8,
    0xd1, 0x7a, 0xd0, 0x31, 0xce, 0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b,
    0x40, 0x7e,
];
const P32: [u64; 3] = [0x9E37_79B1, 0x85EB_CA77, 0xC2B2_AE3D];
const P64: [u64; 5] =
    [0x9E37_79B1_85EB_CA87, 0xC2B2_AE3D_27D4_EB4F, 0x1656_67B1_9E37_79F9, 0x85EB_CA77_C2B2_AE63, 0x27D4_EB2F_1656_67C5];

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn half(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn folded(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

fn avalanche(mut hash: u64) -> u64 {
    hash ^= hash >> 37;
    hash = hash.wrapping_mul(0x1656_6791_9E37_79F9);
    hash ^ hash >> 32
}

fn old_avalanche(mut hash: u64) -> u64 {
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(P64[1]);
    hash ^= hash >> 29;
    hash = hash.wrapping_mul(P64[2]);
    hash ^ hash >> 32
}

fn mixed(bytes: &[u8], at: usize, secret: usize) -> u64 {
    folded(word(bytes, at) ^ word(&SECRET, secret), word(bytes, at + 8) ^ word(&SECRET, secret + 8))
}

/// XXH3 of 64 bits, without a seed.
pub fn xxh3(bytes: &[u8]) -> u64 {
    let length = bytes.len();
    match length {
        0 => old_avalanche(word(&SECRET, 56) ^ word(&SECRET, 64)),
        1..=3 => {
            let [first, middle, last] = [0, length >> 1, length - 1].map(|at| u64::from(bytes[at]));
            let combined = first << 16 | middle << 24 | last | (length as u64) << 8;
            old_avalanche(combined ^ u64::from(half(&SECRET, 0) ^ half(&SECRET, 4)))
        }
        4..=8 => {
            let keyed = u64::from(half(bytes, length - 4)) + (u64::from(half(bytes, 0)) << 32);
            let mut hash = keyed ^ word(&SECRET, 8) ^ word(&SECRET, 16);
            hash ^= hash.rotate_left(49) ^ hash.rotate_left(24);
            hash = hash.wrapping_mul(0x9FB2_1C65_1E98_DF25);
            hash ^= (hash >> 35).wrapping_add(length as u64);
            hash = hash.wrapping_mul(0x9FB2_1C65_1E98_DF25);
            hash ^ hash >> 28
        }
        9..=16 => {
            let low = word(bytes, 0) ^ word(&SECRET, 24) ^ word(&SECRET, 32);
            let high = word(bytes, length - 8) ^ word(&SECRET, 40) ^ word(&SECRET, 48);
            let sum = (length as u64).wrapping_add(low.swap_bytes()).wrapping_add(high);
            avalanche(sum.wrapping_add(folded(low, high)))
        }
        17..=128 => {
            let mut sum = (length as u64).wrapping_mul(P64[0]);
            for pair in 0..=(length - 1) / 32 {
                sum = sum.wrapping_add(mixed(bytes, 16 * pair, 32 * pair));
                sum = sum.wrapping_add(mixed(bytes, length - 16 * (pair + 1), 32 * pair + 16));
            }
            avalanche(sum)
        }
        129..=240 => {
            let mut sum = (length as u64).wrapping_mul(P64[0]);
            (0..8).for_each(|at| sum = sum.wrapping_add(mixed(bytes, 16 * at, 16 * at)));
            sum = avalanche(sum);
            (8..length / 16).for_each(|at| sum = sum.wrapping_add(mixed(bytes, 16 * at, 16 * (at - 8) + 3)));
            avalanche(sum.wrapping_add(mixed(bytes, length - 16, 136 - 17)))
        }
        _ => long(bytes),
    }
}

fn long(bytes: &[u8]) -> u64 {
    const STRIPE: usize = 64;
    const STRIPES: usize = (SECRET.len() - STRIPE) / 8;
    let mut sums = [P32[2], P64[0], P64[1], P64[2], P64[3], P32[1], P64[4], P32[0]];
    let accumulate = |sums: &mut [u64; 8], at: usize, secret: usize| {
        for lane in 0..8 {
            let value = word(bytes, at + 8 * lane);
            let key = value ^ word(&SECRET, secret + 8 * lane);
            sums[lane ^ 1] = sums[lane ^ 1].wrapping_add(value);
            sums[lane] = sums[lane].wrapping_add((key & 0xffff_ffff).wrapping_mul(key >> 32));
        }
    };
    let blocks = (bytes.len() - 1) / (STRIPES * STRIPE);
    for block in 0..blocks {
        (0..STRIPES).for_each(|at| accumulate(&mut sums, (block * STRIPES + at) * STRIPE, 8 * at));
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum = (*sum ^ *sum >> 47 ^ word(&SECRET, SECRET.len() - STRIPE + 8 * lane)).wrapping_mul(P32[0]);
        }
    }
    let start = blocks * STRIPES * STRIPE;
    (0..(bytes.len() - 1 - start) / STRIPE).for_each(|at| accumulate(&mut sums, start + at * STRIPE, 8 * at));
    accumulate(&mut sums, bytes.len() - STRIPE, SECRET.len() - STRIPE - 7);
    let mut hash = (bytes.len() as u64).wrapping_mul(P64[0]);
    for pair in 0..4 {
        let at = 11 + 16 * pair;
        hash =
            hash.wrapping_add(folded(sums[2 * pair] ^ word(&SECRET, at), sums[2 * pair + 1] ^ word(&SECRET, at + 8)));
    }
    avalanche(hash)
}

/// CRC-32C, as RocksDB stores it.
pub fn masked_crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        (0..8).for_each(|_| crc = crc >> 1 ^ if crc & 1 == 1 { 0x82F6_3B78 } else { 0 });
    }
    (!crc).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Bytes behind a block: its kind of compression and its checksum.
const TRAILER: usize = 5;
/// Bytes of a table's footer.
const FOOTER: usize = 53;

fn context(table: &[u8], at: usize) -> u32 {
    let base = half(table, table.len() - FOOTER + 9);
    if base == 0 { 0 } else { base ^ at as u32 }
}

fn check_of_block(table: &[u8], block: &Range<usize>) -> u32 {
    let kind = u32::from(table[block.end]);
    (xxh3(&table[block.clone()]) as u32 ^ kind.wrapping_mul(0x6b90_83d9)).wrapping_add(context(table, block.start))
}

/// Where the blocks of a table lie, without their trailers; the last of them ends before the footer.
///
/// Complexity: quadratic in the length of a block.
///
/// # Panics
/// When the bytes are no table with checksums of this kind.
pub fn blocks(table: &[u8]) -> Vec<Range<usize>> {
    let (mut found, mut start, end) = (Vec::new(), 0, table.len() - FOOTER);
    while start < end {
        let ends = (start..=end - TRAILER).find(|&at| check_of_block(table, &(start..at)) == half(table, at + 1));
        let block = start..ends.expect("a block has an end");
        start = block.end + TRAILER;
        found.push(block);
    }
    found
}

/// Makes the checksums of a table's blocks and of its footer fit what they hold by now.
pub fn seal_table(table: &mut [u8], blocks: &[Range<usize>]) {
    for block in blocks {
        let check = check_of_block(table, block);
        table[block.end + 1..block.end + TRAILER].copy_from_slice(&check.to_le_bytes());
    }
    let footer = table.len() - FOOTER;
    table[footer + 5..footer + 9].fill(0);
    let last = table[table.len() - 1];
    let sum = xxh3(&table[footer..table.len() - 1]) as u32 ^ u32::from(last).wrapping_mul(0x6b90_83d9);
    let check = sum.wrapping_add(context(table, footer));
    table[footer + 5..footer + 9].copy_from_slice(&check.to_le_bytes());
}

/// Where the records of a log or of a list of tables lie, headers included.
pub fn records(log: &[u8]) -> Vec<Range<usize>> {
    const BLOCK: usize = 32 << 10;
    const HEADER: usize = 7;
    let (mut found, mut at) = (Vec::new(), 0);
    while at + HEADER <= log.len() {
        if BLOCK - at % BLOCK < HEADER {
            at = at.next_multiple_of(BLOCK);
            continue;
        }
        let end = at + HEADER + usize::from(u16::from_le_bytes([log[at + 4], log[at + 5]]));
        if log[at + 6] == 0 || end > log.len() {
            break;
        }
        found.push(at..end);
        at = end;
    }
    found
}

/// Makes the checksum of a record fit what it holds by now.
pub fn seal_record(log: &mut [u8], record: &Range<usize>) {
    let check = masked_crc32c(&log[record.start + 6..record.end]);
    log[record.start..record.start + 4].copy_from_slice(&check.to_le_bytes());
}
