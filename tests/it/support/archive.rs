//! Archives of the zip format as they are, and as nobody should make them.

use std::io::Write;

/// What both headers of a file have in common: version, flags, method, time, date, sums, lengths.
fn common(name: &str, content: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(content).unwrap();
    let packed = encoder.finish().unwrap();
    let mut crc = flate2::Crc::new();
    crc.update(content);
    let mut common = vec![20, 0, 0, 0, 8, 0, 0, 0, 0x21, 0x5b];
    common.extend(crc.sum().to_le_bytes());
    common.extend((packed.len() as u32).to_le_bytes());
    common.extend((content.len() as u32).to_le_bytes());
    common.extend([name.len() as u8, 0, 0, 0]);
    (common, packed)
}

fn entry(name: &str, common: &[u8], offset: usize) -> Vec<u8> {
    let offset = (offset as u32).to_le_bytes();
    [b"PK\x01\x02\x14\x00", common, &[0; 10], &offset, name.as_bytes()].concat()
}

fn directory(mut out: Vec<u8>, entries: Vec<Vec<u8>>) -> Vec<u8> {
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

/// Compressed files, each under its name.
pub fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut out, mut entries) = (Vec::new(), Vec::new());
    for (name, content) in files {
        let (common, packed) = common(name, content);
        entries.push(entry(name, &common, out.len()));
        out.extend([b"PK\x03\x04", &common[..], name.as_bytes(), &packed].concat());
    }
    directory(out, entries)
}

/// So many names for one and the same compressed bytes.
pub fn overlapping(names: usize, content: &[u8]) -> Vec<u8> {
    let (common, packed) = common("0000", content);
    let out = [b"PK\x03\x04", &common[..], b"0000", &packed].concat();
    let entries = (0..names).map(|n| entry(&format!("{n:04}"), &common, 0)).collect();
    directory(out, entries)
}
