//! Archives of the zip format as they are, and as nobody should make them.

use std::io::Write;

/// What both headers of a file have in common: version, flags, method, time, date, sum, lengths.
fn common(name: &str, sum: u32, packed: usize, content: usize) -> Vec<u8> {
    let mut common = vec![20, 0, 0, 0, 8, 0, 0, 0, 0x21, 0x5b];
    common.extend(sum.to_le_bytes());
    common.extend((packed as u32).to_le_bytes());
    common.extend((content as u32).to_le_bytes());
    common.extend([name.len() as u8, 0, 0, 0]);
    common
}

fn header(name: &str, common: &[u8]) -> Vec<u8> {
    [b"PK\x03\x04", common, name.as_bytes()].concat()
}

fn entry(name: &str, common: &[u8], offset: usize) -> Vec<u8> {
    let offset = (offset as u32).to_le_bytes();
    [b"PK\x01\x02\x14\x00", common, &[0; 10], &offset, name.as_bytes()].concat()
}

fn directory(mut out: Vec<u8>, entries: &[Vec<u8>]) -> Vec<u8> {
    let start = (out.len() as u32).to_le_bytes();
    let count = (entries.len() as u16).to_le_bytes();
    let directory = entries.concat();
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend([count, count].concat());
    out.extend((directory.len() as u32).to_le_bytes());
    out.extend(start);
    out.extend([0, 0]);
    out
}

fn packed(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn sum(parts: &[&[u8]]) -> u32 {
    let mut crc = flate2::Crc::new();
    parts.iter().for_each(|part| crc.update(part));
    crc.sum()
}

/// Compressed files, each under its name.
pub fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut out, mut entries) = (Vec::new(), Vec::new());
    for (name, content) in files {
        let packed = packed(content);
        let common = common(name, sum(&[content]), packed.len(), content.len());
        entries.push(entry(name, &common, out.len()));
        out.extend([header(name, &common), packed].concat());
    }
    directory(out, &entries)
}

/// Files that share one compressed content: each holds the headers of those behind it in front of that, quoted in
/// blocks of their own, so that each is another file.
pub fn overlapping(files: usize, content: &[u8]) -> Vec<u8> {
    // From the last to the first; each is what stands in front of the one behind it.
    let mut tail = packed(content);
    let mut quoted: Vec<u8> = Vec::new();
    let mut entries: Vec<(String, Vec<u8>, usize)> = Vec::new();
    for number in (0..files).rev() {
        let name = format!("{number:04}");
        let common = common(&name, sum(&[&quoted, content]), tail.len(), quoted.len() + content.len());
        let head = header(&name, &common);
        tail = [&head[..], &tail].concat();
        entries.push((name, common, tail.len()));
        if number > 0 {
            let length = (head.len() as u16).to_le_bytes();
            tail = [&[0][..], &length, &length.map(|byte| !byte), &tail].concat();
            quoted = [head, quoted].concat();
        }
    }
    let whole = tail.len();
    let entries: Vec<_> =
        entries.iter().rev().map(|(name, common, from_end)| entry(name, common, whole - from_end)).collect();
    directory(tail, &entries)
}
