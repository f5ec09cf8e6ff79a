//! Addresses and page numbers, a type for each space, so that a host address cannot pass for a guest's.
//!
//! Arithmetic is checked: an address that leaves its space is `None`, never a wrapped number. All of them print in hex.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::fmt;

/// log2 of the base page size, x86's and every KVM host's smallest unit of translation.
pub const PAGE_SHIFT: u32 = 12;
/// Bytes of a base page.
pub const PAGE_SIZE: u64 = 1 << PAGE_SHIFT;
/// Bytes that one PMD entry maps.
pub const PMD_SIZE: u64 = 2 << 20;
/// Bytes that one PUD maps: the largest huge page.
pub const PUD_SIZE: u64 = 1 << 30;

macro_rules! address {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl $name {
            /// The number as it is.
            #[must_use]
            pub const fn new(raw: u64) -> Self {
                Self(raw)
            }

            /// The bare number, for a system call or a register.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }

            /// `self + n`, or `None` where the space ends.
            #[must_use]
            pub const fn checked_add(self, n: u64) -> Option<Self> {
                match self.0.checked_add(n) {
                    Some(sum) => Some(Self(sum)),
                    None => None,
                }
            }

            /// How far `self` lies above `base`, or `None` if below.
            #[must_use]
            pub const fn offset_from(self, base: Self) -> Option<u64> {
                self.0.checked_sub(base.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:#x})"), self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                let number = text.strip_prefix("0x").and_then(|hex| u64::from_str_radix(hex, 16).ok());
                number.map(Self).ok_or_else(|| D::Error::custom(format_args!("'{text}' is no address: 0x and hexadecimal digits")))
            }
        }
    };
}

address!(
    /// A host virtual address: what the primary MMU translates.
    Hva
);
address!(
    /// A guest physical address: what the secondary MMU translates.
    Gpa
);
address!(
    /// A host page frame number: what both MMUs must agree on.
    Pfn
);

impl Hva {
    /// Whether this is the first byte of a unit of `size` bytes, a power of two.
    #[must_use]
    pub const fn is_aligned(self, size: u64) -> bool {
        self.0.is_multiple_of(size)
    }
}

/// A page-aligned, half-open range of host virtual addresses: what an invalidation names (`struct mmu_notifier_range`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Ends")]
pub struct HvaRange {
    start: Hva,
    end: Hva,
}

/// A range as it is written, before anybody has looked whether it is one.
#[derive(Deserialize)]
struct Ends {
    start: Hva,
    end: Hva,
}

impl TryFrom<Ends> for HvaRange {
    type Error = String;

    fn try_from(Ends { start, end }: Ends) -> Result<Self, String> {
        let range = end.offset_from(start).and_then(|bytes| Self::new(start, bytes >> PAGE_SHIFT));
        range.filter(|range| range.end == end).ok_or_else(|| format!("[{start}, {end}) is no range of whole pages"))
    }
}

impl HvaRange {
    /// `pages` pages from `start`; `None` if `start` is not page-aligned or the range leaves the address space.
    #[must_use]
    pub fn new(start: Hva, pages: u64) -> Option<Self> {
        let end = start.checked_add(pages.checked_mul(PAGE_SIZE)?)?;
        start.is_aligned(PAGE_SIZE).then_some(Self { start, end })
    }

    /// First byte.
    #[must_use]
    pub const fn start(self) -> Hva {
        self.start
    }

    /// First byte behind it.
    #[must_use]
    pub const fn end(self) -> Hva {
        self.end
    }

    /// Size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.end.0 - self.start.0
    }

    /// Size in pages.
    #[must_use]
    pub const fn pages(self) -> u64 {
        self.bytes() >> PAGE_SHIFT
    }

    /// Whether both have a byte in common.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        self.start.0 < other.end.0 && other.start.0 < self.end.0
    }

    /// `pages` pages from page `first` of this range, or `None` if they do not lie inside.
    #[must_use]
    pub fn part(self, first: u64, pages: u64) -> Option<Self> {
        let part = Self::new(self.start.checked_add(first.checked_mul(PAGE_SIZE)?)?, pages)?;
        (part.end <= self.end).then_some(part)
    }

    /// The first byte of each page.
    pub fn iter(self) -> impl ExactSizeIterator<Item = Hva> + DoubleEndedIterator {
        let start = self.start.0;
        (0..self.pages() as usize).map(move |page| Hva(start + page as u64 * PAGE_SIZE))
    }
}

impl fmt::Display for HvaRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.start, self.end)
    }
}

impl fmt::Debug for HvaRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_aligned_and_stay_in_the_address_space() {
        assert_eq!(HvaRange::new(Hva::new(0x1001), 1), None);
        assert_eq!(HvaRange::new(Hva::new(!0xfff), 1), None, "its end would wrap");
        assert_eq!(HvaRange::new(Hva::new(0), u64::MAX), None);
        let range = HvaRange::new(Hva::new(0x1000), 3).expect("aligned");
        assert_eq!((range.pages(), range.bytes()), (3, 0x3000));
        assert_eq!(range.part(2, 2), None);
        assert_eq!(range.part(2, 1).expect("inside").to_string(), "[0x3000, 0x4000)");
    }

    #[test]
    fn half_open_ranges_that_touch_do_not_overlap() {
        let range = |start, pages| HvaRange::new(Hva::new(start), pages).expect("aligned");
        assert!(!range(0x1000, 1).overlaps(range(0x2000, 1)));
        assert!(range(0x1000, 2).overlaps(range(0x2000, 1)));
    }
}
