//! Pictures of a black screen.

/// Returns a picture in the portable pixmap format.
pub(super) fn ppm(width: usize, height: usize) -> Vec<u8> {
    let mut picture = format!("P6\n{width} {height}\n255\n").into_bytes();
    picture.resize(picture.len() + width * height * 3, 0);
    picture
}

/// Returns a picture in PNG.
pub(super) fn png(width: usize, height: usize) -> Vec<u8> {
    let mut picture = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = Vec::new();
    for number in [width, height] {
        header.extend(u32::try_from(number).unwrap_or_default().to_be_bytes());
    }
    // Eight bits for each of three colors, without interlacing.
    header.extend([8, 2, 0, 0, 0]);
    chunk(&mut picture, *b"IHDR", &header);
    // Each line begins with the number of its filter.
    let lines = vec![0; height * (1 + width * 3)];
    chunk(&mut picture, *b"IDAT", &zlib(&lines));
    chunk(&mut picture, *b"IEND", &[]);
    picture
}

fn chunk(picture: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) {
    picture.extend(u32::try_from(data.len()).unwrap_or_default().to_be_bytes());
    let begin = picture.len();
    picture.extend(kind);
    picture.extend(data);
    let sum = crc(&picture[begin..]);
    picture.extend(sum.to_be_bytes());
}

/// Stores data without compressing it.
fn zlib(data: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x78, 0x01];
    let mut blocks = data.chunks(0xFFFF).peekable();
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).unwrap_or_default();
        stream.push(u8::from(blocks.peek().is_none()));
        stream.extend(length.to_le_bytes());
        stream.extend((!length).to_le_bytes());
        stream.extend(block);
    }
    let (mut low, mut high) = (1_u32, 0_u32);
    for byte in data {
        low = (low + u32::from(*byte)) % 65521;
        high = (high + low) % 65521;
    }
    stream.extend((high << 16 | low).to_be_bytes());
    stream
}

fn crc(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { sum >> 1 ^ 0xEDB8_8320 } else { sum >> 1 };
        }
    }
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_formats() {
        assert_eq!(crc(b"IEND"), 0xAE42_6082);
        assert!(zlib(b"Wikipedia").ends_with(&0x11E6_0398_u32.to_be_bytes()));
        assert_eq!(ppm(2, 1), b"P6\n2 1\n255\n\0\0\0\0\0\0");
    }
}
