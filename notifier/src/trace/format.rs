//! How a kernel lays its events and ring buffer pages out, in its own words: the `format` files of tracefs, and `events/header_page`.
//!
//! Nothing is assumed about offsets: fields move between kernels, grow, and lie differently with other configurations. Little endian
//! is assumed, as everything here is about x86.

use thiserror::Error;

/// Why a description cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FormatError {
    /// A line that says `field:` says nothing else that is known.
    #[error("'{line}' describes no field: expected 'field:TYPE NAME; offset:N; size:N; signed:N;'")]
    Field {
        /// The line.
        line: String,
    },
    /// There is no event number, or one that does not fit the 16 bits that events carry.
    #[error("no line 'ID: N' with a number below 65536")]
    Id,
    /// The kernel's event has no field of this name.
    #[error("this kernel's event has no field '{0}'")]
    Absent(&'static str),
    /// A field that must be a number is not one of 1, 2, 4 or 8 bytes.
    #[error("field '{name}' has {size} bytes at {offset}, which is no number")]
    Shape {
        /// Which field.
        name: String,
        /// Where it begins.
        offset: usize,
        /// Its size.
        size: usize,
    },
}

/// A field of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// First byte, from the event's.
    pub offset: usize,
    /// Bytes.
    pub size: usize,
    /// Whether the number is signed.
    pub signed: bool,
    /// Whether it is one number: no array, and none of those whose contents lie behind the fields.
    pub plain: bool,
}

/// Where a number lies in an event. One of size 0 is absent, and reads as 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) offset: u16,
    pub(crate) size: u8,
    pub(crate) signed: bool,
}

impl Slot {
    /// First byte behind it.
    pub(crate) const fn end(self) -> usize {
        self.offset as usize + self.size as usize
    }

    /// The number, sign-extended where it has a sign; `None` where the event ends before it does.
    #[inline]
    pub(crate) fn read(self, event: &[u8]) -> Option<u64> {
        let bytes = event.get(self.offset as usize..self.end())?;
        Some(match (bytes, self.signed) {
            (&[a, b, c, d, e, f, g, h], _) => u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            (&[a, b, c, d], false) => u32::from_le_bytes([a, b, c, d]).into(),
            (&[a, b, c, d], true) => i32::from_le_bytes([a, b, c, d]) as i64 as u64,
            (&[a, b], false) => u16::from_le_bytes([a, b]).into(),
            (&[a, b], true) => i16::from_le_bytes([a, b]) as i64 as u64,
            (&[a], false) => a.into(),
            (&[a], true) => a as i8 as i64 as u64,
            _ => 0,
        })
    }

    /// The inverse of [`Slot::read`], for events that never happened. What does not fit is cut off.
    pub(crate) fn write(self, event: &mut [u8], number: u64) {
        let size = usize::from(self.size);
        if let Some(bytes) = event.get_mut(self.offset as usize..self.end()) {
            bytes.copy_from_slice(&number.to_le_bytes()[..size]);
        }
    }
}

impl Field {
    /// `\tfield:unsigned long start;\toffset:8;\tsize:8;\tsigned:0;`, of which kernels before 2.6.32 lack the last.
    fn parse(line: &str) -> Option<Self> {
        let mut parts = line.split(';').map(str::trim);
        let declaration = parts.next()?.strip_prefix("field:")?.trim();
        let (mut offset, mut size, mut signed) = (None, None, false);
        for part in parts.filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once(':')?;
            match key {
                "offset" => offset = Some(value.parse().ok()?),
                "size" => size = Some(value.parse().ok()?),
                "signed" => signed = value != "0",
                // whatever a later kernel has to say besides
                _ => {}
            }
        }
        // an array's brackets stand behind its name, or (`__data_loc char[] name`) in its type
        let name = declaration.split_whitespace().next_back()?.trim_start_matches('*');
        let name = name.split_once('[').map_or(name, |(name, _)| name).to_owned();
        let plain = !declaration.contains('[') && !declaration.starts_with("__data_loc") && !declaration.starts_with("__rel_loc");
        (!name.is_empty()).then_some(Self { name, offset: offset?, size: size?, signed, plain })
    }

    /// Where its number lies.
    pub(crate) fn slot(&self) -> Result<Slot, FormatError> {
        let shape = || FormatError::Shape { name: self.name.clone(), offset: self.offset, size: self.size };
        if !self.plain || !matches!(self.size, 1 | 2 | 4 | 8) {
            return Err(shape());
        }
        let offset = u16::try_from(self.offset).map_err(|_| shape())?;
        Ok(Slot { offset, size: self.size as u8, signed: self.signed })
    }
}

