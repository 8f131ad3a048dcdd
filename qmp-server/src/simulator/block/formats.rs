//! Image formats: how an image is recognized by its first bytes, and how an empty one is written.

/// The headers that are recognized are in the first bytes.
const CLUSTER: u64 = 64 << 10;

/// The number of bytes that one cluster of the second level maps.
const MAPPED_BY_TABLE: u64 = CLUSTER / 8 * CLUSTER;

/// The contents of an image's header.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Image {
    pub(super) size: Option<u64>,
    /// The name and the format of the backing file.
    pub(super) backing: Option<(String, Option<String>)>,
}

/// Reads the header of an image in a given format.
///
/// Returns QEMU's message if the file does not have this format.
pub(super) fn read(driver: &str, head: &[u8], file: &str) -> Result<Image, String> {
    let begins = |magic: &[u8]| head.starts_with(magic);
    let plain = |is_image: bool, desc: &str, size: Option<u64>| match is_image {
        true => Ok(Image { size, backing: None }),
        false => Err(desc.to_owned()),
    };
    match driver {
        "qcow2" if begins(b"QFI\xfb\0\0\0\x02") || begins(b"QFI\xfb\0\0\0\x03") => Ok(qcow2(head)),
        "qcow2" => Err("Image is not in qcow2 format".to_owned()),
        "qcow" => plain(begins(b"QFI\xfb\0\0\0\x01"), "Image not in qcow format", be64(head, 24)),
        "qed" => plain(begins(b"QED\0"), "Image not in QED format", le64(head, 48)),
        "vmdk" => {
            let is_vmdk = begins(b"KDMV") || begins(b"COWD") || begins(b"# Disk DescriptorFile");
            let sectors = le64(head, 12).map(|sectors| sectors.saturating_mul(512));
            plain(is_vmdk, "invalid VMDK image descriptor", sectors)
        }
        "vdi" => {
            const LARGEST: u64 = 0x1_ffff_f800_0000;
            let is_vdi = head.get(64..68) == Some(b"\x7f\x10\xda\xbe");
            if let Some(size) = le64(head, 368).filter(|size| *size > LARGEST) {
                return Err(format!(
                    "Unsupported VDI image size (size is 0x{size:x}, max supported is 0x{LARGEST:x})"
                ));
            }
            plain(is_vdi, "Image not in VDI format (bad signature)", le64(head, 368))
        }
        "vhdx" => {
            plain(begins(b"vhdxfile"), &format!("Could not open '{file}': Invalid argument"), None)
        }
        "vpc" => plain(begins(b"conectix"), "invalid VPC image", be64(head, 48)),
        "luks" => plain(begins(b"LUKS\xba\xbe"), "Volume is not in LUKS format", None),
        "parallels" => {
            let is_parallels = begins(b"WithoutFreeSpace") || begins(b"WithouFreSpacExt");
            plain(is_parallels, "Image not in Parallels format", None)
        }
        "dmg" => Err("Could not locate UDIF trailer in dmg file".to_owned()),
        "bochs" => plain(begins(b"Bochs Virtual HD Image"), "Image not in Bochs format", None),
        "cloop" => match be32(head, 128).unwrap_or_default() {
            0 => Err("block_size cannot be zero".to_owned()),
            size if size % 512 != 0 => Err(format!("block_size {size} must be a multiple of 512")),
            _ => Err("the simulated machine does not open cloop images".to_owned()),
        },
        _ => Ok(Image::default()),
    }
}

/// Returns the format of an image, as QEMU guesses it.
pub(super) fn probe(head: &[u8]) -> &'static str {
    let formats = ["qcow2", "qcow", "qed", "vmdk", "vdi", "vhdx", "luks", "parallels", "bochs"];
    formats.into_iter().find(|format| read(format, head, "").is_ok()).unwrap_or("raw")
}

fn qcow2(head: &[u8]) -> Image {
    let size = be64(head, 24);
    let place = be64(head, 8).filter(|offset| *offset != 0).zip(be32(head, 16));
    let name = place.and_then(|(offset, length)| {
        let from = usize::try_from(offset).ok()?;
        let bytes = head.get(from..from.checked_add(usize::try_from(length).ok()?)?)?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    });
    let length = match be32(head, 4) {
        Some(2) => Some(72),
        _ => be32(head, 100),
    };
    let format = length.and_then(|length| extension(head, usize::try_from(length).ok()?));
    Image { size, backing: name.map(|name| (name, format)) }
}

