//! One record of `/dev/kmsg` (`Documentation/ABI/testing/dev-kmsg`).

use super::alarm::alarm;

/// The facility of the kernel itself. Userspace that writes to `/dev/kmsg` cannot claim it.
const KERNEL: u32 = 0;

/// One message of the kernel log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number since boot.
    pub sequence: u64,
    /// When it was written, on the kernel's log clock.
    pub time_us: u64,
    /// The syslog level: 0 is an emergency, 7 is for debugging.
    pub level: u8,
    /// The syslog facility: 0 for the kernel, others for programs that write to `/dev/kmsg`.
    pub facility: u32,
    /// The message, with its continuations and without escapes. It may have several lines.
    pub text: String,
}

impl Record {
    /// Whether the kernel itself wrote it.
    pub fn is_from_kernel(&self) -> bool {
        self.facility == KERNEL
    }
}

/// The kernel handed out something that is no record.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a record of /dev/kmsg: {line:?}")]
pub struct Malformed {
    /// What it was.
    pub line: String,
}

/// A record, and how it hangs together with others.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fragment {
    pub(super) record: Record,
    /// Whether it continues the line of an earlier record.
    continues: bool,
    /// The thread or CPU that wrote it, when the kernel tells (`CONFIG_PRINTK_CALLER`).
    caller: Option<String>,
}

/// Reads `level+facility,sequence,time,flags[,…];text`, and ignores the `KEY=value` lines that may follow.
pub(super) fn parse(bytes: &[u8]) -> Result<Fragment, Malformed> {
    let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    parse_line(line).ok_or_else(|| Malformed { line: String::from_utf8_lossy(line).into_owned() })
}

fn parse_line(line: &[u8]) -> Option<Fragment> {
    let end = line.iter().position(|&byte| byte == b';')?;
    let mut fields = std::str::from_utf8(&line[..end]).ok()?.split(',');
    let priority: u32 = fields.next()?.parse().ok()?;
    let sequence = fields.next()?.parse().ok()?;
    let time_us = fields.next()?.parse().ok()?;
    // Before 4.9 `+` stood for the second and later fragments and `c` for the first, which then joins its predecessor here.
    let continues = matches!(fields.next(), Some("c" | "+"));
    let caller = fields.find_map(|field| field.strip_prefix("caller=")).map(str::to_owned);
    let text = unescape(&line[end + 1..]);
    let record = Record { sequence, time_us, level: (priority & 7) as u8, facility: priority >> 3, text };
    Some(Fragment { record, continues, caller })
}

/// The kernel writes control characters, backslashes and everything beyond ASCII as `\xNN`.
fn unescape(text: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = after.strip_prefix(b"x").filter(|_| byte == b'\\').and_then(|hex| hex.get(..2));
        let decoded = escaped.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(decoded.unwrap_or(byte));
        rest = if decoded.is_some() { &after[3..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Puts lines together that were printed in pieces.
pub(super) fn join(fragments: Vec<Fragment>) -> Vec<Record> {
    let mut whole: Vec<Fragment> = Vec::with_capacity(fragments.len());
    for fragment in fragments {
        match whole.last_mut() {
            // The flag is a hint and may be wrong when CPUs print at once, so an alarm stays at the start of its own line.
            Some(last)
                if fragment.continues
                    && last.caller == fragment.caller
                    && last.record.facility == fragment.record.facility
                    && alarm(&fragment.record).is_none() =>
            {
                last.record.text.push_str(&fragment.record.text);
            }
            _ => whole.push(fragment),
        }
    }
    whole.into_iter().map(|fragment| fragment.record).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Fragment {
        parse(line.as_bytes()).expect("a record")
    }

    #[test]
    fn a_record_as_the_kernel_writes_it() {
        let fragment =
            parsed("6,339,2042697478,-,caller=T123;virtio_blk virtio1: [vda] new size\n SUBSYSTEM=block\n DEVICE=b254:0\n");
        let text = "virtio_blk virtio1: [vda] new size".to_owned();
        let record = Record { sequence: 339, time_us: 2_042_697_478, level: 6, facility: 0, text };
        assert_eq!(fragment, Fragment { record, continues: false, caller: Some("T123".to_owned()) });
        let planted = parsed("12,1,2,-;hello; world\n").record;
        assert_eq!((planted.facility, planted.level, planted.text.as_str()), (1, 4, "hello; world"));
        assert!(!planted.is_from_kernel());
    }

    #[test]
    fn escapes_are_undone_and_odd_ones_survive() {
        assert_eq!(parsed(r"12,339,1,-;probe\x0aline two \xc3\xa9 \x5c \x09 tab").record.text, "probe\nline two é \\ \t tab");
        assert_eq!(parsed(r"6,1,1,-;\ \x \xz1 \x4").record.text, r"\ \x \xz1 \x4");
        assert_eq!(parsed(r"6,1,1,-;\xff").record.text, "\u{fffd}");
    }

    #[test]
    fn what_is_no_record_is_an_error() {
        for line in ["", ";", "6,1,2", "x,1,2,-;text", "6,,2,-;text", "6,1;text", "-6,1,2,-;text", "99999999999,1,2,-;text"] {
            assert_eq!(parse(line.as_bytes()), Err(Malformed { line: line.to_owned() }));
        }
        assert!(parse(b"\xff,1,2,-;text").is_err());
    }

    #[test]
    fn pieces_of_a_line_are_joined() {
        let texts = |lines: &[&str]| -> Vec<String> {
            join(lines.iter().map(|line| parsed(line)).collect()).into_iter().map(|record| record.text).collect()
        };
        assert_eq!(texts(&["4,1,1,-;BUG: Bad", "4,2,1,c; page state", "4,3,1,-;next"]), ["BUG: Bad page state", "next"]);
        assert_eq!(texts(&["4,1,1,-,caller=T1;one", "4,2,1,c,caller=C0; two"]), ["one", " two"], "another thread's line");
        assert_eq!(texts(&["12,1,1,-;user", "4,2,1,c; kernel"]), ["user", " kernel"]);
        assert_eq!(texts(&["4,1,1,-;half a ", "4,2,1,c;BUG: Bad page state"]), ["half a ", "BUG: Bad page state"]);
        assert_eq!(texts(&["4,7,1,c; its start was read before"]), [" its start was read before"]);
    }
}