fn fields(text: &str) -> Result<Vec<Field>, FormatError> {
    let lines = text.lines().map(str::trim).filter(|line| line.starts_with("field:"));
    lines.map(|line| Field::parse(line).ok_or_else(|| FormatError::Field { line: line.to_owned() })).collect()
}

/// The layout of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The number that its events carry. Another boot may give it another one.
    pub id: u16,
    /// Its fields, those that all events share first.
    pub fields: Vec<Field>,
}

impl Layout {
    /// Reads a `format` file.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let id = text.lines().find_map(|line| line.strip_prefix("ID:")).and_then(|id| id.trim().parse().ok());
        Ok(Self { id: id.ok_or(FormatError::Id)?, fields: fields(text)? })
    }

    /// The field of this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// The layout of a page of the ring buffer (`struct buffer_data_page`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLayout {
    /// When its first event was, or a little before.
    pub(crate) stamp: Slot,
    /// How many bytes of events it holds, and flags.
    pub(crate) commit: Slot,
    /// Where events begin.
    pub(crate) data: usize,
    /// Bytes of a whole page, as the description has it. Pages can be made larger than that (since Linux 6.8), never smaller.
    pub(crate) size: usize,
}

impl PageLayout {
    /// Reads `events/header_page`.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let fields = fields(text)?;
        let field = |name| fields.iter().find(|field| field.name == name).ok_or(FormatError::Absent(name));
        let (stamp, commit, data) = (field("timestamp")?.slot()?, field("commit")?.slot()?, field("data")?);
        let commit = Slot { signed: false, ..commit };
        Ok(Self { stamp, commit, data: data.offset, size: data.offset.saturating_add(data.size) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "name: sched_switch\nID: 323\nformat:\n\
        \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\
        \tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\
        \tfield:char prev_comm[16];\toffset:8;\tsize:16;\tsigned:0;\n\
        \tfield:u64 * sptep;\toffset:24;\tsize:8;\tsigned:0;\n\
        \tfield:u64 *tight;\toffset:32;\tsize:8;\tsigned:0;\n\
        \tfield:__data_loc char[] text;\toffset:40;\tsize:4;\tsigned:0;\n\n\
        print fmt: \"field:%d\", REC->x\n";

    #[test]
    fn fields_are_found_by_name_whatever_their_type() {
        let layout = Layout::parse(TEXT).expect("it is one");
        assert_eq!(layout.id, 323);
        let names: Vec<_> = layout.fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!(names, ["common_type", "common_pid", "prev_comm", "sptep", "tight", "text"]);
        assert_eq!(
            layout.field("common_pid").and_then(|field| field.slot().ok()),
            Some(Slot { offset: 4, size: 4, signed: true })
        );
        for no_number in ["prev_comm", "text"] {
            let slot = layout.field(no_number).expect("it is there").slot();
            assert!(matches!(slot, Err(FormatError::Shape { .. })), "{no_number}");
        }
    }

    #[test]
    fn broken_descriptions_say_what_is_wrong() {
        assert_eq!(Layout::parse("ID: 65536\n"), Err(FormatError::Id));
        let broken = Layout::parse("ID: 1\n\tfield:int x;\toffset:a;\tsize:4;\n").expect_err("no number").to_string();
        assert!(broken.contains("'field:int x;"), "{broken}");
        assert_eq!(PageLayout::parse(""), Err(FormatError::Absent("timestamp")));
    }

    #[test]
    fn numbers_keep_their_sign_and_end_with_the_event() {
        let event = [0xff, 0xfe, 0xff, 0xff, 0xff, 1, 2, 3, 4];
        let read = |offset, size, signed| Slot { offset, size, signed }.read(&event);
        assert_eq!(read(1, 4, true), Some(-2i64 as u64));
        assert_eq!(read(1, 4, false), Some(0xffff_fffe));
        assert_eq!(read(0, 1, true), Some(u64::MAX));
        assert_eq!(read(1, 8, false), Some(0x0403_0201_ffff_fffe));
        assert_eq!(read(8, 2, false), None);
        assert_eq!(read(0, 0, false), Some(0), "absent");
    }

    #[test]
    fn pages_of_32_and_64_bits() {
        let layout = |bytes, data| {
            PageLayout::parse(&format!(
                "\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n\
                \tfield: local_t commit;\toffset:8;\tsize:{bytes};\tsigned:1;\n\
                \tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;\n\
                \tfield: char data;\toffset:{data};\tsize:{};\tsigned:0;\n",
                4096 - data
            ))
        };
        let wide = layout(8, 16).expect("as the kernel has it");
        assert_eq!((wide.data, wide.size, wide.commit), (16, 4096, Slot { offset: 8, size: 8, signed: false }));
        assert_eq!(layout(4, 12).map(|page| (page.data, page.size)), Ok((12, 4096)));
    }
}