/// Returns the format of the backing file from the extensions of a header.
fn extension(head: &[u8], mut at: usize) -> Option<String> {
    const BACKING_FORMAT: u32 = 0xE279_2ACA;
    loop {
        let (kind, length) = (be32(head, at)?, usize::try_from(be32(head, at + 4)?).ok()?);
        let bytes = head.get(at + 8..at.checked_add(8)?.checked_add(length)?)?;
        match kind {
            0 => return None,
            BACKING_FORMAT => return Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => at = at.checked_add(8)?.checked_add(length.div_ceil(8) * 8)?,
        }
    }
}

/// The largest virtual size in bytes of a new qcow2 image.
pub(in crate::simulator) const MAX_SIZE: u64 = 1 << 51;

/// Returns the first bytes of an empty qcow2 image, and the size of its file.
pub(in crate::simulator) fn new_qcow2(
    size: u64,
    backing: Option<(&str, Option<&str>)>,
) -> (Vec<u8>, u64) {
    let size = size.min(MAX_SIZE);
    let tables = size.div_ceil(MAPPED_BY_TABLE).max(1);
    let mut header = Vec::new();
    let mut extensions = Vec::new();
    if let Some((_, Some(format))) = backing {
        extensions.extend(0xE279_2ACA_u32.to_be_bytes());
        extensions.extend(u32::try_from(format.len()).unwrap_or_default().to_be_bytes());
        extensions.extend(format.as_bytes());
        extensions.resize(extensions.len().div_ceil(8) * 8, 0);
    }
    extensions.extend([0; 8]);
    let name = backing.map(|(name, _)| name).unwrap_or_default();
    let name_at = if name.is_empty() { 0 } else { 104 + extensions.len() as u64 };
    header.extend(b"QFI\xfb");
    header.extend(3_u32.to_be_bytes());
    header.extend(name_at.to_be_bytes());
    header.extend(u32::try_from(name.len()).unwrap_or_default().to_be_bytes());
    header.extend(16_u32.to_be_bytes());
    header.extend(size.to_be_bytes());
    header.extend(0_u32.to_be_bytes());
    header.extend(u32::try_from(tables).unwrap_or(u32::MAX).to_be_bytes());
    header.extend((3 * CLUSTER).to_be_bytes());
    header.extend(CLUSTER.to_be_bytes());
    header.extend(1_u32.to_be_bytes());
    header.extend([0; 4 + 8 + 8 + 8 + 8]);
    header.extend(4_u32.to_be_bytes());
    header.extend(104_u32.to_be_bytes());
    header.extend(extensions);
    header.extend(name.as_bytes());
    // The table of reference counts has one block, which counts the clusters used so far.
    let mut bytes = header;
    bytes.resize(to_usize(CLUSTER), 0);
    bytes.extend((2 * CLUSTER).to_be_bytes());
    bytes.resize(to_usize(2 * CLUSTER), 0);
    let used = 3 + (tables * 8).div_ceil(CLUSTER);
    for _ in 0..used {
        bytes.extend(1_u16.to_be_bytes());
    }
    (bytes, 3 * CLUSTER + tables * 8)
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn bytes<const N: usize>(head: &[u8], at: usize) -> Option<[u8; N]> {
    head.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn be32(head: &[u8], at: usize) -> Option<u32> {
    bytes(head, at).map(u32::from_be_bytes)
}

fn be64(head: &[u8], at: usize) -> Option<u64> {
    bytes(head, at).map(u64::from_be_bytes)
}

fn le64(head: &[u8], at: usize) -> Option<u64> {
    bytes(head, at).map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_image_is_recognized() {
        for backing in [None, Some(("base.img", None)), Some(("/a/b.qcow2", Some("qcow2")))] {
            let (bytes, _) = new_qcow2(5 << 30, backing);
            assert_eq!(probe(&bytes), "qcow2");
            let image = read("qcow2", &bytes, "x");
            let backing = backing.map(|(name, format)| (name.into(), format.map(str::to_owned)));
            assert_eq!(image, Ok(Image { size: Some(5 << 30), backing }));
        }
    }

    #[test]
    fn other_bytes_are_raw() {
        for bytes in [&b""[..], b"QFI", b"hello, world", &[0; 4096]] {
            assert_eq!(probe(bytes), "raw");
            assert!(read("qcow2", bytes, "x").is_err());
        }
    }
}
